"""Who this process is, and whether another one still runs."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from functools import cache
from pathlib import Path


def here() -> tuple[str, int]:
    """Return this machine's name and this process's number, which is unique on that machine."""
    return _machine(), os.getpid()


def alive(host: str, pid: int) -> bool | None:
    """Tell whether a process of this machine runs; None: it cannot be told from here."""
    if os.name != "posix" or host != _machine():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def awake_seconds() -> float:
    """Return seconds of a clock that nobody sets, and that runs on while the machine sleeps, where there is one."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


@cache
def _machine() -> str:
    # Two containers may have one host name and count their processes each from 1.
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()[:8])
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)
