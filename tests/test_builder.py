"""The builder of the original system: the 210 models of the V3 registry, and bodies for createTask."""

from __future__ import annotations

import pytest

from kie_core import InvalidJob, NoPlugin, PluginBroken, UnknownModel, UnknownWire, builder

SKETCH = """
from kie_core import Endpoint, hookimpl, jobs_outcome

ENDPOINTS = {"jobs": Endpoint.jobs()}

def register_models():
    return [{
        "model_id": "acme-draw", "title": "Acme Draw", "api_category": "draw", "output_type": "image/png",
        "wire_model": "acme/draw", "rub_per_use": 1.5,
        "input_schema": {"required": ["prompt"], "properties": {
            "prompt": {"type": "string"}, "pencil": {"type": "string", "default": "soft"},
            "photo": {"type": "string", "format": "uri"}}},
    }]

@hookimpl
def endpoint_for(job):
    return ENDPOINTS[job.wire]

@hookimpl
def build_payload(job):
    return {"model": job.model.wire_model, "input": dict(job.params)}

@hookimpl
def parse_result(job, body):
    return jobs_outcome(job, body)
"""


@pytest.fixture
def draw(install):
    """A plugin that speaks createTask, with one model."""
    install("kie-draw", {"draw": "kie_draw_test"}, {"kie_draw_test": SKETCH})
    return "acme-draw"


def test_there_are_exactly_210_models():
    """Each with an id of its own."""
    ids = [row["model_id"] for row in builder.load_source_of_truth()["models"]]

    assert len(ids) == len(set(ids)) == 210


def test_every_row_is_found_by_its_id_with_its_schema():
    """Config and schema are what stands in the file."""
    for row in builder.load_source_of_truth()["models"]:
        assert builder.get_model_config(row["model_id"]) == row
        assert builder.get_model_schema(row["model_id"]) == row["input_schema"]


@pytest.mark.parametrize("model_id", ["", "nothing", "gpt-4o-image", "veo3"])
def test_what_is_not_in_the_v3_registry_has_no_row(model_id):
    """The six of the V4 contract are not in it."""
    assert builder.get_model_config(model_id) is None
    assert builder.get_model_schema(model_id) is None


def test_what_is_returned_is_the_callers_to_change():
    """Documents, rows and schemas are made anew for each call."""
    first = builder.load_source_of_truth()["models"][0]
    model_id = first["model_id"]
    first.clear()
    builder.get_model_config(model_id)["input_schema"]["properties"].clear()
    builder.get_model_schema(model_id).clear()
    builder.load_source_of_truth()["models"].clear()

    assert builder.get_model_config(model_id)["model_id"] == model_id
    assert builder.get_model_schema(model_id)["properties"]
    assert len(builder.load_source_of_truth()["models"]) == 210


def test_a_payload_is_the_body_of_create_task(draw):
    """Model and input, with defaults; what a plugin brings counts too."""
    assert builder.build_payload(draw, {"prompt": "boat"}) == {
        "model": "acme/draw",
        "input": {"prompt": "boat", "pencil": "soft"},
    }


def test_a_preferred_wire_does_not_matter(draw, monkeypatch):
    """This builder is for createTask."""
    monkeypatch.setenv("KIE_WIRE", "v4")

    assert builder.build_payload(draw, {"prompt": "boat"})["model"] == "acme/draw"


@pytest.mark.parametrize("model_id", ["", "nothing", "gpt-4o-image", "veo3"])
def test_an_unknown_model_raises(model_id):
    """The six of the V4 contract are unknown here, and none of them is suggested."""
    with pytest.raises(ValueError) as error:
        builder.build_payload(model_id, {"prompt": "boat"})

    assert isinstance(error.value, UnknownModel)
    assert all(builder.get_model_config(one) for one in error.value.suggestions)


@pytest.mark.parametrize("inputs", [{}, None, "boat", {"prompt": None}, {"prompt": "boat", "colour": "red"}])
def test_inputs_that_do_not_fit_raise(draw, inputs):
    """As a ValueError that names the faults."""
    with pytest.raises(ValueError) as error:
        builder.build_payload(draw, inputs)

    assert isinstance(error.value, InvalidJob)
    assert error.value.faults


def test_a_file_is_refused_because_nothing_here_uploads_it(draw):
    """A body with something in its place would be sent by whoever asked for it."""
    with pytest.raises(InvalidJob, match="nothing is uploaded here; expected a URL"):
        builder.build_payload(draw, {"prompt": "a cat", "photo": b"\x89PNG\r\n\x1a\n"})


def test_a_plugin_that_does_not_speak_create_task_is_an_error(acme):
    """Its other wires would take another body."""
    with pytest.raises(UnknownWire, match="jobs"):
        builder.build_payload(acme, {"prompt": "boat"})


def test_where_nobody_can_build_it_the_error_names_the_category(monkeypatch):
    """The registry knows the model; its plugin is not installed, or not used."""
    monkeypatch.setenv("KIE_DISABLE_PLUGINS", "legacy-v3")
    model_id = next(row["model_id"] for row in builder.load_source_of_truth()["models"] if row["status"] == "current")

    with pytest.raises((NoPlugin, PluginBroken), match="legacy-v3"):
        builder.build_payload(model_id, {"prompt": "boat"})
