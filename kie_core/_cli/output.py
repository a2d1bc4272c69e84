"""What the commands print, and the exit code that an error becomes."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

import attrs
import click

from kie_core._cli.stopping import interrupt_code
from kie_core._error import KieError

if TYPE_CHECKING:
    from kie_core._cli.bar import Bar
    from kie_core._jobs.outcome import Artifact
    from kie_core._models.price import Price

P = ParamSpec("P")
R = TypeVar("R")

FAILED, USAGE, KEY, CREDITS, TIMED_OUT, UNKNOWN, BUDGET = 1, 2, 3, 4, 5, 6, 7

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or one array for a list.")


def exit_code(error: KieError) -> int:
    """Return the exit code for *error*: 1 unless the table says otherwise."""
    from kie_core import _errors as errors

    if isinstance(error, errors.ReadRefused):
        return CREDITS if error.code == 402 else KEY
    if isinstance(error, errors.UploadFailed):
        return {401: KEY, 402: CREDITS}.get(error.code or 0, FAILED)
    if isinstance(error, errors.LedgerError):
        return TIMED_OUT if error.handle else FAILED
    codes: tuple[tuple[type[KieError], int], ...] = (
        (errors.NoKey, KEY), (errors.Unauthorized, KEY), (errors.OutOfCredits, CREDITS),
        (errors.WaitTimeout, TIMED_OUT), (errors.ClientClosed, TIMED_OUT),
        (errors.SubmitUnknown, UNKNOWN), (errors.OverBudget, BUDGET),
        (errors.InvalidJob, USAGE), (errors.UnknownModel, USAGE), (errors.UnknownWire, USAGE),
        (errors.BadHandle, USAGE), (errors.ConfigError, USAGE), (errors.RegistryError, USAGE),
        (errors.JobKeyTaken, USAGE), (errors.UnknownJob, USAGE),
    )  # fmt: skip
    return next((code for kind, code in codes if isinstance(error, kind)), FAILED)


def errors_shown(command: Callable[P, R]) -> Callable[P, R]:
    """Turn a `KieError` of *command* into a message on stderr (and an object with ``--json``) and an exit code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _results_apart():
                return command(*args, **kwargs)
        except KieError as error:
            fail(error, as_json=bool(kwargs.get("as_json")))
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(interrupt_code())
        except OSError as error:
            say(f"error: the result could not be printed: {error}")
            sys.exit(FAILED)

    return run


#: Where in a context stdout is, while a command runs.
_RESULTS: Final = "kie_core.results"


@contextlib.contextmanager
def _results_apart() -> Iterator[None]:
    """What foreign code prints while a command runs goes to stderr: who reads results reads nothing else."""
    meta = click.get_current_context().meta
    meta[_RESULTS] = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        del meta[_RESULTS]


def results() -> Any:
    """Return the stream of the results: stdout, also while `sys.stdout` is another."""
    context = click.get_current_context(silent=True)
    return sys.stdout if context is None else context.meta.get(_RESULTS, sys.stdout)


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
    text = _as_text(value, ensure_ascii=False)
    if _encodable(text, results()) != text:
        text = _as_text(value, ensure_ascii=True)
    click.echo(text, file=results())


def _as_text(value: Any, *, ensure_ascii: bool) -> str:
    if not isinstance(value, list):
        return json.dumps(value, ensure_ascii=ensure_ascii, indent=2, default=_plain)
    line = json.JSONEncoder(ensure_ascii=ensure_ascii, default=_plain)  # a list: a line for each, which is quick, too
    return "[" + ",\n ".join(map(line.encode, value)) + "]"


def _plain(value: Any) -> Any:
    """Return what JSON can say of a value of ours."""
    match value:
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            return value.isoformat()
        case Path():
            return str(value)
        case Mapping():
            return dict(value)
        case _:
            return attrs.asdict(value, recurse=False)


def print_line(text: str) -> None:
    """Print a line of the result on stdout."""
    click.echo(_encodable(text, results()), file=results())


def print_result(artifact: Artifact) -> None:
    """Print a result on stdout: its address, else what it says, which for data is JSON."""
    if artifact.url is None and artifact.text is None:
        print_json(artifact.data)
    else:
        print_line(artifact.url or artifact.text or "")


def priced(price: Price) -> dict[str, Any]:
    """Return *price* for ``--json``: the contract's in roubles, Kie's in credits and US dollars, and in roubles."""
    return {
        "rub": None if price.contract is None else price.contract / 100,
        "credits": price.credits,
        "usd": price.usd,
        "wire_rub": None if price.wire is None else price.wire / 100,
        "at_most": price.at_most,
    }


#: What moves the cursor or worse; texts come from Kie.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def _encodable(text: str, stream: Any) -> str:
    """Escape what *stream* cannot show: Kie's control characters and half surrogates, Cyrillic on an ASCII terminal."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    seen = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
    return seen.encode(encoding, "backslashreplace").decode(encoding)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on stdout: drawn on a terminal, tab-separated without a heading elsewhere."""
    if not results().isatty():
        lines = ["\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row) for row in rows]
        if lines:
            print_line("\n".join(lines))
        return
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    first, *others = columns  # the first is what is typed next: a narrow terminal breaks the others before it
    table = Table(
        Column(first, no_wrap=True, overflow="fold"),
        *(Column(name, overflow="fold") for name in others),
        box=None,
        pad_edge=False,
        header_style="bold",
    )
    for row in rows:
        table.add_row(*(Text(_encodable(cell, results())) for cell in row))
    Console(file=results()).print(table)


#: What a task does by itself: in any other state nothing is left to wait for.
GOES_ON: Final = frozenset({"uploading", "submitted", "queued", "running", "partial"})


def can_draw() -> bool:
    """Tell whether stderr is a terminal on which a bar can move; on a dumb one it would not be seen at all."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def time_left(seconds: float | None) -> str:
    """Say how long a task still takes; None: nobody knows, and nothing is said."""
    if seconds is None:
        return ""
    return f"about {max(1, round(seconds))} s left" if seconds < 90 else f"about {seconds / 60:.0f} min left"


class Progress:
    """Shows how far a task is: a bar on a terminal, a line per change elsewhere. Always on stderr.

    Args:
        remaining: Seconds in which half of such tasks end; None: nobody knows.
    """

    def __init__(self, remaining: Callable[[], float | None] = lambda: None) -> None:
        self._remaining = remaining
        self._stack = contextlib.ExitStack()
        self._bar: Bar | None = None
        self._shown = ""
        self._told: set[str] = set()

    def __enter__(self) -> Progress:
        if can_draw():
            from kie_core._cli.bar import Bar

            self._bar = self._stack.enter_context(Bar(self._remaining))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, state: str, share: float | None, artifacts: Iterable[Artifact] = ()) -> None:
        """Show *state* and, where it is known, the share that is done; and of what is partial what is there, once."""
        if state == "partial":
            self._tell(artifacts)
        if self._bar is not None:
            self._bar.show(state, share)
            return
        name = state.replace("_", " ")
        text = name if share is None else f"{name} {share:.0%}"
        if text != self._shown:
            self._shown = text
            left = time_left(self._remaining()) if state in GOES_ON else ""
            say(f"{text}, {left}" if left else text)

    def _tell(self, artifacts: Iterable[Artifact]) -> None:
        for artifact in artifacts:
            text = artifact.url or artifact.text
            if text is not None and text not in self._told:
                self._told.add(text)
                line = f"{artifact.kind} so far: {text}"
                if self._bar is not None:
                    self._bar.say(_encodable(line, sys.stderr))
                else:
                    say(line)


class Uploading:
    """Shows how far uploads are: a bar on a terminal, a line for each file elsewhere. Always on stderr."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._bar: Progress | None = None
        self._sent = -1

    def __enter__(self) -> Uploading:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def show(self, sent: int, total: int) -> None:
        """Show that *sent* bytes of *total* are on their way; what begins anew is another file, or another attempt."""
        begins, self._sent = self._sent in (-1, total) or sent <= self._sent, sent
        if can_draw():
            if self._bar is None:
                self._bar = self._stack.enter_context(Progress())
            self._bar.show("uploading", sent / total)
        elif begins:
            say(f"uploading {total} bytes")
