"""Many processes that buy through the client, on one ledger and one account. ``KIE_TEST_FAULTS=1`` runs them."""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from kie_core import Kie
from kie_core._ledger.gates import SLOT_SECONDS

pytestmark = [
    pytest.mark.skipif(not os.environ.get("KIE_TEST_FAULTS"), reason="slow; KIE_TEST_FAULTS=1 runs it"),
    pytest.mark.timeout(600),
]

kie_sandbox = pytest.importorskip("kie_sandbox")

WORKER = Path(__file__).with_name("submit_worker.py")
log = logging.getLogger("faults")
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def run(shared_place, tmp_path):
    """Run workers together; return what each said."""

    def all_of(url, how, names, count, cap, **settings):
        settings |= {
            "api_key": KEY,
            "base_url": url,
            "ledger": shared_place,
            "state_dir": tmp_path,
            "config_dir": tmp_path,
        }
        environment = {**os.environ, **{f"KIE_{name.upper()}": str(value) for name, value in settings.items()}}
        with contextlib.ExitStack() as stack:
            workers = []
            for name in names:
                command = [sys.executable, WORKER, how, name, str(count), str(cap)]
                pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
                workers.append(stack.enter_context(subprocess.Popen(command, env=environment, **pipes)))
                stack.callback(workers[-1].kill)
            for worker in workers:
                assert worker.stdout.readline() == "ready\n"
            for worker in workers:
                worker.stdin.write("go\n")
                worker.stdin.flush()
            said = [json.loads(worker.communicate(timeout=300)[0]) for worker in workers]
        assert [worker.returncode for worker in workers] == [0] * len(workers)
        return said

    return all_of


def books(url, place):
    async def read():
        async with Kie(KEY, base_url=url, ledger=str(place)) as kie:
            return await kie.jobs(), {one.scope: one for one in await kie.balances()}

    return asyncio.run(read())


def history(url, place):
    async def read():
        async with Kie(KEY, base_url=url, ledger=str(place)) as kie:
            return [event for job in await kie.jobs() for event in await kie.history(job.id)]

    return asyncio.run(read())


def test_eight_processes_never_exceed_the_budget_that_they_share(run, shared_place):
    """Each buys at random; at no time is more reserved and spent than the limit allows, and the books are true."""
    cap, count = 900, 20
    world = kie_sandbox.Sandbox(speed=100, credits=1_000_000, creates_per_10_seconds=None)
    with kie_sandbox.serve(sandbox=world) as url:
        said = run(url, "spend", [f"p{n}" for n in range(8)], count, cap, creates_per_10_seconds=100_000)
        jobs, balances = books(url, shared_place)

    total = sum(map(Counter, said), Counter())
    log.warning(
        f"{dict(total - Counter(worst=total['worst']))}; at the most {max(one['worst'] for one in said)} of {cap}00"
    )
    assert total["bought"] + total["over"] == 8 * count
    assert total["over"] > 0, "the limit was never tried"
    assert 0 < max(one["worst"] for one in said) <= cap * 100
    shared = balances["shared"]
    assert shared.spent + shared.reserved <= cap * 100
    assert (shared.spent, shared.reserved) == (sum(job.spent for job in jobs), sum(job.reserved for job in jobs))
    assert len(world.creates) == total["bought"] == sum(job.task_id is not None for job in jobs)
    assert set(world.purchases().values()) == {1}


def test_two_processes_keep_to_the_limit_of_the_vendor(run, shared_place):
    """The real one, 20 creates in any 10 seconds. What a busy machine sends late, and so is refused, is sent again."""
    world = kie_sandbox.Sandbox(speed=100, credits=1_000_000)
    with kie_sandbox.serve(sandbox=world) as url:
        run(url, "pace", ["a", "b"], 23, 1_000_000)
        jobs, _ = books(url, shared_place)
        intents = sorted(event.at for event in history(url, shared_place) if event.state == "submitting")

    log.warning(
        f"{len(world.creates)} creates, {world.refusals} refused, {world.busiest_window(10)} in the fullest 10 s"
    )
    assert len(world.creates) == 46
    assert len(intents) == len(world.create_times) == 46 + world.refusals
    in_ten_seconds = max(bisect.bisect_left(intents, at + 10) - number for number, at in enumerate(intents))
    assert in_ten_seconds <= 1 + (10 + SLOT_SECONDS) / 0.55
    assert world.refusals == 0 or world.busiest_window(10) > 20
    assert set(world.purchases().values()) == {1}
    assert {job.state for job in jobs} == {"succeeded"}
