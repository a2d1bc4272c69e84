"""What Kie's own list says that this installation does not know, and the other way round. Pure.

Source of Kie's words: docs.kie.ai, model discovery pages, read 2026-10-01. Its labels are careless, so a title or a
price in prose that differs is a reason to look, and nothing more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final

import attrs

from kie_core._catalogue.catalogue import Catalogue, Listing
from kie_core._models.model import Model
from kie_core._models.registry import Registry

#: Whose models are all in Kie's list: of other categories an absent one proves nothing, they have calls of their own.
_LISTED: Final = "market"
#: ``0.8 credits per image``: the numbers that a price in prose states for certain.
_CREDITS: Final = re.compile(r"(?<![\d.,])(\d{1,7}(?:\.\d{1,6})?) credits?\b", re.ASCII | re.IGNORECASE)


@attrs.frozen
class Difference:
    """One model of which Kie says something else.

    Attributes:
        model: Its id here.
        kind: ``title``, ``price``, ``inputs``, or ``status``: it is gone here, and Kie lists it again.
        here: What this installation knows.
        kie: What Kie says.
    """

    model: str
    kind: str
    here: str
    kie: str


def _frozen(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


@attrs.frozen
class Drift:
    """What Kie's list and the known models do not agree on.

    Attributes:
        new: Kie lists it; nothing here is called so.
        gone: A model of the market that Kie lists no more.
        moved: Kie lists it by an older id -> its id here.
        changed: Kie says something else about it.
        whole: Whether Kie's list is whole; if not, ``gone`` is empty, because nobody can know.
    """

    new: tuple[Listing, ...]
    gone: tuple[Model, ...]
    moved: Mapping[str, str] = attrs.field(converter=_frozen)
    changed: tuple[Difference, ...] = ()
    whole: bool = True

    def __bool__(self) -> bool:
        return bool(self.new or self.gone or self.moved or self.changed)


def drift(catalogue: Catalogue, registry: Registry, inputs: Iterable[Difference] = ()) -> Drift:
    """Compare Kie's list with the models of a registry, by what createTask calls them.

    Args:
        catalogue: Kie's list.
        registry: What is known here, without the local overlay.
        inputs: What is known of differing inputs, see `kie_core._catalogue.overlay`.
    """
    known = {name for model in registry for name in (model.id, model.wire_model)}
    listed = {one.model: one for one in catalogue.models}
    moved = {name: to for name in listed if name not in known and (to := registry.moved_to(name)) is not None}
    whole = catalogue.skipped == 0 and (catalogue.total is None or catalogue.total <= len(listed))
    here = [one for one in registry if one.category == _LISTED and one.status != "gone"]
    gone = [one for one in here if not {one.id, one.wire_model or one.id} & listed.keys()]
    changed = [
        difference
        for one in here
        if (listing := listed.get(one.wire_model or one.id)) is not None
        for difference in _differences(one, listing)
    ]
    back = [
        Difference(one.id, "status", "gone", "listed again")
        for one in registry
        if one.status == "gone" and one.id in listed
    ]
    return Drift(
        new=tuple(one for name, one in listed.items() if name not in moved and name not in known),
        gone=tuple(one for one in gone if one.id not in moved.values()) if whole else (),
        moved=moved,
        changed=(*back, *changed, *inputs),
        whole=whole,
    )


def _differences(model: Model, listing: Listing) -> Iterable[Difference]:
    if listing.title != listing.model and _plain(listing.title) != _plain(model.title):
        yield Difference(model.id, "title", model.title, listing.title)
    said = {Decimal(number) for number in _CREDITS.findall(listing.price_text or "")}
    ours = {row.credits for row in (*model.wire_prices, *model.wire_extras) if row.credits is not None}
    if said and not said <= ours:
        here = ", ".join(f"{one:f}" for one in sorted(ours)) or "unknown"
        yield Difference(model.id, "price", f"{here} credits" if ours else here, listing.price_text or "")


def _plain(title: str) -> str:
    return "".join(filter(str.isalnum, title.casefold()))
