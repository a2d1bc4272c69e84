"""Runway video.

Source: docs.kie.ai/runway-api/generate-ai-video, read 2026-08-19, and
docs.kie.ai/runway-api/get-ai-video-details, read 2026-04-29. What the contract lacks, videos from text alone, and the
operations on top of it, extend and Aleph, are rows of ``kie_models.json``, from the pages that they name.
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
    camel_case,
    failure,
    hookimpl,
    jobs_outcome,
    part,
    record,
    rename,
    seconds_between,
    urls_of,
)

ENDPOINTS = {
    # record-detail, not record-info as with the sister calls
    "dedicated": Endpoint(create="/api/v1/runway/generate", query="/api/v1/runway/record-detail"),
    "jobs": Endpoint.jobs(),
}

#: The operations of ``kie_models.json``.
OPERATIONS = {
    "runway-generate": ENDPOINTS["dedicated"],
    "runway-extend": Endpoint(create="/api/v1/runway/extend", query="/api/v1/runway/record-detail"),
    "runway-gen4-aleph": Endpoint(create="/api/v1/aleph/generate", query="/api/v1/aleph/record-info"),
}
#: Their inputs that Kie does not call by the same name in camel case.
SPELLED = {"task": "taskId", "watermark": "waterMark"}

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
#: ``data.successFlag`` of Aleph. Source: its page names 0 and 1; 3 was recorded on 2026-08-18. UNVERIFIED: 2.
ALEPH_STATES: dict[int, State] = {0: "running", 1: "succeeded", 2: "failed", 3: "failed"}


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return OPERATIONS.get(job.model.id) or ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    if job.model.id in OPERATIONS:
        return {SPELLED.get(name) or camel_case(name): value for name, value in job.params.items()}
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
    if job.model.id == "runway-gen4-aleph":
        return aleph(data)
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


def aleph(data: dict[str, Any]) -> Outcome:
    """Read a record of Aleph. Source: docs.kie.ai/runway-api/get-aleph-video-details, read 2026-04-29."""
    flag = data.get("successFlag")
    state = ALEPH_STATES.get(flag) if isinstance(flag, int) and not isinstance(flag, bool) else None
    took = seconds_between(data.get("createTime"), data.get("completeTime"))
    if state == "running" and data.get("errorCode"):
        state = "failed"  # the page shows 0 for failures, too; then a code is set
    if state == "failed":
        return Outcome("failed", error=failure(data.get("errorCode"), data.get("errorMessage")), seconds=took)
    if state == "succeeded":
        made = part(data, "response")
        videos = [Artifact("video", url) for url in urls_of(made.get("resultVideoUrl"))]
        covers = [Artifact("image", url, role="cover") for url in urls_of(made.get("resultImageUrl"))]
        return Outcome("succeeded", (*videos, *(covers if videos else ())), seconds=took)
    return Outcome("running", remark=None if state else f"unknown successFlag {flag!r}")


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return (*JOBS_REFUSED, (451, ""))  # 451: the image could not be fetched
