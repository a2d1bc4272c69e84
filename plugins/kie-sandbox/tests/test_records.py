"""The course of a task at the fake Kie, and the shape of its record."""

from __future__ import annotations

import json
import re

import pytest

from kie_sandbox import Sandbox

from .tasks import FAMILIES, LONG_ENOUGH, finished, get, make, make_failing, record

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
