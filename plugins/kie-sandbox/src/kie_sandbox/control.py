"""``/_sandbox/``: look at a served sandbox and change its faults, from any language.

``GET /_sandbox/state``
    What was bought and what was refused: counts.
``GET /_sandbox/faults``
    The faults that are left, and the table of those that exist.
``PUT /_sandbox/faults``
    Add faults: ``{"faults": ["create-reset*1", "query-invisible=5"]}``.
``DELETE /_sandbox/faults``
    Take all faults away; with ``?name=create-reset`` those of that name.

It needs no key, answers only clients on this machine, and no fault strikes it but those of new connections.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final
from urllib.parse import parse_qs

from kie_sandbox.faults import FAULTS, BadFault
from kie_sandbox.messages import Request, Response
from kie_sandbox.world import Sandbox

PREFIX: Final = "/_sandbox/"


def answer(sandbox: Sandbox, request: Request) -> Response:
    """Answer a request below `PREFIX`: 400 with ``error`` for what cannot be read, 404 and 405 as usual."""
    path, _, query = request.target.partition("?")
    if path == f"{PREFIX}state":
        return _json(state(sandbox)) if request.method == "GET" else _json({"error": "only GET is allowed"}, 405)
    if path != f"{PREFIX}faults":
        return _json({"error": f"nothing is at {path}; there are {PREFIX}state and {PREFIX}faults"}, 404)
    if request.method == "PUT":
        try:
            sandbox.faults.add(*_texts(request.content))
        except BadFault as error:
            return _json({"error": str(error)}, 400)
    elif request.method == "DELETE":
        sandbox.faults.clear(parse_qs(query).get("name", [None])[0])
    elif request.method != "GET":
        return _json({"error": "GET, PUT and DELETE are allowed"}, 405)
    known = {name: kind.does for name, kind in FAULTS.items()}
    return _json({"faults": [str(fault) for fault in sandbox.faults], "known": known})


def state(sandbox: Sandbox) -> dict[str, Any]:
    """Return the counts of a sandbox as a JSON object."""
    states = Counter(
        "running" if not task.ended(sandbox.now) else "failed" if task.fails else "succeeded"
        for task in list(sandbox.tasks.values())
    )
    return {
        "creates": len(sandbox.creates),
        "refused": sandbox.refusals,
        "tasks": {name: states[name] for name in ("running", "succeeded", "failed")},
        "purchases": dict(sandbox.purchases()),
        "purchases_by_callback": dict(sandbox.creates_by_callback),
        "busiest_window": sandbox.busiest_window(),
        "balance": float(sandbox.balance),
        "callbacks": [
            {"task_id": sent.callback.task_id, "url": sent.callback.url, "status": sent.status} for sent in sandbox.sent
        ],
    }


def _texts(content: bytes) -> list[str]:
    shape = 'write {"faults": ["NAME=VALUE*TIMES", ...]}'
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise BadFault(f"the body is not JSON; {shape}") from None
    found = body.get("faults") if isinstance(body, dict) else body
    if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
        raise BadFault(f"the body has no list of faults; {shape}")
    return found


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body).encode(), "application/json", status)
