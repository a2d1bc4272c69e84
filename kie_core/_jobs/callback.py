"""The address to which Kie reports a job: it names the job, and proves that we named it."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from kie_core._secret import MASK, Secret

#: No other use of the key computes this text, so a token is of no use elsewhere.
_PURPOSE: Final = b"kie-core callback address 1\n"
_TOKEN_LENGTH: Final = 32
_JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: Capitals are read as a token, a wrong one: an address that was tampered with is not one without a token.
_TOKEN: Final = re.compile(rf"[0-9A-Fa-f]{{{_TOKEN_LENGTH}}}")
#: The end of a callback address in a request, or in a record that repeats it, however often that was encoded.
_TOKEN_IN_TEXT: Final = re.compile(
    rb"((?:/|%%2[Ff])[A-Za-z0-9_-]{1,64}\\*(?:/|%%2[Ff]))[0-9A-Fa-f]{%d}(?![0-9A-Za-z_-]|[./][0-9A-Za-z])"
    % _TOKEN_LENGTH
)


def callback_token(key: Secret, job_id: str) -> str:
    """Return what proves that a callback address is ours: 32 hexadecimal digits.

    It is one half of an HMAC-SHA256 under the key. It says nothing about the key, and the tokens
    of other jobs cannot be computed from it, so it may stand in an address that Kie and its logs see.

    Args:
        key: The API key.
        job_id: Our job id.
    """
    message = _PURPOSE + job_id.encode(errors="surrogatepass")
    return hmac.digest(key.reveal().encode(errors="surrogatepass"), message, "sha256").hex()[:_TOKEN_LENGTH]


def callback_address(base_url: str, job_id: str, key: Secret) -> str:
    """Return ``<base>/<job id>/<token>``; a path of the base stays in front, a query stays at the end.

    Args:
        base_url: Where the receiver is mounted, as the internet sees it.
        job_id: Our job id.
        key: The API key.

    Raises:
        ValueError: The job id cannot stand in an address.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise ValueError(f"{job_id!r} is no job id; expected 1 to 64 letters, digits, '_' or '-'")
    base = urlsplit(base_url)
    path = f"{base.path.rstrip('/')}/{job_id}/{callback_token(key, job_id)}"
    return urlunsplit((base.scheme, base.netloc, path, base.query, ""))


def token_fits(token: str, job_id: str, keys: Sequence[Secret]) -> bool:
    """Say whether *token* was made for this job with one of the keys; in constant time, whatever the texts are.

    Args:
        token: From the address that was called.
        job_id: From the same address.
        keys: The API key, and former ones whose jobs may still be reported.
    """
    if not _JOB_ID.fullmatch(job_id):
        return False
    given = token.encode(errors="surrogatepass")
    fits = False
    for key in keys:
        fits |= hmac.compare_digest(given, callback_token(key, job_id).encode())
    return fits


def job_and_token(path: str) -> tuple[str, str] | None:
    """Return the last two segments of *path* where they look like a job id and a token, else None.

    Args:
        path: Of the request, with or without a query.
    """
    *_, job_id, token = ("", "", *path.partition("?")[0].removesuffix("/").split("/"))
    return (job_id, token) if _JOB_ID.fullmatch(job_id) and _TOKEN.fullmatch(token) else None


def without_tokens(content: bytes) -> bytes:
    """Return *content* with ``***`` for all that looks like the token of a callback address; for logs and messages."""
    return _TOKEN_IN_TEXT.sub(rb"\1" + MASK.encode(), content)
