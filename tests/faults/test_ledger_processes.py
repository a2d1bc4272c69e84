"""Many processes on one ledger: real ones, which are stopped and killed. Slow: ``KIE_TEST_FAULTS=1`` runs them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kie_core._ledger.entry import accepted
from kie_core._ledger.ledger import Ledger

pytestmark = [
    pytest.mark.skipif(not os.environ.get("KIE_TEST_FAULTS"), reason="slow; KIE_TEST_FAULTS=1 runs it"),
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
    pytest.mark.timeout(600),
]

WORKER = Path(__file__).with_name("ledger_worker.py")
ACCOUNT = "account-1"


@pytest.fixture
def start():
    """Start workers; none outlives the test."""
    with contextlib.ExitStack() as stack:

        def started(what, place, *arguments):
            command = [sys.executable, WORKER, what, str(place), *map(str, arguments)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield started


def hear(process):
    return json.loads(process.stdout.readline())


def tell(process, word="go"):
    process.stdin.write(word + "\n")
    process.stdin.flush()


def ask(open_place, place, question, lease=60.0):
    """Ask the ledger in a loop of its own."""

    async def asking():
        ledger = Ledger(open_place(place), lease)
        try:
            return await question(ledger)
        finally:
            await ledger.close()

    return asyncio.run(asking())


def test_eight_processes_never_overdraw_a_budget(shared_place, open_place, start):
    """Whatever they reserve, settle and release: the sums are never above the limit, and true at the end."""
    cap = 5000
    workers = [start("spend", shared_place, 25, cap) for _ in range(8)]
    for worker in workers:
        hear(worker)
    for worker in workers:
        tell(worker)

    said = [hear(worker) for worker in workers]

    assert [worker.wait(120) for worker in workers] == [0] * 8
    assert sum(one["over"] for one in said) > 0, "the limit was never tried"
    assert 0 < max(one["worst"] for one in said) <= cap

    async def books(ledger):
        jobs = await ledger.find()
        events = {job.id: await ledger.events(job.id) for job in jobs}
        return jobs, events, await ledger.balances()

    jobs, events, balances = ask(open_place, shared_place, books)
    sums = (sum(job.spent for job in jobs), sum(job.reserved for job in jobs))
    assert len(jobs) == 8 * 25
    assert [(one.spent, one.reserved) for one in balances] == [sums, sums]
    assert all((events[job.id][-1].spent, events[job.id][-1].reserved) == (job.spent, job.reserved) for job in jobs)
    assert all(len(events[job.id]) == job.revision for job in jobs)


def most_in_a_window(times, seconds=10.0):
    return max(sum(1 for other in times if one <= other < one + seconds) for one in times)


def test_two_processes_keep_to_the_pace_of_one_account(shared_place, open_place, start):
    """No ten seconds have more than twenty places, and a create leaves at its place, or as late as the machine is."""
    workers = [start("queue", shared_place, 12, 0.55) for _ in range(2)]
    for worker in workers:
        hear(worker)
    for worker in workers:
        tell(worker)

    said = [[json.loads(line) for line in worker.communicate(timeout=120)[0].splitlines()] for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0]
    assert all(len(one) > 5 for one in said), "one process took all places"
    creates = said[0] + said[1]
    assert 10 <= len(creates) <= 26
    assert len({round(one["slot"], 3) for one in creates}) == len(creates)
    assert most_in_a_window([one["slot"] for one in creates]) <= 20
    latest = max(one["sent"] - one["slot"] for one in creates)
    assert min(one["sent"] - one["slot"] for one in creates) > -0.05
    assert most_in_a_window([one["sent"] for one in creates]) <= 1 + (10 + latest) / 0.55


LEASE = 1.0


async def beat(ledger):
    return {entry.id: entry.state for entry in await ledger.beat()}


def test_a_process_that_slept_beyond_its_lease_sends_nothing(shared_place, open_place, start):
    """Another one took its job and bought it; when it wakes up it is told, and does not buy it again."""
    sleeper = start("hold", shared_place, LEASE)
    hear(sleeper)
    held = hear(sleeper)
    os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(LEASE * 2)

    async def take_over(ledger):
        taken = await beat(ledger)
        entry = await ledger.claim(await ledger.get(held["kept"]), interval=0.0, most=100)
        entry = await ledger.intend(entry)
        await ledger.change(entry, lambda old, now: accepted(old, "task-1", now), signal="answered")
        return taken

    taken = ask(open_place, shared_place, take_over, LEASE)
    os.kill(sleeper.pid, signal.SIGCONT)
    tell(sleeper)

    assert hear(sleeper) == {"came": "superseded"}
    assert taken == {held["kept"]: "queued", held["direct"]: "cancelled", held["sent"]: "unknown"}

    async def history(ledger):
        return [event.state for event in await ledger.events(held["kept"])]

    assert ask(open_place, shared_place, history).count("submitting") == 1


def test_a_process_that_sleeps_within_its_lease_keeps_its_jobs(shared_place, open_place, start):
    """Nobody takes them over."""
    sleeper = start("hold", shared_place, 60)
    hear(sleeper)
    hear(sleeper)
    os.kill(sleeper.pid, signal.SIGSTOP)

    assert ask(open_place, shared_place, beat) == {}
    os.kill(sleeper.pid, signal.SIGCONT)
    tell(sleeper)
    assert hear(sleeper)["came"] in ("submitting", "queued")


def test_what_a_killed_process_held_moves_on_at_the_next_beat(shared_place, open_place, start):
    """Without waiting for its lease, on the machine where it ran: nothing sent is sent again, nothing is lost."""
    victim = start("hold", shared_place, 3600)
    hear(victim)
    held = hear(victim)
    victim.kill()
    victim.wait()

    taken = ask(open_place, shared_place, beat, 3600.0)

    assert taken == {held["kept"]: "queued", held["direct"]: "cancelled", held["sent"]: "unknown"}
    assert ask(open_place, shared_place, beat, 3600.0) == {}


def test_processes_that_are_killed_at_any_moment_leave_true_books(shared_place, open_place, start):
    """Every transaction is there whole, or not at all."""
    for round_ in range(6):
        workers = [start("spend", shared_place, 1000, 100_000) for _ in range(2)]
        for worker in workers:
            hear(worker)
            tell(worker)
        time.sleep(0.2 + 0.13 * round_)
        for worker in workers:
            worker.kill()
            worker.wait()

    async def books(ledger):
        await ledger.beat()
        jobs = await ledger.find()
        events = [len(await ledger.events(job.id)) for job in jobs]
        return jobs, events, await ledger.balances()

    jobs, events, balances = ask(open_place, shared_place, books)
    sums = (sum(job.spent for job in jobs), sum(job.reserved for job in jobs))
    assert len(jobs) > 6
    assert events == [job.revision for job in jobs]
    assert [(one.spent, one.reserved) for one in balances] == [sums, sums]
    assert not [job for job in jobs if job.state in ("leased", "submitting")]
