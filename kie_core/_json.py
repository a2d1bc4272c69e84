"""Decode what Kie answers: by orjson where that is installed, and to the same values without it.

Where orjson refuses a text, the standard library decides, which reads a little more, and in whose words a refusal is.
Only an integer of more than 64 bits would be read otherwise: as a float, a little beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any, Final

#: No shorter integer has more than 64 bits.
_LONG: Final = b"0" * 19
_AS_ZEROS: Final = bytes.maketrans(b"123456789", b"0" * 9)


def loads(content: bytes) -> Any:
    """Return what the JSON text in *content* says.

    Raises:
        ValueError: It is none: NaN and Infinity are not JSON either.
        RecursionError: It is too deep.
    """
    fast = _fast()
    if fast is not None and _LONG not in content.translate(_AS_ZEROS):
        try:
            return fast(content)
        except ValueError:
            pass
    return _DECODER.decode(content.decode("utf-8-sig"))


@cache
def _fast() -> Callable[[bytes], Any] | None:
    try:
        import orjson
    except ImportError:
        return None
    return orjson.loads


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
