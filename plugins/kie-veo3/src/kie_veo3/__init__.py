"""Google Veo 3.1 video.

Source: docs.kie.ai/veo3-api/generate-veo-3-video, read 2026-08-19, and
docs.kie.ai/veo3-api/get-veo-3-video-details, read 2026-04-29. What makes more of a video, such as an extension or a
copy in 4K, and the tier that the contract lacks are rows of ``kie_models.json``, from the pages that they name.
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
    camel_case,
    flag_outcome,
    hookimpl,
    jobs_outcome,
    part,
    record,
    rename,
    urls_of,
)

NO_TIER = "createTask has no field for Veo's tier: Kie chooses between Quality, Fast and Lite, and so the price"

ENDPOINTS = {
    "dedicated": Endpoint(create="/api/v1/veo/generate", query="/api/v1/veo/record-info"),
    "jobs": Endpoint.jobs(
        notes=(NO_TIER,),
        drops={"model": NO_TIER, "seeds": "createTask does not take it"},
    ),
}

#: The operations of ``kie_models.json``.
OPERATIONS = {
    "veo-extend": Endpoint(create="/api/v1/veo/extend", query="/api/v1/veo/record-info"),
    # 400 while the copy is being made. UNVERIFIED: that asking again is not charged again; its page says to ask again
    "veo-1080p": Endpoint(create="/api/v1/veo/get-1080p-video", kind="derived", method="GET"),
    # 422 names the task of the copy that is being made, or was made, for an earlier call
    "veo-4k": Endpoint(create="/api/v1/veo/get-4k-video", query="/api/v1/veo/record-info", made_before=(422,)),
}

#: Our input -> Kie's field. The mixed case is Kie's.
DEDICATED = {
    "prompt": "prompt",
    "model": "model",
    "image_urls": "imageUrls",
    "generation_type": "generationType",
    "aspect_ratio": "aspect_ratio",
    "resolution": "resolution",
    "duration_seconds": "duration",
    "enable_translation": "enableTranslation",
    "watermark": "watermark",
    "seeds": "seeds",  # UNVERIFIED: in the schema of 2025-11 only
}
JOBS_MODEL = "veo-3-1"
JOBS = {
    "prompt": "prompt",
    "image_urls": "image_urls",
    "generation_type": "generation_type",
    "aspect_ratio": "aspect_ratio",
    "resolution": "resolution",
    "duration_seconds": "duration",
    "enable_translation": "enable_translation",
    "watermark": "watermark",
}

#: "1080p copy is being made".
NOT_READY = 400

#: What the V4 contract allows and Kie makes; it makes one more.
RATIOS = ("16:9", "9:16")
AUTO = "Auto"
SECONDS = (4, 6, 8)


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return OPERATIONS.get(job.model.id) or ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    if job.model.id in OPERATIONS:
        return {"taskId" if name == "task" else camel_case(name): value for name, value in job.params.items()}
    if job.params["aspect_ratio"] not in (*RATIOS, AUTO):
        raise InvalidJob.value(job, "aspect_ratio", why="Veo makes no square video", allowed=RATIOS)
    if job.params["duration_seconds"] not in SECONDS:
        raise InvalidJob.value(job, "duration_seconds", why="Veo makes no video of this length", allowed=SECONDS)
    if job.wire == "jobs":
        return {"model": JOBS_MODEL, "input": rename(job.params, JOBS)}
    return rename({**job.model.fixed, **job.params}, DEDICATED)


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    if job.model.id == "veo-1080p":
        return in_1080p(body)
    return jobs_outcome(job, body) if job.wire == "jobs" else flag_outcome(body, videos)


def in_1080p(body: dict[str, Any]) -> Outcome:
    """Read an answer of the call for 1080p, which is its own record.

    Source: docs.kie.ai/veo3-api/get-veo-3-1080-p-video, read 2026-04-29; the code of "not yet" is on the page of
    generate. UNVERIFIED: that a 422 carries the file where it is there already, as that of 4K does.
    """
    videos = [Artifact("video", url) for url in urls_of(part(body, "data").get("resultUrl"))]
    if videos and body.get("code") in (200, 422):
        return Outcome("succeeded", tuple(videos))
    if body.get("code") == NOT_READY:
        return Outcome("running")
    record(body)
    return Outcome("running", remark="code 200 without a file")


def videos(made: dict[str, Any]) -> list[Artifact]:
    """The clip; after an extension the whole of it; the original where Kie cropped it; the cover of a copy in 4K."""
    roles = {"resultUrls": "result", "fullResultUrls": "whole", "originUrls": "origin"}
    clips = [Artifact("video", url, role=role) for field, role in roles.items() for url in urls_of(made.get(field))]
    covers = [Artifact("image", url, role="cover") for url in urls_of(made.get("imageUrls"))]
    return [*clips, *(covers if clips else ())]


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return JOBS_REFUSED
