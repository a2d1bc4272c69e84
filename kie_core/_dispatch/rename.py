"""A tool for plugins: params to wire fields by a table."""

from __future__ import annotations

from collections.abc import Mapping

from kie_core._models.model import JSON


def rename(params: Mapping[str, JSON], fields: Mapping[str, str]) -> dict[str, JSON]:
    """Return the params that *fields* names, under the names that it gives them, in its order.

    A param that is absent stays absent: the choice is left to Kie.
    """
    return {theirs: params[ours] for ours, theirs in fields.items() if ours in params}


def camel_case(name: str) -> str:
    """Return *name* as most of Kie's dedicated calls spell it: ``audio_id`` is ``audioId``."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
