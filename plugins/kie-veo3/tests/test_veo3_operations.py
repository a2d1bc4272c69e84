"""What is made of a finished Veo video: what each call sends, and what the answers of its page mean."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import kie_veo3
from kie_core import Artifact, InvalidJob, ReadFailed, RecordMissing
from kie_core.testing import make_job

PAGES = json.loads(Path(__file__).with_name("operations.json").read_text(encoding="utf-8"))["operations"]
MODELS = Path(kie_veo3.__file__).with_name("kie_models.json")
ROWS = {row["model_id"]: row for row in json.loads(MODELS.read_text(encoding="utf-8"))["models"]}
TASK = "0a81932c6cc7fddfd620baf6e1f0db7e"


def job_of(model, inputs=None):
    return make_job(ROWS[model], ROWS[model]["example"] if inputs is None else inputs)


def read(model, answer):
    return kie_veo3.parse_result(job_of(model), answer)


def test_every_page_is_a_model_and_the_other_way_round():
    """No operation is left out; the one row beside them is a tier of the first call."""
    assert ROWS.keys() - {"veo3_lite"} == PAGES.keys() == kie_veo3.OPERATIONS.keys()


@pytest.mark.parametrize("model", PAGES)
def test_the_documented_request_is_what_the_example_makes(model):
    """Kie's own example, to the path of its page."""
    page, endpoint = PAGES[model]["create"], kie_veo3.endpoint_for(job_of(model))
    documented = page["examples"].get("request") or page["examples"]["request_query"]

    assert (endpoint.method, endpoint.create) == (page["method"], page["path"])
    assert kie_veo3.build_payload(job_of(model)) == {k: v for k, v in documented.items() if k != "callBackUrl"}


@pytest.mark.parametrize(("name", "state"), [("running", "running"), ("succeeded", "succeeded"), ("failed", "failed")])
@pytest.mark.parametrize("model", ["veo-extend", "veo-4k"])
def test_documented_answers_mean_what_their_page_says(model, name, state):
    """Both are read as the videos themselves are."""
    assert read(model, PAGES[model]["query"]["examples"][name]).state == state


def test_a_copy_in_4k_has_a_cover():
    """Its callback names one; a record is read the same way."""
    made = {"resultUrls": ["https://cdn.example.com/veo/4k.mp4"], "imageUrls": ["https://cdn.example.com/veo/4k.jpg"]}

    outcome = read("veo-4k", {"code": 200, "msg": "success", "data": {"successFlag": 1, "response": made}})

    assert [artifact.role for artifact in outcome.artifacts] == ["result", "cover"]


def test_1080p_is_asked_for_until_it_is_there():
    """Not ready is no failure; an unknown task is none yet; anything else says nothing."""
    page = PAGES["veo-1080p"]["create"]
    url = page["answer"]["data"]["resultUrl"]

    assert read("veo-1080p", page["answer"]).artifacts == (Artifact("video", url),)
    assert read("veo-1080p", page["examples"]["not_ready"]).state == "running"
    assert read("veo-1080p", {**page["answer"], "code": 422}).state == "succeeded"
    with pytest.raises(RecordMissing):
        read("veo-1080p", page["examples"]["unknown_task"])
    with pytest.raises(ReadFailed):
        read("veo-1080p", {"code": 500, "msg": "Server exception", "data": None})


@pytest.mark.parametrize(
    ("inputs", "credits"),
    [({}, 60), ({"model": "fast"}, 60), ({"model": "quality"}, 250), ({"model": "lite"}, 30)],
)
def test_an_extension_costs_what_its_tier_does(inputs, credits):
    """Fast where nothing is said: Kie takes that."""
    assert job_of("veo-extend", {"task": TASK, "prompt": "on", **inputs}).price.credits == credits


@pytest.mark.parametrize("changes", [{"model": "veo3"}, {"seeds": 9999}, {"prompt": None}, {"task": None}])
def test_what_kie_would_refuse_is_refused(changes):
    """Tiers have other names here than where videos are generated."""
    with pytest.raises(InvalidJob):
        job_of("veo-extend", {**ROWS["veo-extend"]["example"], **changes})
