"""Ask Kie for the live schemas of models, one question a second, and keep them as the local overlay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from kie_core._catalogue.catalogue import PAUSE, Catalogue, Listing
from kie_core._catalogue.catalogue_file import catalogue_path, kept
from kie_core._catalogue.overlay import Live, Unreadable, inputs_in, model_of, schema_in
from kie_core._catalogue.overlay_file import keep_overlay, kept_overlay, overlay_path
from kie_core._errors import NoCatalogue, ReadFailed
from kie_core._jobs.answer import code_of
from kie_core._jobs.job import Request
from kie_core._network.question import asked
from kie_core._opened import Opened

#: Without names a model is asked about again after so long.
_FRESH: Final = timedelta(days=1)


async def fetched_schemas(opened: Opened, names: Sequence[str]) -> dict[str, str]:
    """Do what `Kie.schemas` says."""
    base_url = opened.settings.base_url
    opened.connected()
    listed = {one.model: one for one in await _listed(base_url, needed=not names)}
    path = overlay_path(base_url, os.environ)
    lives = await asyncio.to_thread(kept_overlay, path, base_url)
    now = datetime.fromtimestamp(opened.clock.time(), UTC)
    problems: dict[str, str] = {}
    for name in dict.fromkeys(names or [one for one in listed if not _is_fresh(lives.get(one), now)]):
        if not _is_askable(name):
            problems[name] = "it is no model id that can be asked about"
            continue
        await opened.clock.sleep(PAUSE)  # the list may have been asked for just now, and counts too
        try:
            lives[name] = await _live(opened, name, listed.get(name), now)
        except (Unreadable, ReadFailed) as error:
            problems[name] = str(error)
            continue
        # What was paid for with patience is kept at once: the next question may be refused.
        await asyncio.to_thread(keep_overlay, path, base_url, lives)
    return problems


async def _listed(base_url: str, *, needed: bool) -> Sequence[Listing]:
    try:
        catalogue: Catalogue = await asyncio.to_thread(kept, catalogue_path(base_url, os.environ), base_url)
    except NoCatalogue:
        if needed:
            raise
        return ()
    return catalogue.models


async def _live(opened: Opened, name: str, listing: Listing | None, now: datetime) -> Live:
    # Source: docs.kie.ai, model discovery pages, read 2026-10-01: slashes of the id stay as they are.
    at = f"/api/v1/models/{quote(name, safe='/')}"
    seconds = opened.settings.request_timeout
    document = await asked(opened.connected, Request("GET", f"{at}/schema"), schema_in, seconds, pause=PAUSE)
    if document is None:
        raise Unreadable("Kie has no schema of it")
    try:
        schema, left_out = inputs_in(document)
        price = listing.price_text if listing is not None else None
        if price is None:
            await opened.clock.sleep(PAUSE)
            price = await asked(opened.connected, Request("GET", f"{at}/price"), _price_in, seconds, pause=PAUSE)
        title = name if listing is None else listing.title
        live = Live(name, title, schema, now.isoformat(), price or "", left_out)
        model_of(live)
    except (ValueError, TypeError, RecursionError, AttributeError) as error:  # a document from outside
        raise Unreadable(f"its schema cannot be read: {error}") from error
    return live


def _price_in(body: dict[str, Any]) -> str | None:
    if code_of(body) not in (200, 404):
        raise ReadFailed(f"no price (code {body.get('code')!r:.40})")
    data = body.get("data")
    text = data.get("pricingDesc") if isinstance(data, dict) else None
    if not isinstance(text, str):
        return None
    return " ".join("".join(one if one.isprintable() else " " for one in text[:1000]).split())


def _is_fresh(live: Live | None, now: datetime) -> bool:
    if live is None:
        return False
    try:
        return now - datetime.fromisoformat(live.fetched_at) < _FRESH
    except (ValueError, TypeError):
        return False


def _is_askable(name: str) -> bool:
    """No name leads to another path."""
    parts = name.split("/")
    return 0 < len(name) <= 200 and name.isprintable() and all(part.strip(".") for part in parts)
