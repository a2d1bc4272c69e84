"""What the client asks Kie for free: its balance, and what it lists."""

from __future__ import annotations

import time

import httpx
import pytest
import stamina

from kie_core import Kie, NoCatalogue, NoKey, ReadFailed, Unauthorized

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"


async def test_credits(fake):
    """Decimals are exact."""
    async with fake.client() as kie:
        assert str(await kie.credits()) == "12.5"


async def test_questions_are_repeated_creates_are_not(acme, raw_server, http_bytes):
    """A 502 twice, then the balance."""
    answers = [http_bytes("<html>", status="502 Bad Gateway")] * 2 + [http_bytes('{"code": 200, "data": 3}')]

    async def behave(reader, writer):
        writer.write(answers[len(raw_server.received) - 1])

    async with raw_server.answering(behave), Kie(KEY, base_url=raw_server.url) as kie:
        with stamina.set_testing(True, attempts=3):
            assert await kie.credits() == 3

    assert len(raw_server.received) == 3


async def test_a_balance_that_is_none_is_a_failed_question(acme, raw_server, http_bytes):
    """True is not a number of credits."""

    async def behave(reader, writer):
        writer.write(http_bytes('{"code": 200, "data": true}'))

    async with raw_server.answering(behave), Kie(KEY, base_url=raw_server.url) as kie:
        with stamina.set_testing(True, attempts=1), pytest.raises(ReadFailed):
            await kie.credits()


def listing_kie(*answers, **settings):
    """A client of a Kie that gives one answer after the other, the last for ever; and what it was asked."""
    asked, left = [], list(answers)

    def answer(request):
        asked.append(request)
        given = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, **({"content": given} if isinstance(given, bytes) else {"json": given}))

    return Kie(transport=httpx.MockTransport(answer), **settings), asked


LISTED = {"code": 200, "data": {"total": 1, "models": [{"model": "z-image", "description": f"the key is {KEY}"}]}}


async def test_the_catalogue_is_asked_for_and_kept(tmp_path):
    """One free question without a filter; then nobody is asked and no key is needed, in any process."""
    kie, asked = listing_kie(LISTED, api_key=KEY)

    async with kie:
        fetched = await kie.catalogue(refresh=True)
    async with Kie() as other:
        assert await other.catalogue() == fetched

    assert [one.model for one in fetched.models] == ["z-image"]
    assert abs(fetched.fetched_at.timestamp() - time.time()) < 60
    assert [(one.method, one.url.path, str(one.url.query)) for one in asked] == [("GET", "/api/v1/models", "b''")]
    assert asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(fetched)


async def test_the_catalogue_is_of_one_base_url(tmp_path):
    """Another gateway has another list."""
    kie, _ = listing_kie(LISTED, api_key=KEY)
    async with kie:
        await kie.catalogue(refresh=True)
        async with Kie(base_url="http://127.0.0.1:9") as other:
            with pytest.raises(NoCatalogue):
                await other.catalogue()


async def test_a_list_that_cannot_be_read_is_asked_for_again():
    """Three times; what was kept before stays."""
    odd = {"code": 200, "data": {"models": "all"}}
    kie, asked = listing_kie(LISTED, odd, LISTED, odd, b'{"code": 200, "data": NaN}', odd, api_key=KEY)

    async with kie:
        with stamina.set_testing(True, attempts=3):
            first = await kie.catalogue(refresh=True)
            second = await kie.catalogue(refresh=True)
            with pytest.raises(ReadFailed):
                await kie.catalogue(refresh=True)
        assert await kie.catalogue() == second

    assert first.models == second.models
    assert len(asked) == 6


async def test_who_may_not_ask_for_the_catalogue_is_told():
    """Without a key nothing is sent; with a wrong one there is one question."""
    kie, asked = listing_kie({"code": 401, "msg": "no"}, api_key=KEY)
    async with kie, Kie() as keyless:
        with pytest.raises(Unauthorized):
            await kie.catalogue(refresh=True)
        with pytest.raises(NoKey):
            await keyless.catalogue(refresh=True)

    assert len(asked) == 1


async def test_a_catalogue_that_cannot_be_kept_is_handed_out_all_the_same(tmp_path, monkeypatch, caplog):
    """It was asked for; a warning names the place."""
    occupied = tmp_path / "file"
    occupied.write_text("")
    monkeypatch.setenv("KIE_CACHE_DIR", str(occupied))
    kie, _ = listing_kie(LISTED, api_key=KEY)

    async with kie:
        assert len((await kie.catalogue(refresh=True)).models) == 1
        with pytest.raises(NoCatalogue):
            await kie.catalogue()

    assert f"cannot be kept in {occupied}" in caplog.text
