"""What the sandbox can be told to do wrong: a table of names, and how they are written.

A fault is written ``NAME[=VALUE][*TIMES]``::

    create-reset            every create is made, and then the connection is reset
    create-reset*1          only the next create; the ones after it are answered as they should be
    create-code=429*5       five refusals, then order again
    query-invisible=5       for five seconds after its creation a task has no record

A name says where the fault strikes: on a new ``connection``, on a ``create``, on a ``query`` of a record (what
breaks any answer: of the list of models too), on a ``file``, on an ``upload`` or on a ``callback``. VALUE is
what the table says and may be left out for the default; TIMES is how many requests (or callbacks) are struck, without
it all of them.
Of several faults for one request the first that fits strikes, and only that one counts down; a callback is struck
by all that fit.
"""

from __future__ import annotations

import difflib
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import attrs

Place = Literal["connection", "create", "query", "file", "upload", "callback"]
Value = float | str | None


class BadFault(ValueError):
    """A fault has no such name, or cannot take such a value; the text says what is allowed."""


@attrs.frozen
class Kind:
    """A fault that exists.

    Args:
        does: One line for people.
        value: What its value is; empty: it takes none.
        default: The value where none is given.
        low: The least number that the value may be.
        high: The greatest.
        made: Whether a create that is struck makes its task all the same.
    """

    place: Place
    does: str
    value: str = ""
    default: Value = None
    low: float = 0.0
    high: float = float("inf")
    made: bool = True


_EVER: Final = float("inf")
_WIRE: Final[tuple[Place, ...]] = ("create", "query", "file", "upload")
_JSON: Final[tuple[Place, ...]] = ("create", "query", "upload")

#: What can befall any answer: (effect, places, what it does, what its value is, default, limits).
_EFFECTS: Final[tuple[tuple[str, tuple[Place, ...], str, str, Value, tuple[float, float]], ...]] = (
    ("close", _WIRE, "the connection is closed without an answer", "", None, (0, 0)),
    ("reset", _WIRE, "the connection is reset (RST) without an answer", "", None, (0, 0)),
    ("half-headers", _WIRE, "the answer ends in the middle of its headers", "", None, (0, 0)),
    ("half-closed", _WIRE, "no answer: the sending side is closed, the receiving side stays open", "", None, (0, 0)),
    ("silent", _WIRE, "no answer; the connection is held open, then closed", "seconds", _EVER, (0, _EVER)),
    ("delay", _WIRE, "the right answer, late", "seconds", 5.0, (0, 86_400)),
    ("slow", _WIRE, "the body trickles, by bytes per second", "rate", 10.0, (0.1, 1e9)),
    ("cut-body", _WIRE, "the body ends before its Content-Length, after this share of it", "share", 0.5, (0, 1)),
    ("longer", _WIRE, "more bytes follow than Content-Length says", "bytes", 100.0, (1, 1e9)),
    ("garbage", _WIRE, "bytes that are not HTTP", "", None, (0, 0)),
    ("huge-header", _WIRE, "an answer with one very long header", "bytes", 200_000.0, (1, 1e8)),
    ("broken-gzip", _WIRE, "Content-Encoding: gzip, and bytes that cannot be unpacked", "", None, (0, 0)),
    ("gzip-bomb", _WIRE, "the right answer, packed together with so many blanks", "MB", 200.0, (1, 4096)),
    ("huge", _WIRE, "the right answer, then blanks, by Content-Length", "MB", 1024.0, (0.001, 1e6)),
    ("endless", _WIRE, "the right answer, then blanks for ever, without a length", "", None, (0, 0)),
    ("html", _WIRE, "HTTP 200 with a web page", "", None, (0, 0)),
    ("cut-json", _JSON, "the JSON text ends in its middle, the length is right", "", None, (0, 0)),
    ("bad-utf8", _JSON, "a byte in the JSON text that is not UTF-8", "", None, (0, 0)),
    ("bom", _JSON, "a byte order mark before the JSON text, which is right", "", None, (0, 0)),
    ("data-null", ("create",), "code 200, and data is null", "", None, (0, 0)),
    ("code-text", _JSON, 'the code is a text: "200"', "", None, (0, 0)),
    ("code-float", _JSON, "the code is 200.0", "", None, (0, 0)),
    ("code-true", _JSON, "the code is true", "", None, (0, 0)),
    ("huge-int", _JSON, "the code is an integer of 5,000 digits", "", None, (0, 0)),
    ("nan", _JSON, "the code is NaN", "", None, (0, 0)),
    ("overflow", _JSON, "the code is 1e999", "", None, (0, 0)),
    ("brackets", _JSON, "the code is 100,000 nested lists", "", None, (0, 0)),
    ("duplicate-keys", _JSON, "code and data come twice: first 500 and null, then the right ones", "", None, (0, 0)),
)  # fmt: skip

_CODES: Final = (0, 99_999)
_STATUSES: Final = (400, 599)


def _all() -> dict[str, Kind]:
    found: dict[str, Kind] = {
        "connection-close": Kind("connection", "a new connection is closed before anything is read"),
        "connection-reset": Kind("connection", "a new connection is reset before anything is read"),
    }
    for place in _WIRE:
        for effect, places, does, value, default, (low, high) in _EFFECTS:
            if place in places:
                found[f"{place}-{effect}"] = Kind(place, does, value, default, low, high)
        found.update(_OWN[place])
    found.update(_OWN["callback"])
    return found


def _again(place: Place, where: str = "") -> Kind:
    does = "HTTP 307 to another address" + ("" if where else "; without a value to the same once more")
    return Kind(place, does, "address", where)


_OWN: Final[Mapping[Place, Mapping[str, Kind]]] = {
    "create": {
        "create-code": Kind("create", "refused with this code; no task is made", "code", 429.0, *_CODES, made=False),
        "create-code-made": Kind("create", "answered with this code, but the task is made", "code", 500.0, *_CODES),
        "create-status": Kind(
            "create",
            "a web page with this HTTP status; the task is made from 500 on",
            "status",
            502.0,
            *_STATUSES,
        ),
        "create-redirect": _again("create"),
        "create-task-id-missing": Kind("create", "code 200, and data without taskId"),
        "create-task-id-number": Kind("create", "taskId is a number; its text is the task's id"),
        "create-task-id-empty": Kind("create", "taskId is an empty text"),
        "create-task-id-long": Kind("create", "taskId has 10,000 characters"),
        "create-task-id-nul": Kind("create", "taskId holds a NUL"),
        "create-task-id-repeated": Kind("create", "taskId is that of the task before"),
    },
    "query": {
        "query-code": Kind("query", "answered with this code and no data", "code", 500.0, *_CODES),
        "query-status": Kind("query", "a web page with this HTTP status", "status", 502.0, *_STATUSES),
        "query-redirect": _again("query"),
        "query-unknown-task": Kind("query", "the task has no record"),
        "query-invisible": Kind("query", "a task has no record for so long after its creation", "seconds", 5.0),
        "query-record-null": Kind("query", "code 200, and the record is null"),
        "query-unknown-state": Kind("query", "the task is in a state that no page names"),
        "query-unfinished": Kind("query", "the task runs for ever"),
        "query-no-result": Kind("query", "success, and no result at all"),
        "query-result-empty": Kind("query", "success, and a result without any address"),
        "query-result-not-json": Kind("query", "success, and a result that is some other text"),
        "query-result-twice-encoded": Kind("query", "success, and the result is JSON text once more than it should be"),
        "query-result-url": Kind(
            "query",
            "success, and this is the address of every file",
            "address",
            "http://169.254.169.254/latest/meta-data/",
        ),
        "query-fail-after-success": Kind("query", "a task that succeeded is failed from the second reading on"),
        "query-success-after-fail": Kind("query", "a task that failed at its first reading has succeeded"),
        "query-credits": Kind("query", "creditsConsumed of a createTask record, as JSON text", "credits", "1000000"),
    },
    "file": {
        "file-status": Kind("file", "a web page with this HTTP status", "status", 404.0, *_STATUSES),
        "file-redirect": _again("file", "http://169.254.169.254/latest/meta-data/"),
        "file-disguised": Kind("file", "a web page that calls itself a picture, a video or a song"),
        "file-first-link-expired": Kind(
            "file", "HTTP 403 for links of a task's first finished record; those of later readings work"
        ),
        "file-expires": Kind("file", "HTTP 403 for a link, so long after its record was read", "seconds", 0.0),
        "file-etag-changes": Kind("file", "another ETag with every request"),
        "file-no-range": Kind("file", "Range is ignored: the whole file comes"),
        "file-wrong-range": Kind("file", "HTTP 206 with another part than was asked for"),
    },
    "upload": {
        "upload-code": Kind("upload", "answered with this code and no data", "code", 500.0, *_CODES),
        "upload-status": Kind("upload", "a web page with this HTTP status", "status", 502.0, *_STATUSES),
        "upload-redirect": _again("upload", "http://169.254.169.254/latest/meta-data/"),
        "upload-address": Kind("upload", "this is the address of the file", "address", "file:///etc/hosts"),
        "upload-size": Kind("upload", "so many bytes are said to be stored", "bytes", 0.0),
    },
    "callback": {
        "callback-never": Kind("callback", "it is not sent"),
        "callback-late": Kind("callback", "it is sent late", "seconds", 5.0),
        "callback-before-answer": Kind(
            "create",
            "the task ends at once, its callback is sent, and the create is answered so late",
            "seconds",
            0.5,
        ),
        "callback-twice": Kind("callback", "it is sent twice"),
        "callback-out-of-order": Kind("callback", "after the end, an earlier state follows (jobs and suno)"),
        "callback-unsigned": Kind("callback", "without the two headers of the signature"),
        "callback-bad-signature": Kind("callback", "signed with another key"),
        "callback-old": Kind(
            "callback", "signed with an old timestamp; negative: of the future", "seconds", 600.0, float("-inf")
        ),
        "callback-forged": Kind("callback", "signed rightly, but with the files of somebody else"),
        "callback-forged-failure": Kind("callback", "signed rightly, but it says that the task failed"),
        "callback-unknown-task": Kind("callback", "of a task that nobody made, and signed rightly for it"),
        "callback-garbage": Kind("callback", "the body is not JSON"),
        "callback-brackets": Kind("callback", "the body is 100,000 nested lists"),
        "callback-huge": Kind("callback", "blanks follow the body", "MB", 50.0, 0.001, 1e6),
        "callback-chunked": Kind("callback", "the body comes in chunks, without a length"),
        "callback-content-type": Kind("callback", "another Content-Type", "type", "text/plain"),
    },
}

#: Every fault by its name.
FAULTS: Final[Mapping[str, Kind]] = _all()
_WRITTEN: Final = re.compile(r"(?P<name>[a-z0-9-]+)(=(?P<value>.*?))?(\*(?P<times>\d+))?", re.DOTALL)


def described() -> str:
    """Return every fault with its value and what it does, one a line."""
    rows = [(f"{name}={kind.value.upper()}" if kind.value else name, kind) for name, kind in FAULTS.items()]
    width = max(len(shown) for shown, _ in rows)
    return "\n".join(f"{shown:{width}}  {kind.does}{_default(kind)}" for shown, kind in rows)


def _default(kind: Kind) -> str:
    return f" (default: {_shown(kind.default)})" if kind.value and kind.default not in (None, "") else ""


def _shown(value: Value) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _known(_: object, __: object, name: str) -> None:
    if name in FAULTS:
        return
    near = difflib.get_close_matches(name, FAULTS, n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise BadFault(f"there is no fault {name!r}; {hint}allowed: {', '.join(FAULTS)}")


def _positive(_: object, __: object, times: int | None) -> None:
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise BadFault(f"a fault strikes at least once, not {times!r} times; leave the count out for always")


@attrs.frozen
class Fault:
    """A fault, as it shall happen.

    Args:
        name: One of `FAULTS`.
        value: As the table says; None: its default. Numbers are kept as float, texts as they are.
        times: How many requests or callbacks it strikes; None: all.

    Raises:
        BadFault: The name, the value or the count is not allowed.
    """

    name: str = attrs.field(validator=_known)
    value: Value = None
    times: int | None = attrs.field(default=None, validator=_positive)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "value", _fitting(self.name, self.kind, self.value))

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that is written as *text*; raises `BadFault`."""
        found = _WRITTEN.fullmatch(text.strip())
        if found is None:
            raise BadFault(f"cannot read the fault {text!r}; write NAME, NAME=VALUE, NAME*TIMES or NAME=VALUE*TIMES")
        times = found["times"]
        return cls(found["name"], found["value"], None if times is None else int(times))

    @property
    def kind(self) -> Kind:
        return FAULTS[self.name]

    @property
    def effect(self) -> str:
        """The name without its place."""
        return self.name.partition("-")[2]

    @property
    def number(self) -> float:
        """The value of a fault whose value is a number."""
        assert isinstance(self.value, float)
        return self.value

    @property
    def text(self) -> str:
        """The value of a fault whose value is a text."""
        return str(self.value)

    def __str__(self) -> str:
        value = "" if self.value == self.kind.default else f"={_shown(self.value)}"
        return f"{self.name}{value}{'' if self.times is None else f'*{self.times}'}"


def _fitting(name: str, kind: Kind, value: Value) -> Value:
    if value is None:
        return kind.default
    if not kind.value:
        raise BadFault(f"{name} takes no value, not {value!r}; write {name} or {name}*TIMES")
    if isinstance(kind.default, str):
        if not (str(value).isascii() and str(value).isprintable()):
            raise BadFault(f"the value of {name} is {kind.value} in printable ASCII, not {value!r}")
        return str(value)
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    whole = kind.value not in ("code", "status") or number.is_integer()
    if not (kind.low <= number <= kind.high and whole):
        raise BadFault(
            f"the value of {name} is {kind.value}, not {value!r}; allowed: {kind.low:.15g} to {kind.high:.15g}"
        )
    return number


class Faults:
    """The faults that a sandbox has at present. May be changed while it is served from another thread."""

    def __init__(self, faults: Iterable[str | Fault] = ()) -> None:
        self._guard = threading.Lock()
        self._waiting: list[Fault] = []
        self.add(*faults)

    def add(self, *faults: str | Fault) -> None:
        """Add faults behind those that are there; raises `BadFault` and then adds none."""
        read = [fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults]
        with self._guard:
            self._waiting += read

    def clear(self, name: str | None = None) -> None:
        """Take away all faults, or those with that name."""
        with self._guard:
            self._waiting = [fault for fault in self._waiting if name is not None and fault.name != name]

    def take(self, place: Place, fits: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Return the first fault of *place* that fits, and count it down."""
        return next(self._taken(place, fits), None)

    def take_all(self, place: Place) -> list[Fault]:
        """Return every fault of *place*, and count them down."""
        return list(self._taken(place, lambda _: True))

    def _taken(self, place: Place, fits: Callable[[Fault], bool]) -> Iterator[Fault]:
        for fault in self:
            if fault.kind.place == place and fits(fault) and self._count_down(fault):
                yield fault

    def _count_down(self, fault: Fault) -> bool:
        with self._guard:
            at = next((at for at, waiting in enumerate(self._waiting) if waiting is fault), None)
            if at is None:
                return False
            if fault.times is not None:
                left = [attrs.evolve(fault, times=fault.times - 1)] if fault.times > 1 else []
                self._waiting[at : at + 1] = left
            return True

    def __iter__(self) -> Iterator[Fault]:
        """Go through the faults that are left, with the counts that are left."""
        with self._guard:
            return iter(list(self._waiting))

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, name: object) -> bool:
        return any(fault.name == name for fault in self)
