"""What a question answers, as a table in Markdown and as a plot in SVG."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias
from xml.sax.saxutils import escape

import attrs

Cell: TypeAlias = str | float | None


@attrs.frozen
class Table:
    """A table.

    Attributes:
        columns: What stands above each.
        rows: As many cells each; a number is rounded, None is a dash.
        title: What stands above the whole; empty: nothing.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""

    @property
    def markdown(self) -> str:
        """The table with aligned columns: it is read as text, too."""
        texts = [list(self.columns), *([shown(cell) for cell in row] for row in self.rows)]
        widths = [max(len(row[number]) for row in texts) for number in range(len(self.columns))]
        lines = [_line(row, widths) for row in texts]
        rule = "|" + "|".join("-" * (width + 1) + ("-" if number == 0 else ":") for number, width in enumerate(widths))
        head = [f"**{self.title}**", ""] if self.title else []
        return "\n".join([*head, lines[0], f"{rule}|", *lines[1:]])


@attrs.frozen
class Answer:
    """What a question answers.

    Attributes:
        title: The question.
        method: How it was asked, in a few sentences.
        tables: The answer.
        plots: File name -> the SVG.
        figures: What the project's targets are compared with, by name.
        remarks: What the reader should know beside.
    """

    title: str
    method: str
    tables: Sequence[Table]
    plots: Mapping[str, str] = attrs.field(factory=dict)
    figures: Mapping[str, float | None] = attrs.field(factory=dict)
    remarks: Sequence[str] = ()

    @property
    def markdown(self) -> str:
        """The answer as a section of a page."""
        parts = [f"## {self.title}", wrapped(self.method), *(f"![{self.title}]({name})" for name in self.plots)]
        parts += [table.markdown for table in self.tables]
        if self.remarks:
            parts.append("\n".join(wrapped(f"* {remark}") for remark in self.remarks))
        return "\n\n".join(parts)


def absent(missing: Mapping[str, Sequence[str]], columns: Sequence[str]) -> list[list[Cell]]:
    """Return a row for each case that could not be measured, which names the packages that it needs."""
    return [
        [f"{case}: not installed ({', '.join(needs)})", *[None] * (len(columns) - 1)] for case, needs in missing.items()
    ]


def wrapped(text: str) -> str:
    """Break *text* into lines that fit the other pages."""
    indent = "  " if text.startswith("* ") else ""
    return textwrap.fill(text, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = (
        text.ljust(width) if number == 0 else text.rjust(width)
        for number, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"| {' | '.join([first, *others])} |"


def shown(cell: Cell) -> str:
    """Return a cell as text: three digits that count, and no more than the measurement is good for."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if cell == 0 or not math.isfinite(cell):
        return f"{cell:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(cell))))
    return f"{cell:,.{min(digits, 3)}f}"


# --- plots -----------------------------------------------------------------------------

_OURS: Final = "#0969da"
_OTHERS: Final = "#8c959f"
_COLOURS: Final = (_OURS, "#bf3989", "#9a6700", "#1a7f37", _OTHERS, "#cf222e", "#8250df")
_TEXT: Final = 'font-family="sans-serif" font-size="12" fill="#1f2328"'


def bars(values: Mapping[str, float | None], *, unit: str) -> str:
    """Draw one bar for each value, the shortest first; ours stand out."""
    known = sorted((value, name.replace("`", "")) for name, value in values.items() if value)
    most = known[-1][0]
    left, width, height = 230, 700, 24 * len(known) + 30

    parts = []
    for number, (value, name) in enumerate(known):
        y = 24 * number
        length = max(1.0, value / most * (width - left - 70))
        colour = _OURS if "kie" in name else _OTHERS
        parts.append(f'<text x="{left - 8}" y="{y + 21}" text-anchor="end" {_TEXT}>{escape(name)}</text>')
        parts.append(f'<rect x="{left}" y="{y + 8}" width="{length:.1f}" height="17" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{left + length + 6:.1f}" y="{y + 21}" {_TEXT}>{shown(value)}</text>')
    note = escape(f"{unit}; shorter is better")
    parts.append(f'<text x="{left}" y="{height - 6}" {_TEXT} opacity="0.7">{note}</text>')
    return _svg(width, height, parts)


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], *, across: str, up: str) -> str:
    """Draw points, joined in each of *lines* that has several, both axes logarithmic."""
    points = [point for line in lines.values() for point in line]
    width, height, left, low = 700, 400, 60, 350
    xs, ys = (_span([point[axis] for point in points]) for axis in (0, 1))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        x = left + (width - left - 20) * _share(point[0], xs)
        return round(x, 1), round(low - (low - 20) * _share(point[1], ys), 1)

    parts = [f'<path d="M{left} 20V{low}H{width - 20}" fill="none" stroke="#1f2328"/>']
    for value in _ticks(xs):
        x = place((value, ys[0]))[0]
        parts.append(f'<path d="M{x} {low}v5" stroke="#1f2328"/>')
        parts.append(f'<text x="{x}" y="{low + 18}" text-anchor="middle" {_TEXT}>{value:g}</text>')
    for value in _ticks(ys):
        y = place((xs[0], value))[1]
        parts.append(f'<path d="M{left - 5} {y}h5" stroke="#1f2328"/>')
        parts.append(f'<text x="{left - 9}" y="{y + 4}" text-anchor="end" {_TEXT}>{value:g}</text>')
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        places = [place(point) for point in line]
        if len(places) > 1:
            path = "L".join(f"{x} {y}" for x, y in places)
            parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="{3 if len(places) > 1 else 5}" fill="{colour}"/>' for x, y in places]
        parts.append(f'<rect x="{width - 220}" y="{24 + 18 * number}" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{width - 204}" y="{33 + 18 * number}" {_TEXT}>{escape(name)}</text>')
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 8}" text-anchor="middle" {_TEXT}>{escape(across)}</text>'
    )
    parts.append(f'<text x="{left}" y="13" {_TEXT}>{escape(up)}</text>')
    return _svg(width, height, parts)


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values) / 1.1, max(values) * 1.1


def _share(value: float, span: tuple[float, float]) -> float:
    return math.log(value / span[0]) / math.log(span[1] / span[0])


def _ticks(span: tuple[float, float]) -> list[float]:
    decades = range(math.floor(math.log10(span[0])), math.ceil(math.log10(span[1])) + 1)
    marks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    return [mark for mark in marks if span[0] <= mark <= span[1]]


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#ffffff"/>', *parts, "</svg>", ""])
