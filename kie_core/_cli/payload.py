"""``kie payload``: look before you pay."""

from __future__ import annotations

import json

import rich_click as click

from kie_core._cli.inputs import read_inputs
from kie_core._cli.output import as_json, errors_shown, priced, print_json, say


@click.command()
@click.argument("model_id", metavar="MODEL")
@click.argument("pairs", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--inputs", "file", metavar="FILE", help="A JSON object of inputs; - reads stdin.")
@click.option("--wire", help="dedicated, jobs or v4; by default the model's own.")
@as_json
@errors_shown
def payload(model_id: str, pairs: tuple[str, ...], file: str | None, wire: str | None, as_json: bool) -> None:
    """Show what generate would send. Sends nothing, needs no key."""
    from kie_core._config import load_settings
    from kie_core._dispatch import load_dispatcher
    from kie_core._payload import payload_of

    settings = load_settings()
    dispatcher = load_dispatcher(settings)
    inputs = read_inputs(dispatcher.plugins.registry.get(model_id), pairs, file)
    job = dispatcher.job(model_id, inputs, job_id="not-sent", wire=wire)
    made = payload_of(dispatcher, job, settings.base_url)
    for warning in made.warnings:
        say(f"warning: {warning}")
    if as_json:
        names = ("model", "category", "wire", "params", "method", "url", "body")
        print_json({**{name: getattr(made, name) for name in names}, "price": priced(made.price)})
        return
    click.echo(f"{made.model} over wire {made.wire}: {made.price}")
    click.echo(f"{made.method} {made.url}")
    click.echo(json.dumps(made.body, ensure_ascii=False, indent=2))
