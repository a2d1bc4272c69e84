"""What a person decides about a job that nobody knows enough of, or that is not wanted any more."""

from __future__ import annotations

from typing import Final

from kie_core._errors import NoKey, RecordMissing, UnknownJob, WrongState
from kie_core._ledger.entry import Entry, WrongStep, abandoned, cancelled, not_submitted
from kie_core._ledger.ledger import Ledger, Move, Superseded
from kie_core._running.runner import Runner
from kie_core._running.submit import adopt

#: The longest task id that is asked about.
_LONGEST_TASK_ID: Final = 200


async def adopted(runner: Runner, entry: Entry, task_id: str) -> Entry:
    """Have a job of which nobody knows go on as a task of Kie's, after Kie was asked about that.

    Raises:
        ValueError: It can be no task id.
        WrongState: The job is not unknown, Kie does not know the task, or that belongs to another job.
        ReadFailed, ReadRefused, NoKey: Kie cannot be asked about the task now; nothing was changed.
    """
    if not (0 < len(task_id) <= _LONGEST_TASK_ID and task_id.isprintable() and task_id.strip()):
        raise ValueError(f"adopt_task is {task_id[:80]!r}; expected the task id that Kie's logs show")
    if entry.plan.kind != "task":
        problem = "its call makes no task that it could adopt; say that it was not sent, or give it up"
        raise WrongState(entry.id, entry.state, problem)
    if entry.state not in ("unknown", "not_submitted", "abandoned"):
        raise WrongState(entry.id, entry.state, "only an unknown job can adopt a task; nothing was changed")
    await _check_adoption(runner, entry, task_id)
    found = await adopt(runner.ledger, entry, task_id, "by hand")
    if found.task_id != task_id:
        raise WrongState(entry.id, entry.state, f"task {task_id} belongs to another job; nothing was changed")
    return found


async def _check_adoption(runner: Runner, entry: Entry, task_id: str) -> None:
    """Ask Kie about the task first: a slip would leave the paid one behind."""
    if runner.settings.api_key is None:
        raise NoKey
    try:
        ours = await runner.recovery.is_ours(entry, task_id, hinted=True)
    except RecordMissing as error:
        problem = f"Kie does not know task {task_id} ({error.reason}); nothing was changed"
        raise WrongState(entry.id, entry.state, problem) from error
    if not ours:
        problem = f"Kie's record of task {task_id} is of another job; nothing was changed"
        raise WrongState(entry.id, entry.state, problem)


async def settled(runner: Runner, entry: Entry, *, sent: bool) -> Entry:
    """Write down that a job of which nobody knows was never *sent*, or that it is given up, and counts as spent.

    Raises:
        WrongState: It is not unknown.
    """
    try:
        return await _decided(runner.ledger, entry, abandoned if sent else not_submitted)
    except WrongStep as error:
        entry = error.entry
        raise WrongState(entry.id, entry.state, "only an unknown job needs a decision; nothing changed") from None


async def called_off(runner: Runner, entry: Entry) -> Entry:
    """Call off a job that was not sent yet.

    Raises:
        WrongState: It was sent, may have been, or has ended.
    """
    try:
        return await _decided(runner.ledger, entry, lambda one, now: cancelled(one, "called off by hand", now))
    except WrongStep as error:
        entry = error.entry
        if entry.ended:
            raise WrongState(entry.id, entry.state, "it has ended; there is nothing to cancel") from None
        handle = runner.planner.job_of(entry).handle(entry.task_id)
        problem = f"Kie cannot cancel what it took: it goes on and is paid; take its result: kie save {handle}"
        if entry.state == "unknown":
            problem = f"whether Kie took it is unknown, so it cannot be cancelled; decide: kie jobs resolve {entry.id}"
        raise WrongState(entry.id, entry.state, problem) from None


async def _decided(ledger: Ledger, entry: Entry, move: Move) -> Entry:
    """Write what a person decided, whatever else happens to the job meanwhile.

    Raises:
        WrongStep: The job does not allow it, or not any more.
        UnknownJob: The ledger does not know it any more.
    """
    while True:
        try:
            return await ledger.change(entry, move)
        except Superseded:
            current = await ledger.get(entry.id)
            if current is None:
                raise UnknownJob(entry.id, ledger.database.place) from None
            entry = current
