"""``kie status`` and ``kie credits``: questions, free of charge."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

import click

from kie_core._cli import completion
from kie_core._cli.entries import clock, expiry, found, say_what_is_left, summary
from kie_core._cli.gates import gate_line, gate_summary
from kie_core._cli.generate import described
from kie_core._cli.output import FAILED, as_json, errors_shown, print_json, print_line, print_result, say
from kie_core._models.price import USD_PER_CREDIT

if TYPE_CHECKING:
    from kie_core._blocking import KieBlocking

#: Results that may be gone within so many seconds, and are not saved, are an alarm.
ALARM_SECONDS: Final = 12 * 3600.0
#: No result comes of these any more by itself.
_LOST: Final = frozenset({"failed", "expired", "needs_input", "cancelled", "not_submitted", "abandoned"})


@click.command()
@click.argument("name", required=False, metavar="[HANDLE|JOB]", shell_complete=completion.jobs())
@as_json
@errors_shown
def status(name: str | None, as_json: bool) -> None:
    """Ask once how far a task is; without HANDLE or JOB, show what needs a person. Buys nothing.

    Without one it needs no key and asks nobody: gates that are closed, jobs by their state, results
    that are about to expire, unknown jobs. With one it exits with 1 if the task failed.
    """
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        if name is None:
            _overview(kie, as_json=as_json)
            return
        state = _ask(kie, name, as_json=as_json)
    if state in _LOST:
        sys.exit(FAILED)


def _ask(kie: KieBlocking, name: str, *, as_json: bool) -> str:
    task, entry = found(kie, name)
    if entry is not None and task.id is None and entry.state != "unknown":  # nobody but the ledger can tell
        if as_json:
            print_json({**described(task), "state": entry.state})
        else:
            print_line(entry.state)
        say_what_is_left([entry])
        return entry.state
    outcome = task.status()
    if as_json:
        print_json(described(task))
    else:
        print_line(outcome.state if outcome.progress is None else f"{outcome.state} {outcome.progress:.0%}")
        for artifact in outcome.artifacts:
            print_result(artifact)
    if outcome.error is not None:
        say(f"{outcome.error.message} (code {outcome.error.code})")
    elif outcome.remark is not None:
        say(outcome.remark)
    return outcome.state


def _overview(kie: KieBlocking, *, as_json: bool) -> None:
    gates, states = kie.gates(), kie.counts()
    waiting = kie.jobs(unsaved=True)
    expiring = [entry for entry in waiting if (expiry(entry) or float("inf")) - time.time() < ALARM_SECONDS]
    unknown = kie.jobs("unknown")
    unsaved = len(waiting)
    if as_json:
        print_json(
            {
                "gates": [gate_summary(one) for one in gates],
                "jobs": dict(sorted(states.items())),
                "unsaved": unsaved,
                "expiring": [summary(entry) for entry in expiring],
                "unknown": [summary(entry) for entry in unknown],
            }
        )
        return
    for one in gates:
        print_line(gate_line(one))
    for state, number in sorted(states.items()):
        print_line(f"{state}: {number}")
    if unsaved:
        print_line(f"not saved: {unsaved}")
    for entry in expiring:
        when = expiry(entry)
        assert when is not None
        gone = "may have expired" if when < time.time() else "expires"
        print_line(f"alarm: the result of job {entry.id} ({entry.plan.model}) is not saved and {gone} at {clock(when)}")
    if unsaved:
        say("save what is not saved: kie save --all")
    say_what_is_left(unknown)
    if not states:
        say("the ledger holds no job yet; kie generate MODEL ... buys one")


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
    print_line(f"{balance.normalize():f}")
