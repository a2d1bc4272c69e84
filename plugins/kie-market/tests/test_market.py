"""The models of the market: sound data, requests as the pages have them, prices that are never too low."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kie_market
from kie_core import InvalidJob, ModelGone, Outcome, Settings, UnknownModel, load_dispatcher, load_settings
from kie_core.testing import check_plugin, make_job

DATA = Path(kie_market.__file__).with_name("kie_models.json").read_text(encoding="utf-8")
ROWS = {row["model_id"]: row for row in json.loads(DATA)["models"]}
CURRENT = [name for name, row in ROWS.items() if row.get("status") != "gone"]
GONE = [name for name in ROWS if name not in CURRENT]
SCHEMA = json.loads(Path(__file__).parents[3].joinpath("tests", "registry", "schema.json").read_text(encoding="utf-8"))

IMAGE = "https://example.com/in/a.png"
VIDEO = "https://example.com/in/a.mp4"
SOUND = "https://example.com/in/a.mp3"
SHOT = {"prompt": "a door opens", "duration": 3}


@pytest.fixture(scope="module")
def dispatcher():
    return load_dispatcher(Settings(plugins=("market",)))


def job(model, /, **inputs):
    return make_job(ROWS[model], inputs, wire="jobs")


def example(model, /, **changes):
    return job(model, **{**ROWS[model]["example"], **changes})


def faults(model, /, **inputs):
    with pytest.raises(InvalidJob) as caught:
        job(model, **inputs)
    return {fault.field: fault.problem for fault in caught.value.faults}


# --- the data -------------------------------------------------------------------------


def test_the_file_keeps_the_schema_of_registries():
    """The same schema as that of the bundled files."""
    assert list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(json.loads(DATA))) == []


def test_one_row_stands_on_one_line():
    """A change of a model is one line of a diff."""
    rows = [line.strip().rstrip(",") for line in DATA.splitlines() if line.lstrip().startswith('{"model_id"')]

    assert [json.loads(row)["model_id"] for row in rows] == list(ROWS)


def test_how_many_models_there_are():
    """184 on the vendor's list of 2026-10-07, and 11 that left it."""
    assert (len(CURRENT), len(GONE)) == (184, 11)
    assert Counter(row["output_type"].partition("/")[0] for row in ROWS.values()).keys() == {
        "image", "video", "audio", "application",
    }  # fmt: skip


def test_every_row_is_built_by_the_core_and_no_id_is_taken_twice(dispatcher):
    """Beside the bundled registries; each default and each of Kie's defaults is a value that its input takes."""
    (record,) = [record for record in dispatcher.plugins.records if record.name == "market"]

    assert (record.condition, record.models) == ("ready", 195)
    assert all(dispatcher.plugins.registry.get(name).category == "market" for name in ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_every_default_lies_in_its_list(name):
    """And the examples of a condition or a limit are values that the input has."""
    properties = ROWS[name]["input_schema"]["properties"]
    for prop in properties.values():
        if "enum" in prop:
            assert {prop.get("default"), prop.get("vendorDefault")} - {None} <= set(prop["enum"])
    conditions = [charge.get("when", {}) for charge in ROWS[name].get("wire_pricing", {}).get("rows", ())]
    conditions += [rule.get("if", {}) for rule in ROWS[name].get("rules", ())]
    for when in conditions:
        for field, wanted in when.items():
            values = [] if isinstance(wanted, dict) else wanted if isinstance(wanted, list) else [wanted]
            assert set(values) <= set(properties[field].get("enum", values)), field


@pytest.mark.parametrize("name", ROWS)
def test_every_row_says_where_it_was_read_and_when(name):
    """And what is gone says why."""
    assert "read 2026-" in ROWS[name]["source"]
    assert name not in GONE or ROWS[name]["note"]


# --- requests -------------------------------------------------------------------------


def test_the_plugin_keeps_the_rules_of_the_hooks():
    """Pure, complete, and calm about odd answers, for all models."""
    check_plugin(kie_market, "market")


@pytest.mark.parametrize("name", CURRENT)
def test_an_example_becomes_exactly_the_documented_request(name):
    """Model and input, nothing added: what Kie fills in itself is left to Kie."""
    assert kie_market.build_payload(example(name)) == {"model": name, "input": ROWS[name]["example"]}


@pytest.mark.parametrize("name", CURRENT)
def test_what_kie_fills_in_is_not_sent_and_what_it_requires_is(name):
    """Of the two kinds of defaults only one goes over the wire."""
    properties, required = (ROWS[name]["input_schema"][key] for key in ("properties", "required"))

    for field, prop in properties.items():
        assert "default" not in prop or field in required
        assert "vendorDefault" not in prop or field not in required
    sent = example(name).params
    assert {field for field, prop in properties.items() if "default" in prop} <= set(sent)


def test_what_is_required_and_has_a_default_can_be_left_out():
    """The default goes over the wire, because Kie refuses a call without it."""
    sent = kie_market.build_payload(job("kling-3.0/video", prompt="a fox"))["input"]

    assert sent == {
        "aspect_ratio": "16:9", "duration": "5", "mode": "pro", "multi_shots": False, "prompt": "a fox", "sound": False,
    }  # fmt: skip


def test_where_a_job_goes():
    """The universal call; one page wants a callback address beside it."""
    endpoint = kie_market.endpoint_for(example("z-image"))
    wanting = kie_market.endpoint_for(example("veo/get-1080p-video"))

    assert (endpoint.create, endpoint.query) == ("/api/v1/jobs/createTask", "/api/v1/jobs/recordInfo")
    assert (endpoint.callback_required, wanting.callback_required) == (False, True)
    assert set(kie_market.CALLBACK_REQUIRED) <= set(CURRENT)


@pytest.mark.parametrize(
    ("model", "field", "given", "listed"),
    [
        ("hailuo/2-3-image-to-video-pro", "resolution", "768p", "768P"),
        ("kling-3.0/video", "mode", "4k", "4K"),
        ("kling-3.0-omni/text-to-video", "resolution", "4K", "4k"),
        ("wan/3-0-video", "resolution", "720p", "720P"),
        ("kling-3.0/video", "duration", 7, "7"),
        ("bytedance/seedance-2", "duration", "7", 7),
        ("ideogram/character", "num_images", 2, "2"),
        ("google/imagen4", "seed", 7, "7"),
        ("flux-2/pro-image-to-image", "input_urls", IMAGE, [IMAGE]),
        ("qwen2/image-edit", "image_url", [IMAGE], IMAGE),
    ],
)
def test_each_model_gets_the_spelling_that_it_lists(model, field, given, listed):
    """Letter case, text or number, one URL or a list: whatever the sibling takes."""
    assert kie_market.build_payload(example(model, **{field: given}))["input"][field] == listed


@pytest.mark.parametrize(
    ("model", "inputs", "field", "said"),
    [
        ("grok-imagine/image-to-video", {}, "image_urls", "Kie would accept and bill an empty job"),
        ("grok-imagine/image-to-video", {"image_urls": []}, "image_urls", "Kie would accept and bill an empty job"),
        ("grok-imagine/image-to-video", {"task_id": " "}, "image_urls", "Kie would accept and bill an empty job"),
        ("google/nano-banana-edit", {"image_urls": []}, "image_urls", "is blank"),
        ("happyhorse-1-1/reference-to-video", {"prompt": "a"}, "reference_image", "missing"),
        ("grok-imagine/image-to-video", {"image_urls": [IMAGE], "task_id": "a"}, "image_urls", "one source, not two"),
        ("grok-imagine/image-to-video", {"image_urls": [IMAGE, IMAGE], "resolution": "1080p"}, "image_urls", "1080p takes one"),
        ("grok-imagine/image-to-video", {"image_urls": IMAGE, "mode": "spicy"}, "mode", "expected one of 'fun', 'normal'"),
        ("grok-imagine/image-to-video", {"task_id": "a", "duration": "31"}, "duration", "expected one of '6'..'30'"),
        ("grok-imagine-image-2-0/segment-map", {}, "task_id", "give at least one of task_id, image_url"),
        ("hailuo/2-3-image-to-video-pro", {"image_url": IMAGE, "prompt": "a", "resolution": "1080P", "duration": "10"}, "duration", "768P only"),
        ("kling-3.0/video", {"prompt": "a", "multi_prompt": [SHOT]}, "multi_prompt", "leave it out when multi_shots is not true"),
        ("kling-3.0/video", {"prompt": "a", "multi_shots": True, "multi_prompt": [SHOT]}, "sound", "have sound"),
        ("kling-3.0-omni/text-to-video", {"prompt": "a", "customize_multi_shots": True}, "multi_prompt", "it is needed"),
        ("kling-3.0-omni/text-to-video", {"prompt": "a"}, "multi_prompt", "it is needed when customize_multi_shots is true"),
        ("kling-3.0-omni/text-to-video", {"prompt": "a", "customize_multi_shots": False, "multi_prompt": [SHOT]}, "multi_prompt", "expected ..0"),
        ("kling-3.0-omni/image-to-video", {"prompt": "a fox", "image_urls": IMAGE, "aspect_ratio": "1:1"}, "aspect_ratio", "expected one of 'auto'"),
        ("kling-3.0-omni/transformation", {"prompt": "a", "video_urls": VIDEO, "aspect_ratio": "1:1"}, "aspect_ratio", "expected one of 'auto'"),
        ("kling-3.0-omni/transformation", {"prompt": "a", "video_urls": VIDEO, "image_urls": IMAGE, "aspect_ratio": "auto"}, "aspect_ratio", "the shape is fixed"),
        ("kling-3.0-omni/reference-to-video", {"prompt": "a", "image_urls": [IMAGE] * 6, "elements": [{"name": "n", "element_input_urls": [IMAGE]}] * 2}, "image_urls", "make 8 together"),
        ("gemini-omni-video", {"prompt": "a", "duration": 4, "image_urls": [IMAGE] * 6, "video_list": [{"url": VIDEO, "start": 0, "ends": 5}]}, "image_urls", "make 8 together"),
        ("bytedance/seedance-2-5", {"first_frame_url": IMAGE, "reference_image_urls": [IMAGE]}, "reference_image_urls", "separate uses"),
        ("bytedance/seedance-2-5", {"prompt": "a", "duration": 3}, "duration", "expected one of -1, 4..30"),
        ("gpt-image-2-text-to-image", {"prompt": "a", "resolution": "2K"}, "resolution", "when aspect_ratio is not given"),
        ("gpt-image-2-text-to-image", {"prompt": "a", "aspect_ratio": "1:1", "resolution": "4K"}, "resolution", "a square"),
        ("pixverse-v6/image-to-video", {"prompt": "a fox", "image_urls": IMAGE, "quality": "720p"}, "duration", "when template_id is not given"),
        ("wan/2-7-image", {"prompt": "a", "n": 5}, "n", "when enable_sequential is not true"),
        ("wan/2-7-image-pro", {"prompt": "a", "input_urls": IMAGE, "resolution": "4K"}, "resolution", "plain text to image"),
        ("wan/2-2-a14b-speech-to-video-turbo", {"prompt": "a", "image_url": IMAGE, "audio_url": SOUND, "num_frames": 42}, "num_frames", "multiple of 4"),
        ("elevenlabs/text-to-dialogue-v3", {"dialogue": [{"text": "a" * 3000, "voice": "Mine"}] * 2}, "dialogue", "make 6000 together"),
        ("elevenlabs/text-to-dialogue-v3", {"dialogue": [{"text": "a"}]}, "dialogue[0].voice", "missing"),
        ("google/gemini-2-5-pro-tts", {"dialogue_turns": [{"speaker_id": "a", "text": "b", "mood": "c"}]}, "dialogue_turns[0].mood", "unknown"),
        ("runway", {"prompt": "a", "duration": 10, "quality": "1080p"}, "quality", "5 seconds only"),
        ("4o-image-api", {"size": "1:1"}, "prompt", "nothing to draw from"),
        ("ai-music-api/generate", {"custom_mode": True, "instrumental": False}, "style", "custom mode"),
        ("ai-music-api/extend", {"audio_id": "a", "styles": "b"}, "styles", "did you mean 'style'?"),
    ],
)  # fmt: skip
def test_the_rules_of_the_pages_are_kept_before_anything_is_paid(model, inputs, field, said):
    """Kie would ignore it, misread it, or take the money and fail."""
    assert said in faults(model, **inputs)[field]


@pytest.mark.parametrize("name", [name for name in CURRENT if name.startswith("ai-music-api/")])
def test_the_music_models_list_their_optional_inputs(name):
    """So a slip in a name is found here too; nothing passes unlooked at."""
    assert "unknown input" in faults(name, **ROWS[name]["example"], no_such_input=1)["no_such_input"]


# --- prices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "changes", "credits", "at_most"),
    [
        ("z-image", {}, "0.8", False),
        ("nano-banana-pro", {"resolution": "4K"}, "24", False),
        ("flux-2/flex-text-to-image", {"resolution": "2K"}, "24", False),
        ("kling-3.0/video", {"duration": 10, "mode": "std", "sound": True}, "200", False),
        ("kling-3.0/video", {"multi_shots": True, "sound": True, "multi_prompt": [SHOT]}, None, False),
        ("bytedance/seedance-2", {"duration": 10, "resolution": "1080p"}, "1020", False),
        ("bytedance/seedance-2", {"reference_video_urls": VIDEO}, None, False),
        ("bytedance/seedance-2-5", {"duration": -1}, None, False),
        ("bytedance/seedance-2-fast", {"resolution": "480p", "duration": 4}, "62", True),
        ("gemini-omni-video", {"resolution": "4k", "video_list": [{"url": VIDEO, "start": 0, "ends": 5}]}, "252", False),
        ("kling-3.0-omni/reference-to-video", {"video_urls": VIDEO, "resolution": "1080p", "duration": 4}, "108", False),
        ("kling-3.0-omni/reference-to-video", {"elements": [{"name": "cat", "element_input_urls": [VIDEO]}], "duration": 4}, "80", True),
        ("minimax-h3/reference-to-video", {"reference_image_urls": [IMAGE] * 7, "resolution": "768P", "duration": 5}, "48", False),
        ("qwen3/image-to-image", {"image_urls": [IMAGE] * 3}, "6.3", False),
        ("seedream/5-pro-image-to-image", {"image_urls": [IMAGE] * 3}, "15", True),
        ("ideogram/character", {"num_images": "4", "rendering_speed": "turbo"}, "48", False),
        ("ideogram/v3-remix", {"num_images": None, "rendering_speed": None}, "40", True),
        ("wan/2-7-image", {"n": 2}, "9.6", False),
        ("wan/2-7-image", {}, "19.2", True),
        ("wan/2-7-image", {"enable_sequential": True}, "57.6", True),
        ("wan/2-7-videoedit", {"duration": 5, "resolution": "720p"}, "80", False),
        ("wan/2-7-videoedit", {"duration": None}, None, False),
        ("wan/3-0-video", {"reference_video_urls": [VIDEO]}, None, False),
        ("elevenlabs/text-to-speech-turbo-2-5", {"text": "a" * 1001}, "12", True),
        ("veo-3-1", {"resolution": "4K"}, "380", True),
        ("grok-imagine/upscale", {}, "10", False),
        ("grok-imagine/upscale", {"resolution": "1080p"}, "30", True),
        ("topaz/image-upscale", {}, "40", True),
        ("ai-music-api/separate-vocals", {}, "50", True),
        ("kling/ai-avatar-pro", {}, None, False),
        ("nano-banana-2-1", {}, None, False),
        ("pixverse-v6/image-to-video", {"duration": None, "template_id": ROWS["pixverse-v6/image-to-video"]["input_schema"]["properties"]["template_id"]["enum"][0]}, None, False),
    ],
)  # fmt: skip
def test_what_a_job_costs(model, changes, credits, at_most):
    """By Kie's catalogue of 2026-10-01; what the inputs do not tell is unknown, or the highest that it may be."""
    price = example(model, **changes).price

    assert (price.credits, price.at_most) == (None if credits is None else Decimal(credits), at_most)


def test_how_many_examples_have_a_price():
    """The rest depends on files or results that nobody knows beforehand, or has none published."""
    known = [name for name in CURRENT if example(name).price.credits is not None]

    assert len(known) == 151


@given(st.sampled_from(CURRENT), st.data())
def test_no_choice_of_inputs_is_cheaper_than_the_cheapest_row(name, data):
    """Whatever validates costs at least one unit of some row, or has no price."""
    properties = ROWS[name]["input_schema"]["properties"]
    listed = [field for field, prop in properties.items() if "enum" in prop]
    chosen = data.draw(st.lists(st.sampled_from(listed), unique=True, max_size=4)) if listed else []
    try:
        price = example(
            name, **{field: data.draw(st.sampled_from(properties[field]["enum"])) for field in chosen}
        ).price
    except InvalidJob:
        return

    if price.credits is not None:
        assert price.credits >= min(Decimal(str(row["credits"] or 0)) for row in ROWS[name]["wire_pricing"]["rows"])


# --- models that moved or left ---------------------------------------------------------


@pytest.mark.parametrize(
    ("older", "today"),
    [("kling/ai-avatar-v1-pro", "kling/ai-avatar-pro"), ("kling/v1-avatar-standard", "kling/ai-avatar-standard")],
)
def test_an_old_name_says_where_the_model_moved(dispatcher, older, today):
    """And is not bought under the new one, which may cost something else."""
    with pytest.raises(UnknownModel, match=f"moved to '{today}'"):
        dispatcher.job(older, {}, job_id="j1")


@pytest.mark.parametrize("name", GONE)
def test_a_model_that_left_says_why(dispatcher, name):
    """In place of a receipt."""
    with pytest.raises(ModelGone, match="no longer offered") as caught:
        dispatcher.job(name, ROWS[name].get("example", {}), job_id="j1")

    assert caught.value.note == ROWS[name]["note"]


def test_a_model_that_left_names_the_word_that_finds_others(dispatcher):
    """What replaced it nobody said; what serves the same use, the list knows."""
    with pytest.raises(ModelGone, match="`kie models text-to-video` lists others for the same use"):
        dispatcher.job("sora-2-text-to-video", {}, job_id="j1")
    with pytest.raises(ModelGone, match="`kie models --all` lists what is left"):
        dispatcher.job("sora-2-characters", {}, job_id="j1")


# --- answers --------------------------------------------------------------------------


def test_a_waiting_task():
    """Records are those of the universal call."""
    answer = {"code": 200, "msg": "success", "data": {"taskId": "t1", "state": "waiting", "resultJson": ""}}

    assert kie_market.parse_result(example("z-image"), answer) == Outcome("queued")


def test_missing_inputs_are_a_refusal_and_a_plain_server_error_is_not():
    """Kie says both with code 500; only the first proves that nothing was bought."""
    parts = [part for code, part in kie_market.refused() if code == 500]

    assert any(part.casefold() in "prompt is required" for part in parts)
    assert not any(part.casefold() in "server exception" for part in parts)


def test_a_raw_job_is_a_job_of_the_market():
    """What the rows lack is sent as it was written."""
    dispatcher = load_dispatcher(load_settings({"plugins": "market"}))
    job = dispatcher.raw_job("new/model-9", {"knob": 1}, job_id="j")

    assert (job.model.category, job.wire) == ("market", "jobs")
    assert dispatcher.body(job) == {"model": "new/model-9", "input": {"knob": 1}}
    assert dispatcher.endpoint(job) == kie_market.ENDPOINTS["jobs"]
