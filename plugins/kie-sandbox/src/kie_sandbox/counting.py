"""What was bought here, and how fast: so that a duplicate purchase and a broken limit are seen."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from kie_sandbox.callbacks import Callback


@attrs.frozen
class Create:
    """A create that made a task, whatever the client was told.

    Args:
        at: Seconds since 1970.
        body: As it came.
        callback: The ``callBackUrl`` of the body, or None.
    """

    task_id: str
    at: float
    path: str
    body: Mapping[str, Any]
    callback: str | None


@attrs.frozen
class Sent:
    """A try at sending a callback. ``status``: the HTTP status of the answer; None: there was none."""

    callback: Callback
    status: int | None


def prompt_of(body: Mapping[str, Any]) -> str:
    """Return the prompt of a create, wherever the family has it; empty: it has none."""
    inputs = body.get("input")
    return str((inputs if isinstance(inputs, dict) else body).get("prompt", ""))


def busiest(times: Iterable[float], seconds: float) -> int:
    """Return how many of *times* lie in the fullest window of *seconds*; its end is not part of it."""
    window: deque[float] = deque()
    most = 0
    for moment in sorted(times):
        window.append(moment)
        while moment - window[0] >= seconds:
            window.popleft()
        most = max(most, len(window))
    return most
