"""The 210 ids of the old registry, through the universal call.

An old id such as ``kling-26-text-to-video-10s`` was never Kie's: the registry says
which model serves it today and which inputs the id itself fixes.

Source: docs.kie.ai/market/quickstart and docs.kie.ai/market/common/get-task-detail, read 2026-10-01.
"""

from __future__ import annotations

from typing import Any

from kie_core import JOBS_REFUSED, JSON, Endpoint, Job, Outcome, hookimpl, jobs_body, jobs_outcome

ENDPOINTS = {"jobs": Endpoint.jobs()}


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    return ENDPOINTS[job.wire]


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    return jobs_body(job)


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    return jobs_outcome(job, body)


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return JOBS_REFUSED
