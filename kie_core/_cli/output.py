"""What the commands print, and the exit code that an error becomes."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

import rich_click as click

from kie_core._errors import (
    BadHandle,
    ConfigError,
    InvalidJob,
    KieError,
    NoKey,
    OutOfCredits,
    ReadRefused,
    RegistryError,
    SubmitUnknown,
    Unauthorized,
    UnknownModel,
    UnknownWire,
    WaitTimeout,
)

if TYPE_CHECKING:
    from kie_core._price import Price

P = ParamSpec("P")
R = TypeVar("R")

FAILED, USAGE, KEY, CREDITS, TIMED_OUT, UNKNOWN, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130
_EXIT_CODES: Final[tuple[tuple[type[KieError], int], ...]] = (
    (NoKey, KEY), (Unauthorized, KEY), (OutOfCredits, CREDITS), (WaitTimeout, TIMED_OUT), (SubmitUnknown, UNKNOWN),
    (InvalidJob, USAGE), (UnknownModel, USAGE), (UnknownWire, USAGE), (BadHandle, USAGE), (ConfigError, USAGE),
    (RegistryError, USAGE),
)  # fmt: skip

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or one array for a list.")


def exit_code(error: KieError) -> int:
    """Return the exit code for *error*: 1 unless the table says otherwise."""
    if isinstance(error, ReadRefused):
        return CREDITS if error.code == 402 else KEY
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)


def errors_shown(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a `KieError` of *command* into a message on stderr (and an object with ``--json``) and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except KieError as error:
            fail(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(INTERRUPTED)
        except OSError as error:
            say(f"error: the result could not be printed: {error}")
            sys.exit(FAILED)

    return run


def fail(error: KieError, *, as_json: bool) -> NoReturn:
    """Print *error* and leave with its exit code."""
    report(error, as_json=as_json)
    sys.exit(exit_code(error))


def report(error: KieError, *, as_json: bool) -> None:
    """Print *error*: for the person on stderr, and as an object on stdout if that was asked for."""
    if as_json:
        handle = getattr(error, "handle", None)
        print_json({"error": type(error).__name__, "message": str(error), "handle": handle})
    say(f"error: {error}")


def leave_now(code: int) -> NoReturn:
    """End the process after Ctrl-C: what runs in threads, such as a download that hangs, is not waited for."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def check_wait(_context: click.Context, _option: click.Parameter, seconds: float | None) -> float | None:
    """Refuse what is no number of seconds."""
    if seconds is not None and math.isnan(seconds):
        raise click.BadParameter("expected a number of seconds")
    return seconds


def say(text: str) -> None:
    """Print a line for the person, on stderr. That nobody listens is no reason to stop a purchase half-way."""
    with contextlib.suppress(OSError, ValueError):
        click.echo(_encodable(text, sys.stderr), err=True)


def print_json(value: Any) -> None:
    """Print *value* as JSON on stdout."""
    from kie_core._convert import plain

    click.echo(_encodable(json.dumps(plain(value), ensure_ascii=False, indent=2), sys.stdout))


def priced(price: Price) -> dict[str, Any]:
    """Return *price* for ``--json``: the contract's in roubles, Kie's in credits and US dollars, and in roubles."""
    return {
        "rub": None if price.contract is None else price.contract / 100,
        "credits": price.credits,
        "usd": price.usd,
        "wire_rub": None if price.wire is None else price.wire / 100,
    }


def _encodable(text: str, stream: Any) -> str:
    """Escape what *stream* cannot show: half surrogates of Kie's, Cyrillic on an ASCII terminal."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated without a heading elsewhere."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


class Progress:
    """Shows how far a task is: a bar on a terminal, a line per change elsewhere. Always on stderr."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._bar: Any = None
        self._shown = ""

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as RichProgress

            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._bar = self._stack.enter_context(RichProgress(*columns, console=Console(stderr=True), transient=True))
            self._task = self._bar.add_task("submitted", total=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, state: str, share: float | None) -> None:
        """Show *state* and, where it is known, the share that is done."""
        state = state.replace("_", " ")
        if self._bar is not None:
            total = None if share is None and state != "succeeded" else 1.0
            self._bar.update(
                self._task, description=state, total=total, completed=1.0 if state == "succeeded" else share or 0.0
            )
            return
        text = state if share is None else f"{state} {share:.0%}"
        if text != self._shown:
            self._shown = text
            say(text)
