"""Links that anybody can open, over real sockets: of the sandbox's own files and of others, in Python and as a command."""

from __future__ import annotations

import json
import urllib.request

import pytest
import stamina
from click.testing import CliRunner

from kie_core import KieBlocking, ReadFailed, Refused, Schedule
from kie_core._cli.main import kie
from kie_core._network.download_link import link_in
from kie_sandbox import Sandbox, serve

KEY = "0123456789abcdef0123456789abcdef"
FOREIGN = "https://files.example.com/a.png"
MORE = {"runway-gen3-turbo": {"image_url": FOREIGN}}


@pytest.fixture(autouse=True)
def _no_pauses():
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


@pytest.fixture
def client(monkeypatch):
    with serve(sandbox=Sandbox(speed=1000)) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        with KieBlocking(schedule=Schedule(first=0.01, longest=0.05)) as made:
            yield made


@pytest.mark.parametrize("model", ["gpt-4o-image", "flux-kontext", "veo3", "suno-v4", "runway-gen3-turbo"])
def test_a_result_of_every_family_gets_a_link_that_opens_without_a_key(client, model):
    """Another address, of the same bytes."""
    task = client.generate(model, {"prompt": "a harbour", **MORE.get(model, {})}, allow_unknown_price=True)
    address = task.outcome.artifacts[0].url
    link = client.download_link(address)

    assert link != address
    with urllib.request.urlopen(link) as by_link, urllib.request.urlopen(address) as by_address:
        assert by_link.read() == by_address.read() != b""


def test_a_file_of_somebody_else_is_refused_at_once(client):
    """As recorded: 422, and no question is repeated."""
    with pytest.raises(Refused, match=r"url is wrong \(code 422\)"):
        client.download_link(FOREIGN)


@pytest.mark.parametrize(
    "url",
    ["", "picture.png", "file:///etc/hosts", "ftp://example.com/a", "https://", "https://[::1/a", "https://a b/", 7],
)
def test_what_is_no_address_is_not_sent(client, url):
    """The error shows the value and what is expected."""
    with pytest.raises(ValueError, match="is no address of a file; expected the URL of a result"):
        client.download_link(url)


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "msg": "success", "data": None},
        {"code": 200, "data": {"url": FOREIGN}},
        {"code": 200, "data": "javascript:alert(1)"},
        {"code": 500, "msg": "Server exception"},
        {"data": FOREIGN},
        {},
    ],
)
def test_an_answer_without_a_link_is_a_failed_question(body):
    """It may be asked again."""
    with pytest.raises(ReadFailed):
        link_in(body)


def test_the_documented_answers():
    """Source: docs.kie.ai/common-api/download-url, read 2026-08-19."""
    link = "https://dl.example.com/signed/9f2c?sig=abc"

    assert link_in({"code": 200, "msg": "success", "data": link}) == link
    with pytest.raises(Refused) as caught:
        link_in({"code": 422, "msg": "url is wrong", "data": None})
    assert (caught.value.code, caught.value.message) == (422, "url is wrong")


def test_the_command(client):
    """A line for each; JSON names what it was made of; a refusal ends it."""
    task = client.generate("gpt-4o-image", {"prompt": "a harbour"})
    address = task.outcome.artifacts[0].url
    plain = CliRunner().invoke(kie, ["link", address, address])
    rows = json.loads(CliRunner().invoke(kie, ["link", address, "--json"]).stdout)
    refused = CliRunner().invoke(kie, ["link", FOREIGN])
    bad = CliRunner().invoke(kie, ["link", "picture.png"])

    assert len(plain.stdout.splitlines()) == 2
    assert [row["url"] for row in rows] == [address]
    assert rows[0]["link"].startswith("http")
    assert (refused.exit_code, bad.exit_code) == (1, 2), bad.output
    assert "url is wrong" in refused.stderr
    assert "picture.png" in bad.stderr
