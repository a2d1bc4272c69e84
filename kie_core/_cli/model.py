"""``kie model``: what one model takes, makes and costs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

import attrs
import click

from kie_core._cli import completion
from kie_core._cli.models import mark, price_of, summary
from kie_core._cli.output import as_json, errors_shown, print_json, print_line, print_table
from kie_core._config import load_settings
from kie_core._errors import InvalidJob, KieError
from kie_core._models.examples import example_inputs, example_value
from kie_core._models.field import Field, Rule
from kie_core._models.model import Model, WirePrice, holds
from kie_core._models.price import USD_PER_CREDIT, Rates, roubles
from kie_core._models.validation import condition, describe

if TYPE_CHECKING:
    from kie_core._dispatch.dispatcher import Dispatcher


@click.command()
@click.argument("model_id", metavar="MODEL", shell_complete=completion.models)
@as_json
@errors_shown
def model(model_id: str, as_json: bool) -> None:
    """Show what MODEL takes, makes and costs."""
    from kie_core._dispatch.dispatcher import load_dispatcher

    dispatcher = load_dispatcher(load_settings())
    found = dispatcher.plugins.registry.get(model_id)
    served_by = dispatcher.served_by(found)
    priced, source = _priced(found, served_by), found.source or (served_by.source if served_by is not None else "")
    if as_json:
        print_json(
            {
                **summary(priced),
                "overlaid_at": found.overlaid_at or None,
                "inputs": [_input(field) for field in found.inputs],
                "rules": [_rule(rule) for rule in found.rules],
                "source": source or None,
            }
        )
        return
    print_line(f"{found.id}: {found.title}{mark(found)}; makes {found.media}, {price_of(found, dispatcher.rates)}")
    if priced.wire_prices:
        print_line("Kie charges" + (f", as of {priced.prices_as_of}" if priced.prices_as_of else "") + ":")
    print_table(("credits", "USD", "RUB", "when"), _charges(priced, dispatcher.rates))
    print_table(("input", "takes", "", "meaning"), (row for field in found.inputs for row in _rows(field, field.name)))
    for rule in found.rules:
        print_line(f"rule: {_rule(rule)}")
    for remark in filter(None, (found.note, found.caution)):
        print_line(f"note: {remark}")
    if found.status != "gone":
        typed = f"{found.id} {_example(dispatcher, found)}"
        builds_on = any(field.source is not None for field in found.inputs)  # no task lives on in the sandbox
        print_line(f"try: kie payload {typed}" if builds_on else f"try: kie generate {typed} --sandbox")
    if source:
        print_line(f"source: {source}")
    if found.overlaid_at:
        kind = "the row is" if found.bundled is None else "inputs are also"
        print_line(f"{kind} from Kie's live schema, read {_age_of(found)} ago; KIE_OVERLAY=false leaves that out")


def _priced(model: Model, served_by: Model | None) -> Model:
    """Return *model* with today's prices of the one that serves it, as far as they fit what its id fixes."""
    if model.wire_prices or served_by is None:
        return model
    fixed = {name: value for name, value in model.fixed.items() if value is not None}

    def fitting(rows: tuple[WirePrice, ...]) -> tuple[WirePrice, ...]:
        return tuple(
            attrs.evolve(row, when={name: wanted for name, wanted in row.when.items() if name not in fixed})
            for row in rows
            if holds({name: wanted for name, wanted in row.when.items() if name in fixed}, fixed)
        )

    return attrs.evolve(
        model,
        wire_prices=fitting(served_by.wire_prices),
        wire_extras=fitting(served_by.wire_extras),
        prices_as_of=served_by.prices_as_of,
    )


def _rows(field: Field, name: str) -> Iterator[tuple[str, str, str, str]]:
    """Return a row for *field* and one for each of its members: ``shots[].prompt``."""
    yield name, describe(field), _unless_given(field), _meaning(field)
    members, inside = (field.items.fields, "[]") if field.items is not None else (field.fields, "")
    for member in members:
        yield from _rows(member, f"{name}{inside}.{member.name}")


def _rule(rule: Rule) -> str:
    """Say when *rule* holds, what then is needed, left out or limited, and why."""
    conditions = " and ".join(condition(name, wanted) for name, wanted in rule.when.items())
    counts = ", ".join(f"{count.input}{f' ({count.weight} each)' if count.weight > 1 else ''}" for count in rule.total)
    parts = (
        f"{', '.join(rule.require)} needed" if rule.require else "",
        f"without {', '.join(rule.forbid)}" if rule.forbid else "",
        f"at least one of {', '.join(rule.any_of)}" if rule.any_of else "",
        *(f"{field.name}: {describe(field)}" for field in rule.limit),
        f"together ..{rule.most}: {counts}" if rule.total else "",
    )
    said = "; ".join(filter(None, parts)) + (f" ({rule.why})" if rule.why else "")
    return f"when {conditions}: {said}" if conditions else said


def _age_of(model: Model) -> str:
    import time
    from datetime import datetime

    from kie_core._cli.entries import age

    try:
        return age(time.time() - datetime.fromisoformat(model.overlaid_at).timestamp())
    except (ValueError, OverflowError):
        return "an unknown time"


def _input(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "type": field.type,
        "takes": describe(field),
        "required": field.required,
        "default": field.default if field.has_default else None,
        "vendor_default": field.vendor_default if field.has_vendor_default else None,
        "enum": field.enum,
        "examples": field.examples,
        "file": None if field.file is None else str(field.file),
        "members": [_input(member) for member in (field.items.fields if field.items is not None else field.fields)],
        "description": field.description,
        "verified": field.verified,
    }


def _unless_given(field: Field) -> str:
    """Say what happens where the caller leaves *field* out."""
    if field.has_default:
        return f"default {field.default!r}"
    if field.has_vendor_default:
        return f"Kie's default {field.vendor_default!r}"
    return "required" if field.required else ""


def _meaning(field: Field) -> str:
    return "; ".join(
        filter(
            None,
            (
                field.description,
                "" if field.file is None else str(field.file),
                "" if field.verified else "not in Kie's current pages",
            ),
        )
    )


def _charges(model: Model, rates: Rates) -> Iterator[tuple[str, str, str, str]]:
    """Return every row of the price table: credits with their unit, USD, RUB, and when it holds."""
    for row in (*model.wire_prices, *model.wire_extras):
        beside = ["added"] if row in model.wire_extras else []
        conditions = [condition(name, wanted) for name, wanted in row.when.items()]
        wires = [f"on wire {' or '.join(row.wires)}"] if row.wires else []
        when = ", ".join((*beside, *conditions, *wires, *([] if row.times is None else [str(row.times)])))
        if row.credits is None:
            yield "unknown", "", "", when
            continue
        amount = f"{'at most ' if row.at_most else ''}{row.credits} credits" + (f" per {row.per}" if row.per else "")
        yield amount, f"{row.credits * USD_PER_CREDIT:f} USD", roubles(rates.kopecks(row.credits)), when


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
