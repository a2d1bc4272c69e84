"""The legacy ids: each becomes a request of the universal call, and every documented record is understood."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

import kie_legacy_v3
import kie_registry
from kie_core import Artifact, InvalidJob, Outcome, ReadFailed, RecordMissing, Settings, failure, load_dispatcher
from kie_core.testing import check_plugin, example_inputs, make_job

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
ANSWERS = EXAMPLES["query"]

ROWS = {row["model_id"]: row for row in json.loads(kie_registry.read(kie_registry.V3))["models"]}
#: The ids that can still be bought.
ON_OFFER = [name for name, row in ROWS.items() if row["status"] != "gone"]

PICTURE = "recraft-crisp-upscale-image-to-image"
VIDEO = "wan-26-video-to-video-50s-720p"
SONG = "suno-generate-music"

IMAGE_URL = "https://img.example.com/in/a.png"
AUDIO_URL = "https://img.example.com/in/a.mp3"
VIDEO_URL = "https://img.example.com/in/a.mp4"


def build(model, inputs):
    return kie_legacy_v3.build_payload(make_job(model, inputs, wire="jobs"))


def read(answer, model=PICTURE):
    inputs = {
        PICTURE: {"image": IMAGE_URL},
        VIDEO: {"prompt": "x", "video_urls": [VIDEO_URL]},
        SONG: {"custom_mode": False, "instrumental": False, "model": "V6", "prompt": "x"},
    }[model]
    return kie_legacy_v3.parse_result(make_job(model, inputs, wire="jobs"), answer)


def answer(name="success_2026_04", **changes):
    """A documented answer with some members of its data changed."""
    changed = copy.deepcopy(ANSWERS[name])
    changed["data"].update(changes)
    return changed


# --- the plugin as a whole ------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers, for all 210 ids."""
    check_plugin(kie_legacy_v3, "legacy-v3")


def test_where_a_job_goes():
    """There is one wire, the universal call; its callback is optional."""
    endpoint = kie_legacy_v3.endpoint_for(make_job(PICTURE, {"image": IMAGE_URL}, wire="jobs"))

    assert list(kie_legacy_v3.ENDPOINTS) == ["jobs"]
    assert (endpoint.create, endpoint.query) == ("/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo")
    assert (endpoint.task_param, endpoint.callback_field, endpoint.callback_required) == (
        "taskId",
        "callBackUrl",
        False,
    )


# --- requests -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "model", "inputs", "body"),
    [
        (
            "audio",
            "wan-22-a14b-turbo-api-speech-to-video-480p",
            {"audio_url": AUDIO_URL, "image_url": IMAGE_URL, "prompt": "she sings"},
            {
                "model": "wan/2-2-a14b-speech-to-video-turbo",
                "input": {
                    "resolution": "480p",
                    "audio_url": AUDIO_URL,
                    "image_url": IMAGE_URL,
                    "prompt": "she sings",
                },
            },
        ),
        (
            "image-to-image",
            "ideogram-v3-edit-image-to-image-turbo",
            {"image_url": IMAGE_URL, "mask_url": IMAGE_URL, "prompt": "a red door", "seed": 7},
            {
                "model": "ideogram/v3-edit",
                "input": {
                    "rendering_speed": "TURBO",
                    "image_url": IMAGE_URL,
                    "mask_url": IMAGE_URL,
                    "prompt": "a red door",
                    "seed": 7,
                },
            },
        ),
        (
            "image-to-video",
            "hailuo-02-image-to-video-standard-60s-512p",
            {"image_url": IMAGE_URL, "prompt": "waves"},
            {
                "model": "hailuo/02-image-to-video-standard",
                # length as text and a capital P: as this one model lists them
                "input": {"duration": "6", "resolution": "512P", "image_url": IMAGE_URL, "prompt": "waves"},
            },
        ),
        (
            "other",
            "wan-22-animate-22-animate-replace-10s-480p",
            {"image_url": IMAGE_URL, "video_url": VIDEO_URL},
            {
                "model": "wan/2-2-animate-replace",
                "input": {"resolution": "480p", "image_url": IMAGE_URL, "video_url": VIDEO_URL},
            },
        ),
        (
            "text-to-image",
            "black-forest-labs-flux-2-pro-text-to-image-10s-1k",
            {"prompt": "a lantern", "aspect_ratio": "16:9"},
            {
                "model": "flux-2/pro-text-to-image",
                "input": {"resolution": "1K", "prompt": "a lantern", "aspect_ratio": "16:9"},
            },
        ),
        (
            "text-to-video",
            "runway-text-to-video-100s-720p",
            {"prompt": "a fox", "aspect_ratio": "16:9"},
            {
                "model": "runway",
                "input": {"duration": 10, "quality": "720p", "prompt": "a fox", "aspect_ratio": "16:9"},
            },
        ),
        (
            "video-to-video",
            VIDEO,
            {"prompt": "make it snow", "video_urls": [VIDEO_URL]},
            {
                "model": "wan/2-6-video-to-video",
                "input": {
                    "duration": "5",
                    "resolution": "720p",
                    "prompt": "make it snow",
                    "video_urls": [VIDEO_URL],
                },
            },
        ),
    ],
)
def test_one_model_of_each_label(label, model, inputs, body):
    """The wire id, what the legacy id fixes, and the caller's inputs: nothing else is sent."""
    assert ROWS[model]["category"] == label
    assert build(model, inputs) == body


def test_the_labels_of_the_old_registry():
    """Seven, each with a test above."""
    assert {row["category"] for row in ROWS.values()} == {
        "audio",
        "image-to-image",
        "image-to-video",
        "other",
        "text-to-image",
        "text-to-video",
        "video-to-video",
    }


@pytest.fixture(scope="module")
def registry():
    return load_dispatcher(Settings()).plugins.registry


@pytest.mark.parametrize("name", ON_OFFER)
def test_every_id_on_offer_becomes_a_request(name, registry):
    """It names today's model and sends what the id itself fixes."""
    row = ROWS[name]
    inputs = example_inputs(registry.get(name))
    built = build(name, inputs)

    assert built["model"] == row["wire_model"]
    assert built["input"].items() >= {**inputs, **row["fixed_input"]}.items()


def test_how_many_ids_there_are():
    """210, of which 22 left the vendor's list."""
    assert (len(ROWS), len(ON_OFFER)) == (210, 188)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row["status"] == "gone"])
def test_an_id_that_is_gone_says_why(name):
    """The buyer reads the note in place of a receipt."""
    assert ROWS[name]["note"]


def test_what_the_id_fixes_cannot_be_given():
    """The price depends on it."""
    with pytest.raises(InvalidJob, match=r"resolution.*fixed"):
        build(VIDEO, {"prompt": "x", "video_urls": [VIDEO_URL], "resolution": "1080p"})


@pytest.mark.parametrize(
    "error",
    [error["body"]["msg"] for error in EXAMPLES["create"]["errors"] if error.get("body", {}).get("code") == 500]
    + ["This field is required", "text is required", "voiceId cannot be empty", "aspect_ratio is required"]
    + ["Credits insufficient"],
)
def test_which_server_errors_mean_that_no_task_was_made(error):
    """Recorded with code 500, where the money is otherwise in doubt."""
    assert any(code == 500 and part.casefold() in error.casefold() for code, part in kie_legacy_v3.refused())


def test_a_plain_server_error_leaves_the_task_in_doubt():
    """A task may have been made; buying again could pay twice."""
    assert not any(code == 500 and part.casefold() in "server exception" for code, part in kie_legacy_v3.refused())


# --- answers --------------------------------------------------------------------------


def test_a_waiting_task():
    """Accepted, not yet begun."""
    assert read(ANSWERS["waiting"]) == Outcome("queued")


def test_a_generating_task():
    """In the form of 2026-09."""
    assert read(ANSWERS["generating_2026_09"]).state == "running"


def test_a_success_of_2026_04():
    """The result is JSON text; the time is the difference of two instants in milliseconds."""
    assert read(ANSWERS["success_2026_04"]) == Outcome(
        "succeeded", (Artifact("image", "https://files.example.com/out/lantern.png"),), seconds=41.077
    )


def test_a_success_of_2026_09():
    """The result is there twice and counted once; the last frame is an image beside the video."""
    assert read(ANSWERS["success_2026_09"], VIDEO) == Outcome(
        "succeeded",
        (
            Artifact("video", "https://files.example.com/out/kite.mp4"),
            Artifact("image", "https://files.example.com/out/kite-last.png", role="last_frame"),
        ),
        credits=46.8,
        seconds=187.808,
    )


def test_a_failed_task():
    """With Kie's code, a text, and Kie's words."""
    assert read(ANSWERS["fail"]) == Outcome(
        "failed", error=failure("500", "Example: the input image could not be read."), seconds=9.0
    )


def test_an_unknown_task():
    """Also seen right after a create: the core is patient."""
    with pytest.raises(RecordMissing, match="recordInfo is null"):
        read(ANSWERS["not_found"])


def test_every_documented_answer_has_a_test():
    """An example that is added to the file needs a test here."""
    assert set(ANSWERS) == {
        "waiting",
        "generating_2026_09",
        "success_2026_04",
        "success_2026_09",
        "fail",
        "not_found",
    }


#: What ``result_shapes`` is for -> the legacy model that asks, and what it gets.
SHAPES = {
    "images, video, audio": (PICTURE, [Artifact("image", "https://files.example.com/out/a.png")]),
    "seedance 2 with return_last_frame": (
        VIDEO,
        [
            Artifact("video", "https://files.example.com/out/v.mp4"),
            Artifact("image", "https://files.example.com/out/v-last.png", role="last_frame"),
        ],
    ),
    "text or analysis": (PICTURE, [Artifact("data", data={"text": "example"})]),
    "omnihuman-1-5/subject-detection": (
        PICTURE,
        [
            Artifact("image", "https://files.example.com/out/mask-0.png", lifetime=3600.0),
            Artifact("data", data={"mask_urls": ["https://files.example.com/out/mask-0.png"]}),
        ],
    ),
    "omnihuman-1-5/human-identification": (PICTURE, [Artifact("data", data={"subject_status": 1})]),
    "sora 2 (removed)": (
        VIDEO,
        [
            Artifact("video", "https://files.example.com/out/v.mp4"),
            Artifact("video", "https://files.example.com/out/v-wm.mp4", role="watermarked"),
        ],
    ),
    "ai-music-api/*": (
        SONG,
        [
            Artifact("audio", "https://files.example.com/out/s.mp3"),
            Artifact("image", "https://files.example.com/out/s.jpeg", role="cover"),
        ],
    ),
    "ai-music-api/generate-lyrics": (
        PICTURE,
        [Artifact("data", data={"lyricsData": [{"title": "Example", "text": "[Verse] ..."}]})],
    ),
}


@pytest.mark.parametrize("shape", EXAMPLES["result_shapes"], ids=lambda shape: shape["for"])
def test_every_documented_shape_of_a_result(shape):
    """Files, frames, watermarked copies, songs with covers, and results that are no files."""
    model, artifacts = SHAPES[shape["for"]]
    if shape.get("field") == "data.response":
        result = {"resultJson": "", "response": shape["value"]}
    else:
        result = {"resultJson": json.dumps(shape["value"])}

    assert list(read(answer(**result), model).artifacts) == artifacts


def test_every_url_of_a_list_is_a_result():
    """Some models make several."""
    urls = [f"https://files.example.com/out/{number}.png" for number in range(6)]

    assert read(answer(resultJson=json.dumps({"resultUrls": urls}))).urls == tuple(urls)


def test_json_text_inside_json_text():
    """Encoded twice, as ``param`` is."""
    text = json.dumps(json.dumps({"resultUrls": ["https://files.example.com/out/a.png"]}))

    assert read(answer(resultJson=text)).urls == ("https://files.example.com/out/a.png",)


@pytest.mark.parametrize("text", ["", None, "{", "[]", "null", "7"])
def test_a_success_without_a_readable_result(text):
    """It is a success with nothing; nothing is made up."""
    outcome = read(answer(resultJson=text))

    assert (outcome.state, outcome.artifacts) == ("succeeded", ())


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("waiting", "queued"),
        ("queuing", "queued"),
        ("generating", "running"),
        ("success", "succeeded"),
        ("fail", "failed"),
    ],
)
def test_the_words_of_the_jobs_api(word, state):
    """Five states."""
    assert read(answer(state=word)).state == state


@pytest.mark.parametrize("word", ["queueing", "SUCCESS", "", None, 1])
def test_an_unknown_state_is_no_end(word):
    """It counts as running until the deadline, and is reported."""
    outcome = read(answer(state=word))

    assert outcome.state == "running"
    assert repr(word) in outcome.remark


@pytest.mark.parametrize("code", ["500", "501", "GENERATION_FAILED"])
def test_the_code_of_a_failure_is_text(code):
    """Numbers and words; the list is open."""
    assert read(answer("fail", failCode=code)).error.code == code


def test_a_failure_without_words_still_has_a_message():
    """``failCode`` and ``failMsg`` may be null or empty."""
    outcome = read(answer("fail", failCode=None, failMsg=""))

    assert outcome.error.code is None
    assert outcome.error.message


@pytest.mark.parametrize("name", ["creditsConsumed", "consumeCredits"])
def test_what_kie_says_it_charged(name):
    """Under today's name and that of 2025."""
    assert read(answer(**{name: 4.5})).credits == 4.5


def test_the_cost_time_is_not_trusted():
    """Documented in milliseconds, sent in seconds: the instants are used instead."""
    assert read(answer(costTime=99999999)).seconds == 41.077


def test_progress_in_percent():
    """Documented as 0 to 100 for one family."""
    assert read(answer("generating_2026_09", progress=42)).progress == 0.42


@pytest.mark.parametrize("code", [404, 422])
def test_records_that_are_gone(code):
    """Documented as 404, recorded as 422."""
    with pytest.raises(RecordMissing):
        read({"code": code, "msg": "recordInfo is null", "data": None})


@pytest.mark.parametrize("code", [400, 408, 433, 500])
def test_an_error_of_the_query_says_nothing_about_the_task(code):
    """It is asked again; a paid task is not given up for it."""
    with pytest.raises(ReadFailed) as caught:
        read({"code": code, "msg": "server exception", "data": None})

    assert not isinstance(caught.value, RecordMissing)
