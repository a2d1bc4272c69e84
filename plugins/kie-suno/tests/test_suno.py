"""Suno V4: requests as Kie documents them, answers as Kie gives them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_suno
from kie_core import Artifact, InvalidJob, Outcome, ReadFailed, RecordMissing, failure
from kie_core.testing import check_plugin, make_job

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
REQUESTS = {name: body for name, body in EXAMPLES["create"]["examples"].items() if name.startswith("request")}
ANSWERS = EXAMPLES["query"]["examples"]

WORDS = "[Verse]\nThe cage went down at six\n[Chorus]\nBring up the sun"
CUSTOM = {
    "custom_mode": True,
    "style": "americana, harmonica",
    "title": "Six O Clock Cage",
    "negative_tags": "edm",
    "vocal_gender": "m",
    "style_weight": 0.6,
    "weirdness_constraint": 0.25,
}
#: Name of a documented request -> our inputs.
REBUILT = {
    "request": {"prompt": "slow harmonica tune about a closed mine"},
    "request_custom": {"prompt": WORDS, **CUSTOM},
}

SONGS = ("https://cdn.example.com/suno/cage-1.mp3", "https://cdn.example.com/suno/cage-2.mp3")
COVERS = ("https://cdn.example.com/suno/cage-1.jpeg", "https://cdn.example.com/suno/cage-2.jpeg")


def build(inputs, wire="dedicated"):
    return kie_suno.build_payload(make_job("suno-v4", inputs, wire=wire))


def read(answer, wire="dedicated"):
    return kie_suno.parse_result(make_job("suno-v4", {"prompt": "a song"}, wire=wire), answer)


def answer(**changes):
    """The documented success with some members of its data changed."""
    documented = ANSWERS["succeeded"]
    return {**documented, "data": {**documented["data"], **changes}}


def endpoint(inputs, wire="dedicated"):
    return kie_suno.endpoint_for(make_job("suno-v4", inputs, wire=wire))


# --- the plugin as a whole ------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers."""
    check_plugin(kie_suno, "suno")


@pytest.mark.parametrize(
    ("wire", "create", "query"),
    [
        ("dedicated", "/api/v1/generate", "/api/v1/generate/record-info"),
        ("jobs", "/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo"),
    ],
)
def test_where_a_job_goes(wire, create, query):
    """Each wire has the paths of its page and asks by ``taskId``."""
    found = endpoint({"prompt": "a song"}, wire)

    assert (found.create, found.query, found.task_param) == (create, query, "taskId")


@pytest.mark.parametrize(("wire", "required"), [("dedicated", True), ("jobs", False)])
def test_who_insists_on_a_callback(wire, required):
    """The dedicated call was refused with 422 without ``callBackUrl``; createTask does without."""
    found = endpoint({"prompt": "a song"}, wire)

    assert (found.callback_field, found.callback_required) == ("callBackUrl", required)


def test_the_dedicated_wire_is_the_default():
    """Newer pages call V4 discontinued on createTask."""
    assert list(kie_suno.ENDPOINTS) == ["dedicated", "jobs"]


def test_the_jobs_wire_warns_that_v4_may_be_gone():
    """Every buyer on createTask learns it before paying."""
    assert any("V4" in note and "discontinued" in note for note in endpoint({"prompt": "a song"}, "jobs").notes)


# --- requests -------------------------------------------------------------------------


@pytest.mark.parametrize("name", REQUESTS)
def test_documented_requests_are_reproduced(name):
    """Every request on Kie's page can be had from the contract's inputs.

    Except for the engine, which is V4 here, and ``duration``, which only V5_5 obeys.
    """
    documented = {key: value for key, value in REQUESTS[name].items() if key not in ("callBackUrl", "duration")}

    assert build(REBUILT[name]) == {**documented, "model": "V4"}


def test_lyrics_travel_in_the_prompt_of_the_dedicated_wire():
    """There, custom mode sings the prompt as written: lyrics take its place."""
    documented = {
        key: value for key, value in REQUESTS["request_custom"].items() if key not in ("callBackUrl", "duration")
    }

    assert build({"prompt": "a song about a mine", "lyrics": WORDS, **CUSTOM}) == {**documented, "model": "V4"}


def test_a_prompt_alone_on_the_dedicated_wire():
    """Kie requires mode, instrumental and engine: all three are always sent."""
    assert build({"prompt": "a slow tune"}) == {
        "prompt": "a slow tune",
        "customMode": False,
        "instrumental": False,
        "model": "V4",
    }


def test_a_prompt_alone_on_the_jobs_wire():
    """The engine is an input of its own inside ``input``."""
    assert build({"prompt": "a slow tune"}, "jobs") == {
        "model": "ai-music-api/generate",
        "input": {"prompt": "a slow tune", "custom_mode": False, "instrumental": False, "model": "V4"},
    }


EVERYTHING = {"prompt": "a mine", "lyrics": WORDS, "audio_weight": 0.5, "persona_id": "p-1", **CUSTOM}


def test_every_input_on_the_dedicated_wire():
    """The names are Kie's, in camel case."""
    assert build(EVERYTHING) == {
        "prompt": WORDS,
        "customMode": True,
        "instrumental": False,
        "model": "V4",
        "style": "americana, harmonica",
        "title": "Six O Clock Cage",
        "negativeTags": "edm",
        "vocalGender": "m",
        "styleWeight": 0.6,
        "weirdnessConstraint": 0.25,
        "audioWeight": 0.5,
        "personaId": "p-1",
    }


def test_every_input_on_the_jobs_wire():
    """The words have a field of their own; they no longer travel in ``prompt``."""
    assert build(EVERYTHING, "jobs") == {
        "model": "ai-music-api/generate",
        "input": {
            "lyrics": WORDS,
            "custom_mode": True,
            "instrumental": False,
            "model": "V4",
            "style": "americana, harmonica",
            "title": "Six O Clock Cage",
            "negative_tags": "edm",
            "vocal_gender": "m",
            "style_weight": 0.6,
            "weirdness_constraint": 0.25,
            "audio_weight": 0.5,
            "persona_id": "p-1",
        },
    }


def test_a_sung_prompt_becomes_lyrics_on_the_jobs_wire():
    """Without lyrics the prompt of custom mode is sung, on either wire."""
    assert build({"prompt": WORDS, "custom_mode": True, "style": "folk", "title": "Cage"}, "jobs")["input"] == {
        "lyrics": WORDS,
        "custom_mode": True,
        "instrumental": False,
        "model": "V4",
        "style": "folk",
        "title": "Cage",
    }


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
def test_the_prompt_of_a_custom_instrumental_stays_a_prompt(wire):
    """Nothing is sung, so there are no lyrics."""
    built = build(
        {"prompt": "calm", "custom_mode": True, "make_instrumental": True, "style": "folk", "title": "Cage"}, wire
    )
    fields = built.get("input", built)

    assert fields["prompt"] == "calm"
    assert "lyrics" not in fields


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("instrumental", [True, False])
def test_make_instrumental_is_always_sent(wire, instrumental):
    """Under Kie's name, ``instrumental``, on both wires."""
    built = build({"prompt": "a tune", "make_instrumental": instrumental}, wire)

    assert built.get("input", built)["instrumental"] is instrumental


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
def test_the_length_is_dropped_and_said_to_be(wire):
    """Suno V4 obeys no length: the contract's ``duration_seconds`` is not sent under any name."""
    inputs = {"prompt": "a tune", "duration_seconds": 60}
    built = build(inputs, wire)

    assert set(endpoint(inputs, wire).drops) == {"duration_seconds"}
    assert not {"duration", "duration_seconds"} & {*built, *built.get("input", {})}


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
def test_a_prompt_beside_lyrics_is_said_to_be_dropped(wire):
    """The caller gave two texts and one is sung."""
    assert "prompt" in endpoint(EVERYTHING, wire).drops


@pytest.mark.parametrize(
    ("name", "value"), [("prompt", "la" * 101), ("duration_seconds", 121), ("vocal_gender", "x"), ("model", "V5")]
)
def test_the_limits_of_the_contract(name, value):
    """A prompt has 200 characters at most, a length 120 seconds; there is no choice of engine."""
    with pytest.raises(InvalidJob, match=name):
        make_job("suno-v4", {"prompt": "a tune", name: value})


@pytest.mark.parametrize("name", ["style", "title"])
def test_custom_mode_needs_style_and_title(name):
    """Kie's rule; Kie may bill a call that breaks it."""
    inputs = {"prompt": "a tune", "custom_mode": True, "style": "folk", "title": "Cage"}

    with pytest.raises(InvalidJob, match=name):
        make_job("suno-v4", {**inputs, name: None})


@pytest.mark.parametrize("name", ["style", "title", "lyrics", "negative_tags", "persona_id"])
def test_custom_inputs_without_custom_mode_are_refused(name):
    """Kie would ignore them silently."""
    with pytest.raises(InvalidJob, match=name):
        make_job("suno-v4", {"prompt": "a tune", name: "folk"})


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (451, "Failed to fetch the audio"),
        (500, "prompt is required"),
        (500, "prompt cannot be empty"),
        (500, "This interface is temporarily paused"),
        (500, "Credits insufficient"),
    ],
)
def test_which_errors_mean_that_no_task_was_made(code, message):
    """Codes that would leave the money in doubt otherwise."""
    assert any(known == code and part.casefold() in message.casefold() for known, part in kie_suno.refused())


# --- answers --------------------------------------------------------------------------


def test_a_running_task():
    """The word PENDING."""
    assert read(ANSWERS["running"]) == Outcome("running")


def test_lyrics_are_ready_but_no_song():
    """An empty ``audioUrl`` is a song that is still being made; a stream is not a file. The words are there, once."""
    words = Artifact("text", text="[Verse]\nThe cage went down at six", role="lyrics", lifetime=None)

    assert read(ANSWERS["partial_text"]) == Outcome("partial", (words,))


def test_the_first_song_is_ready():
    """It can be had now, with its cover; the second is still being made."""
    assert read(ANSWERS["partial_first"]) == Outcome(
        "partial", (Artifact("audio", SONGS[0]), Artifact("image", COVERS[0], role="cover"))
    )


def test_a_succeeded_task():
    """Two songs, then their covers: the songs come first, because they were bought."""
    assert read(ANSWERS["succeeded"]) == Outcome(
        "succeeded",
        (
            *(Artifact("audio", url) for url in SONGS),
            *(Artifact("image", url, role="cover") for url in COVERS),
        ),
    )


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("failed", 400, "lyrics refused"), ("failed_copyright", 413, "upload matches a known work")],
)
def test_a_failed_task(name, code, message):
    """With Kie's code as text and Kie's words."""
    assert read(ANSWERS[name]) == Outcome("failed", error=failure(code, message))


def test_an_unknown_task():
    """Code 200 without data: no such record, now."""
    with pytest.raises(RecordMissing):
        read(ANSWERS["unknown_task"])


def test_every_documented_answer_has_a_test():
    """An example that is added to the file needs a test here."""
    assert set(ANSWERS) == {
        "running",
        "partial_text",
        "partial_first",
        "succeeded",
        "failed",
        "failed_copyright",
        "unknown_task",
    }


@pytest.mark.parametrize(
    "word", ["CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED", "SENSITIVE_WORD_ERROR", "CALLBACK_EXCEPTION"]
)
def test_the_words_of_failure(word):
    """Each ends the task; without a message of Kie's, its word stands for one."""
    outcome = read(answer(status=word, response=None, errorCode=None, errorMessage=None))

    assert (outcome.state, outcome.error.code, outcome.error.message) == ("failed", None, word)


def test_a_lost_callback_does_not_lose_the_songs():
    """CALLBACK_EXCEPTION is about the delivery: where the songs are there, the task succeeded."""
    outcome = read(answer(status="CALLBACK_EXCEPTION"))

    assert (outcome.state, outcome.urls[:2], outcome.error) == ("succeeded", SONGS, None)


def test_a_lost_callback_with_nothing_but_lyrics_is_a_failure():
    """A record with empty ``audioUrl`` holds no result."""
    outcome = read(answer(status="CALLBACK_EXCEPTION", response=ANSWERS["partial_text"]["data"]["response"]))

    assert (outcome.state, outcome.urls) == ("failed", ())


@pytest.mark.parametrize("word", ["GENERATING", "success", None, 1])
def test_an_unknown_status_is_no_end(word):
    """A word that Kie has not documented keeps the task running, and is reported."""
    outcome = read(answer(status=word))

    assert outcome.state == "running"
    assert repr(word) in outcome.remark


@pytest.mark.parametrize("response", [None, {}, {"sunoData": None}, {"sunoData": []}])
def test_a_success_without_songs_is_a_success_with_nothing(response):
    """Nothing is made up."""
    assert read(answer(response=response)) == Outcome("succeeded")


def test_a_song_without_cover():
    """An empty picture is none."""
    track = {"id": "1", "audioUrl": SONGS[0], "imageUrl": ""}

    assert read(answer(response={"sunoData": [track]})) == Outcome("succeeded", (Artifact("audio", SONGS[0]),))


def test_the_copy_at_the_source_is_not_another_song():
    """``sourceAudioUrl`` came up in recordings, outside the schema, and is not Kie's file."""
    assert not [url for url in read(ANSWERS["succeeded"]).urls if url.startswith("https://src.")]


@pytest.mark.parametrize("param", ['{"prompt":"x"}', {"prompt": "x"}])
def test_the_echo_of_the_request_is_not_read(param):
    """It came as JSON text and, once, as an object."""
    assert read(answer(param=param)).state == "succeeded"


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
    """There the songs are in ``response.data``, in snake case."""
    track = {
        "id": "9d0c1b2a-0000-4000-8000-000000000001",
        "audio_url": "https://files.example.com/out/s.mp3",
        "stream_audio_url": "https://files.example.com/out/s-stream",
        "image_url": "https://files.example.com/out/s.jpeg",
        "title": "Example",
        "duration": 61.2,
    }
    body = {"code": 200, "msg": "success", "data": {"taskId": "a1", "state": "success", "response": {"data": [track]}}}

    assert read(body, "jobs") == Outcome(
        "succeeded",
        (
            Artifact("audio", "https://files.example.com/out/s.mp3"),
            Artifact("image", "https://files.example.com/out/s.jpeg", role="cover"),
        ),
    )
