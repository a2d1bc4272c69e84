"""Which addresses a result may be fetched from. Looks only; connects to nothing."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable
from typing import Final

#: Scheme, host, port if one is named, and whether a user is named.
Place = tuple[str, str, int | None, bool]
#: Host and port -> the texts of its addresses, best first.
Resolve = Callable[[str, int], Iterable[str]]

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_INNER: Final = (
    ".localhost", ".local", ".localdomain", ".internal", ".intranet", ".lan", ".home.arpa", ".corp", ".svc",
)  # fmt: skip
#: IPv6 networks whose addresses mean the IPv4 address in their last 32 bits. Hosts with IPv4 only are
#: reached so from networks with IPv6 only.
_CARRIERS: Final = tuple(ipaddress.IPv6Network(network) for network in ("::ffff:0:0/96", "64:ff9b::/96"))
#: What the standard library of some Python versions takes for global and is not: special assignments, multicast,
#: and relays and tunnels, which lead to an IPv4 address inside and which no file host uses.
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "::/96", "::ffff:0:0:0/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16",
        "fec0::/10", "ff00::/8",
    )
)  # fmt: skip


class NotPublic(Exception):
    """The address must not be connected to. Never leaves this package."""


def check_place(place: Place, own: Place) -> None:
    """Check what can be seen without looking a name up.

    Args:
        place: Where a file lies.
        own: The API. Where the user set it to this machine, exactly its origin is fine.

    Raises:
        NotPublic: It is neither https to a public host nor that origin.
    """
    if is_own(place, own):
        return
    scheme, host, port, has_user = place
    if scheme != "https":
        raise NotPublic(f"its address begins with {scheme!r}; only https is fetched")
    if has_user:
        raise NotPublic("its address carries a user name")
    if port not in (None, 443):
        raise NotPublic(f"its address names port {port}")
    if not is_public_host(host):
        raise NotPublic(f"its host {host!r} is not a public one")


def is_own(place: Place, own: Place) -> bool:
    """Tell whether *place* has the very origin of an API on this machine."""
    return own[1] in _LOOPBACK and place[:3] == own[:3]


def is_public_host(host: str) -> bool:
    """Tell whether *host*, a name or the text of an address, may be public."""
    host = host.rstrip(".").lower()
    try:
        return is_public(ipaddress.ip_address(host))
    except ValueError:
        # 127.1, 2130706433, 0x7f000001, 0177.0x0.1: spellings of an address that only the system's resolver reads
        last = host.rpartition(".")[2]
        return "." in host and not host.endswith(_INNER) and not last[:1].isdigit()


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Tell whether *address*, and the IPv4 address that it may stand for, is one of the public internet."""
    if any(address in network for network in _CARRIERS):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def public_addresses(host: str, port: int, resolve: Resolve) -> list[str]:
    """Look *host* up, once, and return its addresses: connect to these and not to the name.

    A name is in the hands of whoever wrote the URL: it may answer otherwise a second time.

    Raises:
        NotPublic: One address is not public. Then none is used.
        OSError: It cannot be looked up.
    """
    found = list(dict.fromkeys(resolve(host, port)))
    for address in found:
        if not is_public(ipaddress.ip_address(address)):
            raise NotPublic(
                f"its host {host!r} is at {address} here, which is not a public address "
                "(if a VPN invents addresses, set HTTPS_PROXY to its proxy)"
            )
    if not found:
        raise OSError(f"{host!r} has no address")
    return found


def looked_up(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of *host*.

    Raises:
        OSError: There are none, or nobody answers.
    """
    try:
        return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
    except UnicodeError as error:
        raise OSError(f"{host!r} is no host name") from error
