"""What a submit would send, as a value to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from kie_core._dispatch import Dispatcher
from kie_core._job import Job
from kie_core._price import Price


@attrs.frozen
class Payload:
    """A request that was not sent.

    Attributes:
        model, category, wire: What is asked for, and how.
        params: The checked inputs with defaults.
        method, url: Where it would go.
        body: What it would carry, with the callback URL.
        price: What it would cost.
        warnings: What is lost on this wire, and doubts.
    """

    model: str
    category: str
    wire: str
    params: Mapping[str, Any]
    method: str
    url: str
    body: Mapping[str, Any]
    price: Price
    warnings: tuple[str, ...]


def payload_of(dispatcher: Dispatcher, job: Job, base_url: str) -> Payload:
    """Build the request of *job* and lay it open. Raises what `Dispatcher.request` raises."""
    request = dispatcher.request(job)
    return Payload(
        model=job.model.id,
        category=job.model.category,
        wire=job.wire,
        params=dict(job.params),
        method=request.method,
        url=base_url + request.path,
        body=json.loads(request.content or b"{}"),
        price=job.price,
        warnings=tuple(dispatcher.warnings(job)),
    )
