"""The client without async: threads, loops that run already, Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading

import httpx
import pytest

from kie_core import ClientClosed, KieBlocking, NotSent, Schedule

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
QUICK = Schedule(first=0.01, longest=0.02)


class Scripted(httpx.AsyncBaseTransport):
    """Answers a create, then running, then succeeded; usable from any loop."""

    def __init__(self):
        self.asked = 0
        self.made = 0

    async def handle_async_request(self, request):
        if request.method == "POST":
            self.made += 1
            return httpx.Response(200, json={"code": 200, "data": {"taskId": f"t{self.made}"}})
        if request.url.path.endswith("credit"):
            return httpx.Response(200, json={"code": 200, "data": 7})
        self.asked += 1
        state = {"state": "running"} if self.asked % 2 else {"state": "succeeded", "urls": ["https://e.com/a.png"]}
        return httpx.Response(200, json={"code": 200, "data": state})


def blocking():
    return KieBlocking(KEY, transport=Scripted(), schedule=QUICK, creates_per_10_seconds=10_000)


def test_the_blocking_client_does_the_same(acme):
    """generate, submit, updates, status, attach, credits, payload, models."""
    with blocking() as kie:
        task = kie.generate("acme-sketch", {"prompt": "cat"})
        again = kie.attach(kie.submit("acme-sketch", {"prompt": "cat"}).handle)

        assert task.outcome.urls == ("https://e.com/a.png",)
        assert [outcome.state for outcome in again.updates()] == ["running", "succeeded"]
        assert again.status().state == "succeeded"  # the first end counts, whatever comes later
        assert kie.credits() == 7
        assert kie.payload("acme-sketch", {"prompt": "cat"}).body == {"text": "cat"}
        assert kie.models("acme")[0].id == "acme-sketch"


async def test_the_blocking_client_works_inside_a_running_loop(acme):
    """Notebooks."""
    with blocking() as kie:
        assert kie.credits() == 7


def test_the_blocking_client_serves_many_threads(acme):
    """A web server's workers share one."""
    states = []
    with blocking() as kie:
        threads = [
            threading.Thread(target=lambda: states.append(kie.submit("acme-sketch", {"prompt": "cat"}).id))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(set(states)) == 10


def test_the_blocking_client_leaves_no_thread_behind(acme):
    """Closed is closed."""
    with blocking() as kie:
        kie.credits()
        assert any(thread.name == "kie" for thread in threading.enumerate())

    assert not any(thread.name == "kie" for thread in threading.enumerate())
    with pytest.raises(RuntimeError, match="with KieBlocking"):
        kie.credits()


def test_updates_that_are_not_read_to_the_end_are_closed(acme):
    """A loop with a break."""
    with blocking() as kie:
        for outcome in kie.submit("acme-sketch", {"prompt": "cat"}).updates():
            assert outcome.state == "running"
            break


def test_not_sent_is_raised_as_such(acme):
    """Nothing listens there."""
    with KieBlocking(KEY, base_url="http://127.0.0.1:9") as kie, pytest.raises(NotSent):
        kie.submit("acme-sketch", {"prompt": "cat"}, wait_timeout=0)


class Slow(Scripted):
    """Takes its time for a create."""

    async def handle_async_request(self, request):
        if request.method == "POST":
            await asyncio.sleep(0.3)
        return await super().handle_async_request(request)


def test_closing_waits_for_creates_of_other_threads(acme):
    """They get their task, not an endless wait."""
    tasks = []
    with KieBlocking(KEY, transport=Slow(), schedule=QUICK) as kie:
        thread = threading.Thread(target=lambda: tasks.append(kie.submit("acme-sketch", {"prompt": "cat"}).id))
        thread.start()
        while kie._opened.runner is None or not kie._opened.runner.buyer._on_their_way:
            pass
    thread.join(timeout=10)

    assert tasks == ["t1"]


class Endless(Slow):
    """Makes a task that does not end."""

    async def handle_async_request(self, request):
        if request.method == "GET":
            self.asked += 1
            return httpx.Response(200, json={"code": 200, "data": {"state": "running"}})
        return await super().handle_async_request(request)


@pytest.mark.parametrize("begun", ["create", "wait"])
def test_a_thread_whose_client_is_closed_learns_what_was_paid(acme, begun):
    """Whether its create was on the way, or it waited already; and whoever asks later."""
    ends = []
    vendor = Endless()

    def buy():
        try:
            kie.generate("acme-sketch", {"prompt": "cat"})
        except ClientClosed as error:
            ends.append(error.handle)

    with KieBlocking(KEY, transport=vendor, schedule=QUICK) as kie:
        thread = threading.Thread(target=buy)
        thread.start()
        while kie._opened.runner is None or not (
            vendor.asked if begun == "wait" else kie._opened.runner.buyer._on_their_way
        ):
            pass
        task = None if begun == "create" else kie.attach(kie.jobs()[0].handle())
    thread.join(timeout=10)

    assert [handle.endswith(":t1") for handle in ends] == [True]
    for look in () if task is None else (task.status, task.wait, task.save, lambda: list(task.updates())):
        with pytest.raises(ClientClosed) as caught:
            look()
        assert caught.value.handle == ends[0]


def test_ctrl_c_during_a_create_waits_for_the_answer_and_names_the_task(acme):
    """A real signal, in a process of its own."""
    code = """
import os, signal, threading, time
from kie_core import Interrupted, KieBlocking
import httpx, asyncio
class Slow(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request):
        threading.Thread(target=lambda: (time.sleep(0.1), os.kill(os.getpid(), signal.SIGINT))).start()
        await asyncio.sleep(0.5)
        return httpx.Response(200, json={"code": 200, "data": {"taskId": "t1"}})
with KieBlocking("0123456789abcdef", transport=Slow()) as kie:
    try:
        kie.submit("acme-sketch", {"prompt": "a"})
    except Interrupted as interrupt:
        print(interrupt.handle)
"""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environ, check=False, timeout=60
    )

    assert done.stdout.strip().endswith(":t1"), done.stderr
