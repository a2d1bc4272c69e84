"""The fake Kie as a pure function: what Kie documents, it does, by an injected clock."""

from __future__ import annotations

import json
import re
import struct
import zlib
from decimal import Decimal
from urllib.parse import urlsplit

import pytest

from kie_sandbox import Request, Sandbox
from kie_sandbox.inputs import credits_for
from kie_sandbox.world import wire

HOOK = "https://hooks.example.com/kie"

#: Family -> where its tasks are made and read, and the least request that Kie takes.
FAMILIES = {
    "4o-image": (
        "/api/v1/gpt4o-image/generate",
        "/api/v1/gpt4o-image/record-info",
        {"prompt": "a cat", "size": "1:1"},
    ),
    "flux-kontext": ("/api/v1/flux/kontext/generate", "/api/v1/flux/kontext/record-info", {"prompt": "a cat"}),
    "veo3": ("/api/v1/veo/generate", "/api/v1/veo/record-info", {"prompt": "a cat", "model": "veo3_fast"}),
    "runway": (
        "/api/v1/runway/generate",
        "/api/v1/runway/record-detail",
        {"prompt": "a cat", "duration": 5, "quality": "720p", "aspectRatio": "16:9"},
    ),
    "suno": (
        "/api/v1/generate",
        "/api/v1/generate/record-info",
        {"prompt": "a cat", "customMode": False, "instrumental": False, "model": "V4", "callBackUrl": HOOK},
    ),
    "jobs": (
        "/api/v1/jobs/createTask",
        "/api/v1/jobs/recordInfo",
        {"model": "nano-banana-pro", "input": {"prompt": "a cat", "resolution": "1K"}},
    ),
}
LONG_ENOUGH = 3600.0
CREATE_4O, QUERY_4O, REQUEST_4O = FAMILIES["4o-image"]


class Clock:
    """A clock that only tests move."""

    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def world(clock):
    return Sandbox(clock=clock)


def send(world, method, target, content=b"", **headers):
    return world.handle(
        Request(method, target, {"authorization": "Bearer sandbox", "host": "kie.test:8787", **headers}, content)
    )


def post(world, path, body):
    return json.loads(send(world, "POST", path, json.dumps(body).encode()).content)


def get(world, target):
    return json.loads(send(world, "GET", target).content)


def balance(world):
    return get(world, "/api/v1/chat/credit")["data"]


def request_of(family, prompt="a cat"):
    """The family's least request, with another prompt."""
    body = FAMILIES[family][2]
    return {**body, "input": {**body["input"], "prompt": prompt}} if family == "jobs" else {**body, "prompt": prompt}


def make(world, family, **changes):
    """Make a task and return its id."""
    return post(world, FAMILIES[family][0], {**request_of(family), **changes})["data"]["taskId"]


def make_failing(world, family):
    return post(world, FAMILIES[family][0], request_of(family, "[refuse] a cat"))["data"]["taskId"]


def record(world, family, task_id):
    answer = get(world, f"{FAMILIES[family][1]}?taskId={task_id}")
    assert answer["code"] == 200
    return answer["data"]


def finished(world, clock, family, **changes):
    """Make a task, wait for its end, and return its record."""
    task_id = make(world, family, **changes)
    clock.now += LONG_ENOUGH
    return record(world, family, task_id)


def urls_in(value):
    """Every address of a file in a record."""
    return re.findall(r'http://kie\.test:8787/files/[^"\\]+', json.dumps(value))


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

DOCUMENTED = [
    (
        "/api/v1/gpt4o-image/generate",
        {"prompt": "paper-cut harbour at dusk, three small boats", "size": "3:2", "callBackUrl": HOOK},
    ),
    (
        "/api/v1/gpt4o-image/generate",
        {
            "filesUrl": ["https://img.example.com/in/a.png", "https://img.example.com/in/b.png"],
            "prompt": "put the lamp from the second picture on the desk of the first",
            "size": "1:1",
        },
    ),
    (
        "/api/v1/flux/kontext/generate",
        {
            "prompt": "isometric greenhouse full of cacti, soft morning light",
            "aspectRatio": "4:3",
            "outputFormat": "png",
            "model": "flux-kontext-max",
            "safetyTolerance": 4,
        },
    ),
    (
        "/api/v1/flux/kontext/generate",
        {
            "prompt": "make the sky overcast",
            "inputImage": "https://img.example.com/in/pier.jpg",
            "safetyTolerance": 2,
            "callBackUrl": HOOK,
        },
    ),
    (
        "/api/v1/veo/generate",
        {
            "prompt": "a kite drifting over salt flats, slow aerial shot",
            "model": "veo3_lite",
            "generationType": "TEXT_2_VIDEO",
            "aspect_ratio": "9:16",
            "duration": 4,
            "resolution": "720p",
        },
    ),
    (
        "/api/v1/veo/generate",
        {
            "prompt": "the door opens onto a snowy street",
            "model": "veo3",
            "imageUrls": ["https://img.example.com/in/door.png", "https://img.example.com/in/street.png"],
            "generationType": "FIRST_AND_LAST_FRAMES_2_VIDEO",
            "callBackUrl": HOOK,
        },
    ),
    (
        "/api/v1/runway/generate",
        {
            "prompt": "clay fox trots through tall grass, handheld camera",
            "duration": 5,
            "quality": "1080p",
            "aspectRatio": "16:9",
            "waterMark": "",
            "callBackUrl": HOOK,
        },
    ),
    (
        "/api/v1/runway/generate",
        {
            "prompt": "she turns and waves",
            "imageUrl": "https://img.example.com/in/portrait.png",
            "duration": 10,
            "quality": "720p",
        },
    ),
    (
        "/api/v1/generate",
        {
            "prompt": "slow harmonica tune about a closed mine",
            "customMode": False,
            "instrumental": False,
            "model": "V5",
            "callBackUrl": HOOK,
        },
    ),
    (
        "/api/v1/generate",
        {
            "prompt": "[Verse]\nThe cage went down at six\n[Chorus]\nBring up the sun",
            "customMode": True,
            "instrumental": False,
            "style": "americana, harmonica",
            "title": "Six O Clock Cage",
            "model": "V5_5",
            "negativeTags": "edm",
            "vocalGender": "m",
            "styleWeight": 0.6,
            "weirdnessConstraint": 0.25,
            "duration": 90,
            "callBackUrl": HOOK,
        },
    ),
    (
        "/api/v1/jobs/createTask",
        {
            "model": "nano-banana-pro",
            "input": {
                "prompt": "A paper lantern floating over a quiet harbour at dusk",
                "aspect_ratio": "16:9",
                "resolution": "1K",
                "output_format": "png",
            },
            "callBackUrl": HOOK,
        },
    ),
    (
        "/api/v1/jobs/createTask",
        {
            "model": "bytedance/seedance-2-fast",
            "input": {
                "prompt": "A red kite drifts over green hills",
                "duration": 4,
                "resolution": "480p",
                "aspect_ratio": "16:9",
                "generate_audio": False,
            },
        },
    ),
]


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

RUNWAY = FAMILIES["runway"][2]
SUNO = FAMILIES["suno"][2]


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


# --- credits --------------------------------------------------------------------------

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


# --- the course of a task -------------------------------------------------------------


def course(world, clock, family, word):
    """The different words of a task's states, in order."""
    task_id = make(world, family)
    seen = []
    for _ in range(600):
        state = record(world, family, task_id)[word]
        if state not in seen[-1:]:
            seen.append(state)
        clock.now += 0.5
    return seen


@pytest.mark.parametrize(
    ("family", "word", "states"),
    [
        ("4o-image", "successFlag", [0, 1]),
        ("flux-kontext", "successFlag", [0, 1]),
        ("veo3", "successFlag", [0, 1]),
        ("runway", "state", ["wait", "queueing", "generating", "success"]),
        ("suno", "status", ["PENDING", "TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS"]),
        ("jobs", "state", ["waiting", "queuing", "generating", "success"]),
    ],
)
def test_states_follow_the_clock(world, clock, family, word, states):
    """Each once, in the documented order, and the last for good."""
    assert course(world, clock, family, word) == states


@pytest.mark.parametrize(
    ("family", "word", "state"),
    [
        ("4o-image", "status", "GENERATE_FAILED"),
        ("flux-kontext", "successFlag", 3),
        ("veo3", "successFlag", 3),
        ("runway", "state", "fail"),
        ("suno", "status", "SENSITIVE_WORD_ERROR"),
        ("jobs", "state", "fail"),
    ],
)
def test_a_refused_prompt_fails_its_task(world, clock, family, word, state):
    """Accepted first, as at Kie: the content is looked at later."""
    task_id = make_failing(world, family)
    clock.now += LONG_ENOUGH

    assert record(world, family, task_id)[word] == state


def test_time_stands_still_with_the_clock(world):
    """Nothing but the clock moves a task."""
    task_id = make(world, "4o-image")
    first = record(world, "4o-image", task_id)

    assert all(record(world, "4o-image", task_id) == first for _ in range(10))


@pytest.mark.parametrize("speed", [0.5, 1.0, 50.0])
def test_speed_shortens_the_wait(clock, speed):
    """A task that takes an image's 40 seconds ends after 40 / speed."""
    world = Sandbox(speed=speed, clock=clock)
    task_id = make(world, "4o-image")
    clock.now += 39.9 / speed
    before = record(world, "4o-image", task_id)["successFlag"]
    clock.now += 0.2 / speed

    assert (before, record(world, "4o-image", task_id)["successFlag"]) == (0, 1)


def test_progress_grows(world, clock):
    """Decimal text from 0.00 to 1.00."""
    task_id = make(world, "4o-image")
    shares = []
    for _ in range(50):
        shares.append(record(world, "4o-image", task_id)["progress"])
        clock.now += 1

    assert all(re.fullmatch(r"[01]\.\d\d", share) for share in shares)
    assert (shares[0], shares[-1], shares) == ("0.00", "1.00", sorted(shares))


def test_songs_arrive_one_by_one(world, clock):
    """A song that is still being made has an empty ``audioUrl`` and something to listen to already."""
    task_id = make(world, "suno")
    ready = {}
    for _ in range(400):
        data = record(world, "suno", task_id)
        if data["response"]:
            ready[data["status"]] = [bool(track["audioUrl"]) for track in data["response"]["sunoData"]]
        clock.now += 0.5

    assert ready == {"TEXT_SUCCESS": [False, False], "FIRST_SUCCESS": [True, False], "SUCCESS": [True, True]}


# --- the shape of records -------------------------------------------------------------


def shape(value):
    """The keys of a record, all the way down; a list of objects counts as one of them."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        assert all(shape(item) == shape(value[0]) for item in value)
        return [shape(value[0])]
    return None


def keys(text, **nested):
    return {**dict.fromkeys(text.split()), **nested}


IMAGE_4O = "taskId paramJson completeTime successFlag status errorCode errorMessage createTime progress"
FLUX = "taskId paramJson completeTime successFlag errorCode errorMessage createTime"
VEO3 = "taskId paramJson successFlag fallbackFlag completeTime createTime errorCode errorMessage"
RUNWAY_KEYS = "taskId parentTaskId state generateTime failCode failMsg expireFlag"
PARAM = keys("prompt imageUrl expandPrompt")
SUNO_KEYS = "taskId parentMusicId param status type operationType errorCode errorMessage createTime"
TRACK = keys(
    "id audioUrl sourceAudioUrl streamAudioUrl sourceStreamAudioUrl imageUrl sourceImageUrl prompt modelName title"
    " tags createTime duration"
)
JOBS = (
    "taskId model operationType state successFlag param paramJson resultJson failCode failMsg costTime completeTime"
    " createTime creditsConsumed"
)


@pytest.mark.parametrize(
    ("family", "running", "succeeded", "failed"),
    [
        (
            "4o-image",
            keys(IMAGE_4O, response=None),
            keys(IMAGE_4O, response=keys("resultUrls")),
            keys(IMAGE_4O, response=keys("resultUrls")),
        ),
        (
            "flux-kontext",
            keys(FLUX, response=None),
            keys(FLUX, response=keys("originImageUrl resultImageUrl")),
            keys(FLUX, response=None),
        ),
        (
            "veo3",
            keys(VEO3, response=None),
            keys(VEO3, response=keys("taskId resultUrls originUrls fullResultUrls resolution")),
            keys(VEO3, response=None),
        ),
        (
            "runway",
            keys(RUNWAY_KEYS, generateParam=PARAM, videoInfo=None),
            keys(RUNWAY_KEYS, generateParam=PARAM, videoInfo=keys("videoId taskId videoUrl imageUrl")),
            keys(RUNWAY_KEYS, generateParam=PARAM, videoInfo=None),
        ),
        (
            "suno",
            keys(SUNO_KEYS, response=None),
            keys(SUNO_KEYS, response=keys("taskId", sunoData=[TRACK])),
            keys(SUNO_KEYS, response=None),
        ),
        # as recorded since 2026-09: `response` on success only
        ("jobs", keys(JOBS), keys(JOBS, response=keys("resultUrls")), keys(JOBS)),
    ],
)
def test_records_have_the_keys_of_the_documented_examples(world, clock, family, running, succeeded, failed):
    """No more and no fewer, while a task runs and after either end."""
    good, bad = make(world, family), make_failing(world, family)
    before = shape(record(world, family, good))
    clock.now += LONG_ENOUGH

    assert before == running
    assert shape(record(world, family, good)) == succeeded
    assert shape(record(world, family, bad)) == failed


@pytest.mark.parametrize("family", ["4o-image", "veo3", "suno", "jobs"])
def test_times_are_integers_of_milliseconds(world, clock, family):
    """As recorded, whatever the pages say."""
    made = int(clock.now * 1000)

    assert finished(world, clock, family)["createTime"] == made


def test_the_times_of_flux_are_text(world, clock):
    """As on its page; nobody recorded them."""
    data = finished(world, clock, "flux-kontext")

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", data["createTime"])
    assert data["createTime"] < data["completeTime"]


def test_the_time_of_runway_is_text_with_a_blank(world, clock):
    """Of the end, and empty before it."""
    task_id = make(world, "runway")
    before = record(world, "runway", task_id)["generateTime"]
    clock.now += LONG_ENOUGH

    assert before == ""
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", record(world, "runway", task_id)["generateTime"])


@pytest.mark.parametrize(("family", "field"), [("4o-image", "paramJson"), ("suno", "param"), ("jobs", "param")])
def test_the_request_is_echoed_as_json_text(world, family, field):
    """Not as an object."""
    echo = json.loads(record(world, family, make(world, family))[field])

    assert "a cat" in json.dumps(echo)


def test_the_result_of_a_job_is_json_text(world, clock):
    """Empty until success; then the same as ``response``."""
    task_id = make(world, "jobs")
    before = record(world, "jobs", task_id)["resultJson"]
    clock.now += LONG_ENOUGH
    data = record(world, "jobs", task_id)

    assert before == ""
    assert json.loads(data["resultJson"]) == data["response"]


def test_the_cost_time_of_a_job_is_in_seconds(world, clock):
    """The page says milliseconds; recordings show seconds."""
    data = finished(world, clock, "jobs")

    assert data["costTime"] == (data["completeTime"] - data["createTime"]) // 1000


def test_the_song_of_a_job_is_in_its_response(world, clock):
    """In snake case, and twice."""
    inputs = {"prompt": "a cat", "custom_mode": False, "instrumental": False, "model": "V6"}
    data = finished(world, clock, "jobs", model="ai-music-api/generate", input=inputs)

    assert [track["audio_url"].rpartition(".")[2] for track in data["response"]["data"]] == ["mp3", "mp3"]


@pytest.mark.parametrize(
    ("family", "code"),
    [("4o-image", 422), ("flux-kontext", 422), ("veo3", 422), ("runway", 200), ("suno", 200), ("jobs", 422)],
)
@pytest.mark.parametrize("query", ["?taskId=0a81932c6cc7fddfd620baf6e1f0db7e", "?taskId=", ""])
def test_an_unknown_task(world, family, code, query):
    """Two manners: code 422, or code 200; never any data."""
    answer = get(world, FAMILIES[family][1] + query)

    assert (answer["code"], answer["data"]) == (code, None)


@pytest.mark.parametrize("family", ["4o-image", "flux-kontext", "jobs"])
def test_a_task_is_read_where_it_was_made(world, family):
    """A path knows only the tasks of its own family."""
    assert get(world, f"{FAMILIES[family][1]}?taskId={make(world, 'veo3')}")["data"] is None


def test_text_that_is_half_a_character(world):
    """JSON can say it, UTF-8 cannot: the record can be read all the same."""
    task_id = make(world, "suno", prompt="\ud800")

    assert record(world, "suno", task_id)["status"] == "PENDING"


# --- files ----------------------------------------------------------------------------


def load(world, url):
    parts = urlsplit(url)
    return send(world, "GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)


def is_png(content):
    """Read it as a decoder would: the pixels are all there."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, pixels, names = 8, b"", []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + data)
        names.append(name)
        if name == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", data[:10])
        elif name == b"IDAT":
            pixels += data
        at += 12 + length
    assert (names[0], names[-1]) == (b"IHDR", b"IEND")
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    return len(zlib.decompress(pixels)) == height * (1 + (width * bits + 7) // 8)


def is_jpeg(content):
    return content.startswith(b"\xff\xd8\xff") and content.rstrip(b"\x00").endswith(b"\xff\xd9")


def is_mp4(content):
    """A file type box, an index, and media that are as long as their boxes say."""
    at, names = 0, []
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        assert length >= 8
        names.append(name)
        at += length
    return at == len(content) and names[0] == b"ftyp" and {b"moov", b"mdat"} <= set(names)


def is_mp3(content):
    """Perhaps a tag, then a frame that begins with eleven set bits."""
    at = 0
    if content.startswith(b"ID3"):
        a, b, c, d = content[6:10]
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
    return content[at] == 0xFF and content[at + 1] & 0xE0 == 0xE0


REAL = {"image/png": is_png, "image/jpeg": is_jpeg, "video/mp4": is_mp4, "audio/mpeg": is_mp3}


@pytest.mark.parametrize(
    ("family", "types"),
    [
        ("4o-image", {"image/png"}),
        ("veo3", {"video/mp4"}),
        ("runway", {"video/mp4", "image/png"}),
        ("suno", {"audio/mpeg", "image/jpeg"}),
        ("jobs", {"image/png"}),
    ],
)
def test_every_file_of_a_record_is_real(world, clock, family, types):
    """A player can play it, and its type is what it is."""
    files = [load(world, url) for url in urls_in(finished(world, clock, family))]

    assert {file.content_type for file in files} == types
    assert all(file.status == 200 and REAL[file.content_type](file.content) for file in files)


@pytest.mark.parametrize(
    ("family", "changes", "kind"),
    [
        ("flux-kontext", {"outputFormat": "png"}, "image/png"),
        ("flux-kontext", {"outputFormat": "jpeg"}, "image/jpeg"),
        pytest.param("flux-kontext", {}, "image/jpeg", id="flux-kontext-default"),
        ("jobs", {"input": {"prompt": "a cat", "output_format": "png"}}, "image/png"),
        pytest.param("jobs", {"input": {"prompt": "a cat", "output_format": "jpg"}}, "image/jpeg", id="jobs-jpg"),
    ],
)
def test_the_format_that_was_asked_for(world, clock, family, changes, kind):
    """Flux makes jpeg unless told otherwise; nano-banana-pro says jpg."""
    files = [load(world, url) for url in urls_in(finished(world, clock, family, **changes))]

    assert files
    assert all(file.content_type == kind and REAL[kind](file.content) for file in files)


def test_files_need_no_key(world, clock):
    """Anybody with the address can read them."""
    url = finished(world, clock, "4o-image")["response"]["resultUrls"][0]

    assert world.handle(Request("GET", urlsplit(url).path, {})).status == 200


@pytest.mark.parametrize("path", ["/files/", "/files/x/1-none.png", "/files/x/1-server.py", "/files/../world.py"])
def test_other_files_are_not_served(world, path):
    """Only the four that are meant."""
    assert send(world, "GET", path).status == 404


def test_a_download_link_of_an_own_file(world, clock):
    """Bare text, signed, for twenty minutes; the link works."""
    url = finished(world, clock, "4o-image")["response"]["resultUrls"][0]
    answer = post(world, "/api/v1/common/download-url", {"url": url})

    assert answer["code"] == 200
    assert "1200" in urlsplit(answer["data"]).query
    assert is_png(load(world, answer["data"]).content)


@pytest.mark.parametrize("url", ["https://files.example.com/out/lantern.png", "", None, 7])
def test_a_download_link_of_a_foreign_file(world, url):
    """Code 422, as recorded."""
    assert post(world, "/api/v1/common/download-url", {"url": url}) == {
        "code": 422,
        "msg": "url is wrong",
        "data": None,
    }


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
