"""Tasks of every family: made, waited for, and read."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

from kie_sandbox import Request

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


#: Requests as they stand on Kie's pages.
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


RUNWAY = FAMILIES["runway"][2]
SUNO = FAMILIES["suno"][2]


def load(world, url):
    parts = urlsplit(url)
    return send(world, "GET", f"{parts.path}?{parts.query}" if parts.query else parts.path)
