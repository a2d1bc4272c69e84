"""GPT-4o images: requests as Kie documents them, answers as Kie gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_4o_image
from kie_core import Artifact, InvalidJob, Outcome, ReadFailed, RecordMissing, failure
from kie_core.testing import check_plugin, make_job

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
REQUESTS = {name: body for name, body in EXAMPLES["create"]["examples"].items() if name.startswith("request")}
ANSWERS = EXAMPLES["query"]["examples"]

#: Name of a documented request -> our inputs.
REBUILT = {
    "request": {"prompt": "paper-cut harbour at dusk, three small boats", "size": "1792x1024"},
    "request_edit": {
        "prompt": "put the lamp from the second picture on the desk of the first",
        "files_url": ["https://img.example.com/in/a.png", "https://img.example.com/in/b.png"],
    },
}


def build(inputs, wire="dedicated"):
    return kie_4o_image.build_payload(make_job("gpt-4o-image", inputs, wire=wire))


def read(answer, wire="dedicated"):
    return kie_4o_image.parse_result(make_job("gpt-4o-image", {"prompt": "a cat"}, wire=wire), answer)


def answer(**changes):
    """The documented success with some members of its data changed."""
    documented = ANSWERS["succeeded"]
    return {**documented, "data": {**documented["data"], **changes}}


def endpoint(inputs, wire="dedicated"):
    return kie_4o_image.endpoint_for(make_job("gpt-4o-image", inputs, wire=wire))


# --- the plugin as a whole ------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers."""
    check_plugin(kie_4o_image, "4o-image")


@pytest.mark.parametrize(
    ("wire", "create", "query"),
    [
        ("dedicated", "/api/v1/gpt4o-image/generate", "/api/v1/gpt4o-image/record-info"),
        ("jobs", "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"),
    ],
)
def test_where_a_job_goes(wire, create, query):
    """Each wire has the paths of its page, asks by ``taskId`` and reports to ``callBackUrl``, which is optional."""
    found = endpoint({"prompt": "a cat"}, wire)

    assert (found.create, found.query) == (create, query)
    assert (found.task_param, found.callback_field, found.callback_required) == ("taskId", "callBackUrl", False)


# --- requests -------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_documented_requests_are_reproduced(name):
    """Every request on Kie's page can be had from the contract's inputs."""
    documented = {key: value for key, value in REQUESTS[name].items() if key != "callBackUrl"}

    assert build(REBUILT[name]) == documented


def test_a_prompt_alone_on_the_dedicated_wire():
    """Kie requires a size: the contract's default square is sent."""
    assert build({"prompt": "a cute cat"}) == {"prompt": "a cute cat", "size": "1:1"}


def test_a_prompt_alone_on_the_jobs_wire():
    """The same two inputs, inside ``input``."""
    assert build({"prompt": "a cute cat"}, "jobs") == {
        "model": "4o-image-api",
        "input": {"prompt": "a cute cat", "size": "1:1"},
    }


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize(("pixels", "ratio"), [("1024x1024", "1:1"), ("1792x1024", "3:2"), ("1024x1792", "2:3")])
def test_pixels_become_the_nearest_ratio(pixels, ratio, wire):
    """Kie takes a ratio, not pixels, and knows three."""
    built = build({"prompt": "a cat", "size": pixels}, wire)

    assert built.get("input", built)["size"] == ratio


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("quality", ["standard", "hd"])
def test_quality_is_never_sent(quality, wire):
    """Kie has no such field, on either wire."""
    built = build({"prompt": "a cat", "quality": quality}, wire)

    assert built.get("input", built) == {"prompt": "a cat", "size": "1:1"}


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize(("quality", "warned"), [("standard", False), ("hd", True)])
def test_only_hd_is_worth_a_warning(quality, warned, wire):
    """What Kie makes is the standard; who asks for more learns that it is not sent."""
    assert ("quality" in endpoint({"prompt": "a cat", "quality": quality}, wire).drops) is warned


EDIT = {
    "prompt": "a red door",
    "files_url": ["https://img.example.com/in/a.png"],
    "mask_url": "https://img.example.com/in/mask.png",
    "is_enhance": True,
    "upload_cn": False,
    "enable_fallback": True,
    "fallback_model": "GPT_IMAGE_1",
    "n_variants": 2,
}


def test_every_input_on_the_dedicated_wire():
    """The names are Kie's, in camel case; later ones are documented no more, but were accepted."""
    assert build(EDIT) == {
        "prompt": "a red door",
        "filesUrl": ["https://img.example.com/in/a.png"],
        "maskUrl": "https://img.example.com/in/mask.png",
        "isEnhance": True,
        "uploadCn": False,
        "enableFallback": True,
        "fallbackModel": "GPT_IMAGE_1",
        "nVariants": 2,
        "size": "1:1",
    }


def test_every_input_on_the_jobs_wire():
    """There only prompt, files and size have a field."""
    assert build(EDIT, "jobs") == {
        "model": "4o-image-api",
        "input": {"prompt": "a red door", "files_url": ["https://img.example.com/in/a.png"], "size": "1:1"},
    }


@pytest.mark.parametrize(
    ("wire", "lost"),
    [
        ("dedicated", set()),
        ("jobs", {"mask_url", "is_enhance", "upload_cn", "enable_fallback", "fallback_model", "n_variants"}),
    ],
)
def test_what_a_wire_cannot_carry_is_named(wire, lost):
    """The caller is told which inputs do not reach Kie."""
    assert set(endpoint({"prompt": "a cat"}, wire).drops) == lost


def test_unset_inputs_are_not_sent():
    """An input that is None leaves the choice to Kie: its field is absent."""
    assert "filesUrl" not in build({"prompt": "a cat", "files_url": None})


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({}, "prompt"),
        ({"prompt": "a cat", "size": "3:2"}, "size"),
        ({"prompt": "a cat", "files_url": ["https://img.example.com/a.png"] * 6}, "files_url"),
        ({"prompt": "a cat", "mask_url": "https://img.example.com/m.png"}, "files_url"),
        ({"prompt": "a cat", "fallback_model": "FLUX_MAX"}, "enable_fallback"),
        ({"prompt": "a cat", "n_variants": 3}, "n_variants"),
    ],
)
def test_the_limits_of_the_contract_and_of_kie(inputs, name):
    """Pixels only; five images; a mask needs its image; a fallback has to be on."""
    with pytest.raises(InvalidJob, match=name):
        make_job("gpt-4o-image", inputs)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (550, "the queue is full"),
        (500, "prompt is required"),
        (500, "prompt cannot be empty"),
        (500, "This interface is temporarily paused"),
        (500, "Credits insufficient"),
    ],
)
def test_which_errors_mean_that_no_task_was_made(code, message):
    """Codes that would leave the money in doubt otherwise; 550 is a full queue."""
    assert any(known == code and part.casefold() in message.casefold() for known, part in kie_4o_image.refused())


# --- answers --------------------------------------------------------------------------


def test_a_running_task():
    """Flag 0; the progress is decimal text."""
    assert read(ANSWERS["running"]) == Outcome("running", progress=0.42)


def test_a_succeeded_task():
    """The image, and the time from Kie's milliseconds."""
    assert read(ANSWERS["succeeded"]) == Outcome(
        "succeeded", (Artifact("image", "https://cdn.example.com/4o/harbour-1.png"),), progress=1.0, seconds=75.0
    )


def test_a_failed_task():
    """Flag 3, with Kie's code as text and Kie's words."""
    assert read(ANSWERS["failed"]) == Outcome(
        "failed", error=failure(400, "refused by the content policy"), seconds=13.0
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
    outcome = read(answer(successFlag=flag, response=None, errorCode=451, errorMessage="image unreachable"))

    assert (outcome.state, outcome.error.code, outcome.error.message) == ("failed", "451", "image unreachable")


@pytest.mark.parametrize("flag", [4, -1, None, "done"])
def test_an_unknown_flag_is_no_end(flag):
    """A word that Kie has not documented keeps the task running, and is reported."""
    outcome = read(answer(successFlag=flag))

    assert outcome.state == "running"
    assert repr(flag) in outcome.remark


@pytest.mark.parametrize("name", ["resultUrls", "result_urls"])
def test_both_spellings_of_the_result(name):
    """The details page and the quickstart disagree."""
    outcome = read(answer(response={name: ["https://cdn.example.com/1.png", "https://cdn.example.com/2.png"]}))

    assert outcome.urls == ("https://cdn.example.com/1.png", "https://cdn.example.com/2.png")


def test_both_spellings_at_once_are_one_result():
    """No image is listed twice."""
    urls = ["https://cdn.example.com/1.png"]

    assert read(answer(response={"resultUrls": urls, "result_urls": urls})).urls == tuple(urls)


def test_a_list_as_json_text():
    """Seen with sister calls."""
    outcome = read(answer(response={"resultUrls": '["https://cdn.example.com/1.png"]'}))

    assert outcome.urls == ("https://cdn.example.com/1.png",)


@pytest.mark.parametrize("response", [None, {}, {"resultUrls": []}, {"resultUrls": None}])
def test_a_success_without_urls_is_a_success_with_nothing(response):
    """Nothing is made up."""
    outcome = read(answer(response=response))

    assert (outcome.state, outcome.artifacts) == ("succeeded", ())


@pytest.mark.parametrize("text", ["", "soon", None])
def test_progress_that_is_no_number_is_no_progress(text):
    """It is left out, and the task goes on."""
    outcome = read(answer(successFlag=0, progress=text, response=None))

    assert (outcome.state, outcome.progress) == ("running", None)


@pytest.mark.parametrize(("text", "share"), [("0.00", 0.0), ("1.00", 1.0), ("1.20", 1.0), ("-1", 0.0)])
def test_progress_is_a_share(text, share):
    """Documented as 0.00 to 1.00, and kept within that."""
    assert read(answer(successFlag=0, progress=text, response=None)).progress == share


@pytest.mark.parametrize("time", ["2026-08-06 10:00:00", None])
def test_times_that_are_not_milliseconds_do_no_harm(time):
    """The quickstart shows text; the outcome does not depend on it."""
    assert read(answer(createTime=time)).urls == ("https://cdn.example.com/4o/harbour-1.png",)


def test_the_status_word_may_be_absent():
    """The flag decides alone."""
    body = answer()
    del body["data"]["status"]

    assert read(body).state == "succeeded"


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
            "model": "4o-image-api",
            "state": "success",
            "resultJson": '{"resultUrls":["https://files.example.com/out/cat.png"]}',
        },
    }

    assert read(body, "jobs") == Outcome("succeeded", (Artifact("image", "https://files.example.com/out/cat.png"),))
