"""How deep a JSON text is nested: what is too deep ends in errors of Python's own, wherever it is looked through."""

from __future__ import annotations

import re
from typing import Final

#: Genuine answers and callbacks have about five levels. Python's own limit is a setting, and without it the parser
#: crashes.
DEEPEST: Final = 64
#: A text that is not closed is one too: looking for its end from each of its quotes would take hours.
_TEXT_OR_BRACKET: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def is_deep(content: bytes) -> bool:
    """Say whether the JSON text in *content* has more levels than `DEEPEST`; it need not be valid."""
    if content.count(b"[") + content.count(b"{") <= DEEPEST:  # true of nearly every answer, and quickly told
        return False
    depth = 0
    for found in _TEXT_OR_BRACKET.finditer(content):
        first = content[found.start()]
        depth += (first in b"[{") - (first in b"]}")
        if depth > DEEPEST:
            return True
    return False
