"""What Suno does beside songs: what each operation sends, and what the answers of its page mean."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

import kie_suno
from kie_core import Artifact, InvalidJob, ReadFailed, RecordMissing
from kie_core.testing import make_job

PAGES = json.loads(Path(__file__).with_name("operations.json").read_text(encoding="utf-8"))["operations"]
MODELS = Path(kie_suno.__file__).with_name("kie_models.json")
ROWS = {row["model_id"]: row for row in json.loads(MODELS.read_text(encoding="utf-8"))["models"]}
#: Where the core puts it, and what a task's own inputs are called on the wire.
CALLBACKS = ("callBackUrl", "calBackUrl")
TASK, TRACK = "4c1d90ab73ee4f06b2a8d5e0c6f71a22", "8d3f6a2e-51c4-4b07-9e1a-2f7c60d4b8a9"
#: Other documented requests -> our inputs.
FURTHER = {
    ("suno-generate", "request_custom"): {
        "prompt": "[Verse]\nThe cage went down at six\n[Chorus]\nBring up the sun", "custom_mode": True,
        "instrumental": False, "style": "americana, harmonica", "title": "Six O Clock Cage", "model": "V5_5",
        "negative_tags": "edm", "vocal_gender": "m", "style_weight": 0.6, "weirdness_constraint": 0.25, "duration": 90,
    },
    ("suno-extend", "request_reuse"): {"audio_id": TRACK, "model": "V5"},
    ("suno-replace-section", "request_upload"): {
        "upload_url": "https://img.example.com/in/song.mp3", "model": "V5", "prompt": "lift the chorus",
        "tags": "americana", "title": "Song", "infill_start_s": 40, "infill_end_s": 52, "full_lyrics": "[Verse]\nwords",
    },
    ("suno-separate-vocals", "request_advanced"): {
        "task": TASK, "audio_id": TRACK, "type": "split_stem_advanced", "stem_name": "Upright Bass",
    },
    ("suno-separate-vocals", "request_upload"): {
        "audio_url": "https://img.example.com/in/song.mp3", "type": "separate_vocal",
    },
}  # fmt: skip
ANSWERS = [(model, name) for model, page in PAGES.items() for name in (page["query"] or {}).get("examples") or ()]
#: What an example's name says of its state.
MEANS = {
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "failed_copyright": "failed",
    "needs_user": "needs_input",
    "partial_text": "partial",
    "partial_first": "partial",
}


def job_of(model, inputs=None):
    return make_job(ROWS[model], ROWS[model]["example"] if inputs is None else inputs)


def read(model, answer):
    return kie_suno.parse_result(job_of(model), answer)


def sent(documented):
    return {name: value for name, value in documented.items() if name not in CALLBACKS}


def test_every_page_is_a_model_and_the_other_way_round():
    """No operation is left out."""
    assert ROWS.keys() == PAGES.keys() == kie_suno.operations.OPERATIONS.keys()


@pytest.mark.parametrize("model", PAGES)
def test_where_an_operation_goes(model):
    """Each has the paths of its page."""
    page, endpoint = PAGES[model], kie_suno.endpoint_for(job_of(model))

    assert (endpoint.create, endpoint.query) == (page["create"]["path"], page["query"] and page["query"]["path"])
    assert endpoint.method == page["create"]["method"]


@pytest.mark.parametrize("model", [model for model in PAGES if "request" in PAGES[model]["create"]["examples"]])
def test_the_documented_request_is_what_the_example_makes(model):
    """Kie's own example, whatever the spelling of its fields; on one line, so that it can be typed."""
    documented = sent(PAGES[model]["create"]["examples"]["request"])
    documented = {
        name: value.replace("\n", " ") if isinstance(value, str) else value for name, value in documented.items()
    }

    built = kie_suno.build_payload(job_of(model))

    assert {**built, **documented} == built
    assert {name: value for name, value in built.items() if name not in documented} in ({}, {"instrumental": False})


@pytest.mark.parametrize(("model", "name"), FURTHER)
def test_other_documented_requests_are_reproduced(model, name):
    """Every way in which an operation is shown."""
    documented = sent(PAGES[model]["create"]["examples"][name])

    assert kie_suno.build_payload(job_of(model, FURTHER[model, name])) == documented


@pytest.mark.parametrize(("model", "name"), [pair for pair in ANSWERS if pair[1] in MEANS])
def test_documented_answers_mean_what_their_page_says(model, name):
    """Every state; a recovery that failed is said like trouble of Kie's, so it is not believed at once."""
    answer = PAGES[model]["query"]["examples"][name]
    if (model, name) == ("suno-recovery", "failed"):
        with pytest.raises(RecordMissing):
            read(model, answer)
        return

    outcome = read(model, answer)

    assert outcome.state == ("queued" if (model, name) == ("suno-cover-image", "running") else MEANS[name])
    assert bool(outcome.artifacts) == (outcome.state in ("succeeded", "partial", "needs_input"))
    assert (outcome.error is not None) == (outcome.state == "failed")


@pytest.mark.parametrize(("model", "name"), [pair for pair in ANSWERS if pair[1] == "unknown_task"])
def test_a_task_that_kie_does_not_know(model, name):
    """It may not know it yet."""
    with pytest.raises(RecordMissing):
        read(model, PAGES[model]["query"]["examples"][name])


STATES = [
    (model, value, means)
    for model, page in PAGES.items()
    if page["states"] and page["states"]["field"].startswith("data.")
    for value, means in page["states"]["values"].items()
]


@pytest.mark.parametrize(("model", "value", "means"), STATES)
def test_every_documented_state(model, value, means):
    """Whatever else the record has: here, that of a task that runs."""
    page = PAGES[model]
    answer = copy.deepcopy(page["query"]["examples"]["running"])
    answer["data"][page["states"]["field"].removeprefix("data.")] = int(value) if value.isdigit() else value

    assert read(model, answer).state == means


@pytest.mark.parametrize("model", [model for model in PAGES if kie_suno.operations.OPERATIONS[model].kind == "sync"])
def test_an_answer_that_is_the_result(model):
    """Tables stay tables, a style is a text; an answer without what is promised is no result."""
    answer = PAGES[model]["create"]["answer"]

    outcome = read(model, answer)

    (made,) = outcome.artifacts
    assert outcome.state == "succeeded"
    assert made.text == answer["data"]["result"] if model == "suno-boost-style" else made.data == answer["data"]
    assert read(model, {"code": 200, "msg": "success", "data": {"other": 1}}).state == "running"


def test_what_a_style_cost_is_what_kie_says():
    """0.4 credits, recorded on 2026-04-28."""
    assert read("suno-boost-style", PAGES["suno-boost-style"]["create"]["answer"]).credits == 0.4


def test_lyrics_are_texts():
    """Two of them, each whole."""
    outcome = read("suno-lyrics", PAGES["suno-lyrics"]["query"]["examples"]["succeeded"])

    assert [artifact.text for artifact in outcome.artifacts] == ["[Verse]\nThe lamps go by\n[Chorus]\nRow, row"] * 2


def test_notes_are_data():
    """As Kie sent them."""
    answer = PAGES["suno-midi"]["query"]["examples"]["succeeded"]

    assert read("suno-midi", answer).artifacts == (Artifact("data", data=answer["data"]["midiData"], lifetime=None),)


def test_stems_are_named_once_each():
    """The same file stands in two places of the record."""
    outcome = read("suno-separate-vocals", PAGES["suno-separate-vocals"]["query"]["examples"]["succeeded"])

    assert {artifact.role: artifact.url for artifact in outcome.artifacts} == {
        "instrumental": "https://cdn.example.com/suno/st-inst.mp3",
        "vocal": "https://cdn.example.com/suno/st-vocal.mp3",
    }


def test_who_has_to_go_on_is_told_how():
    """The phrase, and the model that takes its recording."""
    outcome = read("suno-voice-validate", PAGES["suno-voice-validate"]["query"]["examples"]["needs_user"])

    assert "seven boats left before noon" in outcome.remark
    assert "suno-voice" in outcome.remark


def test_songs_whose_callback_was_lost_are_there_all_the_same():
    """The word is of the delivery, not of the song."""
    answer = copy.deepcopy(PAGES["suno-wav"]["query"]["examples"]["succeeded"])
    answer["data"]["successFlag"] = "CALLBACK_EXCEPTION"

    assert read("suno-wav", answer).state == "succeeded"


def test_a_recovery_tells_its_state_by_its_code():
    """What could be recovered is a result; where nothing could, it failed."""
    answer = copy.deepcopy(PAGES["suno-recovery"]["query"]["examples"]["succeeded"])
    outcome = read("suno-recovery", answer)
    answer["data"] = answer["data"][1:]

    assert outcome.urls == ("https://cdn.example.com/suno/cage-1.m4a",)
    assert read("suno-recovery", answer).state == "failed"
    with pytest.raises(ReadFailed):
        read("suno-recovery", {"code": 200, "msg": "success", "data": []})


@pytest.mark.parametrize(
    ("model", "changes", "blamed"),
    [
        ("suno-generate", {"prompt": None}, "prompt"),
        ("suno-generate", {"prompt": "x" * 3001}, "prompt"),
        ("suno-generate", {"style": "folk"}, "style"),
        ("suno-generate", {"custom_mode": True, "style": "folk", "title": "x" * 81}, "title"),
        ("suno-generate", {"custom_mode": True, "style": "folk", "title": "t", "duration": 90}, "duration"),
        ("suno-extend", {"audio_id": None}, "audio_id"),
        ("suno-extend", {"style": None}, "style"),
        ("suno-extend", {"continue_at": None}, "continue_at"),
        ("suno-extend", {"continue_at": 0}, "continue_at"),
        ("suno-upload-extend", {"continue_at": -5}, "continue_at"),
        ("suno-extend", {"default_param_flag": False}, "prompt"),
        ("suno-extend", {"instrumental": True}, "prompt"),
        ("suno-extend", {"model": "V4", "prompt": "x" * 3001}, "prompt"),
        ("suno-extend", {"model": "V4", "persona_model": "style_persona"}, "persona_model"),
        ("suno-cover", {"prompt": None}, "prompt"),
        ("suno-cover", {"prompt": "x" * 501}, "prompt"),
        ("suno-cover", {"style": "folk"}, "style"),
        ("suno-cover", {"custom_mode": True}, "style"),
        ("suno-cover", {"custom_mode": True, "style": "folk", "title": "t", "duration": 90}, "duration"),
        ("suno-mashup", {"upload_url_list": ["https://img.example.com/in/a.mp3"]}, "upload_url_list"),
        ("suno-replace-section", {"upload_url": "https://img.example.com/in/song.mp3"}, "upload_url"),
        ("suno-replace-section", {"task": None}, "task"),
        ("suno-replace-section", {"infill_end_s": 49}, "infill_end_s"),
        ("suno-persona", {"vocal_end": 43}, "vocal_end"),
        ("suno-persona", {"vocal_end": 21}, "vocal_end"),
        ("suno-separate-vocals", {"type": "split_stem_advanced"}, "stem_name"),
        ("suno-separate-vocals", {"stem_name": "Kick"}, "stem_name"),
        ("suno-separate-vocals", {"audio_url": "https://img.example.com/in/song.mp3"}, "audio_url"),
        ("suno-sounds", {"sound_tempo": 301}, "sound_tempo"),
        ("suno-lyrics", {"prompt": "x" * 201}, "prompt"),
        ("suno-mp4", {"author": "x" * 51}, "author"),
    ],
)
def test_what_kie_would_refuse_or_ignore_is_refused(model, changes, blamed):
    """Every rule of the pages, before anything is paid."""
    inputs = {**ROWS[model]["example"], **changes}

    with pytest.raises(InvalidJob) as caught:
        kie_suno.build_payload(job_of(model, inputs))

    assert blamed in {fault.field for fault in caught.value.faults}


def test_codes_of_the_lyrics_page_that_mean_no():
    """They differ from every other page."""
    assert {405, 413, 430} <= {code for code, _ in kie_suno.refused()}
