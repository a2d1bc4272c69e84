"""Values to plain JSON types and back, at the edge."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import cattrs

from kie_core._jobs.outcome import Artifact

T = TypeVar("T")

_converter = cattrs.Converter()
_converter.register_unstructure_hook(
    Decimal, lambda value: int(value) if value == value.to_integral_value() else float(value)
)
_converter.register_unstructure_hook(Path, str)
_converter.register_unstructure_hook(datetime, lambda moment: moment.isoformat())
_converter.register_structure_hook(Path, lambda text, _: Path(text))
_converter.register_structure_hook(datetime, lambda text, _: datetime.fromisoformat(text))
_converter.register_structure_hook(
    Artifact,
    cattrs.gen.make_dict_structure_fn(Artifact, _converter, data=cattrs.override(struct_hook=lambda value, _: value)),
)


def plain(value: Any) -> Any:
    """Return *value* as dicts, lists, texts and numbers."""
    return _converter.unstructure(value)


def structured(value: Any, kind: type[T]) -> T:
    """Return what `plain` was given, of *kind*.

    Raises:
        Exception: *value* was written by something else.
    """
    return _converter.structure(value, kind)
