"""Take a value in the form that an input lists, where nothing is lost by it.

Models differ: a length is ``"5"`` for one and ``5`` for the next, a resolution ``768P`` here and ``720p`` there, an
image a URL or a list of URLs. Whatever cannot be converted without loss is returned as it came, for the validation
to report.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import Any, Final

from kie_core._models.field import Field

#: A number as JSON writes it, not longer than anybody needs: no leading zeros, which would be lost.
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?")
_BOOLEANS: Final = {"true": True, "false": False}


def lossless(field: Field, value: Any) -> Any:
    """Return *value* as *field* lists it; *value* itself where that would lose something, or is not needed."""
    value = _scalar_or_list(field, value)
    if field.enum is not None:
        return _listed(field.enum, value)
    match field.type:
        case "integer" | "number" if isinstance(value, str):
            return _number(value, value)
        case "string" if field.format is None and not field.required and _is_whole(value):
            return str(int(value))  # a seed; where a text is the work itself, such as a prompt, it is a slip
        case "boolean" if isinstance(value, str):
            return _BOOLEANS.get(value.casefold(), value)
        case "array" if isinstance(value, (list, tuple)) and field.items is not None:
            return [lossless(field.items, item) for item in value]
        case "object" if isinstance(value, Mapping) and field.fields:
            members = {member.name: member for member in field.fields}
            return {
                name: lossless(members[name], item) if isinstance(name, str) and name in members else item
                for name, item in value.items()
            }
        case _:
            return value


def _scalar_or_list(field: Field, value: Any) -> Any:
    """One URL for a list of URLs of which one is enough, and a list of one URL for a URL."""
    if field.type == "array" and isinstance(value, str) and field.items is not None and field.items.format == "uri":
        return [value] if (field.min_items or 0) <= 1 and value.count("://") == 1 else value
    is_single = field.type == "string" and field.format == "uri" and isinstance(value, (list, tuple))
    return value[0] if is_single and len(value) == 1 and isinstance(value[0], str) else value


def _listed(allowed: Collection[Any], value: Any) -> Any:
    """The one listed value that is the same as *value*: in another case, or a number for its text."""
    if isinstance(value, str):
        if value in allowed:
            return value
        folded = value.casefold()
        number = _number(value, None)
        same = [
            listed
            for listed in allowed
            if (listed.casefold() == folded if isinstance(listed, str) else _same_number(listed, number))
            or (isinstance(listed, bool) and _BOOLEANS.get(folded) is listed)
        ]
        return same[0] if len(same) == 1 else value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    same = [
        listed
        for listed in allowed
        if _same_number(_number(listed, None) if isinstance(listed, str) else listed, value)
    ]
    return same[0] if len(same) == 1 else value


def _is_whole(value: Any) -> bool:
    """Whether *value* is a whole number of which a text, too, says all."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 2**53 and value == int(value) and not (value == 0 and str(value).startswith("-"))


def _same_number(one: Any, other: Any) -> bool:
    numbers = (int, float)
    return (
        isinstance(one, numbers)
        and isinstance(other, numbers)
        and not isinstance(one, bool)
        and not isinstance(other, bool)
        and one == other
    )


def _number(text: str, otherwise: Any) -> Any:
    """Return the number that *text* writes; *otherwise*, where it writes none, or one that a float cannot hold."""
    if not _NUMBER.fullmatch(text):
        return otherwise
    number = float(text) if "." in text else int(text)
    is_same = Decimal(repr(number)) == Decimal(text) and not (number == 0 and text.startswith("-"))
    return number if is_same else otherwise
