"""Values to plain JSON types, at the edge."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import cattrs

_converter = cattrs.Converter()
_converter.register_unstructure_hook(
    Decimal, lambda value: int(value) if value == value.to_integral_value() else float(value)
)
_converter.register_unstructure_hook(Path, str)


def plain(value: Any) -> Any:
    """Return *value* as dicts, lists, texts and numbers."""
    return _converter.unstructure(value)
