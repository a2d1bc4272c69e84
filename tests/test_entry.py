"""The steps of a job: what is never bought twice, never lost, and never changes again."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kie_core._jobs.outcome import Artifact, Failure, Outcome, SavedFile
from kie_core._ledger.entry import (
    ENDED,
    INVISIBLE_SECONDS,
    RESULTLESS_SECONDS,
    STATES,
    Entry,
    Inputs,
    Missing,
    Plan,
    Unreadable,
    WrongStep,
    abandoned,
    accepted,
    cancelled,
    faded,
    fingerprint,
    leased,
    not_submitted,
    orphaned,
    read,
    refused,
    requeued,
    saved,
    submitting,
    unknown,
    waiting,
)

NOW = 1_000_000.0
PLAN = Plan(
    model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
    task_param="taskId", callback_field=None, contract=None, credits=None, wire_price=100, unit="video",
    kopecks_per_credit="0.5", limits=(), seconds=7200.0,
)  # fmt: skip
QUEUED = Entry(id="job-1", account="account-1", plan=PLAN, inputs=None, fingerprint="f" * 64)
LEASED = leased(QUEUED, "owner-1", NOW)
SUBMITTING = submitting(LEASED, NOW)
UNKNOWN = unknown(SUBMITTING, "no answer")
RUNNING = accepted(SUBMITTING, "task-1", NOW)
PICTURE = Artifact("image", "https://files.example.com/1.png")
SUCCESS = Outcome("succeeded", (PICTURE,))
FAILURE = Outcome("failed", error=Failure("bad picture", "400"))


# --- single steps --------------------------------------------------------------------------

STEPS = {
    "leased": lambda entry: leased(entry, "owner-1", NOW),
    "waiting": lambda entry: waiting(entry, "later", NOW + 5),
    "submitting": lambda entry: submitting(entry, NOW),
    "accepted": lambda entry: accepted(entry, "task-2", NOW),
    "refused": lambda entry: refused(entry, Failure("no"), NOW),
    "unknown": lambda entry: unknown(entry, "no answer"),
    "cancelled": lambda entry: cancelled(entry, "by hand", NOW),
    "requeued": requeued,
    "not_submitted": lambda entry: not_submitted(entry, NOW),
    "abandoned": lambda entry: abandoned(entry, NOW),
    "faded": faded,
}
FROM = {
    "leased": {"queued"},
    "waiting": {"queued", "leased", "submitting"},
    "submitting": {"leased"},
    "accepted": {"submitting", "unknown", "not_submitted", "abandoned", "queued", "leased", "cancelled", "failed"},
    "refused": {"submitting", "leased", "queued"},
    "unknown": {"submitting"},
    "cancelled": {"queued", "leased"},
    "requeued": {"failed", "cancelled", "not_submitted"},
    "not_submitted": {"unknown"},
    "abandoned": {"unknown"},
    "faded": {"succeeded"},
}
EXAMPLES = {
    "queued": QUEUED,
    "leased": LEASED,
    "submitting": SUBMITTING,
    "unknown": UNKNOWN,
    "running": RUNNING,
    "succeeded": read(RUNNING, SUCCESS, NOW),
    "failed": refused(SUBMITTING, Failure("no"), NOW),
    "expired": read(RUNNING, Outcome("expired"), NOW),
    "cancelled": cancelled(QUEUED, "by hand", NOW),
    "not_submitted": not_submitted(UNKNOWN, NOW),
    "abandoned": abandoned(UNKNOWN, NOW),
}


def test_there_is_an_example_of_every_state():
    """So that the next test leaves none out."""
    assert {state: entry.state for state, entry in EXAMPLES.items()} == {state: state for state in STATES}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_leads_from_its_states_only(step, state):
    """Everything else is a `WrongStep` that names the job."""
    if state in FROM[step]:
        STEPS[step](EXAMPLES[state])
    else:
        with pytest.raises(WrongStep, match="job-1"):
            STEPS[step](EXAMPLES[state])


def test_a_failed_task_is_not_asked_for_again():
    """It was bought."""
    with pytest.raises(WrongStep):
        requeued(read(RUNNING, FAILURE, NOW))


def test_the_same_task_twice_is_no_news():
    """Answer and callback both name it."""
    assert accepted(RUNNING, "task-1", NOW + 9) is RUNNING
    with pytest.raises(WrongStep):
        accepted(RUNNING, "task-2", NOW + 9)


def test_only_creates_that_left_count_as_attempts():
    """A place that was given back is none."""
    assert waiting(LEASED, "later").attempts == 0
    assert waiting(SUBMITTING, "later").attempts == 1


def test_a_job_that_is_asked_for_again_starts_anew():
    """Nothing of its first life decides how long the second may take."""
    again = requeued(not_submitted(UNKNOWN, NOW))

    assert (again.submitted_at, again.deadline, again.finished_at) == (None, None, None)
    assert accepted(again, "task-9", NOW + 99_999).deadline == NOW + 99_999 + PLAN.seconds


def test_a_dead_process_leaves_three_kinds_of_jobs():
    """On its way: unknown. Kept: queued. Waited for: cancelled."""
    assert orphaned(SUBMITTING, NOW).state == "unknown"
    assert orphaned(attrs.evolve(LEASED, kept=True), NOW).state == "queued"
    assert orphaned(LEASED, NOW).state == "cancelled"


@pytest.mark.parametrize(
    ("entry", "reserved", "spent"),
    [
        (LEASED, 0, 0),
        (SUBMITTING, 100, 0),
        (UNKNOWN, 100, 0),
        (RUNNING, 100, 0),
        (waiting(SUBMITTING, "later"), 0, 0),
        (refused(SUBMITTING, Failure("no"), NOW), 0, 0),
        (not_submitted(UNKNOWN, NOW), 0, 0),
        (abandoned(UNKNOWN, NOW), 0, 100),
        (accepted(abandoned(UNKNOWN, NOW), "task-1", NOW), 100, 0),
        (accepted(not_submitted(UNKNOWN, NOW), "task-1", NOW), 100, 0),
        (read(RUNNING, SUCCESS, NOW), 0, 100),
        (read(RUNNING, attrs.evolve(SUCCESS, credits=33.0), NOW), 0, 17),
        (read(RUNNING, attrs.evolve(SUCCESS, credits=0), NOW), 0, 0),
    ],
)
def test_what_is_reserved_and_spent(entry, reserved, spent):
    """The intent reserves, the end books what Kie reports, rounded up."""
    assert (entry.reserved, entry.spent) == (reserved, spent)


@pytest.mark.parametrize("credits", [None, True, -1, float("nan"), float("inf"), 1e300, "7"])
def test_an_absurd_report_of_credits_is_no_price(credits):
    """What was reserved counts."""
    assert read(RUNNING, attrs.evolve(SUCCESS, credits=credits), NOW).spent == 100


# --- reading -------------------------------------------------------------------------------


def test_the_first_end_counts():
    """A failure after a success is not believed."""
    ended = read(RUNNING, SUCCESS, NOW)

    assert read(ended, FAILURE, NOW + 1).state == "succeeded"
    assert read(ended, Outcome("running"), NOW + 1) == ended


@pytest.mark.parametrize("first", [FAILURE, Outcome("expired")])
def test_a_success_after_all_is_believed(first):
    """The result is there, and what it cost."""
    ended = read(RUNNING, first, NOW)

    later = read(ended, attrs.evolve(SUCCESS, credits=33.0), NOW + 9)

    assert (later.state, later.outcome.urls, later.spent, later.finished_at) == ("succeeded", SUCCESS.urls, 17, NOW + 9)


def test_the_result_that_was_seen_first_stays():
    """A second success does not replace it, and an empty one does not touch it."""
    ended = read(RUNNING, SUCCESS, NOW)

    assert read(ended, Outcome("succeeded", (Artifact("image", "https://x.example"),)), NOW + 1) == ended
    assert read(ended, Outcome("succeeded"), NOW + 1) == ended


def test_a_success_without_result_is_asked_again_for_a_minute():
    """Then it is one, and a result that comes later is taken in."""
    entry = read(RUNNING, Outcome("succeeded"), NOW)
    assert entry.state == "running"
    assert read(entry, Outcome("succeeded"), NOW + RESULTLESS_SECONDS - 1).state == "running"

    ended = read(entry, Outcome("succeeded"), NOW + RESULTLESS_SECONDS)

    assert (ended.state, ended.unsaved) == ("succeeded", True)
    assert read(ended, Outcome("succeeded"), NOW + 999) == ended
    assert read(ended, SUCCESS, NOW + 999).outcome.urls == SUCCESS.urls


def missing(entry, *times):
    for seconds in times:
        entry = read(entry, Missing("no record"), NOW + seconds)
    return entry


def test_a_task_that_stays_missing_is_gone():
    """After a while, and several answers, in a row; one sight of it starts anew. What it costs is booked."""
    entry = missing(RUNNING, 0, 20, 40, 60)
    assert missing(entry, INVISIBLE_SECONDS - 1).state == "running"
    for seen in (Outcome("running"), None):
        assert missing(read(entry, seen, NOW + 61), INVISIBLE_SECONDS).state == "running"

    gone = missing(entry, INVISIBLE_SECONDS)

    assert (gone.state, gone.spent, gone.reserved) == ("expired", 100, 0)
    assert gone.may_return


def test_a_clock_that_jumps_makes_no_task_missing():
    """Two answers are no row, however far apart the clock says they are."""
    assert missing(RUNNING, 0, 86400).state == "running"


def test_nobody_waits_beyond_the_deadline():
    """When Kie says that it still runs."""
    assert read(RUNNING, Outcome("running"), NOW + PLAN.seconds - 1).state == "running"
    late = read(RUNNING, Outcome("running"), NOW + PLAN.seconds)

    assert late.state == "expired"
    assert late.may_return


@pytest.mark.parametrize("reading", [None, Unreadable("odd"), Missing("no record")])
def test_what_tells_nothing_ends_nothing(reading):
    """The first question after a night may meet a broken network; the task may be done for hours."""
    assert read(RUNNING, reading, NOW + 10 * PLAN.seconds).state == "running"


def test_a_result_that_is_not_named_yet_is_waited_for_by_no_clock_that_was_set():
    """It is paid: a jump of the clock does not end the wait."""
    entry = read(RUNNING, Outcome("succeeded"), NOW, NOW)

    assert read(entry, Outcome("succeeded"), NOW + 7200, NOW + 2).state == "running"
    assert read(entry, Outcome("succeeded"), NOW + 61, NOW + 61).state == "succeeded"


@pytest.mark.parametrize(("wall", "steady"), [(PLAN.seconds * 3, 60.0), (60.0, PLAN.seconds * 3)])
def test_a_clock_that_was_set_ends_nothing(wall, steady):
    """The earlier of two clocks counts: one may be set, the other may be another machine's."""
    assert read(RUNNING, Outcome("running"), NOW + wall, NOW + steady).state == "running"
    assert read(RUNNING, Outcome("running"), NOW + PLAN.seconds, NOW + PLAN.seconds).state == "expired"


def test_answers_that_cannot_be_read_are_counted_in_a_row():
    """One that can be read starts at nought."""
    entry = read(read(RUNNING, Unreadable("odd"), NOW), Unreadable("odd"), NOW)

    assert entry.unreadable == 2
    assert read(entry, Outcome("running"), NOW).unreadable == 0


@pytest.mark.parametrize("state", sorted(set(STATES) - {"running", "succeeded", "failed", "expired"}))
def test_what_has_no_task_is_not_read(state):
    """An answer about it says nothing."""
    assert read(EXAMPLES[state], SUCCESS, NOW) is EXAMPLES[state]


def test_what_kie_refused_has_no_task_to_read_of():
    """A success that somebody reads for it is another job's."""
    entry = EXAMPLES["failed"]

    assert read(entry, SUCCESS, NOW) is entry


def test_results_are_dated_by_our_clock():
    """Their address is good for so long after the end; one that has a date keeps it."""
    dated = read(RUNNING, SUCCESS, NOW).outcome.artifacts[0].expires_at

    assert dated.timestamp() == NOW + PICTURE.lifetime
    text = read(RUNNING, Outcome("succeeded", (Artifact("text", text="la", lifetime=None),)), NOW)
    assert text.outcome.artifacts[0].expires_at is None


def test_a_result_is_unsaved_until_every_file_lies_here():
    """Counted by number, so that one file twice is not two."""
    two = read(RUNNING, Outcome("succeeded", (PICTURE, PICTURE)), NOW)
    files = [SavedFile(n, Path("/x"), 1, "0", "png") for n in (1, 1, 2)]

    assert saved(two, files[:2]).unsaved
    assert not saved(two, files).unsaved
    assert not RUNNING.unsaved


# --- fingerprints --------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(max_size=5), VALUES, max_size=5), st.randoms())
def test_the_order_of_fields_does_not_matter(body, chance):
    """The same request has the same fingerprint."""
    items = list(body.items())
    chance.shuffle(items)

    assert fingerprint("m", "w", "/p", body) == fingerprint("m", "w", "/p", dict(items))


@pytest.mark.parametrize(
    "other",
    [
        ("n", "w", "/p", {"a": 1}),
        ("m", "v", "/p", {"a": 1}),
        ("m", "w", "/q", {"a": 1}),
        ("m", "w", "/p", {"a": 2}),
        ("m", "w", "/p", {"a": "1"}),
        ("m", "w", "/p", {"a": 1, "b": None}),
        ("m", "w", "/p", {"a": [1]}),
    ],
)
def test_another_request_has_another_fingerprint(other):
    """Model, wire, path and every value count."""
    assert fingerprint(*other) != fingerprint("m", "w", "/p", {"a": 1})


def test_inputs_show_what_they_are():
    """Equal inputs are equal, whatever mapping they came in."""
    assert Inputs(params={"a": 1}, given=("a",), body={}) == Inputs(params={"a": 1}, given=("a",), body={})


# --- any sequence of steps -----------------------------------------------------------------

READINGS = st.sampled_from(
    [None, Missing("no record"), Unreadable("odd"), Outcome("queued"), Outcome("running"), Outcome("partial", (PICTURE,)),
     Outcome("needs_input"), Outcome("succeeded"), SUCCESS, attrs.evolve(SUCCESS, credits=7.5), FAILURE,
     Outcome("expired")]
)  # fmt: skip


class Life(RuleBasedStateMachine):
    """One job, to which anything may happen in any order."""

    def __init__(self):
        super().__init__()
        self.entry = QUEUED
        self.now = NOW
        self.may_be_bought = False  # a create left, and nobody said that nothing was made of it
        self.tasks = set()

    def go(self, step, *args):
        """Take *step* if it leads on; a wrong one leaves everything as it is."""
        before = self.entry
        try:
            self.entry = step(before, *args)
        except WrongStep:
            return False
        if before.state == "succeeded":
            assert self.entry.state == "succeeded"
        return True

    @rule(seconds=st.sampled_from([0.0, 1.0, 30.0, 60.0, 90.0, 3600.0, 7200.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(owner=st.sampled_from(["owner-1", "owner-2"]))
    def lease(self, owner):
        self.go(leased, owner, self.now)

    @rule()
    def submit(self):
        if self.go(submitting, self.now):
            assert not self.may_be_bought, "a second create of what may have been bought"
            self.may_be_bought = True

    @rule()
    def kie_says_later(self):
        sent = self.entry.state == "submitting"
        if self.go(waiting, "later", self.now + 5) and sent:
            self.may_be_bought = False

    @rule()
    def kie_says_no(self):
        sent = self.entry.state == "submitting"
        if self.go(refused, Failure("no", "422"), self.now) and sent:
            self.may_be_bought = False

    @rule(task=st.sampled_from(["task-1", "task-2"]))
    def a_task_is_named(self, task):
        if self.go(accepted, task, self.now):
            self.may_be_bought = True
            self.tasks.add(task)

    @rule()
    def no_clear_answer(self):
        self.go(unknown, "no answer")

    @rule()
    def cancel(self):
        self.go(cancelled, "by hand", self.now)

    @rule(kept=st.booleans())
    @precondition(lambda self: self.entry.state in ("leased", "submitting"))
    def the_process_dies(self, kept):
        self.entry = attrs.evolve(self.entry, kept=kept)
        self.go(orphaned, self.now)

    @rule()
    def a_person_says_never_seen(self):
        if self.go(not_submitted, self.now):
            self.may_be_bought = False

    @rule()
    def a_person_gives_it_up(self):
        self.go(abandoned, self.now)

    @rule()
    def the_caller_asks_again(self):
        if self.go(requeued):
            assert not self.may_be_bought, "asked again for what may have been bought"

    @rule()
    def its_results_are_gone(self):
        if self.entry.state == "succeeded":
            self.entry = faded(self.entry)

    @rule(reading=READINGS)
    def an_answer_comes(self, reading):
        before = self.entry
        self.go(read, reading, self.now)
        if before.ended and self.entry.state != before.state:
            assert (before.state in ("failed", "expired"), self.entry.state) == (True, "succeeded")
        if before.state == "failed" and before.task_id is None:
            assert self.entry.task_id is None

    @invariant()
    def money_is_in_one_place(self):
        entry = self.entry
        assert entry.reserved >= 0
        assert entry.spent >= 0
        assert bool(entry.reserved) == (entry.state in ("submitting", "unknown", "running"))
        assert not entry.spent or entry.state in ("succeeded", "failed", "expired", "abandoned")

    @invariant()
    def what_may_be_bought_is_not_free(self):
        assert self.entry.bought == self.may_be_bought
        if self.may_be_bought:
            assert self.entry.state not in ("queued", "leased", "cancelled", "not_submitted")

    @invariant()
    def it_is_held_only_while_it_is_sent(self):
        entry = self.entry
        held = entry.state in ("leased", "submitting")
        assert entry.owner is not None if held else entry.owner is None or (entry.state == "queued" and not entry.kept)
        assert (entry.finished_at is not None) == (entry.state in ENDED)
        assert len(self.tasks) <= 1
        assert (entry.task_id is not None) == bool(self.tasks)


TestAnyLife = Life.TestCase
