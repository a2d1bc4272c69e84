"""``kie status`` and ``kie credits``: questions, free of charge."""

from __future__ import annotations

import rich_click as click

from kie_core._cli.generate import described
from kie_core._cli.output import as_json, errors_shown, print_json, say


@click.command()
@click.argument("handle")
@as_json
@errors_shown
def status(handle: str, as_json: bool) -> None:
    """Ask once how far the task of HANDLE is."""
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        task = kie.attach(handle)
        outcome = task.status()
        if as_json:
            print_json(described(task))
            return
        click.echo(outcome.state if outcome.progress is None else f"{outcome.state} {outcome.progress:.0%}")
        for url in outcome.urls:
            click.echo(url)
        if outcome.error is not None:
            say(f"{outcome.error.message} (code {outcome.error.code})")


@click.command()
@as_json
@errors_shown
def credits(as_json: bool) -> None:
    """Show the balance; one credit is 0.005 USD."""
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        balance = kie.credits()
    if as_json:
        print_json({"credits": balance, "usd": float(balance) * 0.005})
        return
    click.echo(f"{balance.normalize():f}")
