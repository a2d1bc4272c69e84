"""An input that is an earlier task: whose tasks will do, and what is read from its record. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs

from kie_core._depth import is_deep

#: What a row may say of it.
_KEYS: Final = frozenset({"models", "gives", "pick", "states"})
#: What a task may have come to, so that another can build on it.
_STATES: Final = ("succeeded", "needs_input")


@attrs.frozen
class Gift:
    """An input that the record of an earlier task gives.

    Attributes:
        name: The input.
        path: Where the record's ``data`` has it: ``response.sunoData[].id``.
        when: Only then, see `kie_core._models.model.holds`.
    """

    name: str
    path: str
    when: Mapping[str, Any] = attrs.field(factory=lambda: MappingProxyType({}))


@attrs.frozen(kw_only=True)
class Source:
    """What an input of format ``task`` may be.

    Attributes:
        models: The ids of the models whose tasks will do; tasks of an unknown model are read as of the first.
        gives: What the record gives where the caller does not.
        pick: The input that says which of several values, from 1; None: the first.
        states: What the task must have come to; empty: that does not matter.
    """

    models: tuple[str, ...]
    gives: tuple[Gift, ...] = ()
    pick: str | None = None
    states: tuple[str, ...] = ("succeeded",)


def source_from_row(row: Any, properties: Mapping[str, Any]) -> Source:
    """Return the source that a row describes.

    Raises:
        ValueError: It describes none; says why.
    """
    if not isinstance(row, Mapping) or not row.keys() <= _KEYS or not row.get("models"):
        raise ValueError(f"is {row!r}; expected an object with models, and perhaps gives, pick and states")
    pick, states = row.get("pick"), tuple(row.get("states", ("succeeded",)))
    gives = {name: {"at": gift} if isinstance(gift, str) else gift for name, gift in row.get("gives", {}).items()}
    for name, gift in gives.items():
        if not isinstance(gift, Mapping) or not {"at"} <= gift.keys() <= {"at", "if"}:
            raise ValueError(f"gives {name!r} by {gift!r}; expected a path, or an object with at and if")
    for name in (*gives, *(() if pick is None else (pick,))):
        if name not in properties:
            raise ValueError(f"names {name!r}, which is not in input_schema.properties")
    if not set(states) <= set(_STATES):
        raise ValueError(f"has states {states!r}; expected some of {', '.join(_STATES)}")
    gifts = tuple(Gift(name, dict(gift)["at"], dict(gift).get("if", {})) for name, gift in gives.items())
    return Source(models=tuple(row["models"]), gives=gifts, pick=pick, states=states)


def values_at(data: Any, path: str) -> list[Any]:
    """Return what *data* has at a dotted path, whose ``[]`` goes through a list; what is empty is left out.

    Kie writes some objects as JSON text: a path goes on inside.
    """
    return [value for value in _found(data, path.split(".")) if value not in (None, "")]


def _found(data: Any, names: list[str]) -> Iterator[Any]:
    if not names:
        yield data
        return
    name, *rest = names
    if isinstance(data, str):
        data = _loaded(data)
    value = data.get(name.removesuffix("[]")) if isinstance(data, Mapping) else None
    for one in value if name.endswith("[]") and isinstance(value, list) else [value]:
        yield from _found(one, rest)


def _loaded(text: str) -> Any:
    if is_deep(text.encode(errors="surrogatepass")):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
