"""The answers to queries, one shape per family. Source: the detail pages of docs.kie.ai and recordings of 2026."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from kie_sandbox import operations
from kie_sandbox.tasks import Task

POLICY: Final = "refused by the content policy"


def _echo(task: Task) -> str:
    return json.dumps(task.body, ensure_ascii=False)


def image_4o(task: Task, now: float) -> dict[str, Any]:
    ended = task.ended(now)
    return {
        "taskId": task.id,
        "paramJson": _echo(task),
        "completeTime": task.complete_time if ended else None,
        "response": None if not ended else {"resultUrls": [] if task.fails else [task.url()]},
        "successFlag": 0 if not ended else 3 if task.fails else 1,
        "status": "GENERATING" if not ended else "GENERATE_FAILED" if task.fails else "SUCCESS",
        "errorCode": 400 if ended and task.fails else None,
        "errorMessage": POLICY if ended and task.fails else "" if ended else None,
        "createTime": task.create_time,
        "progress": f"{task.share(now):.2f}",
    }


def flux_kontext(task: Task, now: float) -> dict[str, Any]:
    ended = task.ended(now)
    made = {"originImageUrl": task.url(2), "resultImageUrl": task.url(1)}
    return {
        "taskId": task.id,
        "paramJson": _echo(task),
        "completeTime": _iso(task.complete_time) if ended else None,
        "response": made if ended and not task.fails else None,
        "successFlag": 0 if not ended else 3 if task.fails else 1,
        "errorCode": 400 if ended and task.fails else None,
        "errorMessage": POLICY if ended and task.fails else "",
        "createTime": _iso(task.create_time),
    }


def veo3(task: Task, now: float) -> dict[str, Any]:
    ended = task.ended(now)
    made = {
        "taskId": task.id,
        "resultUrls": [task.url()],
        "originUrls": None,
        "fullResultUrls": [task.url(2)] if task.operation == "extend" else [],
        "resolution": "4k" if task.operation == "get_4k" else task.body.get("resolution", "720p"),
        **({"mediaIds": ["c2FuZGJveA=="]} if task.operation == "get_4k" else {}),
    }
    return {
        "taskId": task.id,
        "paramJson": _echo(task),
        "response": made if ended and not task.fails else None,
        "successFlag": 0 if not ended else 3 if task.fails else 1,
        "fallbackFlag": False,
        "completeTime": task.complete_time if ended else None,
        "createTime": task.create_time,
        "errorCode": 400 if ended and task.fails else None,
        "errorMessage": POLICY if ended and task.fails else "",
    }


def runway(task: Task, now: float) -> dict[str, Any]:
    share = task.share(now)
    state = (
        "wait"
        if share < 0.1
        else "queueing"
        if share < 0.2
        else "generating"
        if share < 1
        else "fail"
        if task.fails
        else "success"
    )
    made = {"videoId": task.id, "taskId": task.id, "videoUrl": task.url(), "imageUrl": task.url(2, "picture.png")}
    return {
        "taskId": task.id,
        "parentTaskId": "",
        "generateParam": {
            "prompt": task.body.get("prompt", ""),
            "imageUrl": task.body.get("imageUrl", ""),
            "expandPrompt": True,
        },
        "state": state,
        "generateTime": f"{datetime.fromtimestamp(task.complete_time / 1000, UTC):%Y-%m-%d %H:%M:%S}"
        if state == "success"
        else "",
        "videoInfo": made if state == "success" else None,
        "failCode": 400 if state == "fail" else None,
        "failMsg": POLICY if state == "fail" else "",
        "expireFlag": 0,
    }


def suno(task: Task, now: float) -> dict[str, Any]:
    share = task.share(now)
    ready = 0 if share < 0.7 else 1 if share < 1 else 2
    status = (
        "PENDING" if share < 0.4 else "TEXT_SUCCESS" if share < 0.7 else "FIRST_SUCCESS" if share < 1 else "SUCCESS"
    )
    if share >= 0.4 and task.fails:
        status = "SENSITIVE_WORD_ERROR"
    tracks = [
        {
            "id": f"{task.id}-{number}",
            "audioUrl": task.url(number) if number <= ready else "",
            "sourceAudioUrl": task.url(number) if number <= ready else "",
            "streamAudioUrl": task.url(number),
            "sourceStreamAudioUrl": task.url(number),
            "imageUrl": task.url(number, "picture.jpg"),
            "sourceImageUrl": task.url(number, "picture.jpg"),
            "prompt": "[Verse]\nA sandbox is a sunny place",
            "modelName": "chirp-v4",
            "title": task.body.get("title", "Sandbox"),
            "tags": task.body.get("style", "pop"),
            "createTime": task.create_time,
            "duration": 4.0,
        }
        for number in (1, 2)
    ]
    shown = status in ("TEXT_SUCCESS", "FIRST_SUCCESS", "SUCCESS")
    return {
        "taskId": task.id,
        "parentMusicId": "",
        "param": _echo(task),
        "response": {"taskId": task.id, "sunoData": tracks} if shown else None,
        "status": status,
        "type": "chirp-v4",
        "operationType": task.operation or "generate",
        "errorCode": 400 if status == "SENSITIVE_WORD_ERROR" else None,
        "errorMessage": POLICY if status == "SENSITIVE_WORD_ERROR" else None,
        "createTime": task.create_time,
    }


def jobs(task: Task, now: float) -> dict[str, Any]:
    share = task.share(now)
    state = (
        "waiting"
        if share < 0.1
        else "queuing"
        if share < 0.2
        else "generating"
        if share < 1
        else "fail"
        if task.fails
        else "success"
    )
    ended = state in ("success", "fail")
    echo = {"input": json.dumps(task.body.get("input", task.body)), "model": task.body.get("model", "")}
    if task.body.get("callBackUrl"):
        echo["callBackUrl"] = task.body["callBackUrl"]  # Source: docs.kie.ai/market/common/get-task-detail
    param = json.dumps(echo)
    result = _jobs_result(task) if state == "success" else None
    return {
        "taskId": task.id,
        "model": task.body.get("model", ""),
        "operationType": task.body.get("model", ""),
        "state": state,
        "successFlag": 0 if not ended else 1 if state == "success" else 3,
        "param": param,
        "paramJson": param,
        "resultJson": json.dumps(result) if result else "",
        **({"response": result} if result else {}),
        "failCode": "400" if state == "fail" else None,
        "failMsg": POLICY if state == "fail" else None,
        "costTime": int(task.seconds) if ended else None,
        "completeTime": task.complete_time if ended else None,
        "createTime": task.create_time,
        "creditsConsumed": float(task.credits),
    }


def _jobs_result(task: Task) -> dict[str, Any]:
    if task.tracks:
        tracks = [
            {
                "id": f"{task.id}-{number}",
                "audio_url": task.url(number),
                "image_url": task.url(number, "picture.jpg"),
                "title": "Sandbox",
                "duration": 4.0,
            }
            for number in (1, 2)
        ]
        return {"code": 200, "msg": "success", "task_id": task.id, "data": tracks}
    if task.media == "json":
        return {"resultObject": {"text": "example"}}
    return {"resultUrls": [task.url()]}


def _iso(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


RECORDS: Final[Mapping[str, Callable[[Task, float], dict[str, Any]]]] = {
    "4o-image": image_4o, "flux-kontext": flux_kontext, "veo3": veo3, "runway": runway, "suno": suno, "jobs": jobs,
    **operations.RECORDS,
}  # fmt: skip
_NONE: Final[dict[str, Any]] = {"code": 200, "msg": "success", "data": None}
#: What Kie says of a task that it does not know.
UNKNOWN: Final[Mapping[str, dict[str, Any]]] = {
    "4o-image": {"code": 422, "msg": "The record does not exist", "data": None},
    "flux-kontext": {"code": 422, "msg": "The record does not exist", "data": None},
    "veo3": {"code": 422, "msg": "Record not found", "data": None},
    "runway": {"code": 200, "msg": "success", "data": None},
    "suno": {"code": 200, "msg": "success", "data": None},
    "jobs": {"code": 422, "msg": "recordInfo is null", "data": None},
    "suno-recovery": {"code": 500, "msg": "task does not exist", "data": None},
    **dict.fromkeys(operations.RECORDS, _NONE),
}
