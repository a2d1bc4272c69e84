"""The live catalogue: which models Kie itself lists. From its answer to values, and back to its words. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import attrs

from kie_core._errors import ReadFailed
from kie_core._jobs.answer import code_of, message_of
from kie_core._jobs.job import Request

#: Every model, without a filter. Source: docs.kie.ai, model discovery pages, read 2026-10-01, and a recording of
#: that day: 218 models in one answer, no paging.
LIST: Final = Request("GET", "/api/v1/models")
#: Seconds between two such questions of an account. Source: as above.
PAUSE: Final = 1.0
#: More entries are not looked at.
MOST: Final = 10_000
#: Characters of an id, a title, a label.
_SHORT: Final = 200
#: Characters of a description, of a price in prose.
_LONG: Final = 4000
#: Task types of one model.
_MOST_TYPES: Final = 50


@attrs.frozen
class Listing:
    """One model, as Kie lists it. Texts are single lines without control characters.

    Kie's labels are careless: a Recraft model stands under Elevenlabs. Derive no behaviour from them.

    Attributes:
        model: What createTask calls it.
        slug: The name of its page; empty: not told.
        title: Its name for people; where there is none, ``model``.
        provider: ``"Google"``; empty: not told.
        task_types: ``("Text to Image", "Image to Image")``.
        description: None: not told.
        price_text: The price in prose, ``"0.8 credits per image"``; None: not told.
    """

    model: str
    slug: str
    title: str
    provider: str
    task_types: tuple[str, ...]
    description: str | None
    price_text: str | None


@attrs.frozen
class Catalogue:
    """What Kie listed at one moment.

    Attributes:
        models: In Kie's order, each id once.
        fetched_at: When, in UTC.
        total: How many there are, as Kie says; None: it does not say.
        skipped: Entries that could not be used: without an id, with an id that came before, or beyond 10,000.
    """

    models: tuple[Listing, ...]
    fetched_at: datetime
    total: int | None = attrs.field(default=None, kw_only=True)
    skipped: int = attrs.field(default=0, kw_only=True)

    def search(self, *words: str) -> list[Listing]:
        """Return the models in whose id, title, provider, task types or description every word occurs, in any case."""
        wanted = [word.casefold() for word in words]
        return [listing for listing in self.models if all(word in _text(listing) for word in wanted)]


def _text(listing: Listing) -> str:
    parts = (
        listing.model,
        listing.slug,
        listing.title,
        listing.provider,
        *listing.task_types,
        listing.description or "",
    )
    return " ".join(parts).casefold()


def catalogue_of(body: dict[str, Any], fetched_at: datetime) -> Catalogue:
    """Read an answer to `LIST`.

    Raises:
        ReadFailed: It lists no model.
    """
    data = body.get("data")
    if code_of(body) != 200 or not isinstance(data, dict):
        raise ReadFailed(f"{message_of(body) or 'no list of models'} (code {body.get('code')!r:.40})")
    rows = data.get("models")
    if not isinstance(rows, list):
        raise ReadFailed(f"the models are a {type(rows).__name__} instead of a list")
    found: dict[str, Listing] = {}
    for row in rows[:MOST]:
        listing = _listing(row)
        if listing is not None:
            found.setdefault(listing.model, listing)
    if not found:
        raise ReadFailed(f"none of the {len(rows)} entries is a model" if rows else "the list of models is empty")
    return Catalogue(tuple(found.values()), fetched_at, total=count(data.get("total")), skipped=len(rows) - len(found))


def answer_of(catalogue: Catalogue) -> dict[str, Any]:
    """Return the answer from which `catalogue_of` reads the same models."""
    models = [
        {
            "model": one.model,
            "slug": one.slug,
            "title": one.title,
            "provider": one.provider,
            "taskType": list(one.task_types),
            "description": one.description,
            "pricingDesc": one.price_text,
        }
        for one in catalogue.models
    ]
    return {"code": 200, "data": {"total": catalogue.total, "models": models}}


def count(value: Any) -> int | None:
    """Return *value* if it is a sensible number of things."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _listing(row: Any) -> Listing | None:
    model = row.get("model") if isinstance(row, dict) else None
    # What an id is made of is Kie's own affair; but it goes into commands and messages as it stands.
    if not isinstance(model, str) or not 0 < len(model) <= _SHORT or _line(model, _SHORT) != model:
        return None
    types = row.get("taskType")
    labels = [_line(one, _SHORT) for one in types[:_MOST_TYPES]] if isinstance(types, list) else []
    return Listing(
        model=model,
        slug=_line(row.get("slug"), _SHORT),
        title=_line(row.get("title"), _SHORT) or model,
        provider=_line(row.get("provider"), _SHORT),
        task_types=tuple(dict.fromkeys(filter(None, labels))),
        description=_line(row.get("description"), _LONG) or None,
        price_text=_line(row.get("pricingDesc"), _LONG) or None,
    )


def _line(value: Any, longest: int) -> str:
    """Return a text as one line of printable characters, cut to a length; whatever is no text is an empty one."""
    if not isinstance(value, str):
        return ""
    text = value[: longest * 4]
    if not text.isprintable():
        text = "".join(one if one.isprintable() else " " if one.isspace() else "" for one in text)
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
