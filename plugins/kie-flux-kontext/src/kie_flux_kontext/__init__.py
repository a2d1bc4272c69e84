"""Flux Kontext images.

Source: docs.kie.ai/flux-kontext-api/generate-or-edit-image, read 2026-08-19, and
docs.kie.ai/flux-kontext-api/get-image-details, read 2026-04-29.
"""

from __future__ import annotations

import math
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

PIXELS = "Kie takes the shape from width and height and chooses the number of pixels itself"
NO_TIER = "createTask has no field for the tier: Kie chooses between pro and max, and so the price"
PIXEL_DROPS = {"width": PIXELS, "height": PIXELS}

ENDPOINTS = {
    "dedicated": Endpoint(
        create="/api/v1/flux/kontext/generate", query="/api/v1/flux/kontext/record-info", drops=PIXEL_DROPS
    ),
    "jobs": Endpoint.jobs(drops={**PIXEL_DROPS, "model": NO_TIER}, notes=(NO_TIER,)),
}

RATIOS = {"21:9": 21 / 9, "16:9": 16 / 9, "4:3": 4 / 3, "1:1": 1.0, "3:4": 3 / 4, "9:16": 9 / 16}

#: Sent unless the caller chose: Kie's own defaults are jpeg and a tier that may change.
CHOSEN: dict[str, JSON] = {"model": "flux-kontext-pro", "output_format": "png"}

#: Our input -> Kie's field.
DEDICATED = {
    "prompt": "prompt",
    "model": "model",
    "input_image": "inputImage",
    "aspect_ratio": "aspectRatio",
    "output_format": "outputFormat",
    "enable_translation": "enableTranslation",
    "prompt_upsampling": "promptUpsampling",
    "safety_tolerance": "safetyTolerance",
    "upload_cn": "uploadCn",
    "watermark": "watermark",
}
JOBS_MODEL = "flux1-kontext"
JOBS = {name: name for name in DEDICATED if name != "model"}

#: Seconds for which the upstream copy lies there.
ORIGIN_LIFETIME = 600.0


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    params = {**CHOSEN, **job.params}
    if "input_image" not in params or {"width", "height"} & job.given:  # an edit keeps the shape of its image
        params["aspect_ratio"] = nearest_ratio(job.params["width"], job.params["height"])
    if job.wire == "jobs":
        return {"model": JOBS_MODEL, "input": rename(params, JOBS)}
    return rename(params, DEDICATED)


def nearest_ratio(width: Any, height: Any) -> str:
    """Return Kie's ratio that is nearest to *width* by *height*, as the eye measures: by factor."""
    wanted = math.log(width / height)
    return min(RATIOS, key=lambda ratio: abs(math.log(RATIOS[ratio]) - wanted))


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    return jobs_outcome(job, body) if job.wire == "jobs" else flag_outcome(body, images)


def images(made: dict[str, Any]) -> list[Artifact]:
    """The result; where it is not named, the upstream copy is better than nothing."""
    return [Artifact("image", url) for url in urls_of(made.get("resultImageUrl"))] or [
        Artifact("image", url, lifetime=ORIGIN_LIFETIME) for url in urls_of(made.get("originImageUrl"))
    ]


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return (*JOBS_REFUSED, (500, "safety tolerance"), (500, "safetyTolerance"))
