"""Count what a price or a rule goes by: seconds, items and characters of the inputs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Any, Final, Literal, get_args

import attrs

Kind = Literal["value", "items", "characters", "unknown"]
#: The word by which a row says that nobody can count before the job ran.
UNKNOWN: Final = "unknown"
_KEYS: Final = frozenset({"value", "items", "characters", "after", "each", "weight"})


@attrs.frozen(kw_only=True)
class Count:
    """How many units the inputs of a job make.

    Attributes:
        kind: ``value``: the number that the input holds; ``items``: how many it holds; ``characters``: how long
            its text is; ``unknown``: only the vendor knows, afterwards.
        input: The input's name; ``dialogue.text`` is the member ``text`` of every item of ``dialogue``.
        after: So many are free.
        each: So many make one unit; one that is begun counts as whole.
        weight: What one unit counts in a rule.
    """

    kind: Kind
    input: str = ""
    after: int = 0
    each: int = 1
    weight: int = 1

    def __str__(self) -> str:
        """Say what is counted, as the tail of "4 credits per second"."""
        match self.kind:
            case "value":
                return f"times {self.input}"
            case "unknown":
                return "how many is known afterwards"
            case _:
                free = f" after the first {self.after}" if self.after else ""
                return f"times the {self.kind} of {self.input}{free}" + (f" / {self.each}" if self.each > 1 else "")

    def of(self, values: Mapping[str, Any]) -> Decimal | None:
        """Return the units that *values* make, rounded up; None: it cannot be told before the job ran."""
        amount = self._amount(values)
        if amount is None:
            return None
        whole = (max(Decimal(0), amount - self.after) / self.each).to_integral_value(ROUND_CEILING)
        return whole * self.weight

    def _amount(self, values: Mapping[str, Any]) -> Decimal | None:
        name, _, member = self.input.partition(".")
        value = values.get(name)
        match self.kind:
            case "value":
                return _positive(value)
            case "items":
                return Decimal(0 if value is None else len(value) if isinstance(value, (list, tuple)) else 1)
            case "characters":
                return Decimal(sum(map(len, _texts(value, member))))
            case _:
                return None


def count_from_row(row: Any) -> Count:
    """Build a count from a registry row: ``{"value": "duration"}``, or the word ``unknown``.

    Raises:
        ValueError: It is neither; says what was expected.
    """
    if row == UNKNOWN:
        return Count(kind="unknown")
    kinds = [kind for kind in get_args(Kind) if isinstance(row, Mapping) and kind in row]
    if len(kinds) != 1 or set(row) - _KEYS or not isinstance(row[kinds[0]], str):
        raise ValueError(
            f'{row!r}; expected "unknown", or one of value, items and characters with an input\'s name,'
            " perhaps with after, each, weight"
        )
    numbers = {key: row[key] for key in ("after", "each", "weight") if key in row}
    for key, number in numbers.items():
        if not isinstance(number, int) or isinstance(number, bool) or number < (key != "after"):
            raise ValueError(f"{key} is {number!r}; expected a whole number")
    return Count(kind=kinds[0], input=row[kinds[0]], **numbers)


def _positive(value: Any) -> Decimal | None:
    """A number of seconds or images; 0 and -1 are the vendor's words for "as long as it takes"."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() and number > 0 else None


def _texts(value: Any, member: str) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value if isinstance(value, (list, tuple)) else ()
    found = [item.get(member) if isinstance(item, Mapping) else item for item in items]
    return [text for text in found if isinstance(text, str)]
