"""Runway's extension and Aleph: what each call sends, and what the answers of its page mean."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

import kie_runway
from kie_core import InvalidJob, RecordMissing
from kie_core.testing import make_job

PAGES = json.loads(Path(__file__).with_name("operations.json").read_text(encoding="utf-8"))["operations"]
MODELS = Path(kie_runway.__file__).with_name("kie_models.json")
ROWS = {row["model_id"]: row for row in json.loads(MODELS.read_text(encoding="utf-8"))["models"]}
STATES = {"running": "running", "succeeded": "succeeded", "failed": "failed", "expired": "expired"}


def job_of(model, inputs=None):
    return make_job(ROWS[model], ROWS[model]["example"] if inputs is None else inputs)


def read(model, answer):
    return kie_runway.parse_result(job_of(model), answer)


def test_every_page_is_a_model_and_the_other_way_round():
    """No operation is left out."""
    assert ROWS.keys() == PAGES.keys() == kie_runway.OPERATIONS.keys()


@pytest.mark.parametrize("model", PAGES)
def test_the_documented_request_is_what_the_example_makes(model):
    """Kie's own example, to the path of its page."""
    page, endpoint = PAGES[model], kie_runway.endpoint_for(job_of(model))
    documented = {name: value for name, value in page["create"]["examples"]["request"].items() if name != "callBackUrl"}

    assert (endpoint.create, endpoint.query) == (page["create"]["path"], page["query"]["path"])
    assert kie_runway.build_payload(job_of(model)) == documented


def test_an_image_takes_the_place_of_a_shape():
    """As Kie shows it, too; without either there is no telling the shape."""
    inputs = {
        "prompt": "she turns and waves", "image_url": "https://img.example.com/in/portrait.png", "duration": 10,
        "quality": "720p",
    }  # fmt: skip
    documented = PAGES["runway-generate"]["create"]["examples"]["request_image"]

    assert kie_runway.build_payload(job_of("runway-generate", inputs)) == documented
    for wrong in ({**inputs, "aspect_ratio": "1:1"}, {"prompt": "a fox"}):
        with pytest.raises(InvalidJob, match="aspect_ratio"):
            job_of("runway-generate", wrong)


@pytest.mark.parametrize(("inputs", "credits"), [({}, 12), ({"duration": 10}, 30), ({"quality": "1080p"}, 30)])
def test_a_video_costs_by_its_length_and_quality(inputs, credits):
    """As its page says."""
    job = job_of("runway-generate", {"prompt": "a fox", "aspect_ratio": "1:1", **inputs})

    assert job.price.credits == credits


def test_a_watermark_is_spelt_as_kie_does():
    """``waterMark``, here only."""
    built = kie_runway.build_payload(job_of("runway-extend", {**ROWS["runway-extend"]["example"], "watermark": "me"}))

    assert built["waterMark"] == "me"


@pytest.mark.parametrize(
    ("model", "name"), [(m, name) for m, page in PAGES.items() for name in page["query"]["examples"] if name in STATES]
)
def test_documented_answers_mean_what_their_page_says(model, name):
    """Every state."""
    assert read(model, PAGES[model]["query"]["examples"][name]).state == STATES[name]


@pytest.mark.parametrize("model", PAGES)
def test_a_task_that_kie_does_not_know(model):
    """Code 200 without data."""
    with pytest.raises(RecordMissing):
        read(model, PAGES[model]["query"]["examples"]["unknown_task"])


def test_alephs_zero_with_a_code_is_a_failure():
    """Its page shows 0 for failures, too."""
    answer = copy.deepcopy(PAGES["runway-gen4-aleph"]["query"]["examples"]["running"])
    answer["data"] |= {"errorCode": 500, "errorMessage": "internal error"}

    assert read("runway-gen4-aleph", answer).state == "failed"


def test_an_extension_has_no_price_of_its_own():
    """No price page names it: it is bought under a limit only if somebody says so."""
    assert job_of("runway-extend").price.credits is None
    assert job_of("runway-gen4-aleph").price.credits == 110


@pytest.mark.parametrize("model", PAGES)
def test_a_prompt_is_needed(model):
    """Both pages require it."""
    with pytest.raises(InvalidJob):
        job_of(model, {**ROWS[model]["example"], "prompt": None})
