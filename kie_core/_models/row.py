"""How a row of a registry is read: what it may hold, and what is said of one that holds something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from kie_core._models.count import Count, count_from_row

#: What JSON makes is recognised at once; `isinstance` is slow to find out that it is a `Mapping`.
OBJECT: Final = (dict, Mapping)


class RowError(ValueError):
    """A registry row breaks its format. The registry adds the file and the line."""


def text_of(row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    """Return a text that is not empty."""
    value = row.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{key} is {value!r}; expected a text" if key in row else f"{key} is missing")
    return value


def value_of(row: Mapping[str, Any], key: str, kind: Any, default: Any, place: str = "") -> Any:
    """Return a value that is of *kind*: a list, or an `OBJECT`."""
    value = row.get(key, default)
    if not isinstance(value, kind):
        raise RowError(f"{place}{key} is {value!r}; expected {'a list' if kind is list else 'an object'}")
    return value


def names_of(row: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    """Return a list of texts; none: an empty one."""
    names = value_of(row, key, list, [], place)
    if names and not all(isinstance(name, str) for name in names):
        raise RowError(f"{place}{key} is {names!r}; expected a list of texts")
    return tuple(names)


def check_texts(row: Mapping[str, Any], keys: Iterable[str], place: str = "") -> None:
    """Refuse a value that is no text under one of *keys*."""
    for key in keys:
        if not isinstance(row.get(key, ""), str):
            raise RowError(f"{place}{key} is {row[key]!r}; expected a text")


def check_keys(row: Mapping[str, Any], allowed: AbstractSet[str], where: str) -> None:
    """Refuse a key that does not exist, with the nearest that does."""
    if row.keys() <= allowed:
        return
    from difflib import get_close_matches

    key = next(key for key in row if key not in allowed)
    near = get_close_matches(key, sorted(allowed), 1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; expected some of {', '.join(sorted(allowed))}"
    raise RowError(f"{where} has an unknown key {key!r}{hint}")


def check_when(when: Mapping[str, Any], names: AbstractSet[str], where: str) -> None:
    """Refuse a condition that `model.holds` cannot read, or that asks about an input that does not exist."""
    for name, wanted in when.items():
        if isinstance(wanted, Mapping) and set(wanted) not in ({"present"}, {"not"}):
            raise RowError(
                f'{where}.{name} is {wanted!r}; expected a value, a list, {{"present": true}} or {{"not": value}}'
            )
        if name not in names:
            raise RowError(f"{where} names {name!r}, which is not in input_schema.properties")


def count_of(row: Any, properties: Mapping[str, Any], where: str) -> Count:
    """Return what is counted, of an input that exists."""
    try:
        count = count_from_row(row)
    except ValueError as error:
        raise RowError(f"{where}: {error}") from None
    name = count.input.partition(".")[0]
    if count.input and name not in properties:
        raise RowError(f"{where} names {name!r}, which is not in input_schema.properties")
    return count
