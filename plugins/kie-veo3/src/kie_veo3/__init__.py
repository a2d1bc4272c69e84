"""Google Veo 3.1 video.

Source: docs.kie.ai/veo3-api/generate-veo-3-video, read 2026-08-19, and
docs.kie.ai/veo3-api/get-veo-3-video-details, read 2026-04-29.
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
    flag_outcome,
    hookimpl,
    jobs_outcome,
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

#: What the V4 contract allows and Kie makes.
RATIOS = ("16:9", "9:16")
SECONDS = (4, 6, 8)


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    if job.params["aspect_ratio"] not in RATIOS:
        raise InvalidJob.value(job, "aspect_ratio", why="Veo makes no square video", allowed=RATIOS)
    if job.params["duration_seconds"] not in SECONDS:
        raise InvalidJob.value(job, "duration_seconds", why="Veo makes no video of this length", allowed=SECONDS)
    if job.wire == "jobs":
        return {"model": JOBS_MODEL, "input": rename(job.params, JOBS)}
    return rename(job.params, DEDICATED)


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    return jobs_outcome(job, body) if job.wire == "jobs" else flag_outcome(body, videos)


def videos(made: dict[str, Any]) -> list[Artifact]:
    """The clip; after an extension the whole of it; the original where Kie cropped it."""
    roles = {"resultUrls": "result", "fullResultUrls": "whole", "originUrls": "origin"}
    return [Artifact("video", url, role=role) for field, role in roles.items() for url in urls_of(made.get(field))]


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return JOBS_REFUSED
