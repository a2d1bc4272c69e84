"""Where the live catalogue is kept between two questions: a file of the user's cache folder for every base URL."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import attrs

from kie_core._catalogue.catalogue import Catalogue, answer_of, catalogue_of, count
from kie_core._config import cache_folder
from kie_core._depth import is_deep
from kie_core._errors import NoCatalogue, ReadFailed
from kie_core._whole_file import write_whole

#: The number of the format, under a name that tells our files from others.
_MARK: Final = "kie_catalogue"
FORMAT: Final = 1
#: Bytes. No answer that we read makes a larger file.
LARGEST: Final = 32 * 1024 * 1024


class _Unusable(Exception):
    """The file is not a catalogue that we can read."""


def catalogue_path(base_url: str, environ: Mapping[str, str]) -> Path:
    """Return where the catalogue of a base URL is kept, or would be."""
    return (
        cache_folder(environ)
        / f"catalogue-{hashlib.sha256(base_url.encode(errors='surrogatepass')).hexdigest()[:16]}.json"
    )


def kept(path: Path, base_url: str) -> Catalogue:
    """Return the catalogue that is kept.

    Raises:
        NoCatalogue: There is none, or none that can be used.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        return _catalogue_in(content, base_url)
    except FileNotFoundError:
        raise NoCatalogue(base_url, str(path)) from None
    except OSError as error:
        raise NoCatalogue(base_url, str(path), f"it cannot be read: {error.strerror or error}") from None
    except _Unusable as error:
        raise NoCatalogue(base_url, str(path), str(error)) from None


def keep(path: Path, base_url: str, catalogue: Catalogue) -> None:
    """Write the catalogue: under its name there is always a whole one, the one before or this one.

    Raises:
        OSError: It cannot be written; what was kept before is still there.
    """
    document = {
        _MARK: FORMAT,
        "base_url": base_url,
        "fetched_at": catalogue.fetched_at.isoformat(),
        "skipped": catalogue.skipped,
        "answer": answer_of(catalogue),
    }
    write_whole(path, json.dumps(document, ensure_ascii=False, indent=1).encode(errors="surrogatepass"))


def _catalogue_in(content: bytes, base_url: str) -> Catalogue:
    if len(content) > LARGEST:
        raise _Unusable(f"it is larger than {LARGEST} bytes")
    document = _document(content)
    mark = document.get(_MARK)
    if count(mark) is None:
        raise _Unusable("it was written by something else")
    if mark != FORMAT:
        raise _Unusable(f"it has format {mark}, this kie-core knows {FORMAT}")
    if document.get("base_url") != base_url:
        raise _Unusable(f"it is of another base URL: {document.get('base_url')!r:.200}")
    try:
        fetched_at = datetime.fromisoformat(document["fetched_at"])
        moment = fetched_at.astimezone(UTC) if fetched_at.tzinfo else None
        read = catalogue_of(document["answer"], moment) if moment is not None else None
    except (ReadFailed, LookupError, TypeError, ValueError, AttributeError, OverflowError):
        read = None
    if read is None:
        raise _Unusable("it is damaged")
    return attrs.evolve(read, skipped=read.skipped + (count(document.get("skipped")) or 0))


def _document(content: bytes) -> dict[str, Any]:
    document = None
    if not is_deep(content):
        with contextlib.suppress(ValueError, RecursionError):
            document = json.loads(content)
    if not isinstance(document, dict):
        raise _Unusable("it is damaged: no JSON object")
    return document
