"""What one step makes of a job, and how it is written down, whatever else happens to the job meanwhile."""

from __future__ import annotations

from typing import Final

import attrs

from kie_core._errors import LedgerError
from kie_core._jobs.outcome import Outcome
from kie_core._ledger.entry import Entry, WrongStep
from kie_core._ledger.ledger import Ledger, Move, Superseded
from kie_core._wait import Clock

#: Seconds until a job that another process holds, or a closed gate, is looked at again.
HELD_SECONDS: Final = 5.0


@attrs.frozen
class Step:
    """What one step made of a job.

    Attributes:
        entry: The job as it stands now.
        outcome: What Kie said in this step; None: it was not asked, or did not tell.
        wait: Seconds after which the next step makes sense; None: there is none.
        problem: Why Kie's answer did not tell.
    """

    entry: Entry
    outcome: Outcome | None = None
    wait: float | None = None
    problem: str = ""


def still_running(outcome: Outcome) -> Outcome:
    """Return what is told of a task that did not end: a success whose result Kie has yet to name is no end."""
    if outcome.state != "succeeded":
        return outcome
    return attrs.evolve(outcome, state="running", remark="succeeded, but its result is not named yet")


async def written(ledger: Ledger, clock: Clock, entry: Entry, move: Move) -> tuple[Entry, bool]:
    """Write a step, and tell whether it was ours; if somebody else was first, return what the job became.

    Raises:
        LedgerError: It could not be written.
    """
    if not entry.revision:  # known from a handle only, kept nowhere
        return move(entry, clock.time()), True
    for _ in range(10):
        try:
            moved = await ledger.change(entry, move)
        except Superseded:
            entry = await ledger.get(entry.id) or entry
        except WrongStep:
            return entry, False
        else:
            return moved, moved != entry
    raise LedgerError(ledger.database.place, f"job {entry.id} changes all the time", "try again", "busy")
