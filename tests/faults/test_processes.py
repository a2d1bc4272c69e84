"""Whole programs that buy, stopped and killed at any moment, against a fake Kie. Slow: ``KIE_TEST_FAULTS=1`` runs them.

The fast ones are in ``tests/together/test_faults_of_*.py``; the numbers are those of the same 58 faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kie_core import Kie, Schedule

kie_sandbox = pytest.importorskip("kie_sandbox")
pytestmark = [
    pytest.mark.skipif(not os.environ.get("KIE_TEST_FAULTS"), reason="slow; KIE_TEST_FAULTS=1 runs it"),
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
    pytest.mark.timeout(600),
]
WORKER = Path(__file__).with_name("kie_worker.py")
KEY = "0123456789abcdef0123456789abcdef"
MODEL = "gpt-4o-image"
PRICE = 3933
QUICK = Schedule(first=0.05, factor=1.1, longest=0.2)


@pytest.fixture
def vendor():
    return kie_sandbox.Sandbox(speed=200, credits=1_000_000, creates_per_10_seconds=None)


@pytest.fixture
def settings(vendor, tmp_path):
    """What all programs are told."""
    with kie_sandbox.serve(sandbox=vendor) as url:
        ledger = str(tmp_path / "ledger.sqlite")
        yield {"api_key": KEY, "base_url": url, "ledger": ledger, "creates_per_10_seconds": 100_000}


@pytest.fixture
def start(settings, tmp_path):
    """Start programs; none outlives the test."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((tmp_path / "log.txt").open("wb"))

        def started(what, more=None, **arguments):
            given = {"what": what, "settings": settings | (more or {}), **arguments}
            process = subprocess.Popen([sys.executable, WORKER, json.dumps(given)], stderr=log)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield started


def ask(settings, question, **more):
    """Ask a client in a loop of its own."""

    async def asking():
        async with Kie(schedule=QUICK, **settings | more) as kie:
            return await question(kie)

    return asyncio.run(asking())


async def everything(kie):
    return await kie.jobs(), await kie.balances()


def states(settings):
    return sorted(row[0] for row in rows(settings, "SELECT state FROM job"))


def rows(settings, text):
    """Look into the ledger; nothing, if it is not there yet."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{settings['ledger']}?mode=ro", uri=True)) as ledger:
            return ledger.execute(text).fetchall()
    except sqlite3.OperationalError:
        return []


def until(question, seconds=120.0):
    end = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def put_to_sleep(process, settings):
    """Stop a program between two transactions: in one it would hold SQLite's lock, and nobody could go on."""
    with contextlib.closing(sqlite3.connect(settings["ledger"], isolation_level=None, timeout=0)) as ledger:

        def stopped():
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED)
            try:
                ledger.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                process.send_signal(signal.SIGCONT)
                return False
            ledger.execute("ROLLBACK")
            return True

        until(stopped)


def test_programs_that_are_killed_at_any_moment_buy_nothing_twice_and_lose_nothing(
    settings, start, vendor
):  # 34, 35, 36
    """A list is bought by one program after the other, each killed: what is not bought once is known to be unknown."""
    vendor.faults.add("create-delay=0.05")  # so that some creates are on their way
    prompts = [f"cat {number}" for number in range(100)]
    for _ in range(12):
        process = start("drive", {"creates_per_10_seconds": 300}, prompts=prompts)
        before = len(vendor.creates)
        until(lambda process=process, before=before: len(vendor.creates) > before or process.poll() is not None)
        time.sleep(random.uniform(0.0, 0.3))
        process.kill()
        if process.wait() == 0:  # on a slow machine more is under way when it is killed, and fewer programs suffice
            break
    last = start("drive", prompts=prompts)
    assert last.wait(120) == 0

    jobs, balances = ask(settings, everything)
    assert set(vendor.purchases().values()) <= {1}
    assert Counter(job.state for job in jobs).keys() <= {"succeeded", "unknown"}
    assert len(jobs) == len(prompts)
    adopted = {job.task_id for job in jobs if job.task_id}
    unknown = {job.inputs.params["prompt"] for job in jobs if job.state == "unknown"}
    lost = [create for create in vendor.creates if create.task_id not in adopted]
    assert {create.body["prompt"] for create in lost} <= unknown
    assert len(vendor.creates) + len(unknown) - len(lost) == len(prompts)
    assert unknown, "no program was killed while its create was on its way"
    (balance,) = balances
    assert (balance.reserved, balance.spent) == (len(unknown) * PRICE, sum(job.spent for job in jobs))


def test_two_programs_at_once_buy_each_line_once(settings, start, vendor):  # 42
    """The same list, twice."""
    prompts = [f"cat {number}" for number in range(20)]
    two = [start("drive", prompts=prompts) for _ in range(2)]

    assert [process.wait(120) for process in two] == [0, 0]
    assert states(settings) == ["succeeded"] * 20
    assert vendor.purchases() == dict.fromkeys(prompts, 1)
    assert len(vendor.create_times) == 20


@pytest.mark.parametrize("asleep", ["before its turn", "before its answer"])
def test_a_program_that_sleeps_beyond_its_lease_sends_nothing_twice(settings, start, vendor, asleep):  # 44
    """Another one goes on with its list; woken up, it finds that out."""
    prompts = ["a cat", "a dog"]
    slow = {"creates_per_10_seconds": 3, "lease": 1}
    if asleep == "before its answer":
        vendor.faults.add("create-delay=1*1")
    sleeper = start("drive", slow, prompts=prompts)
    if asleep == "before its answer":
        until(lambda: vendor.creates)
    else:
        until(lambda: "leased" in states(settings) and {"running", "succeeded"} & set(states(settings)))
    put_to_sleep(sleeper, settings)
    time.sleep(2.5)

    assert start("drive", {"lease": 1}, prompts=prompts).wait(120) == 0
    assert set(states(settings)) <= {"succeeded", "unknown"}
    sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(120) == 0

    assert start("drive", {"lease": 1}, prompts=prompts).wait(120) == 0
    assert vendor.purchases() == {"a cat": 1, "a dog": 1}
    assert len(vendor.create_times) == 2
    jobs, _ = ask(settings, everything)
    assert {job.task_id for job in jobs} == set(vendor.tasks)


def test_eight_programs_meet_a_limit_exactly(settings, start, vendor):  # 46
    """Together they buy what fits, to the last kopeck, and what is left waits with the reason."""
    cap = 10 * PRICE / 100
    programs = [start("drive", prompts=[f"{one}-{number}" for number in range(4)], cap=cap) for one in range(8)]
    worst = 0

    def over():
        nonlocal worst
        sums = rows(settings, "SELECT spent + reserved FROM budget WHERE scope = 'batch:one'")
        worst = max(worst, *(row[0] for row in sums), 0)
        return all(process.poll() is not None for process in programs)

    until(over)

    jobs, balances = ask(settings, everything)
    (balance,) = [one for one in balances if one.scope == "batch:one"]
    bought = [job for job in jobs if job.task_id]
    assert [process.returncode for process in programs] == [0] * 8
    assert 0 < worst <= 10 * PRICE
    assert balance.spent == sum(job.spent for job in bought)
    assert balance.reserved == sum(job.reserved for job in bought)
    assert len(vendor.create_times) == len(bought) == len(vendor.creates)
    waiting = [job for job in jobs if job.state == "queued"]
    assert len(waiting) + len(bought) == 32
    assert not waiting or all("batch:one" in job.reason for job in waiting)


def test_a_file_of_a_gigabyte_needs_little_memory(settings, start, vendor, tmp_path):  # 53
    """It goes to the disk as it comes."""

    async def generate(kie):
        await kie.generate(MODEL, {"prompt": "a cat"})

    ask(settings, generate)
    vendor.faults.add("file-huge=1024")
    process = start("save", folder=str(tmp_path / "results"))

    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)

    (saved,) = (tmp_path / "results").iterdir()
    assert process.returncode == 0
    assert saved.stat().st_size > 1024**3
    assert usage.ru_maxrss < 150 * 1024  # in KiB
    saved.unlink()


def test_a_ledger_that_is_locked_for_longer_than_anybody_waits_costs_no_task_id(
    settings, start, vendor, tmp_path
):  # 41
    """The lock comes with the answer, and stays for 33 seconds: the task id is spilt, and then written."""
    vendor.faults.add("create-delay=1")
    process = start("submit", prompt="a cat")
    until(lambda: vendor.creates)
    with contextlib.closing(sqlite3.connect(settings["ledger"], isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        time.sleep(33)
        spilt = next(tmp_path.glob("ledger.sqlite.spill-*")).read_text()
        other.execute("ROLLBACK")

    assert process.wait(120) == 0
    jobs, _ = ask(settings, everything)
    assert [job.task_id for job in jobs] == list(vendor.tasks)
    assert jobs[0].task_id in spilt
    assert len(vendor.create_times) == 1
