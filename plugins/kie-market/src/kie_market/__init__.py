"""Every model of Kie's market, through the universal call.

The models are data: ``kie_models.json`` says what each takes and costs, and how that came to be known
stands in the README. Nothing here knows one model from another, but for one table.

Source: docs.kie.ai/market/quickstart and docs.kie.ai/market/common/get-task-detail, read 2026-10-01.
"""

from __future__ import annotations

from typing import Any

from kie_core import JOBS_REFUSED, JSON, Endpoint, Job, Outcome, hookimpl, jobs_body, jobs_outcome

ENDPOINTS = {"jobs": Endpoint.jobs()}
#: Their pages list a callback address as required. Source: docs.kie.ai/veo3-api, read 2026-10-07.
CALLBACK_REQUIRED = frozenset({"veo/get-1080p-video"})
_WITH_CALLBACK = Endpoint.jobs(callback_required=True)


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return _WITH_CALLBACK if job.model.id in CALLBACK_REQUIRED else ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    return jobs_body(job)


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    return jobs_outcome(job, body)


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return JOBS_REFUSED
