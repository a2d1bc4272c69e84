"""Every order of events that hypothesis can think of: real ledger, real steps, a vendor that loses, delays and repeats.

What is played is the world outside: the vendor behind the HTTP client, the clock, and processes that stop between
any two transactions, for a while or for ever.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections import Counter

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from kie_core import Budget, KieError, Schedule, load_dispatcher, load_settings
from kie_core._errors import LedgerError, NotSent
from kie_core._jobs.answer import Answer
from kie_core._ledger.entry import ENDED, abandoned, cancelled, not_submitted
from kie_core._ledger.entry import WrongStep as WrongStepError
from kie_core._ledger.ledger import Ledger, Superseded
from kie_core._ledger.sqlite import SqliteDatabase
from kie_core._network.http import SentWithoutAnswer
from kie_core._running.plan import account_of
from kie_core._running.runner import Runner
from kie_core._running.submit import Buyer, adopt

EXAMPLES = 400 if os.environ.get("KIE_TEST_FAULTS") else int(os.environ.get("KIE_TEST_EXAMPLES", "50"))
KEY = "0123456789abcdef0123456789abcdef"
SCOPE, CAP = "batch:machine", 1000
PLUGIN = """
from kie_core import Artifact, Endpoint, Outcome, failure, hookimpl, record

ENDPOINTS = {"dedicated": Endpoint(create="/machine/create", query="/machine/query")}

def register_models():
    return [{
        "model_id": "machine", "title": "Machine", "api_category": "machine", "output_type": "image/png",
        "rub_per_use": 1, "input_schema": {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
    }]

@hookimpl
def endpoint_for(job):
    return ENDPOINTS[job.wire]

@hookimpl
def build_payload(job):
    return {"prompt": job.params["prompt"]}

@hookimpl
def parse_result(job, body):
    data = record(body)
    made = (Artifact("image", "https://files.example.com/a.png"),) if data["state"] == "succeeded" else ()
    error = failure(None, "no") if data["state"] == "failed" else None
    return Outcome(data["state"], made, error, credits=data["credits"])
"""


# --- the world outside -----------------------------------------------------------------------


class PlayedClock:
    """Stands until a rule moves it; who sleeps, moves it too."""

    def __init__(self):
        self.passed = 0.0
        self.offset = 1_700_000_000.0

    def now(self):
        return self.passed

    def time(self):
        return self.passed + self.offset

    async def sleep(self, seconds):
        self.passed += max(0.0, seconds)
        await asyncio.sleep(0)


class Process:
    """A process as the ledger sees it: a name, a number, and a database that it may not come back from."""

    place = "played"
    acting = None  # the one whose transaction is carried out

    def __init__(self, world, number):
        self.world, self.number = world, number
        self.going = asyncio.Event()
        self.going.set()
        self.steps_left = None
        self.refused_writes = 0
        ledger = Ledger(self, lease=60.0)
        self.runner = Runner(
            account=account_of(world.settings), settings=world.settings, dispatcher=world.dispatcher, ledger=ledger,
            http=world.vendor, buyer=Buyer(ledger, world.vendor, None, world.clock, 60.0), schedule=Schedule(),
            clock=world.clock, stem=None,
        )  # fmt: skip

    async def run(self, work, *, write=True):
        await self.going.wait()
        if write and self.refused_writes:
            self.refused_writes -= 1
            raise LedgerError(self.place, "the disk is full", "make room", "full")
        Process.acting = self
        value = self.world.carry_out(work, write)
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.stop()
        await self.going.wait()  # what was committed is there, whether we come to know of it or not
        return value

    def stop(self):
        self.steps_left = None
        self.going.clear()

    def owner(self):
        return f"process-{self.number}"

    async def make_room(self):
        return False


def played_here():
    return "host", Process.acting.number


def played_alive(_host, pid):
    return pid in Process.acting.world.processes


@attrs.define(eq=False)
class Post:
    """A create that left; *task* once the vendor made one."""

    job: str
    body: dict
    answer: asyncio.Future
    task: str | None = None
    refused: bool = False


@attrs.define
class Made:
    """A task at the vendor."""

    id: str
    body: dict
    state: str = "running"
    credits: float | None = None
    visible: bool = True

    @property
    def job(self):
        return job_of(self.body)


def job_of(body):
    return body["callBackUrl"].split("/")[-2]


class Vendor:
    """Stands in for the network; a create waits until a rule decides its fate."""

    def __init__(self):
        self.posts: list[Post] = []
        self.tasks: dict[str, Made] = {}

    @property
    def open_posts(self):
        return [post for post in self.posts if not post.answer.done()]

    async def create(self, request, *, seconds, sendable):
        body = json.loads(request.content)
        post = Post(job_of(body), body, asyncio.get_running_loop().create_future())
        self.posts.append(post)
        return await post.answer

    async def ask(self, request, *, seconds):
        task = self.tasks.get(request.query["taskId"])
        if task is None or not task.visible:
            return Answer(200, b'{"code": 422, "msg": "recordInfo is null"}')
        data = {"state": task.state, "credits": task.credits, "param": json.dumps(task.body)}
        return Answer(200, json.dumps({"code": 200, "data": data}).encode())

    def make(self, post):
        post.task = f"task-{len(self.tasks)}"
        self.tasks[post.task] = Made(post.task, post.body)

    def answer(self, post, fate):
        """Let the create end as *fate* says; what refuses makes no task, and what is made is not refused."""
        if fate in FATES_OF_A_TASK and post.task is None:
            self.make(post)
        if fate == "accepted":
            post.answer.set_result(_said(200, {"taskId": post.task}))
        elif fate == "wrong task":
            post.answer.set_result(_said(200, {"taskId": next(iter(self.tasks))}))
        elif fate == "half":
            post.answer.set_exception(SentWithoutAnswer("cut", f'{{"data": {{"taskId": "{post.task}"'.encode()))
        elif fate == "half of a page":
            text = f'{{"code": 200, "data": {{"taskId": "{post.task}"'
            post.answer.set_result(Answer(200, text.encode()))
        elif fate == "error":
            post.answer.set_result(_said(500, None))
        elif fate in ("answer lost", "request lost"):
            post.answer.set_exception(SentWithoutAnswer("reset", b""))
        else:
            post.refused = True
            refusal = NotSent("refused") if fate == "not sent" else None
            if refusal is not None:
                post.answer.set_exception(refusal)
            else:
                post.answer.set_result(_said(int(fate), None))


def _said(code, data):
    return Answer(200, json.dumps({"code": code, "msg": "", "data": data}).encode())


FATES_OF_A_TASK = ("accepted", "wrong task", "half", "half of a page", "error", "answer lost")
FATES_WITHOUT = ("request lost", "not sent", "429", "455", "401", "402", "422")
#: Where each state may lead. By itself no step leads from "unknown" to "queued": a person has to say so in between.
STEPS = {
    "queued": {"leased", "cancelled", "running"},
    "leased": {"queued", "submitting", "cancelled", "running"},
    "submitting": {"queued", "unknown", "running", "failed"},
    "unknown": {"running", "not_submitted", "abandoned"},
    "running": {"succeeded", "failed", "expired"},
    "succeeded": set(),
    "failed": {"succeeded", "queued"},
    "expired": {"succeeded"},
    "cancelled": {"running", "queued"},
    "not_submitted": {"running", "queued"},
    "abandoned": {"running"},
}
PICK = st.integers(0, 999)


class Machine(RuleBasedStateMachine):
    dispatcher = None

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = PlayedClock()
        self.file = SqliteDatabase("memory:", clock=self.clock.time)
        self.file._path = None
        self.vendor = Vendor()
        self.settings = load_settings(
            {"api_key": KEY, "callback_url": "https://bot.example.com/kie", "creates_per_10_seconds": 1000}, environ={}
        )
        self.processes = {}
        self.gone = []  # what hangs in them is not cleared away
        self.tasks = []
        self.started = 0
        self.jobs = []
        self.resubmits = Counter()  # by job: how often a person had it sent again
        self.decided = set()  # jobs of which a person said what became of them
        self.confused = set()  # jobs whose task the vendor named as another's
        self.beyond = Counter()  # by job: kopecks that it cost though no limit allowed them
        self.seen = {}

    # --- carrying out -------------------------------------------------------------------------

    def do(self, work):
        """Carry out *work* as far as it comes: it may wait for the vendor, or its process may be gone."""

        async def doing():
            task = asyncio.ensure_future(work)
            task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # one may end much later
            self.tasks.append(task)
            await self.settle()
            return task

        task = self.loop.run_until_complete(doing())
        if task.done() and task.exception() is not None:
            error = task.exception()
            if not isinstance(error, (KieError, Superseded, WrongStepError)):
                raise error
        return task

    async def settle(self):
        for _ in range(60):
            await asyncio.sleep(0)

    def read(self, question):
        """Ask the ledger while the rest of the world stands still."""
        with pytest.raises(StopIteration) as end:
            question.send(None)
        return end.value.value

    def rows(self):
        return self.read(self.reader.find())

    def entry(self, job):
        return self.read(self.reader.get(job))

    def process(self, pick):
        """One that goes, if there is one."""
        found = [one for one in self.processes.values() if one.going.is_set()] or list(self.processes.values())
        return found[pick % len(found)]

    def job(self, pick, *states):
        found = sorted(entry.id for entry in self.rows() if not states or entry.state in states)
        return found[pick % len(found)] if found else None

    # --- processes ----------------------------------------------------------------------------

    @initialize()
    def begin(self):
        self.reader = Ledger(Process(self, 0), lease=60.0)
        self.start()
        self.start()

    def start(self):
        async def started():
            self.started += 1
            self.processes[self.started] = Process(self, self.started)
            await self.processes[self.started].runner.recovery.take_over()

        self.do(started())

    @precondition(lambda self: len([one for one in self.processes.values() if one.going.is_set()]) > 1)
    @rule(pick=PICK, steps=st.integers(0, 8))
    def pause(self, pick, steps):
        """A process stands still after so many more transactions, as one that is stopped or swapped out."""
        process = self.process(pick)
        if steps:
            process.steps_left = steps
        else:
            process.stop()

    @precondition(lambda self: any(not one.going.is_set() for one in self.processes.values()))
    @rule(pick=PICK)
    def resume(self, pick):
        found = [one for one in self.processes.values() if not one.going.is_set()]
        process = found[pick % len(found)]
        process.going.set()
        self.do(asyncio.sleep(0))

    @rule(pick=PICK)
    def crash(self, pick):
        """It never comes back, wherever it stands; another takes its place."""
        process = list(self.processes.values())[pick % len(self.processes)]
        process.stop()
        self.gone.append(self.processes.pop(process.number))
        self.start()

    @rule(pick=PICK)
    def beat(self, pick):
        self.do(self.process(pick).runner.recovery.take_over())

    @rule(pick=PICK, count=st.integers(1, 5))
    def disk_full(self, pick, count):
        self.process(pick).refused_writes = count

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 70.0, 100.0, 1000.0, 8000.0]))
    def time_passes(self, seconds):
        self.clock.passed += seconds

    @rule(seconds=st.sampled_from([-7200.0, -5.0, 5.0, 7200.0]))
    def clock_is_set(self, seconds):
        self.clock.offset += seconds

    # --- buying -------------------------------------------------------------------------------

    def planned(self, pick, price, kept):
        number = len(self.jobs)
        job = self.dispatcher.job("machine", {"prompt": f"picture {number}"}, job_id=f"job-{number}")
        runner = self.process(pick).runner
        budget = Budget(max_total_rub=CAP / 100, scope=SCOPE)
        entry = runner.planner.planned(job, kept=kept, job_key=job.id, budgets=[budget])
        self.jobs.append(job.id)
        return runner, attrs.evolve(entry, plan=attrs.evolve(entry.plan, contract=price))

    @rule(pick=PICK, price=st.sampled_from([30, 90, 150, 250]))
    def enqueue(self, pick, price):
        runner, entry = self.planned(pick, price, True)
        self.do(runner.add(entry))

    @rule(pick=PICK, price=st.sampled_from([30, 90, 150, 250]), seconds=st.sampled_from([0.0, 10.0, 100.0]))
    def submit(self, pick, price, seconds):
        """A caller waits for the create."""
        runner, entry = self.planned(pick, price, False)

        async def submitted():
            added = await runner.add(entry)
            if added.state == "queued":
                await runner.submit(added, seconds)

        self.do(submitted())

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, which=PICK)
    def advance(self, pick, which):
        """Buys what is queued, asks about what runs."""
        self.do(self.process(pick).runner.advance(self.jobs[which % len(self.jobs)]))

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK)
    def advance_all(self, pick):
        process = self.process(pick)
        for job in self.jobs:
            self.do(process.runner.advance(job))

    # --- the vendor ---------------------------------------------------------------------------

    @precondition(lambda self: self.vendor.open_posts)
    @rule(which=PICK)
    def vendor_makes_a_task(self, which):
        """And has not answered yet."""
        post = self.vendor.open_posts[which % len(self.vendor.open_posts)]
        if post.task is None:
            self.vendor.make(post)

    @precondition(lambda self: self.vendor.open_posts)
    @rule(
        which=PICK, made=st.sampled_from(FATES_OF_A_TASK), refused=st.sampled_from([*FATES_WITHOUT, None, None, None])
    )
    def vendor_answers(self, which, made, refused):
        post = self.vendor.open_posts[which % len(self.vendor.open_posts)]
        fate = made if refused is None or post.task is not None else refused
        self.vendor.answer(post, fate)
        if fate == "wrong task":
            self.confused |= {post.job, next(iter(self.vendor.tasks.values())).job}
        self.do(asyncio.sleep(0))

    @precondition(lambda self: self.vendor.open_posts)
    @rule()
    def vendor_accepts_all(self):
        for post in self.vendor.open_posts:
            self.vendor.answer(post, "accepted")
        self.do(asyncio.sleep(0))

    @precondition(lambda self: self.vendor.tasks)
    @rule()
    def vendor_finishes_all(self):
        for task in self.vendor.tasks.values():
            task.state = "succeeded"

    @precondition(lambda self: self.vendor.tasks)
    @rule(
        which=PICK, state=st.sampled_from(["running", "succeeded", "failed"]), credits=st.sampled_from([None, 0, 1, 5])
    )
    def vendor_says(self, which, state, credits):
        """A task ends, and perhaps changes its mind."""
        task = list(self.vendor.tasks.values())[which % len(self.vendor.tasks)]
        task.state, task.credits = state, credits

    @precondition(lambda self: self.vendor.tasks)
    @rule(which=PICK)
    def vendor_loses_sight(self, which):
        task = list(self.vendor.tasks.values())[which % len(self.vendor.tasks)]
        task.visible = not task.visible

    @precondition(lambda self: self.vendor.tasks)
    @rule(pick=PICK, which=PICK, digest=st.sampled_from(["1", "2"]))
    def callback(self, pick, which, digest):
        """Late, early, twice, in any order: of the job that the task was made for."""
        task = list(self.vendor.tasks.values())[which % len(self.vendor.tasks)]
        self.deliver(self.process(pick), task.job, task.id, digest)

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, which=PICK, other=PICK)
    def forged_callback(self, pick, which, other):
        """Somebody saw an address, and names a task that is not this job's."""
        job = self.jobs[which % len(self.jobs)]
        strangers = [task.id for task in self.vendor.tasks.values() if task.job != job] or ["task-of-nobody"]
        self.deliver(self.process(pick), job, strangers[other % len(strangers)], "forged")

    def deliver(self, process, job, task, digest):
        async def delivered():
            runner = process.runner
            if await runner.ledger.receive(runner.account, job, task, digest) != "unknown":
                await runner.recovery.look_into_callbacks(job)

        self.do(delivered())

    # --- people -------------------------------------------------------------------------------

    @precondition(lambda self: self.job(0, "unknown"))
    @rule(pick=PICK, which=PICK, sent=st.booleans())
    def person_decides(self, pick, which, sent):
        """Rightly or wrongly."""
        job = self.job(which, "unknown")
        self.decided.add(job)
        self.do(self.process(pick).runner.ledger.change(self.entry(job), abandoned if sent else not_submitted))

    @precondition(lambda self: self.job(0, "unknown", "not_submitted", "abandoned"))
    @rule(pick=PICK, which=PICK)
    def person_adopts(self, pick, which):
        """The task that the vendor's list shows for the job."""
        job = self.job(which, "unknown", "not_submitted", "abandoned")
        made = [task.id for task in self.vendor.tasks.values() if task.job == job]
        if made:
            self.do(adopt(self.process(pick).runner.ledger, self.entry(job), made[which % len(made)], "by hand"))

    @precondition(lambda self: self.jobs)
    @rule(pick=PICK, which=PICK)
    def person_cancels(self, pick, which):
        ledger, entry = self.process(pick).runner.ledger, self.entry(self.jobs[which % len(self.jobs)])
        if entry is not None:
            self.do(ledger.change(entry, lambda one, now: cancelled(one, "by hand", now)))

    @precondition(lambda self: self.job(0, *ENDED))
    @rule(pick=PICK, which=PICK)
    def person_asks_again(self, pick, which):
        """The same key and the same inputs: nothing new where anything may have been bought."""
        job = self.job(which, *ENDED)
        entry = self.entry(job)
        fresh = attrs.evolve(entry, state="queued", revision=0, task_id=None, reserved=0, spent=0, outcome=None)
        self.do(self.process(pick).runner.add(fresh))
        if entry.state == "not_submitted" and self.entry(job).state != entry.state:
            self.resubmits[job] += 1

    @precondition(lambda self: self.jobs)
    @rule()
    def person_opens_the_gates(self):
        async def opened():
            for gate in await self.reader.gates():
                await self.reader.open_gate(gate.name)

        self.do(opened())

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def nothing_is_bought_twice(self):
        """A create that was not refused is the only one, unless a person had the job sent again."""
        sent = Counter(post.job for post in self.vendor.posts if not post.refused)
        made = Counter(task.job for task in self.vendor.tasks.values())
        for job in self.jobs:
            assert made[job] <= sent[job] <= 1 + self.resubmits[job]

    @invariant()
    def every_task_has_its_job(self):
        """Adopted; or its job is listed as unknown or still waits for the answer; or a conflict was written down."""
        rows = {entry.id: entry for entry in self.rows()}
        for task in self.vendor.tasks.values():
            entry = rows[task.job]
            if entry.task_id == task.id or entry.state in ("submitting", "unknown"):
                continue
            if entry.id in self.decided | self.confused:
                continue
            notes = [event.note for event in self.read(self.reader.events(entry.id))]
            assert any(task.id in note for note in notes), f"{task} is lost: {entry.state} {entry.task_id} {notes}"

    @invariant()
    def the_books_are_true(self):
        """Every row is what its history says, the sums are those of the rows, the limit holds."""
        rows = self.rows()
        for entry in rows:
            events = self.read(self.reader.events(entry.id))
            for event in events[self.seen.get(entry.id, 0) :]:
                self.follow(entry, event)
            self.seen[entry.id] = len(events)
            last = events[-1]
            assert (last.state, last.reserved, last.spent) == (entry.state, entry.reserved, entry.spent)
            assert entry.reserved >= 0
            assert entry.reserved == (entry.plan.price if entry.state in ("submitting", "unknown", "running") else 0)
        sums = (sum(entry.spent for entry in rows), sum(entry.reserved for entry in rows))
        balances = {one.scope: one for one in self.read(self.reader.balances())}
        assert [(one.spent, one.reserved) for one in balances.values()] == [sums] * len(balances)
        if SCOPE in balances:
            assert sum(sums) <= CAP + self.beyond.total()

    def follow(self, entry, event):
        assert event.state == event.was or event.state in STEPS[event.was], f"{event.was} -> {event.state}"
        if event.state == "queued" and event.was in ENDED:
            assert entry.task_id is None or event.was != "succeeded"
        price, more = entry.plan.price, max(0, event.spent - entry.plan.price)
        if event.state == "running" and event.was in ("queued", "leased", "cancelled", "not_submitted"):
            more = price  # it was bought after all, with nothing reserved for it
        self.beyond[entry.id] = max(more, self.beyond[entry.id])

    def teardown(self):
        """Whatever happened: when all callbacks came, every task is with its job, and nothing hangs."""
        try:
            if self.processes:
                self.finish()
        finally:
            self.clear_away()

    def carry_out(self, work, write):
        """One transaction, at once: no other comes between."""
        return self.file._shared().submit(work, write=write).result()

    def clear_away(self):
        for _ in range(20):
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            self.loop.run_until_complete(self.settle())
        assert not asyncio.all_tasks(self.loop)
        self.loop.run_until_complete(self.file.close())
        self.loop.close()

    def finish(self):
        for process in list(self.processes.values()):
            process.stop()
        self.gone += self.processes.values()
        self.processes.clear()
        self.start()
        (last,) = self.processes.values()
        for task in self.vendor.tasks.values():
            task.visible, task.state = True, "succeeded"
            self.deliver(last, task.job, task.id, "last")
        rows = {entry.id: entry for entry in self.rows()}
        assert not [entry for entry in rows.values() if entry.state in ("leased", "submitting")]
        made = {task.job for task in self.vendor.tasks.values()} - self.confused
        assert not [entry for entry in rows.values() if entry.state == "unknown" and entry.id in made]
        self.confused.clear()  # by now it was noticed
        self.nothing_is_bought_twice()
        self.every_task_has_its_job()
        self.the_books_are_true()


@pytest.fixture(autouse=True)
def _processes_of_this_world(install, monkeypatch):
    install("kie-machine", {"machine": "kie_machine_test"}, {"kie_machine_test": PLUGIN})
    monkeypatch.setattr(Machine, "dispatcher", load_dispatcher(load_settings({"plugins": ["machine"]}, environ={})))
    monkeypatch.setattr("kie_core._ledger.ledger.here", played_here)
    monkeypatch.setattr("kie_core._ledger.ledger.alive", played_alive)


@pytest.mark.timeout(900)
def test_whatever_happens_nothing_is_bought_twice_and_no_task_is_lost(caplog):
    """Jobs, processes that stop, a vendor that loses and repeats, forgers, and people who err."""
    caplog.set_level(logging.CRITICAL + 1, "kie_core")
    run_state_machine_as_test(Machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=60))


# --- orders of events that were found ----------------------------------------------------------


@pytest.fixture
def machine():
    made = Machine()
    made.begin()
    yield made
    made.clear_away()


def test_a_process_that_slept_while_it_put_a_job_back_does_not_put_back_what_another_sent(machine):
    """Its look at the job is old by then; what may be on the wire stays where it is."""
    machine.enqueue(pick=0, price=30)
    sleeper, other = machine.processes.values()
    lease = machine.do(sleeper.runner.ledger.claim(machine.entry("job-0"), interval=0.5, most=9)).result()
    sleeper.steps_left = 1
    machine.do(sleeper.runner._released(lease.id, "its caller was cancelled"))
    machine.time_passes(seconds=70.0)
    machine.do(other.runner.recovery.take_over())
    machine.do(other.runner.advance("job-0"))
    assert machine.entry("job-0").state == "submitting"

    sleeper.going.set()
    machine.do(asyncio.sleep(0))

    assert machine.entry("job-0").state == "submitting"
    machine.nothing_is_bought_twice()
    machine.the_books_are_true()


@pytest.mark.parametrize("failures", [1, 9])
def test_a_ledger_that_fails_before_the_intent_leaves_no_job_behind(machine, failures):
    """It was leased already: it goes back by itself, or at the next look when the ledger works again."""
    machine.enqueue(pick=0, price=30)
    process = machine.process(0)
    carry_out, writes = machine.carry_out, []

    def failing(work, write):
        writes.extend([write] if write else [])
        if write and 1 < len(writes) < 2 + failures:
            raise LedgerError("played", "others hold it", "try again", "busy")
        return carry_out(work, write)

    machine.carry_out = failing
    assert isinstance(machine.do(process.runner.advance("job-0")).exception(), LedgerError)
    writes += [True] * 9
    for _ in range(2):
        machine.time_passes(seconds=3.0)
        machine.do(process.runner.advance("job-0"))

    assert machine.entry("job-0").state == "submitting"
    assert len(machine.vendor.posts) == 1


@pytest.mark.parametrize(("fate", "state"), [("not sent", "cancelled"), ("422", "failed"), ("answer lost", "unknown")])
def test_what_the_ledger_did_not_take_is_booked_once_when_it_does(machine, fate, state):
    """Until then the job stays as it is booked, whatever its caller does meanwhile."""
    machine.submit(pick=0, price=30, seconds=0.0)
    process = machine.process(0)
    process.refused_writes = 4
    machine.vendor.answer(machine.vendor.open_posts[0], fate)
    machine.do(asyncio.sleep(0))
    assert machine.entry("job-0").state == "submitting"
    machine.the_books_are_true()

    machine.do(process.runner.recovery.take_over())

    assert machine.entry("job-0").state == state
    machine.the_books_are_true()
