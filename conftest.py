"""Collect a plugin's tests where the plugin is installed; let no test reach the network or the user's files."""

from __future__ import annotations

import os
import socket
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest

# A slow machine is no fault; and what lands a change must not depend on luck, while daily runs look for new examples.
hypothesis.settings.register_profile("kie", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("kie")

PLUGINS = Path(__file__).parent / "plugins"
MISSING = sorted(folder.name for folder in PLUGINS.glob("kie-*") if not find_spec(folder.name.replace("-", "_")))
collect_ignore = [str(PLUGINS / name) for name in MISSING]
if not os.environ.get("KIE_TEST_PACKAGING"):  # minutes, and package downloads: `tox -e pkg` runs them
    collect_ignore.append(str(Path(__file__).parent / "tests" / "packaging"))
if MISSING:
    collect_ignore.append(str(Path(__file__).parent / "tests" / "together"))


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
    monkeypatch.chdir(home)


@pytest.fixture(autouse=True)
def _this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket to anywhere but this machine fails the test that opened it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "unix"
        if host not in ("127.0.0.1", "::1", "unix"):
            pytest.fail(f"a test tried to reach {host}")
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded)
