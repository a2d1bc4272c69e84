"""The callbacks that Kie would send: when they are due, and what is in them. Nothing is sent from here.

Source: docs.kie.ai/common-api/webhook-verification and the callback pages of the families, 2026-04-29 to 2026-10.
"""

from __future__ import annotations

import base64
import hashlib
import heapq
import hmac
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from kie_sandbox import operation_callbacks, records
from kie_sandbox.broken_answers import MEGABYTE
from kie_sandbox.faults import Fault, Faults
from kie_sandbox.tasks import Task

#: The files of somebody else, in a forged callback.
FOREIGN_FILE: Final = "https://files.example.com/somebody-else.png"
END: Final = "end"


@attrs.frozen
class Callback:
    """A callback as it goes out.

    Args:
        headers: Content-Type first, then perhaps the two of the signature.
        padding: Bytes of blanks after the content.
        chunked: In chunks, without Content-Length.
    """

    task_id: str
    url: str
    headers: tuple[tuple[str, str], ...]
    content: bytes
    padding: int = 0
    chunked: bool = False


def sign(key: str, task_id: str, timestamp: str) -> str:
    """Return the signature of a callback. It covers the task's id and the time, not the body."""
    digest = hmac.digest(key.encode(), f"{task_id}.{timestamp}".encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


# --- bodies ---------------------------------------------------------------------------


def _jobs(task: Task, stage: str) -> dict[str, Any]:
    now = math.inf if stage == END else task.moment(0.5)
    record = records.jobs(task, now)
    failed = record["state"] == "fail"
    names = "taskId model state param resultJson failCode failMsg costTime completeTime createTime creditsConsumed"
    data = {name: record[name] for name in names.split()}
    data["resultJson"] = None if failed else data["resultJson"]
    data["updateTime"] = task.complete_time + 10
    said = "failed" if failed else "completed successfully"
    return {"code": 501 if failed else 200, "msg": f"Playground task {said}.", "data": data}


def _image_4o(task: Task, _: str) -> dict[str, Any]:
    return _ended(task, {"info": {"result_urls": [task.url()]}}, {"info": None})


def _flux_kontext(task: Task, _: str) -> dict[str, Any]:
    made = {"originImageUrl": task.url(2), "resultImageUrl": task.url(1)}
    return _ended(task, {"info": made}, {"info": dict.fromkeys(made, "")}, code=501)


def _veo3(task: Task, _: str) -> dict[str, Any]:
    if task.operation == "get_4k":
        return operation_callbacks.veo_4k(task)
    made = {
        "resultUrls": [task.url()],
        "originUrls": [task.url(2)],
        "resolution": task.body.get("resolution", "720p"),
    }
    echo = json.dumps(task.body)
    return _ended(task, {"promptJson": echo, "info": made, "fallbackFlag": False}, {"fallbackFlag": False})


def _runway(task: Task, _: str) -> dict[str, Any]:
    made = {"video_id": task.id, "video_url": task.url(), "image_url": task.url(2, "picture.png")}
    return _ended(task, made, dict.fromkeys(made, ""), id_name="task_id")


def _ended(
    task: Task, made: dict[str, Any], failed: dict[str, Any], *, code: int = 400, id_name: str = "taskId"
) -> dict[str, Any]:
    said = {"code": code, "msg": records.POLICY} if task.fails else {"code": 200, "msg": "success"}
    return {**said, "data": {id_name: task.id, **(failed if task.fails else made)}}


def _suno(task: Task, stage: str) -> dict[str, Any]:
    if task.fails:
        data = {"callbackType": "error", "task_id": task.id, "data": None}
        return {"code": 400, "msg": records.POLICY, "data": data}
    kind, heard, shown = {"text": ("text", 0, 1), "first": ("first", 1, 1)}.get(stage, ("complete", 2, 2))
    tracks = [
        {
            "id": f"{task.id}-{number}",
            "audio_url": task.url(number) if number <= heard else "",
            "stream_audio_url": task.url(number),
            "image_url": task.url(number, "picture.jpg"),
            "prompt": "[Verse]\nA sandbox is a sunny place",
            "model_name": "chirp-v4",
            "title": task.body.get("title", "Sandbox"),
            "tags": task.body.get("style", "pop"),
            "createTime": task.create_time,
            "duration": 4.0 if number <= heard else None,
        }
        for number in range(1, shown + 1)
    ]
    return {"code": 200, "msg": "success", "data": {"callbackType": kind, "task_id": task.id, "data": tracks}}


BODIES: Final[Mapping[str, Callable[[Task, str], dict[str, Any]]]] = {
    "4o-image": _image_4o, "flux-kontext": _flux_kontext, "veo3": _veo3, "runway": _runway, "suno": _suno,
    "jobs": _jobs,
}  # fmt: skip
#: An earlier state, for families that have callbacks of one.
EARLIER: Final[Mapping[str, str]] = {"jobs": "generating", "suno": "text"}

# --- when -----------------------------------------------------------------------------


def _stages(task: Task) -> list[tuple[float, str]]:
    """Return how much of the task is done at each of its callbacks."""
    if task.family != "suno" or task.operation == "replace_section":
        return [(1.0, END)]
    return [(0.4, END)] if task.fails else [(0.4, "text"), (0.7, "first"), (1.0, END)]


@attrs.frozen(order=True)
class _Due:
    at: float
    number: int
    task: Task = attrs.field(order=False)
    stage: str = attrs.field(order=False)
    struck: tuple[Fault, ...] | None = attrs.field(default=None, order=False)


class Schedule:
    """The callbacks of an account that are still to come."""

    def __init__(self) -> None:
        self._coming: list[_Due] = []
        self._number = 0

    def plan(self, task: Task) -> None:
        """Note the callbacks of a task; none if its create named no address on the web."""
        if callback_of(task.body) is not None:
            for share, stage in _stages(task):
                self._push(task.moment(share), task, stage)

    def _push(self, at: float, task: Task, stage: str, struck: tuple[Fault, ...] | None = None) -> None:
        self._number += 1
        heapq.heappush(self._coming, _Due(at, self._number, task, stage, struck))

    @property
    def next_at(self) -> float | None:
        """When the next one is due, in seconds since 1970; None: there is none."""
        return self._coming[0].at if self._coming else None

    def take(self, now: float, faults: Faults, key: str | None) -> list[Callback]:
        """Return those that are due, each once, in order."""
        found: list[Callback] = []
        while self._coming and self._coming[0].at <= now:
            due = heapq.heappop(self._coming)
            struck = tuple(faults.take_all("callback")) if due.struck is None else due.struck
            late = sum(fault.number for fault in struck if fault.name == "callback-late")
            if late and due.struck is None:
                self._push(due.at + late, due.task, due.stage, struck)
            else:
                found += _sent(due.task, due.stage, {fault.name: fault for fault in struck}, key, now)
        return found


def callback_of(body: Mapping[str, Any]) -> str | None:
    """Return the address on the web to which a create wants its callbacks."""
    url = body.get("callBackUrl", body.get("calBackUrl"))  # one l: the page of one call spells it so
    if not isinstance(url, str) or not url.isascii():
        return None
    try:
        return url if urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname else None
    except ValueError:
        return None


# --- what goes out --------------------------------------------------------------------


def _sent(task: Task, stage: str, faults: Mapping[str, Fault], key: str | None, now: float) -> list[Callback]:
    if "callback-never" in faults:
        return []
    if "callback-unknown-task" in faults:
        stranger = hashlib.sha256(task.id.encode()).hexdigest()[:32]
        task = attrs.evolve(task, id=stranger, files=task.files.replace(task.id, stranger))
    if "callback-forged" in faults:
        task = attrs.evolve(task, link=FOREIGN_FILE, fails=False)
    if "callback-forged-failure" in faults:
        task = attrs.evolve(task, fails=True)
    found = [_one(task, stage, faults, key, now)]
    if "callback-out-of-order" in faults and stage == END and not task.fails and task.family in EARLIER:
        found.append(_one(task, EARLIER[task.family], faults, key, now))
    return [callback for callback in found for _ in range(2 if "callback-twice" in faults else 1)]


def _one(task: Task, stage: str, faults: Mapping[str, Fault], key: str | None, now: float) -> Callback:
    other = operation_callbacks.BODIES.get(task.family)
    content = json.dumps(BODIES[task.family](task, stage) if other is None else other(task)).encode()
    if "callback-garbage" in faults:
        content = b"\xff\xfe not JSON \x00"
    if "callback-brackets" in faults:
        content = b"[" * 100_000 + b"]" * 100_000
    kind = faults["callback-content-type"].text if "callback-content-type" in faults else "application/json"
    headers = [("Content-Type", kind)]
    if key is not None and "callback-unsigned" not in faults:
        age = faults["callback-old"].number if "callback-old" in faults else 0.0
        timestamp = str(int(now - age))
        used = f"not {key}" if "callback-bad-signature" in faults else key
        headers += [("X-Webhook-Timestamp", timestamp), ("X-Webhook-Signature", sign(used, task.id, timestamp))]
    return Callback(
        task_id=task.id,
        url=callback_of(task.body) or "",
        headers=tuple(headers),
        content=content,
        padding=int(faults["callback-huge"].number * MEGABYTE) if "callback-huge" in faults else 0,
        chunked="callback-chunked" in faults,
    )
