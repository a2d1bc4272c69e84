"""A text that must not be seen: the key."""

from __future__ import annotations

import re
from typing import Final, NoReturn

MASK: Final = "***"


class Secret:
    """Holds the key. Shows ``***`` wherever it is printed, and refuses to be pickled or copied."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; for the Authorization header and for signatures only."""
        return self._text

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled")


def checked_key(text: str) -> Secret:
    """Make a secret of a key as people paste it: outer blanks go, anything else odd is refused.

    Raises:
        ValueError: The key cannot be one; the text does not show it.
    """
    key = text.strip()
    if not key:
        raise ValueError("the key is empty")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError(
            "the key has blanks, line breaks or letters that no key has; copy it again from https://kie.ai/api-key"
        )
    return Secret(key)


def without_password(text: str) -> str:
    """Return *text* without what a URL in it says of user and password, in front of the host or in its query."""
    return re.sub(
        r"(?i)([?&](?:password|user|sslpassword|passfile)=)[^&\s'\"]*",
        rf"\1{MASK}",
        re.sub(r"(?i)(//|postgres(?:ql)?:/*)\S*@", rf"\1{MASK}@", text),
    )


#: A shorter key is a toy for a sandbox, and its letters occur in innocent places.
_SHORTEST_REAL_KEY: Final = 16


def redacted(content: bytes, secret: Secret | None) -> bytes:
    """Return *content* without the key: an echo of it must not reach a message, a log or a file."""
    if secret is None or len(secret.reveal()) < _SHORTEST_REAL_KEY:
        return content
    return content.replace(secret.reveal().encode(), MASK.encode())
