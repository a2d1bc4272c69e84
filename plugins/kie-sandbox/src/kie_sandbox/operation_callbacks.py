"""What Kie posts when an operation beside a family's first call has ended.

Source: the callback pages under docs.kie.ai/veo3-api, /runway-api and /suno-api, 2026-04-29. UNVERIFIED: voices and
recovery.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kie_sandbox import operations
from kie_sandbox.tasks import Task

Body = dict[str, Any]


def _said(task: Task, data: Any, failed: Any, *, code: int = 500, **more: Any) -> Body:
    if task.fails:
        return {"code": code, "msg": operations.POLICY, **more, "data": failed}
    return {"code": 200, "msg": "success", **more, "data": data}


def veo_4k(task: Task) -> Body:
    made = {"resultUrls": [task.url()], "imageUrls": [task.url(2, "picture.jpg")]}
    return _said(task, {"taskId": task.id, "info": made}, {"taskId": task.id})


def _aleph(task: Task) -> Body:
    made = {"result_video_url": task.url(), "result_image_url": task.url(2, "picture.png")}
    return _said(task, made, None, code=400, taskId=task.id)


def _lyrics(task: Task) -> Body:
    texts = [{"text": "[Verse]\nA sandbox", "title": "Sandbox", "status": "complete", "error_message": ""}]
    common = {"callbackType": "complete", "task_id": task.id}  # "complete" where it failed, too
    return _said(task, {**common, "data": texts}, {**common, "data": None}, code=400)


def _wav(task: Task) -> Body:
    return _said(task, {"audioWavUrl": task.url(), "task_id": task.id}, {"audioWavUrl": None, "task_id": task.id})


def _mp4(task: Task) -> Body:
    return _said(task, {"task_id": task.id, "video_url": task.url()}, {"task_id": task.id, "video_url": None})


def _stems(task: Task) -> Body:
    made = {"origin_url": task.url(3), "vocal_url": task.url(1), "instrumental_url": task.url(2)}
    common = {"task_id": task.id}
    return _said(task, {**common, "vocal_separation_info": made}, {**common, "vocal_separation_info": None})


def _notes(task: Task) -> Body:
    return _said(task, {**operations.notes(), "taskId": task.id}, {"taskId": task.id})


def _cover(task: Task) -> Body:
    images = [task.url(1, "picture.png"), task.url(2, "picture.jpg")]
    return _said(task, {"taskId": task.id, "images": images}, {"taskId": task.id, "images": None}, code=501)


def _of_record(record: Callable[[Task, float], Body]) -> Callable[[Task], Body]:
    def body(task: Task) -> Body:
        found = record(task, float("inf"))
        return _said(task, found, found, code=400)

    return body


def _recovery(task: Task) -> Body:
    return _said(task, operations.recovered(task), None, task_id=task.id)


BODIES: Final[Mapping[str, Callable[[Task], Body]]] = {
    "runway-aleph": _aleph, "suno-lyrics": _lyrics, "suno-wav": _wav, "suno-mp4": _mp4, "suno-stems": _stems,
    "suno-notes": _notes, "suno-cover": _cover, "suno-phrase": _of_record(operations.phrase),
    "suno-voice": _of_record(operations.voice), "suno-recovery": _recovery,
}  # fmt: skip
