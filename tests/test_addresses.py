"""Which addresses a result may come from. By classification only: nothing is ever connected to."""

from __future__ import annotations

import ipaddress
import socket

import httpx
import pytest

from kie_core import ReadFailed
from kie_core._network.addresses import NotPublic, is_public, looked_up, public_addresses
from kie_core._network.file_client import FileClient, GuardedTransport, checked_place, place_of


def check(url, api):
    checked_place(url, place_of(api))


PUBLIC = ["https://tempfile.aiquickdraw.com/a.png", "https://93.184.216.34/a", "https://cdn.example.com:443/a?b=c#d"]
PRIVATE = [
    "http://cdn.example.com/a", "file:///etc/passwd", "ftp://cdn.example.com/a", "https:///a", "https://cdn.example.com:22/a",
    "https://user@cdn.example.com/a", "https://user:pass@cdn.example.com/a", "https://localhost/a", "https://printer/a",
    "https://db.internal/a", "https://nas.local/a", "https://x.localhost/a", "https://127.0.0.1/a", "https://127.1/a",
    "https://2130706433/a", "https://0x7f000001/a", "https://0x7f.1/a", "https://0177.0.0.1/a", "https://10.0.0.1/a",
    "https://172.16.0.1/a", "https://192.168.1.1/a", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1/a",
    "https://0.0.0.0/a", "https://[::1]/a", "https://[::ffff:10.0.0.1]/a", "https://[fe80::1]/a", "https://[fc00::1]/a", "https://[::]/a",
    "https://192.0.0.8/a", "https://192.88.99.1/a", "https://224.0.0.1/a", "https://[64:ff9b::a00:1]/a", "https://[2002:a00:1::]/a",
    "https://127.0x0.0.1/a", "https://0177.0.0.0x1/a", "https://10.0x1/a", "https://127\u30020.0.1/a", "https://[::ffff:0:127.0.0.1]/a",
    "https://metadata.internal./a", "https://127.0.0.1./a", "https://a.b:99999/a", "https://[x/a",
    "https://[::10.0.0.1]/a", "https://[fec0::1]/a", "https://[ff02::1]/a", "https://vendor.example\\@127.0.0.1/a",
]  # fmt: skip


@pytest.mark.parametrize("url", PUBLIC)
def test_public_addresses_are_fetched(url):
    """By classification only; nothing is connected to."""
    check(url, "https://api.kie.ai")


@pytest.mark.parametrize("url", PRIVATE)
def test_private_and_odd_addresses_are_not(url):
    """A URL comes from outside: it must not reach into the caller's network. By classification only."""
    with pytest.raises(NotPublic):
        check(url, "https://api.kie.ai")


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("http://127.0.0.1:8787/files/a.png", True),
        ("http://127.0.0.1:8788/files/a.png", False),
        ("http://localhost:8787/files/a.png", False),
        ("https://127.0.0.1:8787/files/a.png", False),
    ],
)
def test_only_the_very_origin_of_a_local_api_is_an_exception(url, fine):
    """The sandbox serves its own files; nothing else on this machine becomes reachable."""
    if fine:
        check(url, "http://127.0.0.1:8787/prefix")
    else:
        with pytest.raises(NotPublic):
            check(url, "http://127.0.0.1:8787/prefix")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:4700::1111", True), ("::ffff:93.184.216.34", True), ("64:ff9b::5db8:d822", True),
        ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("64:ff9b::7f00:1", False), ("64:ff9b:1::5db8:d822", False),
        ("2002:5db8:d822::1", False), ("2002:a00:1::", False), ("2001:0:5db8:d822::1", False), ("::93.184.216.34", False),
        ("192.0.0.9", False), ("192.88.99.1", False), ("198.18.0.5", False), ("239.1.1.1", False), ("255.255.255.255", False),
        ("fe80::1%eth0", False), ("fec0::1", False), ("ff0e::1", False), ("100::1", False), ("3fff::1", False), ("5f00::1", False),
    ],
)  # fmt: skip
def test_an_address_is_judged_with_the_one_inside(address, public):
    """Also where the standard library of this Python is mistaken."""
    assert is_public(ipaddress.ip_address(address)) is public


def test_one_private_address_spoils_all():
    """Else the order of the answer would decide."""
    with pytest.raises(NotPublic, match=r"'cdn\.example\.com' is at 10\.0\.0\.1"):
        public_addresses("cdn.example.com", 443, lambda host, port: ["93.184.216.34", "10.0.0.1"])


def test_a_name_without_address_cannot_be_looked_up():
    """No address is not a public address."""
    with pytest.raises(OSError, match="no address"):
        public_addresses("cdn.example.com", 443, lambda host, port: [])


def test_what_is_no_host_name_fails_like_what_is_not_found(monkeypatch):
    """A label of 70 letters is refused by the codec, not by the resolver."""
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *_, **__: host.encode("idna"))

    with pytest.raises(OSError, match="no host name"):
        looked_up("a" * 70 + ".example", 443)


def guarded(*answers):
    """Return a client that looks names up in *answers*, one after the other, and what it would have connected to."""
    connected = []

    def connect(request):
        connected.append(request)
        return httpx.Response(200)

    left = list(answers)
    transport = GuardedTransport(httpx.MockTransport(connect), lambda host, port: left.pop(0))
    return httpx.Client(transport=transport), connected


def test_a_name_that_changes_its_address_is_refused_when_it_does():
    """First a public address, then a private one: what is connected to is what was checked."""
    client, connected = guarded(["93.184.216.34"], ["127.0.0.1"])

    client.get("https://cdn.example.com/a.png")
    with pytest.raises(NotPublic):
        client.get("https://cdn.example.com/a.png")

    assert [request.url.host for request in connected] == ["93.184.216.34"]


def test_the_host_is_still_asked_for_and_verified_by_its_name():
    """Only the socket goes to an address: TLS and the request name the host."""
    client, connected = guarded(["2606:4700::1111"])

    client.get("https://cdn.example.com/a.png?b=%41")

    assert connected[0].url == "https://[2606:4700::1111]/a.png?b=%41"
    assert connected[0].headers["Host"] == "cdn.example.com"
    assert connected[0].extensions["sni_hostname"] == "cdn.example.com"


def test_an_address_that_does_not_answer_is_followed_by_the_next():
    """As the system does it: a host may have an IPv6 address that is out of reach."""
    tried = []

    def connect(request):
        tried.append(request.url.host)
        if len(tried) == 1:
            raise httpx.ConnectTimeout("no answer")
        return httpx.Response(200)

    transport = GuardedTransport(httpx.MockTransport(connect), lambda host, port: ["2606:4700::1111", "93.184.216.34"])
    with httpx.Client(transport=transport) as client:
        client.get("https://cdn.example.com/")

    assert tried == ["2606:4700::1111", "93.184.216.34"]


def test_the_client_for_files_looks_names_up_with_the_guard():
    """No way around it."""
    with (
        FileClient(version="1", seconds=1, api="https://api.kie.ai", resolve=lambda host, port: ["10.0.0.1"]) as client,
        pytest.raises(NotPublic, match="HTTPS_PROXY"),
        client.open("https://cdn.example.com/a.png"),
    ):
        pass


def test_behind_a_proxy_only_the_url_can_be_checked(monkeypatch):
    """The proxy looks names up and connects; a private address in the URL is refused all the same."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    client = FileClient(version="1", seconds=1, api="https://api.kie.ai", resolve=lambda host, port: ["10.0.0.1"])

    with client, pytest.raises(ReadFailed), client.open("https://cdn.example.com/a.png"):
        pass
    with client, pytest.raises(NotPublic), client.open("https://10.0.0.1/a.png"):
        pass
