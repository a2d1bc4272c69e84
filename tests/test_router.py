"""The router of the original system: what the V4 contract says, to the letter, and nothing shared with callers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_registry
from kie_core import InvalidJob, UnknownModel, router

CONTRACT = json.loads(Path(__file__).with_name("registry").joinpath("contract_v4.json").read_text(encoding="utf-8"))
IMAGE = "https://example.com/in.png"
#: Model -> category, endpoint, the least inputs, and the payload that the contract makes of them.
SIX = {
    "veo3": (
        "veo3",
        "/veo3/text_to_video",
        {"prompt": "cat"},
        {"prompt": "cat", "model": "veo3", "aspect_ratio": "16:9", "duration_seconds": 8},
    ),
    "veo3_fast": (
        "veo3",
        "/veo3/text_to_video",
        {"prompt": "cat"},
        {"prompt": "cat", "model": "veo3_fast", "aspect_ratio": "16:9", "duration_seconds": 8},
    ),
    "runway-gen3-turbo": (
        "runway",
        "/runway/generate",
        {"image_url": IMAGE},
        {"image_url": IMAGE, "duration": 5},
    ),
    "suno-v4": (
        "suno",
        "/suno/generate",
        {"prompt": "cat"},
        {"prompt": "cat", "make_instrumental": False, "duration_seconds": 30},
    ),
    "gpt-4o-image": (
        "4o-image",
        "/4o-image/generate",
        {"prompt": "cat"},
        {"prompt": "cat", "size": "1024x1024", "quality": "standard"},
    ),
    "flux-kontext": (
        "flux-kontext",
        "/flux-kontext/generate",
        {"prompt": "cat"},
        {"prompt": "cat", "width": 1024, "height": 1024},
    ),
}


def test_there_are_exactly_six_models_in_the_order_of_the_contract():
    """No more, no fewer, wherever they are listed."""
    assert [row["model_id"] for row in router.get_all_v4_models()] == list(SIX)
    assert [row["model_id"] for row in router.load_v4_source_of_truth()["models"]] == list(SIX)
    assert [row["model_id"] for row in CONTRACT] == list(SIX)


@pytest.mark.parametrize("model_id", SIX)
def test_category_endpoint_and_payload_are_those_of_the_contract(model_id):
    """The payload to its order: it is what a gateway of the contract is sent."""
    category, endpoint, inputs, payload = SIX[model_id]

    assert router.is_v4_model(model_id) is True
    assert router.get_api_category_for_model(model_id) == category
    assert router.get_api_endpoint_for_model(model_id) == endpoint
    assert router.get_base_url_for_category(category) == "https://api.kie.ai"
    assert list(router.build_category_payload(model_id, inputs).items()) == list(payload.items())


@pytest.mark.parametrize("row", CONTRACT, ids=lambda row: row["model_id"])
def test_the_functions_say_what_the_contract_says(row):
    """Price and title too."""
    (ours,) = [one for one in router.get_all_v4_models() if one["model_id"] == row["model_id"]]

    assert router.get_api_category_for_model(row["model_id"]) == row["api_category"]
    assert router.get_api_endpoint_for_model(row["model_id"]) == row["api_endpoint"]
    assert router.get_base_url_for_category(row["api_category"]) == row["base_url"]
    assert (ours["title"], ours["pricing"]) == (row["title"], row["pricing"])


def test_the_payload_of_the_original_prints_as_it_did():
    """As text, with its order and its quotes."""
    payload = router.build_category_payload("gpt-4o-image", {"prompt": "cat"})

    assert str(payload) == "{'prompt': 'cat', 'size': '1024x1024', 'quality': 'standard'}"


V3_IDS = [row["model_id"] for row in json.loads(kie_registry.read(kie_registry.V3))["models"]]


@pytest.mark.parametrize("model_id", ["", "veo", "GPT-4O-IMAGE", "gpt-4o-image ", V3_IDS[0], V3_IDS[-1]])
def test_what_is_none_of_the_six_has_no_category_and_no_payload(model_id):
    """Questions answer with nothing, the builder raises; that is a ValueError for code that expects one."""
    assert router.is_v4_model(model_id) is False
    assert router.get_api_category_for_model(model_id) is None
    assert router.get_api_endpoint_for_model(model_id) is None
    with pytest.raises(ValueError) as error:
        router.build_category_payload(model_id, {"prompt": "cat"})
    assert isinstance(error.value, UnknownModel)


def test_none_of_the_210_is_one_of_the_six():
    """The two registries share no id."""
    assert not [model_id for model_id in V3_IDS if router.is_v4_model(model_id)]


def test_a_near_miss_suggests_models_of_the_contract_alone():
    """Not the 210, which this builder would refuse."""
    with pytest.raises(UnknownModel) as error:
        router.build_category_payload("gpt-4o-imag", {"prompt": "cat"})

    assert error.value.suggestions[0] == "gpt-4o-image"
    assert all(map(router.is_v4_model, error.value.suggestions))


def test_a_category_that_the_contract_lacks_is_where_all_others_are():
    """It has one host."""
    assert router.get_base_url_for_category("legacy-v3") == router.BASE_URL == "https://api.kie.ai"


@pytest.mark.parametrize("model_id", SIX)
@pytest.mark.parametrize(
    "inputs", [{}, {"prompt": None, "image_url": None}, None, "cat", {"prompt": 7, "image_url": 7}]
)
def test_missing_and_wrong_inputs_raise(model_id, inputs):
    """Named, as a ValueError."""
    with pytest.raises(ValueError) as error:
        router.build_category_payload(model_id, inputs)

    assert isinstance(error.value, InvalidJob)
    assert error.value.model == model_id
    assert error.value.faults


def test_an_input_that_the_model_does_not_know_raises():
    """Kie would drop it and bill the job."""
    with pytest.raises(InvalidJob, match="colour"):
        router.build_category_payload("gpt-4o-image", {"prompt": "cat", "colour": "red"})


def test_what_is_returned_is_the_callers_to_change():
    """Rows, documents and payloads are made anew for each call."""
    for made in (
        router.load_v4_source_of_truth,
        lambda: {"models": router.get_all_v4_models()},
    ):
        made()["models"][0]["input_schema"]["properties"].clear()
        made()["models"][4].update(api_category="mine", api_endpoint="/mine")
        made()["models"].clear()
    router.build_category_payload("gpt-4o-image", {"prompt": "cat"})["size"] = "1x1"

    assert [row["model_id"] for row in router.get_all_v4_models()] == list(SIX)
    assert router.get_all_v4_models()[0]["input_schema"]["properties"]
    assert router.get_api_endpoint_for_model("gpt-4o-image") == "/4o-image/generate"
    assert router.build_category_payload("gpt-4o-image", {"prompt": "cat"}) == SIX["gpt-4o-image"][3]


def test_the_inputs_of_a_caller_stay_as_they_are():
    """Defaults go into the payload, not into them; lists are copied."""
    inputs = {"prompt": "cat", "image_urls": [IMAGE]}

    payload = router.build_category_payload("veo3", inputs)
    payload["image_urls"].append("https://example.com/other.png")

    assert inputs == {"prompt": "cat", "image_urls": [IMAGE]}
