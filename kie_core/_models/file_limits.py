"""What the file behind a URL may be, where the vendor says so: shown to the buyer, and never fetched to be checked.

Of a file that is uploaded, kind and size are checked: see `kie_core._files.upload_kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import attrs

#: From and to; None: that end is open.
Range: TypeAlias = tuple[float | None, float | None]


@attrs.frozen(kw_only=True)
class FileLimits:
    """Limits of one file, or of each file of a list. What is empty or None is not documented.

    Attributes:
        types: Media types, such as ``image/png``.
        extensions: Endings without the dot, where the vendor names them in place of types.
        megabytes: How large one may be.
        total_megabytes: How large all of a list may be together.
        seconds: How long a clip may be.
        total_seconds: How long all of a list may be together.
        side: Pixels of each side.
        aspect: Width divided by height.
        pixels: Width times height.
        fps: Frames per second.
        pages: How many pages a document may have.
    """

    types: tuple[str, ...] = ()
    extensions: tuple[str, ...] = ()
    megabytes: float | None = None
    total_megabytes: float | None = None
    seconds: Range | None = None
    total_seconds: float | None = None
    side: Range | None = None
    aspect: Range | None = None
    pixels: Range | None = None
    fps: Range | None = None
    pages: int | None = None

    def __str__(self) -> str:
        kinds = [*(kind.partition("/")[2] for kind in self.types), *self.extensions]
        parts = (
            ", ".join(kinds),
            self.megabytes and f"up to {self.megabytes:g} MB",
            self.total_megabytes and f"up to {self.total_megabytes:g} MB together",
            self.seconds and f"{_span(self.seconds)} s",
            self.total_seconds and f"up to {self.total_seconds:g} s together",
            self.side and f"sides of {_span(self.side)} px",
            self.aspect and f"width/height {_span(self.aspect)}",
            self.pixels and f"{_span(self.pixels)} pixels",
            self.fps and f"{_span(self.fps)} frames/s",
            self.pages and f"up to {self.pages} pages",
        )
        return "; ".join(str(part) for part in parts if part)


_TEXTS = ("types", "extensions")
_RANGES = ("seconds", "side", "aspect", "pixels", "fps")
_NUMBERS = ("megabytes", "total_megabytes", "total_seconds", "pages")


def limits_from_row(row: Any) -> FileLimits:
    """Build the limits from a registry row: ``{"types": ["image/png"], "megabytes": 10, "side": [256, null]}``.

    Raises:
        ValueError: It breaks the format; says what was expected.
    """
    if not isinstance(row, Mapping):
        raise ValueError(f"is {row!r}; expected an object")  # noqa: TRY004  (every broken row is one kind of error)
    known = (*_TEXTS, *_RANGES, *_NUMBERS)
    for key, value in row.items():
        if key not in known:
            from difflib import get_close_matches

            near = get_close_matches(str(key), known, 1)
            raise ValueError(f"has an unknown key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"{known}"))
        fits, expected = _fits(key, value)
        if not fits:
            raise ValueError(f"has {key} {value!r}; expected {expected}")
    limits: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items()}
    return FileLimits(**limits)


def _fits(key: str, value: Any) -> tuple[bool, str]:
    if key in _NUMBERS:
        return _is_number(value), "a number"
    listed = isinstance(value, list)
    if key in _TEXTS:
        return listed and all(isinstance(text, str) for text in value), "a list of texts"
    ends = value if listed else ()
    return len(ends) == 2 and all(end is None or _is_number(end) for end in ends), "from and to"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _span(span: Range) -> str:
    low, high = span
    if low is None:
        return f"up to {_short(high)}"
    return f"{_short(low)}..{'' if high is None else _short(high)}"


def _short(number: float | None) -> str:
    return "" if number is None else str(int(number)) if float(number).is_integer() else str(number)
