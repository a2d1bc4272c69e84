"""How long jobs took, as every database keeps it."""

from __future__ import annotations

import itertools

import attrs
import pytest

from kie_core._jobs.outcome import Artifact, Failure, Outcome
from kie_core._ledger.durations import Durations
from kie_core._ledger.entry import Entry, Plan, accepted, read

pytestmark = pytest.mark.anyio
NUMBERS = itertools.count()
PLAN = Plan(
    model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
    task_param="taskId", callback_field=None, contract=None, credits="60", wire_price=None, unit=None,
    kopecks_per_credit="100", limits=(), seconds=3600.0,
)  # fmt: skip


async def ended(ledger, outcome, *, plan=PLAN):
    """Run a job to this end, and once more."""
    number = next(NUMBERS)
    added = await ledger.add(
        Entry(id=f"job-{number}", account="a", plan=plan, inputs=None, fingerprint="f" * 64, kept=True)
    )
    sent = await ledger.intend(await ledger.claim(added, interval=0.0, most=10_000))
    running = await ledger.change(sent, lambda one, now: accepted(one, f"task-{number}", now), signal="answered")
    first = await ledger.change(running, lambda one, now: read(one, outcome, now))
    await ledger.note(first, "once more")
    return first


def success(seconds):
    return Outcome("succeeded", (Artifact("video", "https://e.com/1.mp4"),), seconds=seconds)


async def test_what_the_ledger_learns_is_what_a_process_learns(ledger):
    """The sums of SQL are those of Python, beyond the number that is remembered."""
    expected = Durations()
    for number in range(70):
        seconds = 50.0 + number
        await ended(ledger, success(seconds))
        expected = expected.learned(seconds)

    found = (await ledger.durations())["veo3", "60"]

    assert attrs.astuple(found) == pytest.approx(attrs.astuple(expected))


async def test_what_costs_more_is_counted_by_itself(ledger):
    """Ten seconds of video take longer than five, and the price tells them apart."""
    await ended(ledger, success(50.0))
    await ended(ledger, success(100.0), plan=attrs.evolve(PLAN, credits="120"))
    await ended(ledger, success(7.0), plan=attrs.evolve(PLAN, model="flux", credits=None))

    assert sorted(await ledger.durations()) == [("flux", ""), ("veo3", "120"), ("veo3", "60")]


@pytest.mark.parametrize(
    "outcome",
    [success(None), success(-3.0), success(0.0), success(1e12), Outcome("failed", error=Failure("no"), seconds=5.0)],
    ids=["not said", "negative", "none", "a clock in another unit", "failed"],
)
async def test_what_says_nothing_is_not_learned(ledger, outcome):
    """A wrong clock at Kie, or a failure, does not spoil what was known."""
    await ended(ledger, outcome)

    assert await ledger.durations() == {}
