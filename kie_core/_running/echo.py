"""Does a record at Kie belong to a job of ours? Kie's records repeat what was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kie_core._jobs.callback import job_and_token
from kie_core._jobs.job import JOBS_QUERY
from kie_core._ledger.entry import Entry

#: Where the records of all families repeat the request, or its callback address alone.
#: Source: the detail pages of docs.kie.ai, 2026-04 to 2026-10.
_ECHOES: Final = ("param", "paramJson", "generateParam", "callbackUrl")
_DEEPEST: Final = 12


def proves(entry: Entry, body: Mapping[str, Any], marks: Sequence[str]) -> bool | None:
    """Tell whether the record in *body* was made by the create of *entry*; None: it cannot be told.

    The end of the callback address, which nobody can guess, is proof. A family that does not repeat it repeats the
    prompt at least: the same prompt is taken for proof there, unless the record names another model.

    Args:
        entry: The job.
        body: The answer to a query, with any code.
        marks: How the job's callback address ends, whatever it begins with: by this key, or a former one.
    """
    data = body.get("data")
    if body.get("code") != 200 or not isinstance(data, Mapping):
        return None
    echoes = [data[name] for name in _ECHOES if data.get(name)]
    texts = {text for echo in echoes for text in _texts(echo)}
    if any(mark in text for text in texts for mark in marks):
        return True
    addresses = [job_and_token(text) for text in texts if text.startswith(("http://", "https://"))]
    if any(address is not None and address[0] != entry.id for address in addresses):
        return False  # the address of another job
    if any(address is not None for address in addresses):
        return None  # this job's, by a key that we do not know any more
    if entry.plan.query == JOBS_QUERY and entry.inputs is not None and data.get("model"):
        bought = entry.inputs.body.get("model")
        if isinstance(bought, str) and bought != data["model"]:
            return False  # the record of another model
    prompt = None if entry.inputs is None else entry.inputs.params.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        return None
    return True if prompt in texts else None


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield every text in *value*, and in the JSON that its texts hold."""
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _texts(one, depth + 1)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, depth + 1)
    elif isinstance(value, str):
        yield value
        if value.lstrip()[:1] in ("{", "["):
            try:
                inner = json.loads(value)
            except (ValueError, RecursionError):
                return
            yield from _texts(inner, depth + 1)
