"""Ctrl-C, SIGTERM and SIGHUP: all let a create on its way get its answer written down; they differ in the exit code."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn, ParamSpec, TypeVar

import click

P = ParamSpec("P")
R = TypeVar("R")

INTERRUPTED, TERMINATED, HUNG_UP = 130, 143, 129
#: What ends a command from outside, and the exit code; a closed terminal does so too.
_SIGNALS: Final = {
    getattr(signal, name): code
    for name, code in (("SIGTERM", TERMINATED), ("SIGHUP", HUNG_UP))
    if hasattr(signal, name)
}
_STOPPED_BY: Final = "kie_core.stopped_by"


def stoppable(command: Callable[P, R]) -> Callable[P, R]:
    """Let SIGTERM and SIGHUP do to *command* what Ctrl-C does."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        context = click.get_current_context()
        assert context is not None

        def stop(number: int, _frame: FrameType | None) -> None:
            context.meta[_STOPPED_BY] = _SIGNALS[number]
            raise KeyboardInterrupt

        if threading.current_thread() is not threading.main_thread():  # signals reach that one only
            return command(*args, **kwargs)
        before = {
            number: signal.signal(number, stop)
            for number in _SIGNALS
            if signal.getsignal(number) is not signal.SIG_IGN  # nohup
        }
        try:
            return command(*args, **kwargs)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    return run


def interrupt_code() -> int:
    """Return the exit code of a command that was stopped: 143 by SIGTERM, 129 by SIGHUP, else 130."""
    context = click.get_current_context(silent=True)
    return INTERRUPTED if context is None else int(context.meta.get(_STOPPED_BY, INTERRUPTED))


def hear_no_more() -> None:
    """Ignore further signals: what is said about the money is said to its end."""
    for number in (signal.SIGINT, *_SIGNALS):
        signal.signal(number, signal.SIG_IGN)


def leave_now(code: int) -> NoReturn:
    """End the process after a signal: what runs in threads, such as a download that hangs, is not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
