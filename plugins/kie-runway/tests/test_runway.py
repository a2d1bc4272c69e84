"""Runway: requests as Kie documents them, answers as Kie gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_runway
from kie_core import Artifact, InvalidJob, Outcome, ReadFailed, RecordMissing, failure
from kie_core.testing import check_plugin, make_job

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
REQUESTS = {name: body for name, body in EXAMPLES["create"]["examples"].items() if name.startswith("request")}
ANSWERS = EXAMPLES["query"]["examples"]

IMAGE = "https://img.example.com/in/portrait.png"
VIDEO = Artifact("video", "https://cdn.example.com/rw/fox.mp4")
COVER = Artifact("image", "https://cdn.example.com/rw/fox.png", role="cover")


def build(inputs, wire="dedicated"):
    return kie_runway.build_payload(make_job("runway-gen3-turbo", {"image_url": IMAGE, **inputs}, wire=wire))


def read(answer, wire="dedicated"):
    return kie_runway.parse_result(make_job("runway-gen3-turbo", {"image_url": IMAGE}, wire=wire), answer)


def answer(**changes):
    """The documented success with some members of its data changed."""
    documented = ANSWERS["succeeded"]
    return {**documented, "data": {**documented["data"], **changes}}


# --- the plugin as a whole ------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers."""
    check_plugin(kie_runway, "runway")


@pytest.mark.parametrize(
    ("wire", "create", "query"),
    [
        ("dedicated", "/api/v1/runway/generate", "/api/v1/runway/record-detail"),
        ("jobs", "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"),
    ],
)
def test_where_a_job_goes(wire, create, query):
    """Each wire has the paths of its page: ``record-detail`` here, not ``record-info`` as with the sisters."""
    found = kie_runway.endpoint_for(make_job("runway-gen3-turbo", {"image_url": IMAGE}, wire=wire))

    assert (found.create, found.query) == (create, query)
    assert (found.task_param, found.callback_field, found.callback_required) == ("taskId", "callBackUrl", False)


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
def test_no_input_is_lost(wire):
    """Every input of the contract has a field at Kie."""
    assert not kie_runway.endpoint_for(make_job("runway-gen3-turbo", {"image_url": IMAGE}, wire=wire)).drops


# --- requests -------------------------------------------------------------------------


def test_the_documented_request_with_an_image():
    """Reproduced from the contract's inputs as it is."""
    inputs = {"prompt": "she turns and waves", "image_url": IMAGE, "duration": 10, "quality": "720p"}

    assert build(inputs) == REQUESTS["request_image"]


def test_the_documented_request_without_an_image():
    """The contract always has an image; with one, Kie ignores ``aspectRatio``, so it is not sent."""
    documented = {key: value for key, value in REQUESTS["request"].items() if key not in ("callBackUrl", "aspectRatio")}
    inputs = {
        "prompt": "clay fox trots through tall grass, handheld camera",
        "duration": 5,
        "quality": "1080p",
        "watermark": "",
    }

    assert build(inputs) == {**documented, "imageUrl": IMAGE}


def test_every_documented_request_has_a_test():
    """An example that is added to the file needs a test here."""
    assert set(REQUESTS) == {"request", "request_image"}


def test_the_least_inputs_on_the_dedicated_wire():
    """Kie requires length and quality: the contract's 5 seconds and the cheaper 720p are sent."""
    assert build({"prompt": "she waves"}) == {
        "prompt": "she waves",
        "imageUrl": IMAGE,
        "duration": 5,
        "quality": "720p",
    }


def test_the_least_inputs_on_the_jobs_wire():
    """The same inputs in snake case, inside ``input``."""
    assert build({"prompt": "she waves"}, "jobs") == {
        "model": "runway",
        "input": {"prompt": "she waves", "image_url": IMAGE, "duration": 5, "quality": "720p"},
    }


EVERYTHING = {"prompt": "she waves", "duration": 5, "quality": "1080p", "watermark": "fox.example"}


def test_every_input_on_the_dedicated_wire():
    """``waterMark`` with a capital M is Kie's spelling here; there is no model field."""
    assert build(EVERYTHING) == {
        "prompt": "she waves",
        "imageUrl": IMAGE,
        "duration": 5,
        "quality": "1080p",
        "waterMark": "fox.example",
    }


def test_every_input_on_the_jobs_wire():
    """There it is ``watermark``."""
    assert build(EVERYTHING, "jobs") == {
        "model": "runway",
        "input": {
            "prompt": "she waves",
            "image_url": IMAGE,
            "duration": 5,
            "quality": "1080p",
            "watermark": "fox.example",
        },
    }


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("seconds", [5, 10])
def test_both_lengths_go_with_720p(wire, seconds):
    """Kie takes no text for a number here."""
    built = build({"prompt": "she waves", "duration": seconds}, wire)
    fields = built.get("input", built)

    assert (fields["duration"], fields["quality"]) == (seconds, "720p")


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("prompt", [None, ""])
def test_a_missing_prompt_is_refused(prompt, wire):
    """Optional in the contract, required at Kie: nothing is made up for it."""
    with pytest.raises(InvalidJob, match="prompt"):
        build({"prompt": prompt}, wire)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"image_url": None, "prompt": "a fox"}, "image_url"),
        ({"prompt": "x" * 1801}, "prompt"),
        ({"duration": 8}, "duration"),
        ({"duration": 10, "quality": "1080p"}, "quality"),
        ({"prompt": "a fox", "aspect_ratio": "16:9"}, "aspect_ratio"),
    ],
)
def test_the_limits_of_the_contract_and_of_kie(inputs, name):
    """An image is needed; 1800 characters; 5 or 10 seconds; 1080p for 5 only."""
    with pytest.raises(InvalidJob, match=name):
        build(inputs)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (451, "imageUrl could not be fetched"),
        (500, "prompt is required"),
        (500, "prompt cannot be empty"),
        (500, "This interface is temporarily paused"),
        (500, "Credits insufficient"),
    ],
)
def test_which_errors_mean_that_no_task_was_made(code, message):
    """Codes that would leave the money in doubt otherwise."""
    assert any(known == code and part.casefold() in message.casefold() for known, part in kie_runway.refused())


# --- answers --------------------------------------------------------------------------


def test_a_running_task():
    """The word generating."""
    assert read(ANSWERS["running"]) == Outcome("running")


def test_a_succeeded_task():
    """The video, then its cover."""
    assert read(ANSWERS["succeeded"]) == Outcome("succeeded", (VIDEO, COVER))


def test_a_failed_task():
    """With Kie's code as text and Kie's words."""
    assert read(ANSWERS["failed"]) == Outcome("failed", error=failure(400, "prompt refused by the moderator"))


def test_an_expired_task():
    """The record still says success and names a file, but the file is gone."""
    outcome = read(ANSWERS["expired"])

    assert (outcome.state, outcome.artifacts) == ("expired", ())
    assert outcome.finished


def test_an_unknown_task():
    """Code 200 without data: no such record, now."""
    with pytest.raises(RecordMissing):
        read(ANSWERS["unknown_task"])


def test_every_documented_answer_has_a_test():
    """An example that is added to the file needs a test here."""
    assert set(ANSWERS) == {"running", "succeeded", "failed", "expired", "unknown_task"}


@pytest.mark.parametrize("word", ["wait", "queueing"])
def test_a_waiting_task(word):
    """Kie has not begun yet."""
    assert read(answer(state=word, videoInfo=None)) == Outcome("queued")


@pytest.mark.parametrize("word", ["queuing", "waiting", "SUCCESS", None, 1])
def test_an_unknown_state_is_no_end(word):
    """A word that this page does not document keeps the task running, and is reported."""
    outcome = read(answer(state=word))

    assert outcome.state == "running"
    assert repr(word) in outcome.remark


def test_a_failure_without_words_still_has_a_message():
    """``failMsg`` may be empty, ``failCode`` null."""
    outcome = read(answer(state="fail", videoInfo=None))

    assert (outcome.state, outcome.error.code) == ("failed", None)
    assert outcome.error.message


@pytest.mark.parametrize("made", [None, {}, {"videoUrl": "", "imageUrl": ""}])
def test_a_success_without_video_is_a_success_with_nothing(made):
    """Empty text is no address."""
    assert read(answer(videoInfo=made)) == Outcome("succeeded")


def test_a_cover_alone_is_no_result():
    """The video was bought; its picture without it must not look like the goods."""
    assert read(answer(videoInfo={"videoUrl": "", "imageUrl": COVER.url})).artifacts == ()


def test_a_video_without_cover():
    """The picture may be missing."""
    assert read(answer(videoInfo={"videoUrl": VIDEO.url, "imageUrl": ""})).artifacts == (VIDEO,)


@pytest.mark.parametrize("code", [404, 422])
def test_records_that_are_gone(code):
    """The core waits a while for these: a task may be too young to be known."""
    with pytest.raises(RecordMissing):
        read({"code": code, "msg": "record is null", "data": None})


@pytest.mark.parametrize("code", [451, 500])
def test_an_error_of_the_query_says_nothing_about_the_task(code):
    """It is asked again; a paid task is not given up for it."""
    with pytest.raises(ReadFailed) as caught:
        read({"code": code, "msg": "server exception", "data": None})

    assert not isinstance(caught.value, RecordMissing)


def test_an_answer_on_the_jobs_wire():
    """The jobs API has states of its own and its result in JSON text."""
    body = {
        "code": 200,
        "msg": "success",
        "data": {
            "taskId": "a1b2",
            "model": "runway",
            "state": "success",
            "resultJson": '{"resultUrls":["https://files.example.com/out/fox.mp4"]}',
        },
    }

    assert read(body, "jobs") == Outcome("succeeded", (Artifact("video", "https://files.example.com/out/fox.mp4"),))
