"""``kie jobs`` and ``kie cancel``: what the ledger knows, and what a person decides about it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

import click

from kie_core._cli import completion
from kie_core._cli.entries import COLUMNS, clock, moment, money, row, rub, summary
from kie_core._cli.output import as_json, errors_shown, print_json, print_line, print_table, say

if TYPE_CHECKING:
    from kie_core._blocking import KieBlocking
    from kie_core._ledger.entry import Entry, JobState
    from kie_core._ledger.ledger import Event

#: Written out, because the ledger's own modules are not loaded for a help page.
STATES: Final = (
    "queued", "leased", "submitting", "unknown", "running", "succeeded", "failed", "expired", "cancelled",
    "not_submitted", "abandoned",
)  # fmt: skip
_SHORT: Final[dict[str, tuple[JobState, ...]]] = {
    "queued": ("queued", "leased"),
    "running": ("submitting", "running"),
    "unknown": ("unknown",),
    "failed": ("failed", "expired"),
}


def _open() -> KieBlocking:
    from kie_core._blocking import KieBlocking

    return KieBlocking()


@click.group(invoke_without_command=True)
@click.option("--queued", is_flag=True, help="Those that wait to be sent.")
@click.option("--running", is_flag=True, help="Those at work at Kie.")
@click.option("--unknown", is_flag=True, help="Those of which nobody knows whether they were bought.")
@click.option("--failed", is_flag=True, help="Those that ended without a result, or whose result is gone.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    metavar="STATE",
    help=f"Those in this state, may be repeated: {', '.join(STATES)}.",
)
@click.option("--unsaved", is_flag=True, help="Only those with results that are not saved on this machine.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(0, 1_000_000), metavar="N", help="At most N; 0: all."
)
@as_json
@click.pass_context
@errors_shown
def jobs(
    context: click.Context, queued: bool, running: bool, unknown: bool, failed: bool, states: tuple[JobState, ...],
    unsaved: bool, limit: int, as_json: bool,
) -> None:  # fmt: skip
    """List the jobs in the ledger, the newest first. Needs no key, asks nobody, buys nothing.

    RUB is what a job cost, what is reserved for it, or its price if it was not sent yet.
    """
    if context.invoked_subcommand is not None:
        return
    flags = {"queued": queued, "running": running, "unknown": unknown, "failed": failed}
    chosen = {*states, *(state for name, given in flags.items() if given for state in _SHORT[name])}
    with _open() as kie:
        found = kie.jobs(*sorted(chosen), unsaved=unsaved, limit=limit + 1 if limit else None)
    shown = found[:limit] if limit else found
    if as_json:
        print_json([summary(entry) for entry in shown])
    else:
        print_table(COLUMNS, map(row, shown))
    if not found:
        say("no such job" if chosen or unsaved else "the ledger holds no job yet; kie generate MODEL ... buys one")
    elif len(found) > len(shown):
        say(f"only the newest {limit}; --limit 0 lists all")
    if any(entry.state == "unknown" for entry in shown):
        say("unknown jobs: look at https://kie.ai/logs, then decide: kie jobs resolve JOB")


@jobs.command()
@click.argument("job", shell_complete=completion.jobs())
@as_json
@errors_shown
def show(job: str, as_json: bool) -> None:
    """Show everything that the ledger knows of JOB: its money, its history, its results, its files."""
    with _open() as kie:
        entry, events = kie.entry(job.strip()), kie.history(job.strip())
    if as_json:
        print_json(_details(entry, events))
        return
    _print_details(entry, events)


def _details(entry: Entry, events: list[Event]) -> dict[str, Any]:
    outcome, plan = entry.outcome, entry.plan
    return {
        **summary(entry),
        "account": entry.account,
        "category": plan.category,
        "media": plan.media,
        "credits": plan.credits,
        "limits": [{"scope": limit.scope, "max_rub": rub(limit.cap)} for limit in plan.limits],
        "folder": plan.folder,
        "attempts": entry.attempts,
        "deadline": moment(entry.deadline),
        "inputs": None if entry.inputs is None else entry.inputs.params,
        "artifacts": () if outcome is None else outcome.artifacts,
        "error": None if outcome is None else outcome.error,
        "files": entry.saved,
        "history": [
            {
                "at": moment(event.at),
                "from": event.was or None,
                "to": event.state,
                "reserved_rub": rub(event.reserved),
                "spent_rub": rub(event.spent),
                "note": event.note or None,
                "process": event.owner,
            }
            for event in events
        ],
    }


def _print_details(entry: Entry, events: list[Event]) -> None:
    plan = entry.plan
    price = "unknown" if plan.price is None else f"{plan.price / 100:.2f}"
    facts = {
        "job": entry.id,
        "state": entry.state,
        "reason": entry.reason,
        "model": f"{plan.model} over wire {plan.wire}",
        "task": "none, the answer to its create is the result" if plan.kind == "sync" else entry.task_id,
        "handle": entry.handle(),
        "job key": entry.job_key,
        "account": entry.account,
        "RUB": f"{money(entry)}; price {price}, reserved {entry.reserved / 100:.2f}, spent {entry.spent / 100:.2f}",
    }
    for name, value in facts.items():
        if value:
            print_line(f"{name}: {value}")
    if entry.inputs is None:
        print_line("inputs: not kept")
    else:
        for name, value in entry.inputs.params.items():
            print_line(f"input {name}: {value}")
    for number, artifact in enumerate(entry.outcome.artifacts if entry.outcome is not None else (), 1):
        until = "" if artifact.expires_at is None else f", until {clock(artifact.expires_at.timestamp())}"
        where = artifact.url or artifact.text or artifact.data
        print_line(f"result {number}: {artifact.kind}{until}: {where}")
    for file in entry.saved:
        print_line(f"file {file.number}: {file.path} ({file.size} bytes, sha256 {file.sha256})")
    for event in events:
        step = event.state if event.was in ("", event.state) else f"{event.was} -> {event.state}"
        booked = f"reserved {event.reserved / 100:.2f}, spent {event.spent / 100:.2f}"
        print_line(f"{clock(event.at)}: {step} ({booked}){': ' if event.note else ''}{event.note}")


@jobs.command()
@click.argument("job", shell_complete=completion.jobs("unknown"))
@click.option("--adopt", "task", metavar="TASK", help="Kie took it: this is its task id. The job goes on as that task.")
@click.option("--not-submitted", is_flag=True, help="Kie never saw it: its price is released, it cost nothing.")
@click.option("--abandon", is_flag=True, help="Nobody will ever know: its price counts as spent.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@errors_shown
def resolve(job: str, task: str | None, not_submitted: bool, abandon: bool, yes: bool, as_json: bool) -> None:
    """Decide what became of an unknown JOB. Buys nothing; look at https://kie.ai/logs first.

    While it is unknown its price stays reserved and it is never sent again.
    """
    if (task is not None) + not_submitted + abandon != 1:
        raise click.UsageError("say one of --adopt TASK, --not-submitted and --abandon")
    if task is not None and not task.strip():
        raise click.UsageError("--adopt needs the task id that https://kie.ai/logs shows")
    job = job.strip()
    with _open() as kie:
        entry = kie.entry(job)
        if task is None and entry.state == "unknown" and not yes and sys.stdin.isatty():
            click.confirm(_question(entry, abandon=abandon), abort=True, err=True)
        adopt = None if task is None else task.strip()
        entry = kie.resolve(job, adopt_task=adopt, not_sent=not_submitted, abandon=abandon)
    if as_json:
        print_json(summary(entry))
    else:
        print_table(COLUMNS, [row(entry)])
    if task is not None:
        say(f"the job goes on as task {entry.task_id}: kie save {entry.id}")


def _question(entry: Entry, *, abandon: bool) -> str:
    price = f"{entry.reserved / 100:.2f} RUB"
    if abandon:
        return f"give up job {entry.id} ({entry.plan.model})? {price} count as spent"
    return (
        f"did Kie never see job {entry.id} ({entry.plan.model})? {price} are released; "
        "if Kie took it after all, it is paid without being counted"
    )


@jobs.command()
@click.argument("names", nargs=-1, required=True, metavar="JOB...", shell_complete=completion.jobs())
@as_json
@errors_shown
def forget(names: tuple[str, ...], as_json: bool) -> None:
    """Remove the inputs of each JOB from the ledger; its price, state and results stay.

    A job that still waits to be sent cannot be sent any more without its inputs.
    """
    with _open() as kie:
        entries = [kie.entry(name.strip()) for name in names]  # a slip is found before anything is removed
        for entry in entries:
            kie.forget(entry.id)
        entries = [kie.entry(entry.id) for entry in entries]
    if as_json:
        print_json([summary(entry) for entry in entries])
    for entry in entries:
        say(f"the inputs of job {entry.id} are forgotten")


@click.command()
@click.argument("job", shell_complete=completion.jobs("queued", "leased"))
@as_json
@errors_shown
def cancel(job: str, as_json: bool) -> None:
    """Call off JOB before it is sent. What Kie took it cannot cancel: that goes on and is paid."""
    with _open() as kie:
        entry = kie.cancel(job.strip())
    if as_json:
        print_json(summary(entry))
    else:
        print_table(COLUMNS, [row(entry)])
    say(f"job {entry.id} is called off; nothing was sent, nothing was bought")
