"""``kie models``: every model with its price."""

from __future__ import annotations

import click

from kie_core._cli.output import as_json, errors_shown, print_json, print_table, say
from kie_core._config import load_settings
from kie_core._dispatch.models import load_models
from kie_core._models.model import Model, WirePrice
from kie_core._models.price import Rates, roubles


@click.command()
@click.argument("words", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also the 210 legacy ids, and models that are gone.")
@as_json
@errors_shown
def models(words: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """List the models with their prices; WORDS narrow the list."""
    settings = load_settings()
    rates = Rates(settings.rub_per_usd, settings.markup)
    found = load_models(settings).registry.search(words, everything=everything)
    if as_json:
        print_json([summary(model) for model in found])
        return
    print_table(
        ("model", "makes", "price", "category", "title"),
        ((model.id, model.media, price_of(model, rates), model.category, model.title + mark(model)) for model in found),
    )
    if not found:
        say(
            "no model matches"
            + ("" if everything else "; --all searches the 210 legacy ids and those that are gone, too")
        )


def summary(model: Model) -> dict[str, object]:
    """Return what lists say of a model, for ``--json``."""
    return {
        "id": model.id,
        "title": model.title,
        "category": model.category,
        "media": model.media,
        "price_rub": None if model.contract is None else model.contract / 100,
        "unit": model.unit,
        "credits": [_charge(row) for row in model.wire_prices],
        "credits_added": [_charge(row) for row in model.wire_extras],
        "status": model.status,
        "note": model.note or None,
        "caution": model.caution or None,
    }


def _charge(row: WirePrice) -> dict[str, object]:
    return {
        "credits": row.credits,
        "when": dict(row.when),
        "wires": list(row.wires) or None,
        "per": row.per or None,
        "times": None if row.times is None else str(row.times),
        "at_most": row.at_most,
    }


def price_of(model: Model, rates: Rates) -> str:
    """Return the price of a model in one text: the contract's, else what Kie charges today."""
    if model.contract is not None:
        per = f" per {model.unit}" if model.unit and not model.unit.startswith("per") and model.hidden else ""
        return roubles(model.contract) + per
    known = [row for row in model.wire_prices if row.credits is not None]
    rows = [row for row in known if not row.at_most] or known
    if not rows:
        return roubles(None)
    kopecks = [rates.kopecks(row.credits) for row in rows if row.credits is not None and row.per == rows[0].per]
    low, high = roubles(min(kopecks)), roubles(max(kopecks))
    span = high if low == high else f"{low.removesuffix(' RUB')}..{high}"
    return ("at most " if rows[0].at_most else "") + span + (f" per {rows[0].per}" if rows[0].per else "")


def mark(model: Model) -> str:
    """Return what lists put behind a title."""
    live = " (live schema)" if model.overlaid_at else ""
    return {"gone": " (gone)", "unclear": " (unclear)"}.get(model.status, "") + live
