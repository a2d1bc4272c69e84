"""What a task costs at the fake Kie, and when that is paid back."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kie_sandbox import Sandbox
from kie_sandbox.inputs import credits_for
from kie_sandbox.world import wire

from .tasks import (
    CREATE_4O,
    DOCUMENTED,
    FAMILIES,
    LONG_ENOUGH,
    REQUEST_4O,
    RUNWAY,
    SUNO,
    balance,
    finished,
    make,
    make_failing,
    post,
    record,
)

VEO = {"prompt": "a cat"}
IMAGES = {"imageUrls": ["https://img.example.com/in/door.png"]}


@pytest.mark.parametrize(
    ("path", "body", "credits"),
    [
        ("/api/v1/gpt4o-image/generate", REQUEST_4O, 6),
        ("/api/v1/flux/kontext/generate", {"prompt": "a cat"}, 5),
        ("/api/v1/flux/kontext/generate", {"prompt": "a cat", "model": "flux-kontext-pro"}, 5),
        ("/api/v1/flux/kontext/generate", {"prompt": "a cat", "model": "flux-kontext-max"}, 10),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3_lite"}, 30),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3_fast"}, 60),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3_fast", "resolution": "1080p"}, 65),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3_fast", "resolution": "4k"}, 180),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3", "duration": 4}, 250),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3", "resolution": "1080p"}, 255),
        ("/api/v1/veo/generate", {**VEO, "model": "veo3", "resolution": "4k"}, 380),
        pytest.param(
            "/api/v1/veo/generate", {**VEO, "model": "veo3", "resolution": "4k", **IMAGES}, 370, id="veo3-4k-image"
        ),
        pytest.param("/api/v1/veo/generate", VEO, 60, id="veo3_fast-is-the-default"),
        ("/api/v1/runway/generate", RUNWAY, 12),
        ("/api/v1/runway/generate", {**RUNWAY, "duration": 10}, 30),
        ("/api/v1/runway/generate", {**RUNWAY, "quality": "1080p"}, 30),
        ("/api/v1/generate", SUNO, 12),
        ("/api/v1/jobs/createTask", FAMILIES["jobs"][2], 18),
        # recorded with these inputs: 4 seconds without a video at 11.7 a second
        pytest.param(*DOCUMENTED[-1], 46.8, id="seedance-2-fast"),
    ],
)
def test_what_a_task_costs(world, path, body, credits):
    """By Kie's prices of 2026-09-24 and its recorded charges; both tracks of Suno are one call."""
    assert post(world, path, body)["code"] == 200

    assert balance(world) == pytest.approx(10_000 - credits)


CREATE_TASK = "/api/v1/jobs/createTask"
CLIP = ["https://img.example.com/in/a.mp4"]
PICTURES = ["https://img.example.com/in/a.png"] * 7


@pytest.mark.parametrize(
    ("model", "inputs", "credits"),
    [
        ("nano-banana-pro", {"prompt": "a cat"}, 18),
        ("kling-3.0-omni/text-to-video", {"prompt": "a cat"}, 5 * 14),
        ("kling-3.0-omni/text-to-video", {"prompt": "a cat", "duration": 3, "audio": True}, 3 * 18),
        ("bytedance/seedance-2-5", {"prompt": "a cat", "duration": -1}, 5 * 63),
        ("bytedance/seedance-2", {"prompt": "a cat", "reference_video_urls": CLIP}, 5 * 25),
        ("ideogram/character-edit", {"num_images": "3"}, 3 * 18),
        ("qwen3/image-to-image", {"prompt": "a cat", "image_urls": PICTURES[:3]}, 4.8 + 3 * 0.5),
        ("minimax-h3/reference-to-video", {"prompt": "a", "duration": 6, "reference_image_urls": PICTURES}, 6 * 13 + 8),
        ("elevenlabs/text-to-speech-turbo-2-5", {"text": "a" * 500}, 3),
        ("gemini-omni-video", {"prompt": "a cat", "duration": "4", "resolution": "1080p"}, 63),
    ],
)
def test_what_a_model_of_the_market_costs(model, inputs, credits):
    """By the catalogue of 2026-10-01: with the page's defaults, times the seconds, images or characters, and what is beside."""
    facts = wire()["jobs"][model]

    assert credits_for(facts["prices"], inputs, facts["fields"]) == Decimal(str(credits))


def test_a_value_beside_the_range_that_the_page_names(world):
    """-1 lets the model choose; -2 is nothing."""
    codes = [
        post(world, CREATE_TASK, {"model": "bytedance/seedance-2-5", "input": {"prompt": "a", "duration": seconds}})[
            "code"
        ]
        for seconds in (-1, -2, 3, 30)
    ]

    assert codes == [200, 422, 422, 200]


def test_a_documented_model_is_judged_by_its_documentation(clock):
    """Whatever the client that started the sandbox says of it."""
    world = Sandbox(models=[{"model_id": "nano-banana-pro", "output_type": "audio/mp3"}], clock=clock)

    assert post(world, CREATE_TASK, {"model": "nano-banana-pro", "input": {}})["msg"] == "prompt is required"
    make(world, "jobs")
    assert balance(world) == 10_000 - 18


def test_the_balance_has_decimals(clock):
    """Documented as an integer, recorded with a fraction."""
    assert balance(Sandbox(credits=1234.55, clock=clock)) == 1234.55


def test_a_failed_task_is_paid_back(world, clock):
    """When it ends, not before."""
    task_id = make_failing(world, "4o-image")
    before = balance(world)
    clock.now += LONG_ENOUGH
    record(world, "4o-image", task_id)

    assert (before, balance(world)) == (9_994, 10_000)


def test_a_failed_task_is_paid_back_once(world, clock):
    """However often it is read."""
    task_id = make_failing(world, "4o-image")
    clock.now += LONG_ENOUGH
    for _ in range(3):
        record(world, "4o-image", task_id)

    assert balance(world) == 10_000


def test_a_failed_task_is_paid_back_though_nobody_reads_it(world, clock):
    """The balance is the account's, not the reader's."""
    make_failing(world, "4o-image")
    clock.now += LONG_ENOUGH

    assert balance(world) == 10_000


def test_a_succeeded_task_is_not_paid_back(world, clock):
    """It was bought."""
    finished(world, clock, "4o-image")

    assert balance(world) == 9_994


def test_too_few_credits(clock):
    """Code 402; nothing is made and nothing is taken."""
    world = Sandbox(credits=5.99, clock=clock)
    answer = post(world, CREATE_4O, REQUEST_4O)

    assert (answer["code"], answer["data"]) == (402, None)
    assert (world.tasks, balance(world)) == ({}, 5.99)


def test_exactly_enough_credits(clock):
    """The last ones can be spent."""
    world = Sandbox(credits=6, clock=clock)

    assert post(world, CREATE_4O, REQUEST_4O)["code"] == 200
    assert balance(world) == 0
