"""A person's decision holds, whatever else is written about the job at that moment."""

from __future__ import annotations

from types import SimpleNamespace

import attrs
import pytest

from kie_core import UnknownJob
from kie_core._ledger.entry import unknown
from kie_core._running.decisions import called_off, settled

from .ledger_steps import ACCOUNT, booked, make_entry, submit

pytestmark = pytest.mark.anyio


def seen_before(entry):
    """The job as it was looked at before somebody else wrote about it."""
    return attrs.evolve(entry, revision=entry.revision - 1)


@pytest.mark.parametrize(("sent", "state", "money"), [(False, "not_submitted", (0, 0)), (True, "abandoned", (100, 0))])
async def test_a_decision_about_an_unknown_job_is_taken_again_for_what_it_became(ledger, sent, state, money):
    """And is booked: what was given up counts as spent."""
    lost = await ledger.change(
        await submit(ledger, limits=[(f"account:{ACCOUNT}", None)]), lambda old, _: unknown(old, "no answer")
    )

    decided = await settled(SimpleNamespace(ledger=ledger), seen_before(lost), sent=sent)

    assert decided.state == state
    assert await ledger.get(lost.id) == decided
    assert await booked(ledger, f"account:{ACCOUNT}") == money


async def test_a_queued_job_is_called_off_for_what_it_became(ledger):
    """So that nobody buys it after that."""
    queued = await ledger.add(make_entry())

    assert (await called_off(SimpleNamespace(ledger=ledger), seen_before(queued))).state == "cancelled"
    assert (await ledger.get(queued.id)).state == "cancelled"


async def test_a_job_that_is_gone_cannot_be_decided_about(ledger):
    """An older file was put in the ledger's place."""
    with pytest.raises(UnknownJob, match="job-x"):
        await called_off(SimpleNamespace(ledger=ledger), attrs.evolve(make_entry(job_id="job-x"), revision=1))
