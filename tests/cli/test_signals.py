"""Commands that are told to stop, as processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from subprocess import PIPE

import pytest

from .commands import MODEL, bought, listed


@pytest.fixture
def start():
    """Start a command as a process of its own; none outlives the test."""
    running = []

    def started(*words):
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "kie_core", *words]
        running.append(subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environ))
        return running[-1]

    yield started
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_during_a_create_waits_for_its_answer(fake, start, number, code):
    """The task is in the ledger before the process leaves."""
    fake.go_on.clear()
    process = start("generate", MODEL, "prompt=cat")
    assert fake.arrived.wait(20)

    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None
    fake.go_on.set()
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (code, "")
    assert "goes on at Kie and is paid: kie save kie1:" in err
    assert [(row["state"], row["task_id"]) for row in listed()] == [("running", "t1")]


def test_a_signal_between_two_attempts_buys_nothing_more(fake, start):
    """Kie said "later"; whoever is told to stop does not try again, and nothing is owed."""
    fake.refusal = {"code": 429, "msg": "slow down"}
    process = start("generate", MODEL, "prompt=cat")
    while not fake.creates or listed()[0]["state"] == "submitting":
        time.sleep(0.05)

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 143
    assert "nothing was bought" in err
    assert [(row["state"], row["reserved_rub"]) for row in listed()] == [("cancelled", 0)]
    assert fake.creates == 1


def test_a_second_signal_leaves_an_unknown_job(fake, start):
    """Exit code 6; the ledger lists it, and its price stays reserved."""
    fake.go_on.clear()
    process = start("generate", MODEL, "prompt=cat")
    assert fake.arrived.wait(20)

    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 6
    assert "kie jobs resolve" in err
    assert [(row["state"], row["reserved_rub"]) for row in listed()] == [("unknown", 1.5)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", ["resume", "save", "generate"])
def test_a_signal_while_waiting_leaves_the_task_as_it_is(fake, start, command, number, code):
    """It goes on at Kie, and stays in the ledger."""
    if command == "generate":
        process = start("generate", MODEL, "prompt=cat")
    else:
        job = bought()
        process = start(command, *([job] if command == "save" else []))
    while not fake.asked:
        time.sleep(0.02)
    if command == "resume":
        while "waiting for" not in process.stderr.readline():
            pass

    process.send_signal(number)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (code, "")
    assert "interrupted; " in err
    assert "Traceback" not in err
    assert [row["state"] for row in listed()] == ["running"]
