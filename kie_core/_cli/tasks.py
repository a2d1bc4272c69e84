"""``kie status``, ``kie save`` and ``kie credits``: questions, free of charge."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from kie_core._cli.generate import described
from kie_core._cli.output import INTERRUPTED, Progress, as_json, check_wait, errors_shown, leave_now, print_json, say
from kie_core._price import USD_PER_CREDIT


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
@click.argument("handle")
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help="Where to save results."
)
@click.option(
    "--wait",
    "wait_timeout",
    callback=check_wait,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait.",
)
@as_json
@errors_shown
def save(handle: str, out: Path | None, wait_timeout: float | None, as_json: bool) -> None:
    """Wait for the task of HANDLE if need be, and save what it made. Buys nothing."""
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        task = kie.attach(handle)
        try:
            with Progress() as progress:
                for outcome in task.updates(wait_timeout):
                    progress.show(outcome.state, outcome.progress)
            paths = task.save(out)
        except KeyboardInterrupt:
            say(f"interrupted; the task and its result are untouched: kie save {handle}")
            leave_now(INTERRUPTED)
        if as_json:
            print_json(described(task, files=paths))
            return
    for path in paths:
        click.echo(str(path))


@click.command()
@as_json
@errors_shown
def credits(as_json: bool) -> None:
    """Show the balance; one credit is 0.005 USD."""
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        balance = kie.credits()
    if as_json:
        print_json({"credits": balance, "usd": balance * USD_PER_CREDIT})
        return
    click.echo(f"{balance.normalize():f}")
