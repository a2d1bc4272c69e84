"""Flux Kontext: requests as Kie documents them, answers as Kie gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_flux_kontext
from kie_core import Artifact, InvalidJob, Outcome, ReadFailed, RecordMissing
from kie_core.testing import check_plugin, make_job

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
REQUESTS = {name: body for name, body in EXAMPLES["create"]["examples"].items() if name.startswith("request")}
ANSWERS = EXAMPLES["query"]["examples"]

PIER = "https://img.example.com/in/pier.jpg"

#: Name of a documented request -> our inputs, and what differs on the wire and why.
REBUILT = {
    "request": (
        {
            "prompt": "isometric greenhouse full of cacti, soft morning light",
            "width": 1024,
            "height": 768,
            "output_format": "png",
            "model": "flux-kontext-max",
            "safety_tolerance": 4,
        },
        {},
    ),
    "request_edit": (
        {"prompt": "make the sky overcast", "input_image": PIER, "safety_tolerance": 2},
        {"model": "flux-kontext-pro", "outputFormat": "png"},  # sent always: Kie's own format default is jpeg
    ),
}


def build(inputs, wire="dedicated"):
    return kie_flux_kontext.build_payload(make_job("flux-kontext", inputs, wire=wire))


def read(answer, wire="dedicated"):
    return kie_flux_kontext.parse_result(make_job("flux-kontext", {"prompt": "a pier"}, wire=wire), answer)


def answer(**changes):
    """The documented success with some members of its data changed."""
    documented = ANSWERS["succeeded"]
    return {**documented, "data": {**documented["data"], **changes}}


def endpoint(wire="dedicated"):
    return kie_flux_kontext.endpoint_for(make_job("flux-kontext", {"prompt": "a pier"}, wire=wire))


def ratio(**size):
    return build({"prompt": "a pier", **size})["aspectRatio"]


# --- the plugin as a whole ------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers."""
    check_plugin(kie_flux_kontext, "flux-kontext")


@pytest.mark.parametrize(
    ("wire", "create", "query"),
    [
        ("dedicated", "/api/v1/flux/kontext/generate", "/api/v1/flux/kontext/record-info"),
        ("jobs", "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"),
    ],
)
def test_where_a_job_goes(wire, create, query):
    """Each wire has the paths of its page, asks by ``taskId`` and reports to ``callBackUrl``, which is optional."""
    found = endpoint(wire)

    assert (found.create, found.query) == (create, query)
    assert (found.task_param, found.callback_field, found.callback_required) == ("taskId", "callBackUrl", False)


def test_the_dedicated_wire_is_the_default():
    """Only the dedicated call lets a buyer choose the tier, and so the price."""
    assert list(kie_flux_kontext.ENDPOINTS) == ["dedicated", "jobs"]


# --- requests -------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_documented_requests_are_reproduced(name):
    """Every request on Kie's page can be had from the contract's inputs."""
    inputs, changes = REBUILT[name]
    documented = {key: value for key, value in REQUESTS[name].items() if key != "callBackUrl"}

    assert build(inputs) == {**documented, **changes}


def test_a_prompt_alone_on_the_dedicated_wire():
    """The contract means a square PNG of the cheaper tier; Kie's defaults are 16:9 and jpeg."""
    assert build({"prompt": "a pier"}) == {
        "prompt": "a pier",
        "model": "flux-kontext-pro",
        "aspectRatio": "1:1",
        "outputFormat": "png",
    }


def test_a_prompt_alone_on_the_jobs_wire():
    """The tier has no field there."""
    assert build({"prompt": "a pier"}, "jobs") == {
        "model": "flux1-kontext",
        "input": {"prompt": "a pier", "aspect_ratio": "1:1", "output_format": "png"},
    }


EVERYTHING = {
    "prompt": "a pier",
    "width": 1920,
    "height": 1080,
    "model": "flux-kontext-max",
    "input_image": PIER,
    "output_format": "jpeg",
    "enable_translation": False,
    "prompt_upsampling": True,
    "safety_tolerance": 0,
    "upload_cn": False,
    "watermark": "pier.example",
}


def test_every_input_on_the_dedicated_wire():
    """The names are Kie's, in camel case."""
    assert build(EVERYTHING) == {
        "prompt": "a pier",
        "model": "flux-kontext-max",
        "inputImage": PIER,
        "aspectRatio": "16:9",
        "outputFormat": "jpeg",
        "enableTranslation": False,
        "promptUpsampling": True,
        "safetyTolerance": 0,
        "uploadCn": False,
        "watermark": "pier.example",
    }


def test_every_input_on_the_jobs_wire():
    """Everything inside ``input`` is in snake case."""
    assert build(EVERYTHING, "jobs") == {
        "model": "flux1-kontext",
        "input": {
            "prompt": "a pier",
            "input_image": PIER,
            "aspect_ratio": "16:9",
            "output_format": "jpeg",
            "enable_translation": False,
            "prompt_upsampling": True,
            "safety_tolerance": 0,
            "upload_cn": False,
            "watermark": "pier.example",
        },
    }


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1024, 1024, "1:1"),
        (512, 512, "1:1"),
        (2048, 2048, "1:1"),
        (1100, 1024, "1:1"),
        (1024, 768, "4:3"),
        (1280, 1024, "4:3"),
        (768, 1024, "3:4"),
        (1024, 1280, "3:4"),
        (1920, 1080, "16:9"),
        (1792, 1024, "16:9"),
        (1080, 1920, "9:16"),
        (1024, 1792, "9:16"),
        (2016, 864, "21:9"),
        (2048, 512, "21:9"),  # wider than anything that Kie makes
        (512, 2048, "9:16"),  # taller than anything that Kie makes
    ],
)
def test_pixels_become_the_nearest_ratio(width, height, expected):
    """The shape survives; the number of pixels does not."""
    assert ratio(width=width, height=height) == expected


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ({"width": 2048}, "16:9"),
        ({"width": 1366}, "4:3"),
        ({"width": 768}, "3:4"),
        ({"width": 512}, "9:16"),
        ({"height": 2048}, "9:16"),
        ({"height": 1366}, "3:4"),
        ({"height": 768}, "4:3"),
        ({"height": 512}, "16:9"),
    ],
)
def test_one_side_alone(size, expected):
    """The other is the contract's default, 1024."""
    assert ratio(**size) == expected


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
def test_an_edit_keeps_the_shape_of_its_image(wire):
    """Kie keeps it only if the ratio is left out."""
    built = build({"prompt": "rain", "input_image": PIER}, wire)

    assert not {"aspectRatio", "aspect_ratio"} & {*built, *built.get("input", {})}


def test_an_edit_into_another_shape():
    """Who gives a size, means it."""
    assert build({"prompt": "rain", "input_image": PIER, "height": 1820})["aspectRatio"] == "9:16"


@pytest.mark.parametrize("model", ["flux-kontext-pro", "flux-kontext-max"])
def test_both_tiers(model):
    """The contract's own id is not a value that Kie takes."""
    assert build({"prompt": "a pier", "model": model})["model"] == model


@pytest.mark.parametrize(("wire", "lost"), [("dedicated", {"width", "height"}), ("jobs", {"width", "height", "model"})])
def test_what_a_wire_cannot_carry_is_named(wire, lost):
    """The caller is told that pixels do not reach Kie, nor, on createTask, the tier."""
    assert set(endpoint(wire).drops) == lost


def test_the_jobs_wire_warns_about_the_tier():
    """Every buyer on createTask learns that Kie chooses the tier, and so the price."""
    assert any("pro" in note and "max" in note and "price" in note for note in endpoint("jobs").notes)


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
def test_pixels_are_never_sent(wire):
    """Under any name."""
    built = build({"prompt": "a pier", "width": 640, "height": 960}, wire)

    assert not {"width", "height"} & {*built, *built.get("input", {})}


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({}, "prompt"),
        ({"prompt": "a pier", "width": 511}, "width"),
        ({"prompt": "a pier", "height": 2049}, "height"),
        ({"prompt": "a pier", "model": "flux-kontext"}, "model"),
        ({"prompt": "a pier", "safety_tolerance": 7}, "safety_tolerance"),
        ({"prompt": "a pier", "safety_tolerance": 3, "input_image": PIER}, "safety_tolerance"),
    ],
)
def test_the_limits_of_the_contract_and_of_kie(inputs, name):
    """512 to 2048 pixels a side; tolerance up to 6, but up to 2 for edits."""
    with pytest.raises(InvalidJob, match=name):
        make_job("flux-kontext", inputs)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (EXAMPLES["create"]["examples"]["error"]["code"], EXAMPLES["create"]["examples"]["error"]["msg"]),
        (500, "prompt is required"),
        (500, "prompt cannot be empty"),
        (500, "This interface is temporarily paused"),
        (500, "Credits insufficient"),
    ],
)
def test_which_server_errors_mean_that_no_task_was_made(code, message):
    """Kie answers a wrong tolerance with code 500, where the money is otherwise in doubt."""
    assert any(known == code and part.casefold() in message.casefold() for known, part in kie_flux_kontext.refused())


# --- answers --------------------------------------------------------------------------


def test_a_running_task():
    """Flag 0."""
    assert read(ANSWERS["running"]) == Outcome("running")


def test_a_succeeded_task():
    """The copy that Kie keeps; the upstream's, gone in ten minutes, is no second result."""
    outcome = read(ANSWERS["succeeded"])

    assert (outcome.state, outcome.artifacts) == (
        "succeeded",
        (Artifact("image", "https://cdn.example.com/flux/greenhouse.png"),),
    )


def test_a_failed_task():
    """Flag 3, with Kie's code as text and Kie's words."""
    outcome = read(ANSWERS["failed"])

    assert (outcome.state, outcome.artifacts, outcome.error.code, outcome.error.message) == (
        "failed",
        (),
        "501",
        "image task failed",
    )


def test_an_unknown_task():
    """Code 422 without data: no such record, now."""
    with pytest.raises(RecordMissing, match="The record does not exist"):
        read(ANSWERS["unknown_task"])


def test_every_documented_answer_has_a_test():
    """An example that is added to the file needs a test here."""
    assert set(ANSWERS) == {"running", "succeeded", "failed", "unknown_task"}


@pytest.mark.parametrize("flag", [2, 3])
def test_both_failure_flags_end_the_task(flag):
    """2: not created; 3: not generated."""
    outcome = read(answer(successFlag=flag, response=None, errorCode=500, errorMessage="no luck"))

    assert (outcome.state, outcome.error.code, outcome.error.message) == ("failed", "500", "no luck")


@pytest.mark.parametrize("flag", [4, -1, None, "done"])
def test_an_unknown_flag_is_no_end(flag):
    """A word that Kie has not documented keeps the task running, and is reported."""
    outcome = read(answer(successFlag=flag))

    assert outcome.state == "running"
    assert repr(flag) in outcome.remark


@pytest.mark.parametrize("kept", [None, ""])
def test_the_upstream_copy_is_better_than_nothing(kept):
    """Where Kie's own copy is missing; it lives for ten minutes."""
    url = "https://origin.example.com/x/greenhouse.png"

    assert read(answer(response={"resultImageUrl": kept, "originImageUrl": url})).artifacts == (
        Artifact("image", url, lifetime=600.0),
    )


@pytest.mark.parametrize("response", [None, {}, {"resultImageUrl": "", "originImageUrl": ""}])
def test_a_success_without_urls_is_a_success_with_nothing(response):
    """Empty text is no address."""
    outcome = read(answer(response=response))

    assert (outcome.state, outcome.artifacts) == ("succeeded", ())


def test_times_in_milliseconds():
    """What sister calls send in place of the documented text."""
    assert read(answer(createTime=1785999477000, completeTime=1785999506000)).seconds == 29.0


@pytest.mark.parametrize("code", [404, 422])
def test_records_that_are_gone(code):
    """The core waits a while for these: a task may be too young to be known."""
    with pytest.raises(RecordMissing):
        read({"code": code, "msg": "record is null", "data": None})


def test_an_error_of_the_query_says_nothing_about_the_task():
    """It is asked again; a paid task is not given up for it."""
    with pytest.raises(ReadFailed) as caught:
        read({"code": 500, "msg": "server exception", "data": None})

    assert not isinstance(caught.value, RecordMissing)


def test_an_answer_on_the_jobs_wire():
    """The jobs API has states of its own and its result in JSON text."""
    body = {
        "code": 200,
        "msg": "success",
        "data": {
            "taskId": "a1b2",
            "model": "flux1-kontext",
            "state": "success",
            "resultJson": '{"resultUrls":["https://files.example.com/out/pier.png"]}',
        },
    }

    assert read(body, "jobs") == Outcome("succeeded", (Artifact("image", "https://files.example.com/out/pier.png"),))
