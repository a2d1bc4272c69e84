"""How a step is written down while others write, too: in every database."""

from __future__ import annotations

import attrs
import pytest

from kie_core import Clock
from kie_core._ledger.entry import cancelled, read
from kie_core._running.step import written

from .ledger_steps import run_job, success

pytestmark = pytest.mark.anyio


def ended(entry, now):
    """Kie said that the task succeeded."""
    return read(entry, success(), now, now)


async def test_a_step_is_ours_once(ledger):
    """Whoever hears of the same end later, or from an older look at the job, is told what it became."""
    running = await run_job(ledger, "task-1")
    first = await written(ledger, Clock(), running, ended)
    late = await written(ledger, Clock(), running, ended)

    assert (first[0].state, first[1]) == ("succeeded", True)
    assert late == (first[0], False)
    assert [event.state for event in await ledger.events(running.id)].count("succeeded") == 1


async def test_a_step_that_the_job_does_not_allow_is_nobodys(ledger):
    """It was sent before it could be called off: no error, and nothing is written."""
    running = await run_job(ledger, "task-1")

    assert await written(ledger, Clock(), running, lambda one, now: cancelled(one, "late", now)) == (running, False)


async def test_what_the_ledger_does_not_keep_is_not_written(ledger):
    """A job that is known from its handle only."""
    running = await run_job(ledger, "task-1")
    elsewhere = attrs.evolve(running, id="job-x", revision=0)

    moved, ours = await written(ledger, Clock(), elsewhere, ended)

    assert (moved.state, ours) == ("succeeded", True)
    assert await ledger.get("job-x") is None
