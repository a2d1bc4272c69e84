"""The list of models of the fake Kie: what it documents, narrowed as it documents."""

from __future__ import annotations

import json
from urllib.parse import quote, urlencode

import pytest

from kie_sandbox import Request, Sandbox
from kie_sandbox.world import wire

PATH = "/api/v1/models"
ROWS = [
    {"model_id": "acme-sketch", "wire_model": "acme/sketch", "output_type": "image/png", "title": "Sketch", "vendor": "Acme"},
    {"model_id": "plain", "output_type": "application/json"},
]  # fmt: skip
#: Words that Kie uses. Source: docs.kie.ai, model discovery pages, read 2026-10-01.
TASK_TYPES = {
    "Text to Video", "Image to Video", "Image Editing", "Text to Image", "Image to Image", "Speech to Video",
    "Text to Speech", "Lip Sync", "Video to Video", "Text to Music", "Audio to Audio", "Chat", "Video Editing",
}  # fmt: skip
PROVIDERS = {
    "Kling", "ByteDance", "Ideogram", "Wan", "Google", "Qwen", "Runway", "Elevenlabs", "Other", "Topaz", "Hailuo",
    "OpenAI", "Black Forest Labs", "Suno", "Grok", "Alibaba", "Anthropic", "Pixverse", "Moonshot", "DeepSeek",
}  # fmt: skip


@pytest.fixture
def world():
    return Sandbox(models=ROWS)


def ask(world, **filters):
    target = f"{PATH}?{urlencode(filters, quote_via=quote)}" if filters else PATH
    response = world.handle(Request("GET", target, {"authorization": "Bearer sandbox"}))
    return json.loads(response.content)


def found(world, **filters):
    data = ask(world, **filters)["data"]
    assert data["total"] == len(data["models"])
    return {one["model"]: one for one in data["models"]}


def test_every_model_that_can_be_created_is_listed(world):
    """Those of the documentation and those that were given, each by the name that createTask takes."""
    models = found(world)

    assert set(models) == {*wire()["jobs"], "acme/sketch", "plain"}
    assert models["acme/sketch"] == {
        "model": "acme/sketch", "slug": "acme-sketch", "title": "Sketch", "provider": "Acme",
        "taskType": ["Text to Image"], "description": None, "pricingDesc": None,
    }  # fmt: skip
    assert "credits per image" in models["nano-banana-pro"]["pricingDesc"]


def test_an_entry_has_the_documented_fields_and_words(world):
    """No word that Kie does not use, but the provider that was given."""
    for one in found(world).values():
        assert list(one) == ["model", "slug", "title", "provider", "taskType", "description", "pricingDesc"]
        assert set(one["taskType"]) <= TASK_TYPES
        assert one["taskType"]
        assert one["provider"] in PROVIDERS | {"Acme"}


def test_filters_narrow_the_list(world):
    """Several task types by commas, blanks escaped; provider and free text; all at once."""
    images = found(world, taskType="Text to Image,Image to Image")

    assert (
        images.keys() == found(world, taskType="Text to Image").keys() | found(world, taskType="Image to Image").keys()
    )
    assert {one["provider"] for one in found(world, provider="google").values()} == {"Google"}
    assert list(found(world, q="ACME")) == ["acme/sketch"]
    assert list(found(world, q="sketch", provider="Acme", taskType="Text to Image")) == ["acme/sketch"]


def test_no_match_is_an_empty_list(world):
    """As documented: code 200 and a total of 0."""
    assert ask(world, q="no such thing") == {"code": 200, "msg": "success", "data": {"total": 0, "models": []}}


def test_the_list_needs_a_key(world):
    """As any question does."""
    assert json.loads(world.handle(Request("GET", PATH, {})).content)["code"] == 401


def test_faults_of_answers_strike_the_list_too(world):
    """Those of records pass by and keep their count."""
    world.faults.add("query-invisible*1", "query-code=455*1")

    assert ask(world)["code"] == 455
    assert ask(world)["code"] == 200
    assert "query-invisible" in world.faults


def about(world, model, question):
    response = world.handle(Request("GET", f"{PATH}/{model}/{question}", {"authorization": "Bearer sandbox"}))
    return json.loads(response.content)


def test_a_model_has_a_schema_and_a_price(world):
    """The slash of its id stays; a model that was given has none; another is code 404."""
    document = about(world, "elevenlabs/audio-isolation", "schema")["data"]["openapi"]
    body = document["paths"]["/api/v1/jobs/createTask"]["post"]["requestBody"]["content"]["application/json"]["schema"]

    assert body["properties"]["input"]["required"] == ["audio_url"]
    assert body["properties"]["input"]["properties"] == {"audio_url": {"type": "string"}}
    assert about(world, "elevenlabs/audio-isolation", "price")["data"]["pricingDesc"] == "0.2 credits per second"
    assert about(world, "acme/sketch", "schema")["data"] == {"model": "acme/sketch", "openapi": None}
    assert about(world, "no/such", "schema")["code"] == about(world, "plain", "success-rate")["code"] == 404
