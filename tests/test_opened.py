"""What a client has open, against a real loopback server: it is opened once, and nothing is left behind."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from kie_core import ClientClosed, Kie, LedgerError
from kie_core._ledger.ledger import Ledger
from kie_core._network.file_client import FileClient
from kie_core._running.recovery import Recovery

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"


async def test_all_that_a_client_saves_comes_by_one_client_for_files(fake, tmp_path, monkeypatch):
    """Ten results do not make ten TLS contexts; it is closed with the client."""
    made = []

    class Noted(FileClient):
        def __init__(self, **settings):
            super().__init__(**settings)
            made.append(self)

    monkeypatch.setattr("kie_core._network.file_client.FileClient", Noted)
    async with fake.client() as kie:
        tasks = [await kie.generate("acme-sketch", {"prompt": f"cat {number}"}) for number in range(3)]
        paths = [await task.save(tmp_path) for task in tasks]
        assert not made[0]._closed

    assert len({path for some in paths for path in some}) == 3
    assert [files._closed for files in made] == [True]


async def test_a_client_is_opened_once_at_a_time(fake):
    """Two blocks on one object would close each other's connections."""
    async with fake.client() as kie:
        with pytest.raises(RuntimeError, match="open already"):
            async with kie:
                pass


async def test_a_callers_transport_is_used_and_left_open(acme):
    """It is the caller's."""
    seen = []

    class Transport(httpx.AsyncBaseTransport):
        closed = False

        async def handle_async_request(self, request):
            seen.append(request.url.path)
            return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})

        async def aclose(self):
            self.closed = True

    transport = Transport()
    async with Kie(KEY, transport=transport) as kie:
        await kie.submit("acme-sketch", {"prompt": "cat"})

    assert seen == ["/acme/create"]
    assert not transport.closed


async def test_a_client_that_is_not_open_says_how_to_open_it(acme):
    """The usual slip."""
    with pytest.raises(RuntimeError, match="async with"):
        await Kie(KEY).submit("acme-sketch", {"prompt": "cat"})


def test_two_runs_of_asyncio_in_one_process(install, acme_source):
    """A client is bound to no global: each run may have its own, or the same object in turn."""
    install("kie-acme", {"acme": "kie_runs_test"}, {"kie_runs_test": acme_source})

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})

    kie = Kie(KEY, transport=Transport(), ledger="memory:")

    async def once():
        async with kie:
            return (await kie.submit("acme-sketch", {"prompt": "cat"})).id

    assert [asyncio.run(once()), asyncio.run(once())] == ["t1", "t1"]

    async def together():
        async with kie:
            return len(await asyncio.gather(*(kie.enqueue("acme-sketch", {"prompt": "cat"}) for _ in range(3))))

    assert [asyncio.run(together()), asyncio.run(together())] == [3, 3]


async def test_a_ledger_that_cannot_be_written_stops_a_purchase_and_no_reading(fake, tmp_path):
    """Nothing is sent without it; what was paid is read without it."""
    broken = tmp_path / "ledger.sqlite"
    broken.write_bytes(b"this is no database" * 100)
    async with fake.client() as kie:
        handle = (await kie.submit("acme-sketch", {"prompt": "cat"})).handle
    async with fake.client(ledger=str(broken)) as kie:
        with pytest.raises(LedgerError, match="move .* away"):
            await kie.submit("acme-sketch", {"prompt": "cat"})
        assert (await kie.attach(handle).wait()).state == "succeeded"

    assert fake.creates == 1


async def test_a_closed_client_buys_nothing_more(fake):
    """What was left running in the background is told so."""
    async with fake.client() as kie:
        runner = await kie._opened.for_buying()
        entry = await kie.enqueue("acme-sketch", {"prompt": "cat"})
    with pytest.raises(RuntimeError, match="closed"):
        await runner.advance(entry.id)
    await runner.ledger.close()

    assert fake.creates == 0


async def test_a_task_of_a_client_that_was_closed_names_itself(fake, tmp_path):
    """Whatever is asked of it; it can be read with another client."""
    async with fake.client() as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
    for look in (task.status, task.record, task.wait, task.save):
        with pytest.raises(ClientClosed) as caught:
            await look()
        assert caught.value.handle == task.handle
        assert f"kie save {task.handle}" in str(caught.value)


def beating():
    return [task for task in asyncio.all_tasks() if task.get_coro().__qualname__ == "Opened._beat"]


async def test_who_buys_first_at_the_same_time_as_others_leaves_no_task_behind(fake):
    """One sign of life for all of them, and none after the client was closed."""
    async with fake.client() as kie:
        await asyncio.gather(*(kie.enqueue("acme-sketch", {"prompt": "cat"}) for _ in range(5)))
        assert len(beating()) == 1

    assert beating() == []


@pytest.mark.parametrize("slow", ["take_over", "durations", "beat"])
async def test_a_client_that_is_closed_while_its_ledger_opens_leaves_nothing_open(fake, monkeypatch, slow):
    """Nothing is bought after that, and nobody works on behind its back."""
    began, go_on = asyncio.Event(), asyncio.Event()
    place = Recovery if slow == "take_over" else Ledger
    real = getattr(place, slow)

    async def slowly(self):
        began.set()
        await go_on.wait()
        return await real(self)

    monkeypatch.setattr(place, slow, slowly)
    async with fake.client() as kie:
        buying = asyncio.create_task(kie.submit("acme-sketch", {"prompt": "cat"}))
        await began.wait()
        asyncio.get_running_loop().call_later(0.05, go_on.set)

    with pytest.raises(RuntimeError, match="not open"):
        await buying
    assert (fake.creates, kie._opened.runner, beating()) == (0, None, [])
