"""Which files were uploaded lately, so that the same content is not sent twice: in the user's cache folder."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from kie_core._config import cache_folder
from kie_core._depth import is_deep
from kie_core._files.local import Source
from kie_core._files.upload import Upload
from kie_core._files.upload_kinds import KINDS
from kie_core._whole_file import write_whole

#: An upload that lives no longer than this is not used again: a job may wait for its turn.
MARGIN: Final = timedelta(hours=4)
#: The number of the format, under a name that tells our files from others.
_MARK: Final = "kie_uploads"
FORMAT: Final = 1
#: So many are kept, the newest.
MOST: Final = 500
#: Bytes; so many uploads make no larger file.
LARGEST: Final = 4 * 1024 * 1024
LONGEST_URL: Final = 4000
_URL: Final = re.compile(r"https?://[!-~]+")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: Two threads of a process do not overwrite each other's; of two processes the later one wins, and nothing is lost
#: but time.
_writing: Final = threading.Lock()


def uploads_path(upload_url: str, account: str, environ: Mapping[str, str]) -> Path:
    """Return where the uploads of an account to a host are noted, or would be. The account is a hash or a name."""
    mark = hashlib.sha256(json.dumps([upload_url, account]).encode()).hexdigest()[:16]
    return cache_folder(environ) / f"uploads-{mark}.json"


def is_address(url: object) -> bool:
    """Tell whether *url* can be the address of an upload: http or https, and nothing that hides in a text."""
    return isinstance(url, str) and len(url) <= LONGEST_URL and _URL.fullmatch(url) is not None


def known_upload(path: Path, source: Source, now: datetime) -> Upload | None:
    """Return an upload of the same content that lives long enough; None: none is known."""
    wanted = source.sha256, source.size, source.kind
    return next((one for one in _noted(path, now) if (one.sha256, one.size, one.kind) == wanted), None)


def note_upload(path: Path, upload: Upload, now: datetime) -> None:
    """Add an upload; what is outdated or too much goes.

    Raises:
        OSError: It cannot be written.
    """
    with _writing:
        others = [one for one in _noted(path, now) if (one.sha256, one.kind) != (upload.sha256, upload.kind)]
        rows = [
            {
                "url": one.url,
                "size": one.size,
                "sha256": one.sha256,
                "expires_at": one.expires_at.isoformat(),
                "kind": one.kind,
            }
            for one in (*others, upload)[-MOST:]
        ]
        write_whole(path, json.dumps({_MARK: FORMAT, "uploads": rows}, indent=1).encode())


def _noted(path: Path, now: datetime) -> list[Upload]:
    """Return what is noted and can be used, the newest last; of a damaged file nothing."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        document = None if len(content) > LARGEST or is_deep(content) else json.loads(content)
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(document, dict) or document.get(_MARK) != FORMAT:
        return []
    rows = document.get("uploads")
    uploads = [_upload_of(row) for row in rows] if isinstance(rows, list) else []
    return [one for one in uploads if one is not None and now < one.expires_at - MARGIN]


def _upload_of(row: Any) -> Upload | None:
    try:
        url, size, sha256, kind = row["url"], row["size"], row["sha256"], row["kind"]
        expires_at = datetime.fromisoformat(row["expires_at"]).astimezone(UTC)
        fits = is_address(url) and type(size) is int and _SHA256.fullmatch(sha256) is not None and kind in KINDS
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
    return Upload(url, size, sha256, expires_at, kind) if fits else None
