"""What a submit would send, as a value to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import attrs

from kie_core._dispatch.dispatcher import Dispatcher
from kie_core._files.local import replaced
from kie_core._jobs.job import Job
from kie_core._models.price import Price
from kie_core._secret import MASK


@attrs.frozen
class Payload:
    """A request that was not sent.

    Attributes:
        model, category, wire: What is asked for, and how.
        params: The checked inputs with defaults; what stands for a file says so.
        method, url: Where it would go.
        body: What it would carry, with the callback address; its last part, a secret, is masked.
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
    callback = dispatcher.callback_url and f"{dispatcher.callback_url}/{job.id}/{MASK}"
    request = dispatcher.request(job, callback)
    files = {stand_in: str(source) for stand_in, source in job.files.items()}
    return Payload(
        model=job.model.id,
        category=job.model.category,
        wire=job.wire,
        params=replaced(job.params, files),
        method=request.method,
        url=base_url + request.path + (f"?{urlencode(request.query)}" if request.query else ""),
        body=replaced(json.loads(request.content or b"{}"), files),
        price=job.price,
        warnings=tuple(dispatcher.warnings(job)),
    )
