"""``kie resume`` and ``kie save``: bring to its end what was bought. Neither ever buys."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from kie_core._cli import completion
from kie_core._cli.entries import account, found, say_what_is_left, summary
from kie_core._cli.generate import described
from kie_core._cli.output import (
    TIMED_OUT,
    UNKNOWN,
    Progress,
    as_json,
    check_wait,
    errors_shown,
    exit_code,
    print_json,
    print_line,
    say,
)
from kie_core._cli.stopping import hear_no_more, interrupt_code, leave_now, stoppable
from kie_core._errors import KieError, WrongState

if TYPE_CHECKING:
    from kie_core._blocking import KieBlocking
    from kie_core._ledger.entry import Entry

#: With this wait every task is asked about once.
_ONCE = 0.0

_out = click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False), help="Where to save results."
)
_wait = click.option(
    "--wait",
    "wait_timeout",
    callback=check_wait,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait.",
)


@attrs.define
class _Watch:
    """The jobs of one account that are not done, and which of their files were printed."""

    kie: KieBlocking
    account: str
    jobs: dict[str, Entry] = attrs.field(factory=dict)
    others: int = 0
    files: list[Path] = attrs.field(factory=list)
    _known: set[tuple[str, int, str]] = attrs.field(factory=set)

    def begin(self) -> None:
        open_jobs = self.kie.jobs("leased", "submitting", "unknown", "running", "not_submitted", "abandoned")
        undecided = [entry for entry in open_jobs if not entry.ended]
        self.others = sum(entry.account != self.account for entry in undecided)
        for entry in reversed([*open_jobs, *self.kie.jobs(unsaved=True)]):
            if entry.account == self.account:
                self.jobs[entry.id] = entry
                self._known |= {(entry.id, file.number, file.sha256) for file in entry.saved}

    def look(self, *, silent: bool) -> None:
        """Read the jobs again and print the files that are new."""
        for job in self.jobs:
            entry = self.jobs[job] = self.kie.entry(job)
            for file in entry.saved:
                if (job, file.number, file.sha256) not in self._known:
                    self._known.add((job, file.number, file.sha256))
                    self.files.append(file.path)
                    if not silent:
                        print_line(str(file.path))

    def among(self, *states: str) -> list[Entry]:
        return [entry for entry in self.jobs.values() if entry.state in states]


@click.command()
@_out
@_wait
@click.option("--no-save", is_flag=True, help="Ask how far everything is and save nothing.")
@as_json
@errors_shown
@stoppable
def resume(out: Path | None, wait_timeout: float | None, no_save: bool, as_json: bool) -> None:
    """Take up what was bought: wait for every task that runs, and save every result. Buys nothing.

    After a crash, a Ctrl-C or a wait that ended. Exits with 0 if all is done, 6 if unknown jobs are
    left, 1 if something could not be saved, 5 if something still runs.
    """
    from kie_core._blocking import KieBlocking

    if no_save and out is not None:
        raise click.UsageError("--no-save goes without --out")
    with KieBlocking() as kie:
        watch = _Watch(kie, account(kie))
        folder = None if no_save else out or kie.settings.out
        with _told_if_stopped("what runs goes on at Kie: kie resume", as_json=as_json):
            watch.begin()
            faults = _recovered(watch, folder, wait_timeout, silent=as_json)
    running, unknown = watch.among("leased", "submitting", "running"), watch.among("unknown")
    if as_json:
        print_json(
            {
                "files": watch.files,
                "running": [summary(entry) for entry in running],
                "unknown": [summary(entry) for entry in unknown],
                "ended": [summary(entry) for entry in watch.jobs.values() if entry.ended],
                "failed": _as_rows(faults),
            }
        )
    _say_faults(faults)
    quiet = {"abandoned", "not_submitted", *(["succeeded"] if no_save else [])}
    say_what_is_left(entry for entry in watch.jobs.values() if entry.id not in faults and entry.state not in quiet)
    if watch.others:
        say(f"{watch.others} jobs of other keys or base URLs were left alone; kie jobs lists them")
    if not watch.jobs and not watch.others:
        say("nothing to take up: no task runs, and every result is saved")
    sys.exit(UNKNOWN if unknown else _worst(faults) if faults else TIMED_OUT if running else 0)


def _recovered(watch: _Watch, folder: Path | None, wait_timeout: float | None, *, silent: bool) -> dict[str, KieError]:
    """Ask about everything once and save what is there; then wait for the rest, and save that."""
    from kie_core._wait import WAIT_SECONDS

    faults = watch.kie.recover(out=folder, wait_timeout=_ONCE)
    watch.look(silent=silent)
    running = [entry for entry in watch.among("running") if entry.id not in faults]
    seconds = wait_timeout if wait_timeout is not None else watch.kie.settings.wait_timeout
    if seconds is None and running:
        seconds = max(WAIT_SECONDS[entry.plan.media] for entry in running)
    if running and seconds:
        say(f"waiting for {len(running)} tasks, {seconds:g} s at the most; Ctrl-C leaves them as they are")
        faults = watch.kie.recover(out=folder, wait_timeout=seconds)
        watch.look(silent=silent)
    return faults


@click.command()
@click.argument("name", required=False, metavar="[HANDLE|JOB]", shell_complete=completion.jobs())
@click.option("--all", "everything", is_flag=True, help="Save every result that is not saved yet; waits for nothing.")
@_out
@_wait
@as_json
@errors_shown
@stoppable
def save(name: str | None, everything: bool, out: Path | None, wait_timeout: float | None, as_json: bool) -> None:
    """Wait for the task of HANDLE or JOB if need be, and save what it made. Buys nothing."""
    from kie_core._blocking import KieBlocking

    if (name is None) != everything:
        raise click.UsageError("say a handle, a job id, or --all")
    if everything and wait_timeout is not None:
        raise click.UsageError("--all waits for nothing; kie resume does")
    with KieBlocking() as kie:
        if name is None:
            _save_all(kie, out or kie.settings.out, as_json=as_json)
        else:
            _save(kie, name, out, wait_timeout, as_json=as_json)


def _save(kie: KieBlocking, name: str, out: Path | None, wait_timeout: float | None, *, as_json: bool) -> None:
    task, entry = found(kie, name)
    if entry is not None and task.id is None and entry.state != "unknown":
        raise WrongState(entry.id, entry.state, entry.reason or "it was not sent, so there is nothing to save")
    with _told_if_stopped(f"the task and its result are untouched: kie save {task.handle}", as_json=as_json):
        if entry is not None and entry.state == "expired":
            task.status()  # nobody asks any more, but a person may: what seemed gone may be there
        with Progress(task.remaining) as progress:
            for outcome in task.updates(wait_timeout):
                progress.show(outcome.state, outcome.progress, outcome.artifacts)
        paths = task.save(out)
    if as_json:
        print_json(described(task, files=paths))
        return
    for path in paths:
        print_line(str(path))


def _save_all(kie: KieBlocking, folder: Path, *, as_json: bool) -> None:
    watch = _Watch(kie, account(kie))
    with _told_if_stopped("the results stay with Kie for a while: kie save --all", as_json=as_json):
        watch.begin()
        faults = kie.save_all(folder)
        watch.look(silent=as_json)
    if as_json:
        print_json({"files": watch.files, "failed": _as_rows(faults)})
    _say_faults(faults)
    if not faults and not watch.files:
        say("every result is saved already")
    if faults:
        sys.exit(_worst(faults))


@contextlib.contextmanager
def _told_if_stopped(meaning: str, *, as_json: bool) -> Iterator[None]:
    """Say what a signal left behind, and leave."""
    try:
        yield
    except KeyboardInterrupt:
        hear_no_more()
        message = f"interrupted; {meaning}"
        if as_json:
            print_json({"error": "Interrupted", "message": message, "handle": None})
        say(message)
        leave_now(interrupt_code())


def _as_rows(faults: dict[str, KieError]) -> list[dict[str, Any]]:
    return [{"job": job, "error": type(error).__name__, "message": str(error)} for job, error in faults.items()]


def _say_faults(faults: dict[str, KieError]) -> None:
    for job, error in faults.items():
        say(f"error: job {job}: {error}")


def _worst(faults: dict[str, KieError]) -> int:
    """Return the exit code of what failed: a key or credits that stop the reading, before all else."""
    return max(exit_code(error) for error in faults.values())
