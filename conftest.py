"""Collect a plugin's tests where the plugin is installed; let no test reach the network or the user's files."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# A slow machine is no fault; and what lands a change must not depend on luck, while daily runs look for new examples.
hypothesis.settings.register_profile(
    "kie",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    max_examples=int(os.environ.get("KIE_TEST_EXAMPLES", "100")),
)
hypothesis.settings.load_profile("kie")

PLUGINS = Path(__file__).parent / "plugins"
MISSING = sorted(folder.name for folder in PLUGINS.glob("kie-*") if not find_spec(folder.name.replace("-", "_")))
collect_ignore = [str(PLUGINS / name) for name in MISSING]
if not os.environ.get("KIE_TEST_PACKAGING"):  # minutes, and package downloads: `tox -e pkg` runs them
    collect_ignore.append(str(Path(__file__).parent / "tests" / "packaging"))
if MISSING:
    collect_ignore.append(str(Path(__file__).parent / "tests" / "together"))
if MISSING or not find_spec("aiogram"):  # nothing but the example needs it: `tox -e examples` brings it
    collect_ignore.append(str(Path(__file__).parent / "examples" / "bot"))


def pytest_report_header() -> str:
    return f"kie plugins not installed, tests not collected: {', '.join(MISSING) or 'none'}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def _nothing_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No setting of the machine, no configuration file, no working folder but an empty one."""
    for name in list(os.environ):
        if name.startswith("KIE_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("KIE_CONFIG_DIR", str(home))
    monkeypatch.setenv("KIE_STATE_DIR", str(home))
    monkeypatch.setenv("KIE_CACHE_DIR", str(home / "cache"))
    monkeypatch.chdir(home)


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """The command line sets levels for its whole process, and tests run it in theirs."""
    levels = {name: logging.getLogger(name).level for name in ("kie_core", "stamina", "httpx", "httpcore")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


#: The calls of a socket by which something leaves, and where their address stands.
LEAVING = {"connect": 0, "connect_ex": 0, "sendto": -1, "sendmsg": 3}
#: The calls by which the system asks others for a name.
ASKING = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr")


@pytest.fixture(autouse=True)
def this_machine_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Nothing of this process reaches another machine; a test that tried fails, even if nobody heard of it.

    Connections, datagrams and names to be looked up; tests at Kie itself are asked for.
    """
    reached: list[str] = []
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("place") == "real":
        yield reached
        return

    def check(host: object) -> None:
        if host not in (None, "", "localhost", "127.0.0.1", "::1"):
            reached.append(str(host))
            pytest.fail(f"a test tried to reach {host}")

    for name, which in LEAVING.items():
        if hasattr(socket.socket, name):  # not each system has all
            monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name), which, check))
    for name in ASKING:
        monkeypatch.setattr(socket, name, _asking(getattr(socket, name), check))
    yield reached
    if reached:
        pytest.fail(f"a test tried to reach {', '.join(reached)}")


def _guarded(call: Callable[..., object], which: int, check: Callable[[object], None]) -> Callable[..., object]:
    def guarded(self: socket.socket, *arguments: Any) -> object:
        address = arguments[which] if which < len(arguments) else None  # without one it goes where it is connected to
        if self.family in (socket.AF_INET, socket.AF_INET6) and address is not None:
            check(address[0])
        return call(self, *arguments)

    return guarded


def _asking(call: Callable[..., object], check: Callable[[object], None]) -> Callable[..., object]:
    def asking(host: object, *others: Any, **named: Any) -> object:
        name = host.decode(errors="replace") if isinstance(host, bytes) else str(host)
        if name.endswith(".invalid") or "@" in name:  # no name, or one that is nobody's: nobody is asked
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        check(None if host is None else name)
        return call(host, *others, **named)

    return asking
