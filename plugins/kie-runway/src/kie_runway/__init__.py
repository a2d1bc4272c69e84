"""Runway video.

Source: docs.kie.ai/runway-api/generate-ai-video, read 2026-08-19, and
docs.kie.ai/runway-api/get-ai-video-details, read 2026-04-29.
"""

from __future__ import annotations

from typing import Any

from kie_core import (
    JOBS_REFUSED,
    JSON,
    Artifact,
    Endpoint,
    InvalidJob,
    Job,
    Outcome,
    State,
    failure,
    hookimpl,
    jobs_outcome,
    part,
    record,
    rename,
    urls_of,
)

ENDPOINTS = {
    # record-detail, not record-info as with the sister calls
    "dedicated": Endpoint(create="/api/v1/runway/generate", query="/api/v1/runway/record-detail"),
    "jobs": Endpoint.jobs(),
}

#: Kie requires a value; the contract has none.
CHOSEN: dict[str, JSON] = {"quality": "720p"}

#: Our input -> Kie's field. ``waterMark`` is Kie's spelling, here only.
DEDICATED = {
    "prompt": "prompt",
    "image_url": "imageUrl",
    "duration": "duration",
    "quality": "quality",
    "watermark": "waterMark",
}
JOBS_MODEL = "runway"
JOBS = {name: name for name in DEDICATED}

#: ``data.state``.
STATES: dict[str, State] = {
    "wait": "queued",
    "queueing": "queued",
    "generating": "running",
    "success": "succeeded",
    "fail": "failed",
}


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    if not str(job.params.get("prompt") or "").strip():
        raise InvalidJob.value(job, "prompt", why="Kie's Runway needs a text beside the image; say what should move")
    params = {**CHOSEN, **job.params}
    if job.wire == "jobs":
        return {"model": JOBS_MODEL, "input": rename(params, JOBS)}
    return rename(params, DEDICATED)


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    if job.wire == "jobs":
        return jobs_outcome(job, body)
    data = record(body)
    word = data.get("state")
    state = STATES.get(str(word))
    if data.get("expireFlag") == 1:
        return Outcome("expired", error=failure(None, "Kie has deleted the file"))
    if state == "succeeded":
        made = part(data, "videoInfo")
        videos = [Artifact("video", url) for url in urls_of(made.get("videoUrl"))]
        covers = [Artifact("image", url, role="cover") for url in urls_of(made.get("imageUrl"))]
        return Outcome("succeeded", (*videos, *(covers if videos else ())))
    if state == "failed":
        return Outcome("failed", error=failure(data.get("failCode"), data.get("failMsg")))
    return Outcome(state or "running", remark=None if state else f"unknown state {word!r}")


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return (*JOBS_REFUSED, (451, ""))  # 451: the image could not be fetched
