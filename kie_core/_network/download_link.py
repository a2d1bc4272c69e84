"""Links to results that anybody can open for a while. Pure."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from kie_core._errors import ReadFailed, Refused
from kie_core._jobs.answer import code_of, message_of
from kie_core._jobs.job import Request

#: How long a link lives. Source: docs.kie.ai/common-api/download-url, read 2026-08-19.
LIVES: Final = timedelta(minutes=20)
#: For every file that this service made. Source: as above.
#: UNVERIFIED: that it is free; no page names a price.
_PATH: Final = "/api/v1/common/download-url"


def link_request(url: str) -> Request:
    """Return the question for a link to *url*.

    Raises:
        ValueError: It is no ``http`` or ``https`` address.
    """
    if not _is_address(url):
        raise ValueError(f"{url!r:.80} is no address of a file; expected the URL of a result, such as task.urls[0]")
    return Request("POST", _PATH, content=json.dumps({"url": url}).encode())


def link_in(body: dict[str, Any]) -> str:
    """Return the link that Kie answered with.

    Raises:
        Refused: It has no such file, or none that belongs to it.
        ReadFailed: The answer says neither.
    """
    code, link = code_of(body), body.get("data")
    if code == 200 and _is_address(link):
        return str(link)
    if code in (404, 422):
        raise Refused(code, message_of(body))
    raise ReadFailed(f"{message_of(body) or 'no message'} (code {body.get('code')!r})")


def _is_address(url: object) -> bool:
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and url.isprintable() and " " not in url
    except ValueError:
        return False
