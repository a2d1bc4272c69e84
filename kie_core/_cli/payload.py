"""``kie payload``: look before you pay."""

from __future__ import annotations

import click

from kie_core._cli import completion
from kie_core._cli.inputs import check_raw, raw_options, read_inputs
from kie_core._cli.output import as_json, errors_shown, priced, print_json, print_line, say


@click.command()
@click.argument("model_id", metavar="MODEL", shell_complete=completion.models)
@click.argument("pairs", nargs=-1, metavar="[NAME=VALUE]...", shell_complete=completion.pairs)
@click.option("--inputs", "file", metavar="FILE", help="A JSON object of inputs; - reads stdin.")
@click.option("--wire", help="dedicated, jobs or v4; by default the model's own.")
@raw_options
@as_json
@errors_shown
def payload(
    model_id: str, pairs: tuple[str, ...], file: str | None, wire: str | None, raw: bool, price_credits: float | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Show what generate would send. Sends nothing, uploads nothing, needs no key."""
    from kie_core._config import load_settings
    from kie_core._dispatch.dispatcher import load_dispatcher
    from kie_core._files.local import decided
    from kie_core._payload import payload_of

    settings = load_settings()
    dispatcher = load_dispatcher(settings)
    check_raw(price_credits, raw=raw)
    registry = dispatcher.plugins.registry
    known = registry.get(model_id) if not raw or model_id in registry else None
    inputs = read_inputs(known, pairs, file, raw=raw)
    if raw:
        job = dispatcher.raw_job(model_id, inputs, job_id="not-sent", wire=wire, price_credits=price_credits)
    else:
        job = decided(dispatcher, model_id, inputs, job_id="not-sent", wire=wire)
    made = payload_of(dispatcher, job, settings.base_url)
    for warning in made.warnings:
        say(f"warning: {warning}")
    if as_json:
        names = ("model", "category", "wire", "params", "method", "url", "body")
        print_json({**{name: getattr(made, name) for name in names}, "price": priced(made.price)})
        return
    print_line(f"{made.model} over wire {made.wire}: {made.price}")
    print_line(f"{made.method} {made.url}")
    print_json(made.body)
