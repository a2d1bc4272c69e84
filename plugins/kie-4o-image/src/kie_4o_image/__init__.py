"""GPT-4o images.

Source: docs.kie.ai/4o-image-api/generate-4-o-image, read 2026-08-19, and
docs.kie.ai/4o-image-api/get-4-o-image-details, read 2026-04-29.
"""

from __future__ import annotations

from typing import Any

from kie_core import (
    JOBS_REFUSED,
    JSON,
    Artifact,
    Endpoint,
    Job,
    Outcome,
    flag_outcome,
    hookimpl,
    jobs_outcome,
    rename,
    urls_of,
)

NOT_IN_JOBS = "createTask does not take it"
HD = "Kie has no quality setting for this model"

#: The contract's pixels -> Kie's exact ratio; Kie chooses the pixels.
SIZES: dict[JSON, JSON] = {"1024x1024": "1:1", "1792x1024": "3:2", "1024x1792": "2:3"}

#: Our input -> Kie's field.
DEDICATED = {
    "prompt": "prompt",
    "files_url": "filesUrl",
    "mask_url": "maskUrl",  # UNVERIFIED from here on: in the schema of 2026-04-29, not in that of 2026-08-19
    "is_enhance": "isEnhance",
    "upload_cn": "uploadCn",
    "enable_fallback": "enableFallback",
    "fallback_model": "fallbackModel",
    "n_variants": "nVariants",  # UNVERIFIED: shown in the quickstart only
}
JOBS_MODEL = "4o-image-api"
JOBS = {"prompt": "prompt", "files_url": "files_url"}

ENDPOINTS = {
    "dedicated": Endpoint(create="/api/v1/gpt4o-image/generate", query="/api/v1/gpt4o-image/record-info"),
    "jobs": Endpoint.jobs(
        drops=dict.fromkeys(DEDICATED.keys() - JOBS.keys(), NOT_IN_JOBS),
    ),
}


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    endpoint = ENDPOINTS[job.wire]
    return endpoint.dropping(quality=HD) if job.params.get("quality") == "hd" else endpoint


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    size = {"size": SIZES[job.params["size"]]}
    if job.wire == "jobs":
        return {"model": JOBS_MODEL, "input": {**rename(job.params, JOBS), **size}}
    return {**rename(job.params, DEDICATED), **size}


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    return jobs_outcome(job, body) if job.wire == "jobs" else flag_outcome(body, images)


def images(made: dict[str, Any]) -> list[Artifact]:
    """Both spellings occur on Kie's pages."""
    return [Artifact("image", url) for url in urls_of(made.get("resultUrls")) or urls_of(made.get("result_urls"))]


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return (*JOBS_REFUSED, (550, ""))  # 550: the queue is full, the task was refused
