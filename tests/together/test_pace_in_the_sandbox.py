"""How often is asked, and how late a result is seen, over a real socket: by what was learned."""

from __future__ import annotations

import pytest

from kie_core import Kie
from kie_sandbox import Sandbox, serve
from kie_sandbox.world import SECONDS

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
MODEL = "gpt-4o-image"


async def played(clock, place, jobs):
    """Buy so many pictures, one after the other; return the questions for each, and the mean delay in seconds."""
    vendor = Sandbox(creates_per_10_seconds=None, clock=clock.true_time)
    delays = []
    with serve(sandbox=vendor) as url:
        settings = {"base_url": url, "ledger": str(place)}
        async with Kie(KEY, clock=clock, **settings) as kie:
            for number in range(jobs):
                task = await kie.generate(MODEL, {"prompt": f"picture {number}"})
                entry = await kie.entry(task.job.id)
                delays.append(entry.finished_at - entry.submitted_at - task.outcome.seconds)
    asked = sum("record-info" in request.target for request in vendor.requests)
    return asked / jobs, sum(delays) / jobs


async def test_what_was_learned_halves_the_questions(clock, tmp_path):
    """Of a fixed interval that sees a result as soon: that is late by half of itself, on average.

    The ledger remembers, so the second client begins well.
    """
    place = tmp_path / "ledger.sqlite"
    await played(clock, place, 12)

    asked, delay = await played(clock, place, 8)

    assert 1 <= asked <= 0.5 * SECONDS["image"] / (2 * delay)
