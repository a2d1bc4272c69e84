"""``kie models`` and ``kie model``."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import rich_click as click

from kie_core._cli.output import as_json, errors_shown, print_json, print_table, say
from kie_core._errors import InvalidJob, KieError
from kie_core._examples import example_inputs, example_value
from kie_core._model import Field, Model, WirePrice
from kie_core._price import roubles
from kie_core._validation import condition, describe

if TYPE_CHECKING:
    from kie_core._dispatch import Dispatcher


@click.command()
@click.argument("words", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Also the 210 legacy ids.")
@as_json
@errors_shown
def models(words: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """List the models with their prices; WORDS narrow the list."""
    found = _dispatcher().plugins.registry.search(words, everything=everything)
    if as_json:
        print_json([_summary(model) for model in found])
        return
    print_table(
        ("model", "makes", "price", "category", "title"),
        ((model.id, model.media, _price(model), model.category, model.title + _mark(model)) for model in found),
    )
    if not found:
        say("no model matches" + ("" if everything else "; --all searches the 210 legacy ids too"))


@click.command()
@click.argument("model_id", metavar="MODEL")
@as_json
@errors_shown
def model(model_id: str, as_json: bool) -> None:
    """Show what MODEL takes, makes and costs."""
    dispatcher = _dispatcher()
    found = dispatcher.plugins.registry.get(model_id)
    if as_json:
        print_json(
            {**_summary(found), "inputs": [_input(field) for field in found.inputs], "source": found.source or None}
        )
        return
    click.echo(f"{found.id}: {found.title}{_mark(found)}; makes {found.media}, {_price(found)}")
    for row in found.wire_prices:
        click.echo(f"Kie charges today: {_credits(row)}")
    print_table(
        ("input", "takes", "", "meaning"),
        (
            (
                field.name,
                describe(field),
                "required" if field.required else f"default {field.default!r}" if field.has_default else "",
                field.description + ("" if field.verified else " (not in Kie's current pages)"),
            )
            for field in found.inputs
        ),
    )
    for remark in filter(None, (*(rule.why for rule in found.rules), found.note, found.caution)):
        click.echo(f"note: {remark}")
    if found.status != "gone":
        click.echo(f"try: kie generate {found.id} {_example(dispatcher, found)} --sandbox")
    if found.source:
        click.echo(f"source: {found.source}")


def _dispatcher() -> Dispatcher:
    from kie_core._config import load_settings
    from kie_core._dispatch import load_dispatcher

    return load_dispatcher(load_settings())


def _summary(model: Model) -> dict[str, object]:
    return {
        "id": model.id,
        "title": model.title,
        "category": model.category,
        "media": model.media,
        "price_rub": None if model.contract is None else model.contract / 100,
        "unit": model.unit,
        "credits": [{"credits": row.credits, "when": dict(row.when)} for row in model.wire_prices],
        "status": model.status,
        "note": model.note or None,
        "caution": model.caution or None,
    }


def _input(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "type": field.type,
        "takes": describe(field),
        "required": field.required,
        "default": field.default if field.has_default else None,
        "enum": field.enum,
        "description": field.description,
        "verified": field.verified,
    }


def _price(model: Model) -> str:
    return roubles(model.contract) + (
        f" per {model.unit}" if model.unit and not model.unit.startswith("per") and model.hidden else ""
    )


def _credits(row: WirePrice) -> str:
    amount = "unknown" if row.credits is None else f"{row.credits} credits"
    when = "".join(f", {condition(name, wanted)}" for name, wanted in row.when.items())
    return f"{amount}{when}" + (f", on wire {' or '.join(row.wires)}" if row.wires else "")


def _mark(model: Model) -> str:
    return {"gone": " (gone)", "unclear": " (unclear)"}.get(model.status, "")


def _example(dispatcher: Dispatcher, model: Model) -> str:
    """Return inputs that can be typed as they stand: those that the model and its plugin ask for."""
    inputs = example_inputs(model)
    try:
        dispatcher.request(dispatcher.job(model.id, inputs, job_id="not-sent"))
    except InvalidJob as error:  # the plugin asks for more than the contract
        inputs |= {fault.field: example_value(field) for fault in error.faults if (field := model.input(fault.field))}
    except KieError:  # without its plugin the contract has to do
        pass
    return " ".join(
        shlex.quote(f"{name}={value if isinstance(value, str) else json.dumps(value)}")
        for name, value in inputs.items()
    )
