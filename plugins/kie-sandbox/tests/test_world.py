"""The fake Kie as a pure function: what Kie documents, it does, by an injected clock. What it takes, what it refuses, and how fast."""

from __future__ import annotations

import json
import re

import pytest

from kie_sandbox import Request, Sandbox

from .tasks import (
    CREATE_4O,
    DOCUMENTED,
    FAMILIES,
    LONG_ENOUGH,
    QUERY_4O,
    REQUEST_4O,
    RUNWAY,
    SUNO,
    balance,
    load,
    make,
    post,
    record,
    send,
    urls_in,
)

# --- the key --------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "", "sandbox", "Basic c2FuZGJveA==", "Bearer", "Bearer "])
def test_without_a_bearer(world, header):
    """HTTP 200 with code 401 and no ``data`` at all, as recorded."""
    headers = {} if header is None else {"authorization": header}
    response = world.handle(Request("GET", "/api/v1/chat/credit", headers))
    body = json.loads(response.content)

    assert (response.status, body["code"], set(body)) == (200, 401, {"code", "msg"})


def test_a_create_without_a_bearer_makes_nothing(world):
    """The key is looked at first."""
    world.handle(Request("POST", CREATE_4O, {}, json.dumps(REQUEST_4O).encode()))

    assert (world.tasks, balance(world)) == ({}, 10_000)


# --- creating -------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "body"), DOCUMENTED)
def test_every_documented_request_is_accepted(world, path, body):
    """As it stands on Kie's page."""
    answer = post(world, path, body)

    assert (answer["code"], answer["msg"]) == (200, "success")
    assert answer["data"]["taskId"] in world.tasks


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/veo3/text_to_video", {"prompt": "a cat", "duration_seconds": 5, "aspect_ratio": "1:1"}),
        ("/runway/generate", {"image_url": "https://img.example.com/in/a.png"}),
        ("/suno/generate", {"prompt": "a cat", "make_instrumental": True}),
        ("/4o-image/generate", {"prompt": "a cat", "size": "1792x1024", "quality": "hd"}),
        ("/flux-kontext/generate", {"prompt": "a cat", "width": 512, "height": 2048}),
    ],
)
def test_the_routes_of_the_v4_contract(world, clock, path, body):
    """They take the contract's inputs and are read back like jobs."""
    task_id = post(world, path, body)["data"]["taskId"]
    clock.now += LONG_ENOUGH

    assert record(world, "jobs", task_id)["state"] == "success"


@pytest.mark.parametrize("family", ["4o-image", "flux-kontext", "veo3", "suno", "jobs"])
def test_a_task_id_is_32_hexadecimal_digits(world, family):
    """In every family but Runway."""
    assert re.fullmatch("[0-9a-f]{32}", make(world, family))


def test_the_task_id_of_runway_has_dashes(world):
    """A UUID."""
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", make(world, "runway"))


def test_createtask_also_names_a_record_id(world):
    """Of the same value, in recordings."""
    data = post(world, *FAMILIES["jobs"][::2])["data"]

    assert data["recordId"] == data["taskId"]


def test_the_dedicated_calls_name_a_task_id_only(world):
    """As on their pages."""
    assert set(post(world, CREATE_4O, REQUEST_4O)["data"]) == {"taskId"}


# --- refusing -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        ("/api/v1/gpt4o-image/generate", {"prompt": "x", "size": "1024x1024"}, 422, "size is not supported"),
        ("/api/v1/gpt4o-image/generate", {"prompt": "x"}, 422, "size is required"),
        ("/api/v1/gpt4o-image/generate", {"size": "1:1"}, 422, "prompt"),
        ("/api/v1/flux/kontext/generate", {"aspectRatio": "1:1"}, 422, "prompt is required"),
        (
            "/api/v1/flux/kontext/generate",
            {"prompt": "x", "inputImage": "https://img.example.com/a.png", "safetyTolerance": 3},
            500,
            "safety tolerance out of range",
        ),
        ("/api/v1/veo/generate", {"prompt": "x", "aspect_ratio": "1:1"}, 422, "aspect_ratio"),
        ("/api/v1/veo/generate", {"prompt": "x", "duration": 5}, 422, "duration"),
        (
            "/api/v1/runway/generate",
            {**RUNWAY, "duration": 10, "quality": "1080p"},
            422,
            "1080p is not available for 10 seconds",
        ),
        ("/api/v1/runway/generate", {**RUNWAY, "aspectRatio": None}, 422, "aspectRatio"),
        ("/api/v1/runway/generate", {**RUNWAY, "prompt": ""}, 422, "prompt is required"),
        ("/api/v1/runway/generate", {**RUNWAY, "prompt": "x" * 1801}, 422, "prompt"),
        ("/api/v1/generate", {**SUNO, "callBackUrl": None}, 422, "Please enter callBackUrl."),
        ("/api/v1/generate", {**SUNO, "model": "V3_5"}, 422, "model"),
        ("/api/v1/generate", {**SUNO, "customMode": True, "title": "Cage"}, 422, "style"),
        (
            "/api/v1/jobs/createTask",
            {"model": "no/such-model", "input": {"prompt": "x"}},
            422,
            "The model name you specified is not supported.",
        ),
        ("/api/v1/jobs/createTask", {"model": "nano-banana-pro", "input": {}}, 500, "prompt is required"),
        (
            "/api/v1/jobs/createTask",
            {"model": "sora-2-text-to-video", "input": {"prompt": "x", "aspect_ratio": "landscape"}},
            500,
            "This interface is temporarily paused",
        ),
        ("/api/v1/jobs/createTask", {"input": {"prompt": "x"}}, 422, ""),
        ("/api/v1/jobs/createTask", {"model": ["nano-banana-pro"], "input": {"prompt": "x"}}, 422, ""),
    ],
)
def test_what_is_refused(world, path, body, code, message):
    """With the code and the words of Kie's pages and recordings; nothing is made and nothing is paid."""
    answer = post(world, path, body)

    assert (answer["code"], answer["data"]) == (code, None)
    assert message in answer["msg"]
    assert (world.tasks, balance(world)) == ({}, 10_000)


def test_unknown_inputs_are_dropped_silently(world):
    """As at Kie, who bills the job all the same."""
    assert post(world, CREATE_4O, {**REQUEST_4O, "colour": "red"})["code"] == 200


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"text"', b"null", b"\xff\xfe", pytest.param(b"[" * 100_000, id="nested")]
)
def test_a_body_that_is_no_json_object(world, content):
    """Code 400."""
    assert json.loads(send(world, "POST", CREATE_4O, content).content)["code"] == 400


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("GET", "/api/v1/none"),
        ("POST", "/api/v1/none"),
        ("GET", CREATE_4O),
        ("POST", QUERY_4O),
        ("GET", "//["),
    ],
)
def test_an_unknown_path(world, method, target):
    """Code 404, in a body like every other."""
    response = send(world, method, target, b"{}")

    assert (response.status, json.loads(response.content)["code"]) == (200, 404)


# --- the pace -------------------------------------------------------------------------


def test_the_21st_create_in_ten_seconds(world, clock):
    """Code 429, refused and not queued; the first twenty pass."""
    codes = []
    for _ in range(21):
        codes.append(post(world, CREATE_4O, REQUEST_4O)["code"])
        clock.now += 0.4

    assert codes == [200] * 20 + [429]
    assert len(world.tasks) == 20


def test_after_ten_seconds_creates_pass_again(world, clock):
    """The window slides."""
    for _ in range(20):
        post(world, CREATE_4O, REQUEST_4O)
    clock.now += 10

    assert post(world, CREATE_4O, REQUEST_4O)["code"] == 200


def test_the_limit_is_one_for_all_families(world):
    """It is the account's."""
    for number in range(20):
        make(world, list(FAMILIES)[number % 6])

    assert post(world, CREATE_4O, REQUEST_4O)["msg"] == "Your call frequency is too high. Please try again later."


def test_reading_is_not_limited_by_creates(world):
    """Only creates count."""
    task_ids = [make(world, "4o-image") for _ in range(20)]

    assert all(record(world, "4o-image", task_id) for task_id in task_ids * 3)


def test_a_limit_of_ones_own(clock):
    """For tests of many jobs: another limit, or none."""
    world = Sandbox(creates_per_10_seconds=None, clock=clock)

    assert {post(world, CREATE_4O, REQUEST_4O)["code"] for _ in range(50)} == {200}


# --- further models -------------------------------------------------------------------

ROWS = [
    {"model_id": "acme-poem", "output_type": "text/plain"},
    {"model_id": "acme-clip", "output_type": "video/mp4", "api_endpoint": "/acme/clip"},
]


def test_a_model_of_ones_own_over_createtask(clock):
    """By its id, like any other; it costs nothing here."""
    world = Sandbox(models=ROWS, clock=clock)
    task_id = make(world, "jobs", model="acme-poem", input={"theme": "rain"})
    clock.now += LONG_ENOUGH

    assert record(world, "jobs", task_id)["response"] == {"resultObject": {"text": "example"}}
    assert balance(world) == 10_000


def test_a_model_of_ones_own_over_its_route(clock):
    """By its endpoint of the V4 contract."""
    world = Sandbox(models=ROWS, clock=clock)
    task_id = post(world, "/acme/clip", {"theme": "rain"})["data"]["taskId"]
    clock.now += LONG_ENOUGH

    assert load(world, urls_in(record(world, "jobs", task_id))[0]).content_type == "video/mp4"


def test_requests_are_kept_for_tests_to_look_at(world):
    """In the order in which they came."""
    balance(world)
    post(world, CREATE_4O, REQUEST_4O)

    assert [(request.method, request.target) for request in world.requests] == [
        ("GET", "/api/v1/chat/credit"),
        ("POST", CREATE_4O),
    ]
