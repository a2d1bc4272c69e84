"""``kie gate``: what holds creates back, and letting them through again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kie_core._cli.entries import clock, moment
from kie_core._cli.output import as_json, errors_shown, print_json, print_line, say

if TYPE_CHECKING:
    from kie_core._blocking import KieBlocking
    from kie_core._ledger.gates import Gate


@click.group()
def gate() -> None:
    """Look at what holds purchases back, and let them through again. Buys nothing by itself."""


@gate.command("list")
@as_json
@errors_shown
def list_gates(as_json: bool) -> None:
    """List the gates that are closed, with the reasons."""
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        gates = kie.gates()
    if as_json:
        print_json([gate_summary(one) for one in gates])
        return
    for one in gates:
        print_line(gate_line(one))
    if not gates:
        say("no gate is closed: nothing holds purchases back")


@gate.command("open")
@click.argument("name", required=False)
@as_json
@errors_shown
def open_gate(name: str | None, as_json: bool) -> None:
    """Open the gate NAME, or this account's: what waits behind it may be bought again.

    Mend the reason first: the key, the credits, the limit. Otherwise the next refusal closes it again.
    """
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        closed = [one.name for one in kie.gates()]
        name = name or _meant(kie, closed)
        opened = name is not None and kie.open_gate(name)
        closed = [one.name for one in kie.gates()]
    if as_json:
        print_json({"gate": name, "opened": opened, "closed": closed})
    if opened:
        say(f"gate {name} is open again")
    else:
        say("no gate is closed" if name is None else f"gate {name} was not closed")
    if closed:
        say(f"closed: {', '.join(closed)}")


def _meant(kie: KieBlocking, closed: list[str]) -> str | None:
    """Return the gate of this account; without a key, the only one that is closed."""
    from kie_core._running.plan import account_of

    if kie.settings.api_key is not None:
        return account_of(kie.settings)
    if len(closed) > 1:
        raise click.UsageError(f"without a key, name the gate: {', '.join(closed)}")
    return next(iter(closed), None)


def gate_summary(one: Gate) -> dict[str, Any]:
    """Return a gate for ``--json``."""
    return {
        "gate": one.name,
        "kind": one.kind,
        "reason": one.reason,
        "closed_at": moment(one.closed_at),
        "opens_at": moment(one.opens_at),
    }


def gate_line(one: Gate) -> str:
    """Say what is closed, why, since when, and when it opens."""
    then = f"kie gate open {one.name}" if one.opens_at is None else f"a try is made from {clock(one.opens_at)}"
    return f"gate {one.name} is closed since {clock(one.closed_at)} ({one.kind}): {one.reason}; {then}"
