"""Records of the jobs API: every documented example, and the oddities."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from kie_core import Artifact, Failure, Outcome, ReadFailed, RecordMissing, jobs_outcome, urls_of
from kie_core._jobs.outcome import flag_outcome, seconds_between
from kie_core.testing import make_job

EXAMPLES = json.loads(Path(__file__).with_name("jobs_examples.json").read_text())
JOB = make_job("gpt-4o-image", {"prompt": "cat"}, wire="v4")


def read(data):
    return jobs_outcome(JOB, {"code": 200, "msg": "success", "data": data})


@pytest.mark.parametrize(
    ("name", "state", "urls"),
    [
        ("waiting", "queued", ()),
        ("generating_2026_09", "running", ()),
        ("success_2026_04", "succeeded", ("https://files.example.com/out/lantern.png",)),
        (
            "success_2026_09",
            "succeeded",
            ("https://files.example.com/out/kite.mp4", "https://files.example.com/out/kite-last.png"),
        ),
        ("fail", "failed", ()),
    ],
)
def test_documented_records(name, state, urls):
    """Each example of the vendor's pages has its state and its URLs."""
    outcome = jobs_outcome(JOB, EXAMPLES["query"][name])

    assert (outcome.state, outcome.urls) == (state, urls)


@pytest.mark.parametrize("reads", [jobs_outcome, lambda _, body: flag_outcome(body, lambda _: ())])
def test_a_record_that_goes_on_is_looked_at_and_not_read(reads):
    """Most answers of a job say only that: neither its dates nor its results are looked at."""

    class Record(dict):
        def get(self, name, default=None):
            assert name not in ("createTime", "completeTime", "resultJson", "response")
            return super().get(name, default)

    data = Record(state="generating", successFlag=0, createTime=1, completeTime=None, resultJson="", response=None)

    assert reads(JOB, {"code": 200, "data": data}) == Outcome("running")


def test_a_failure_has_code_and_text():
    """In Kie's own words."""
    assert jobs_outcome(JOB, EXAMPLES["query"]["fail"]).error == Failure(
        "Example: the input image could not be read.", "500"
    )


def test_times_and_credits_are_read():
    """What Kie charged, and how long it took by its own clock."""
    outcome = jobs_outcome(JOB, EXAMPLES["query"]["success_2026_09"])

    assert outcome.credits == 46.8
    assert outcome.seconds == pytest.approx(187.808)


def test_a_record_that_is_not_there_is_missing():
    """Right after createTask this is normal."""
    with pytest.raises(RecordMissing, match="recordInfo is null"):
        jobs_outcome(JOB, EXAMPLES["query"]["not_found"])


@pytest.mark.parametrize("shape", EXAMPLES["result_shapes"], ids=lambda shape: shape["for"])
def test_every_documented_result_shape_gives_something(shape):
    """URLs, tracks, texts, numbers: nothing that was paid is overlooked."""
    value = shape["value"]
    field = "response" if shape.get("field") == "data.response" else "resultJson"

    outcome = read({"state": "success", field: value if field == "response" else json.dumps(value)})

    found = {artifact.url or json.dumps(artifact.data) for artifact in outcome.artifacts}
    assert found
    for url in (
        "https://files.example.com/out/s.mp3",
        "https://files.example.com/out/v-wm.mp4",
        "https://files.example.com/out/v-last.png",
    ):
        assert (url in found) == (url in json.dumps(value))


def test_a_result_that_is_json_text_twice_is_read():
    """Double encoding occurs."""
    twice = json.dumps(json.dumps({"resultUrls": ["https://e.com/a.png"]}))

    assert read({"state": "success", "resultJson": twice}).urls == ("https://e.com/a.png",)


@pytest.mark.parametrize("text", ["", None, "{", "[]", "3", {"resultUrls": None}, '{"resultUrls": [null, 3, ""]}'])
def test_success_without_a_result_is_not_an_error(text):
    """The task succeeded; its result is not named yet."""
    assert read({"state": "success", "resultJson": text}) == Outcome("succeeded")


def test_an_unknown_state_is_running_and_named():
    """A new word of Kie's must not end the wait for a paid task."""
    outcome = read({"state": "polishing"})

    assert (outcome.state, outcome.remark) == ("running", "unknown state 'polishing'")


@pytest.mark.parametrize(
    "body", [{"code": 500, "msg": "Server exception"}, {"code": 200, "data": []}, {}, {"code": 501}]
)
def test_an_answer_that_tells_nothing_is_asked_again(body):
    """It is a failed question, not a failed task."""
    with pytest.raises(ReadFailed):
        jobs_outcome(JOB, body)


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        (["https://a", " ", None, "https://b"], ["https://a", "https://b"]),
        ("https://a", ["https://a"]),
        ('["https://a"]', ["https://a"]),
        ('["https://a', []),
        (None, []),
        (7, []),
    ],
)
def test_urls_come_as_list_text_or_json_text(value, urls):
    """All three occur."""
    assert urls_of(value) == urls


@pytest.mark.parametrize(
    ("start", "end", "seconds"),
    [(1000, 3500, 2.5), ("2026-01-01", 5, None), (5, None, None), (9, 5, None), (0, 10**13, None)],
)
def test_durations_are_believed_only_if_they_can_be_true(start, end, seconds):
    """Milliseconds in, seconds out, nonsense ignored."""
    assert seconds_between(start, end) == seconds


@pytest.mark.parametrize("more", [{}, {"url": "https://a", "text": "b"}])
def test_an_artifact_is_exactly_one_thing(more):
    """Neither nothing nor two."""
    with pytest.raises(ValueError, match="exactly one"):
        Artifact("image", **more)


def test_outcomes_are_values():
    """Equal when they say the same; that is how changes are seen."""
    assert attrs.evolve(Outcome("running"), progress=0.5) == Outcome("running", progress=0.5)
