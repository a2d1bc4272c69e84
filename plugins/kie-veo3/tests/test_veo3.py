"""Veo 3.1: requests as Kie documents them, answers as Kie gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_veo3
from kie_core import Artifact, InvalidJob, Outcome, ReadFailed, RecordMissing, failure
from kie_core.testing import check_plugin, make_job

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
REQUESTS = {name: body for name, body in EXAMPLES["create"]["examples"].items() if name.startswith("request")}
ANSWERS = EXAMPLES["query"]["examples"]

ROWS = json.loads(Path(kie_veo3.__file__).with_name("kie_models.json").read_text(encoding="utf-8"))["models"]
#: The tier that the contract lacks is a row of the plugin's.
TIERS = {row["model_id"]: row for row in ROWS if row["model_id"].startswith("veo3")}
IMAGES = ["https://img.example.com/in/door.png", "https://img.example.com/in/street.png"]

#: Name of a documented request -> our model and inputs, and what differs on the wire and why.
REBUILT = {
    "request": (
        "veo3_lite",
        {
            "prompt": "a kite drifting over salt flats, slow aerial shot",
            "generation_type": "TEXT_2_VIDEO",
            "aspect_ratio": "9:16",
            "duration_seconds": 4,
            "resolution": "720p",
        },
        {},
    ),
    "request_frames": (
        "veo3",
        {
            "prompt": "the door opens onto a snowy street",
            "image_urls": IMAGES,
            "generation_type": "FIRST_AND_LAST_FRAMES_2_VIDEO",
        },
        {"aspect_ratio": "16:9", "duration": 8},  # the contract's defaults, equal to Kie's, are always sent
    ),
}


def build(inputs, model="veo3", wire="dedicated"):
    return kie_veo3.build_payload(make_job(TIERS.get(model, model), inputs, wire=wire))


def read(answer, wire="dedicated"):
    return kie_veo3.parse_result(make_job("veo3", {"prompt": "a fox"}, wire=wire), answer)


def answer(**changes):
    """The documented success with some members of its data changed."""
    documented = ANSWERS["succeeded"]
    return {**documented, "data": {**documented["data"], **changes}}


# --- the plugin as a whole ------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers."""
    check_plugin(kie_veo3, "veo3")


@pytest.mark.parametrize(
    ("wire", "create", "query"),
    [
        ("dedicated", "/api/v1/veo/generate", "/api/v1/veo/record-info"),
        ("jobs", "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"),
    ],
)
def test_where_a_job_goes(wire, create, query):
    """Each wire has the paths of its page, asks by ``taskId`` and reports to ``callBackUrl``, which is optional."""
    endpoint = kie_veo3.endpoint_for(make_job("veo3", {"prompt": "a fox"}, wire=wire))

    assert (endpoint.create, endpoint.query) == (create, query)
    assert (endpoint.task_param, endpoint.callback_field, endpoint.callback_required) == (
        "taskId",
        "callBackUrl",
        False,
    )


def test_the_dedicated_wire_is_the_default():
    """Only the dedicated call lets a buyer choose the tier, and so the price."""
    assert list(kie_veo3.ENDPOINTS) == ["dedicated", "jobs"]


# --- requests -------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_documented_requests_are_reproduced(name):
    """Every request on Kie's page can be had, of every tier."""
    model, inputs, changes = REBUILT[name]
    documented = {key: value for key, value in REQUESTS[name].items() if key != "callBackUrl"}

    assert build(inputs, model) == {**documented, **changes}


@pytest.mark.parametrize("model", ["veo3", "veo3_fast", "veo3_lite"])
def test_a_prompt_alone_on_the_dedicated_wire(model):
    """The tier is always named, because Kie's default is another than the contract's."""
    assert build({"prompt": "a fox in the snow"}, model) == {
        "prompt": "a fox in the snow",
        "model": model,
        "aspect_ratio": "16:9",
        "duration": 8,
    }


@pytest.mark.parametrize("model", ["veo3", "veo3_fast"])
def test_a_prompt_alone_on_the_jobs_wire(model):
    """The universal call has one Veo model and no field for the tier."""
    assert build({"prompt": "a fox in the snow"}, model, "jobs") == {
        "model": "veo-3-1",
        "input": {"prompt": "a fox in the snow", "aspect_ratio": "16:9", "duration": 8},
    }


EVERYTHING = {
    "prompt": "a fox",
    "model": "veo3_fast",
    "aspect_ratio": "9:16",
    "duration_seconds": 8,
    "image_urls": IMAGES,
    "generation_type": "REFERENCE_2_VIDEO",
    "resolution": "1080p",
    "enable_translation": False,
    "watermark": "fox.example",
    "seeds": 12345,
}


def test_every_input_on_the_dedicated_wire():
    """The names are Kie's, in Kie's mixed case: ``aspect_ratio`` beside ``imageUrls``."""
    assert build(EVERYTHING, "veo3_fast") == {
        "prompt": "a fox",
        "model": "veo3_fast",
        "aspect_ratio": "9:16",
        "duration": 8,
        "imageUrls": IMAGES,
        "generationType": "REFERENCE_2_VIDEO",
        "resolution": "1080p",
        "enableTranslation": False,
        "watermark": "fox.example",
        "seeds": 12345,
    }


def test_every_input_on_the_jobs_wire():
    """Everything inside ``input`` is in snake case; the tier and the seed have no field."""
    assert build(EVERYTHING, "veo3_fast", "jobs") == {
        "model": "veo-3-1",
        "input": {
            "prompt": "a fox",
            "aspect_ratio": "9:16",
            "duration": 8,
            "image_urls": IMAGES,
            "generation_type": "REFERENCE_2_VIDEO",
            "resolution": "1080p",
            "enable_translation": False,
            "watermark": "fox.example",
        },
    }


def test_unset_inputs_are_not_sent():
    """An input that is None leaves the choice to Kie: its field is absent."""
    assert "imageUrls" not in build({"prompt": "a fox", "image_urls": None})


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("ratio", ["16:9", "9:16"])
def test_both_ratios_that_kie_makes_pass(wire, ratio):
    """The contract's value is Kie's value."""
    built = build({"prompt": "a fox", "aspect_ratio": ratio}, wire=wire)

    assert built.get("input", built)["aspect_ratio"] == ratio


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("model", ["veo3", "veo3_fast"])
def test_a_square_is_refused(model, wire):
    """The contract allows 1:1, Kie makes none: better no video than a wrong one."""
    with pytest.raises(InvalidJob, match=r"aspect_ratio.*'1:1'.*16:9.*9:16"):
        build({"prompt": "a fox", "aspect_ratio": "1:1"}, model, wire)


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("seconds", [4, 6, 8])
def test_the_lengths_that_kie_makes_pass(wire, seconds):
    """``duration_seconds`` travels as ``duration``, a number."""
    built = build({"prompt": "a fox", "duration_seconds": seconds}, wire=wire)

    assert built.get("input", built)["duration"] == seconds


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("seconds", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("model", ["veo3", "veo3_fast"])
def test_other_lengths_are_refused(model, seconds, wire):
    """The contract allows 1 to 8 seconds, Kie makes 4, 6 or 8."""
    with pytest.raises(InvalidJob, match=rf"duration_seconds.*{seconds}.*4.*6.*8"):
        build({"prompt": "a fox", "duration_seconds": seconds}, model, wire)


@pytest.mark.parametrize("seconds", [0, -8])
def test_no_length_at_all_is_refused(seconds):
    """The contract of veo3_fast names no minimum; Kie's list is the minimum."""
    with pytest.raises(InvalidJob, match="duration_seconds"):
        build({"prompt": "a fox", "duration_seconds": seconds}, "veo3_fast")


def test_a_long_prompt_passes_where_the_contract_sets_no_limit():
    """Kie documents no limit; the contract has one for veo3 alone."""
    text = "fox " * 500

    assert build({"prompt": text}, "veo3_fast")["prompt"] == text
    with pytest.raises(InvalidJob, match="prompt"):
        build({"prompt": text}, "veo3")


@pytest.mark.parametrize(("wire", "lost"), [("dedicated", set()), ("jobs", {"model", "seeds"})])
def test_what_a_wire_cannot_carry_is_named(wire, lost):
    """The caller is told which inputs do not reach Kie."""
    endpoint = kie_veo3.endpoint_for(make_job("veo3", {"prompt": "a fox"}, wire=wire))

    assert set(endpoint.drops) == lost


def test_the_jobs_wire_warns_about_the_tier():
    """Every buyer on createTask learns that Kie chooses the tier, and so the price."""
    endpoint = kie_veo3.endpoint_for(make_job("veo3", {"prompt": "a fox"}, wire="jobs"))

    assert any("tier" in note and "price" in note for note in endpoint.notes)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (500, "prompt is required"),
        (500, "prompt cannot be empty"),
        (500, "This interface is temporarily paused"),
        (500, "Credits insufficient"),
    ],
)
def test_which_server_errors_mean_that_no_task_was_made(code, message):
    """Recorded with code 500, where the money is otherwise in doubt."""
    assert any(known == code and part.casefold() in message.casefold() for known, part in kie_veo3.refused())


def test_a_plain_server_error_leaves_the_task_in_doubt():
    """A task may have been made; buying again could pay twice."""
    message = "server exception, please try again later"

    assert not any(known == 500 and part.casefold() in message for known, part in kie_veo3.refused())


# --- answers --------------------------------------------------------------------------


def test_a_running_task():
    """Flag 0."""
    assert read(ANSWERS["running"]) == Outcome("running")


def test_a_succeeded_task():
    """The videos, then what they were made from, and the time from Kie's milliseconds."""
    assert read(ANSWERS["succeeded"]) == Outcome(
        "succeeded",
        (
            Artifact("video", "https://cdn.example.com/veo/kite.mp4"),
            Artifact("video", "https://cdn.example.com/veo/kite-origin.mp4", role="origin"),
        ),
        seconds=134.0,
    )


def test_a_failed_task():
    """Flag 3, with Kie's code as text and Kie's words."""
    assert read(ANSWERS["failed"]) == Outcome("failed", error=failure(400, "prompt refused"), seconds=113.0)


def test_an_unknown_task():
    """Code 422 without data: no such record, now."""
    with pytest.raises(RecordMissing, match="Record not found"):
        read(ANSWERS["unknown_task"])


def test_every_documented_answer_has_a_test():
    """An example that is added to the file needs a test here."""
    assert set(ANSWERS) == {"running", "succeeded", "failed", "unknown_task"}


@pytest.mark.parametrize("flag", [2, 3])
def test_both_failure_flags_end_the_task(flag):
    """2: failed before the upstream finished; 3: created, but the generation failed."""
    outcome = read(answer(successFlag=flag, response=None, errorCode=501, errorMessage="generation failed"))

    assert (outcome.state, outcome.error.code, outcome.error.message) == ("failed", "501", "generation failed")


@pytest.mark.parametrize("flag", [4, -1, None, "done", [1]])
def test_an_unknown_flag_is_no_end(flag):
    """A word that Kie has not documented keeps the task running, and is reported."""
    outcome = read(answer(successFlag=flag))

    assert outcome.state == "running"
    assert repr(flag) in outcome.remark


def test_a_failure_without_words_still_has_a_message():
    """``errorMessage`` may be empty, ``errorCode`` null."""
    outcome = read(answer(successFlag=3, response=None, errorCode=None, errorMessage=""))

    assert outcome.error.code is None
    assert outcome.error.message


@pytest.mark.parametrize(
    "urls",
    [
        ["https://cdn.example.com/a.mp4", "https://cdn.example.com/b.mp4"],
        '["https://cdn.example.com/a.mp4", "https://cdn.example.com/b.mp4"]',
    ],
)
def test_result_urls_come_as_list_or_as_json_text(urls):
    """Pages disagree; both are read."""
    outcome = read(answer(response={"resultUrls": urls, "originUrls": None}))

    assert outcome.urls == ("https://cdn.example.com/a.mp4", "https://cdn.example.com/b.mp4")


def test_a_single_result_url_as_text():
    """One schema says that ``resultUrls`` is one text."""
    assert read(answer(response={"resultUrls": "https://cdn.example.com/a.mp4"})).urls == (
        "https://cdn.example.com/a.mp4",
    )


def test_the_whole_clip_is_told_from_the_new_part():
    """``fullResultUrls`` is not another result."""
    outcome = read(
        answer(
            response={
                "resultUrls": ["https://cdn.example.com/part.mp4"],
                "fullResultUrls": ["https://cdn.example.com/whole.mp4"],
            }
        )
    )

    assert [(artifact.role, artifact.url) for artifact in outcome.artifacts] == [
        ("result", "https://cdn.example.com/part.mp4"),
        ("whole", "https://cdn.example.com/whole.mp4"),
    ]


@pytest.mark.parametrize("response", [None, {}, {"resultUrls": None}])
def test_a_success_without_urls_is_a_success_with_nothing(response):
    """``resultUrls`` may be null: nothing is made up."""
    assert read(answer(response=response)) == Outcome("succeeded", seconds=134.0)


@pytest.mark.parametrize("time", ["2026-08-06 10:00:00", "2026-08-06T10:00:00Z", None])
def test_times_that_are_not_milliseconds_do_no_harm(time):
    """Older pages show text; the outcome does not depend on it."""
    assert read(answer(createTime=time)).urls[0] == "https://cdn.example.com/veo/kite.mp4"


def test_the_deprecated_fallback_flag_may_be_absent():
    """4K tasks lack it."""
    body = answer()
    del body["data"]["fallbackFlag"]

    assert read(body).state == "succeeded"


@pytest.mark.parametrize("code", [404, 422])
def test_records_that_are_gone(code):
    """The core waits a while for these: a task may be too young to be known."""
    with pytest.raises(RecordMissing):
        read({"code": code, "msg": "record is null", "data": None})


@pytest.mark.parametrize("code", [400, 451, 500])
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
            "model": "veo-3-1",
            "state": "success",
            "resultJson": '{"resultUrls":["https://files.example.com/out/kite.mp4"]}',
            "failCode": None,
            "failMsg": None,
            "createTime": 1790000100456,
            "completeTime": 1790000288264,
            "creditsConsumed": 60.0,
        },
    }

    assert read(body, "jobs") == Outcome(
        "succeeded",
        (Artifact("video", "https://files.example.com/out/kite.mp4"),),
        credits=60.0,
        seconds=187.808,
    )


@pytest.mark.parametrize(
    ("inputs", "credits"),
    [({}, 30), ({"resolution": "1080p"}, 35), ({"resolution": "4k", "duration_seconds": 4}, 150)],
)
def test_the_cheapest_tier_costs_what_its_page_says(inputs, credits):
    """By the resolution alone."""
    assert make_job(TIERS["veo3_lite"], {"prompt": "a fox", **inputs}).price.credits == credits


@pytest.mark.parametrize(
    ("inputs", "blamed"),
    [
        ({"duration_seconds": 5}, "duration_seconds"),
        ({"aspect_ratio": "1:1"}, "aspect_ratio"),
        ({"model": "veo3"}, "model"),
        ({"generation_type": "REFERENCE_2_VIDEO"}, "image_urls"),
        ({"generation_type": "REFERENCE_2_VIDEO", "image_urls": IMAGES, "duration_seconds": 4}, "duration_seconds"),
    ],
)
def test_the_cheapest_tier_keeps_the_rules_of_its_page(inputs, blamed):
    """Unlike the contract's, its row lists only what Kie makes."""
    with pytest.raises(InvalidJob) as caught:
        build({"prompt": "a fox", **inputs}, "veo3_lite")

    assert blamed in {fault.field for fault in caught.value.faults}
