"""Where the local overlay is kept: a file beside the catalogue, one for every base URL."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from kie_core._catalogue.catalogue_file import catalogue_path
from kie_core._catalogue.overlay import Live
from kie_core._depth import is_deep
from kie_core._whole_file import write_whole

FORMAT: Final = 1
LARGEST: Final = 16 * 1024 * 1024
_MARK: Final = "kie_overlay"
_MOST: Final = 5000

log = logging.getLogger("kie_core")


def overlay_path(base_url: str, environ: Mapping[str, str]) -> Path:
    """Return where the overlay of a base URL is kept, or would be."""
    beside = catalogue_path(base_url, environ)
    return beside.with_name(beside.name.replace("catalogue-", "overlay-", 1))


def kept_overlay(path: Path, base_url: str) -> dict[str, Live]:
    """Return what Kie's live schemas said, by model; a file that cannot be used is ignored, with a word in the log."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        log.warning("the overlay %s is ignored: it cannot be read: %s", path, error.strerror or error)
        return {}
    problem, rows = _rows(content, base_url)
    if problem:
        log.warning("the overlay %s is ignored: %s; kie catalogue refresh --schemas makes a new one", path, problem)
        return {}
    found: dict[str, Live] = {}
    for row in rows[:_MOST]:
        live = _live(row)
        if live is not None:
            found[live.model] = live
    if len(found) < len(rows):
        log.warning("%d entries of the overlay %s are ignored: they are damaged", len(rows) - len(found), path)
    return found


def keep_overlay(path: Path, base_url: str, lives: Mapping[str, Live]) -> None:
    """Write the overlay: under its name there is always a whole one, the one before or this one.

    Raises:
        OSError: It cannot be written; what was kept before is still there.
    """
    models = [attrs.asdict(live) for live in list(lives.values())[-_MOST:]]
    document = {_MARK: FORMAT, "base_url": base_url, "models": models}
    write_whole(path, json.dumps(document, ensure_ascii=False, indent=1).encode(errors="surrogatepass"))


def _rows(content: bytes, base_url: str) -> tuple[str, list[Any]]:
    if len(content) > LARGEST:
        return f"it is larger than {LARGEST} bytes", []
    try:
        document = None if is_deep(content) else json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get(_MARK) is None:
        return "it is damaged", []
    if document[_MARK] is True or document[_MARK] != FORMAT:
        return f"it has format {document[_MARK]!r:.20}, this kie-core knows {FORMAT}", []
    if document.get("base_url") != base_url:
        return "it is of another base URL", []
    rows = document.get("models")
    return ("", rows) if isinstance(rows, list) else ("it is damaged", [])


def _live(row: Any) -> Live | None:
    if not isinstance(row, dict) or not isinstance(row.get("schema"), dict):
        return None
    texts = [row.get(name) for name in ("model", "title", "fetched_at", "price_text")]
    if not all(isinstance(text, str) and len(text) <= 4000 and text.isprintable() for text in texts) or not texts[0]:
        return None
    model, title, fetched_at, price_text = texts
    left_out = row.get("left_out")
    names = tuple(str(name) for name in left_out) if isinstance(left_out, list) else ()
    return Live(str(model), str(title), row["schema"], str(fetched_at), str(price_text), names)
