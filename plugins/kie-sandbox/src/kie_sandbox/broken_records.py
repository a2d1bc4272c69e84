"""What a fault makes of a task's record, by the family whose record it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from kie_sandbox import records
from kie_sandbox.faults import Fault
from kie_sandbox.tasks import Task

Record = dict[str, Any]
UNKNOWN_STATE: Final = "pondering"
UNKNOWN_FLAG: Final = 7
#: Stands for JSON text that no encoder would write; see `written`.
_RAW: Final = "\x00raw:"


def fits(fault: Fault, task: Task, now: float) -> bool:
    """Tell whether *fault* makes a difference for that task at that time."""
    match fault.name:
        case "query-invisible":
            return now - task.created < fault.number
        case "query-unfinished":
            return task.ended(now)
        case "query-credits":
            return task.family == "jobs"
        case "query-fail-after-success":
            return task.readings > 1 and not task.fails
        case "query-success-after-fail":
            return task.readings == 1 and not task.fails
        case "query-no-result" | "query-result-url" | "query-result-empty":
            return task.ended(now) and not task.fails
        case "query-result-not-json" | "query-result-twice-encoded":
            return task.ended(now) and not task.fails
        case _:
            return True


def record(task: Task, now: float, fault: Fault | None) -> Record | None:
    """Return the record of *task*; None: the sandbox says that there is none."""
    name = "" if fault is None else fault.name
    if name in ("query-invisible", "query-unknown-task"):
        return None
    if fault is not None and name == "query-result-url":
        task = attrs.evolve(task, link=fault.text)
    if name == "query-unfinished":
        now = task.created + task.seconds / task.speed / 2
    if name in ("query-fail-after-success", "query-success-after-fail"):
        task = attrs.evolve(task, fails=True)
    found = records.RECORDS[task.family](task, now)
    if fault is not None and name == "query-credits":
        return {**found, "creditsConsumed": _RAW + fault.text}
    change = _CHANGES.get(name)
    return found if change is None else change(task.family, found)


def written(body: Record) -> bytes:
    """Return *body* as JSON."""
    raw = body["data"].get("creditsConsumed") if isinstance(body.get("data"), dict) else None
    text = json.dumps(body)
    if isinstance(raw, str) and raw.startswith(_RAW):
        text = text.replace(json.dumps(raw), raw.removeprefix(_RAW))
    return text.encode()


def _unknown_state(family: str, found: Record) -> Record:
    word = UNKNOWN_STATE.upper() if family == "suno" else UNKNOWN_STATE
    unknown = {"successFlag": UNKNOWN_FLAG, "state": word, "status": word}
    return {**found, **{name: value for name, value in unknown.items() if name in found}}


#: Where a family keeps what was made.
_RESULTS: Final[Mapping[str, str]] = {"runway": "videoInfo"}


def _result_name(family: str) -> str:
    return _RESULTS.get(family, "response")


def _no_result(family: str, found: Record) -> Record:
    if family == "jobs":
        return {name: value for name, value in found.items() if name not in ("resultJson", "response")}
    return {**found, _result_name(family): None}


def _with_text(family: str, found: Record, text: str, other: Any) -> Record:
    """Put *text* where JSON text belongs, and *other* where an object does."""
    if family == "jobs":
        return {**{name: value for name, value in found.items() if name != "response"}, "resultJson": text}
    return {**found, _result_name(family): other}


def _emptied(value: Any) -> Any:
    """Return *value* without its addresses: lists empty, texts too."""
    if isinstance(value, dict):
        return {name: _emptied(inner) for name, inner in value.items()}
    return [] if isinstance(value, list) else ""


def _result_empty(family: str, found: Record) -> Record:
    return _with_text(family, found, "{}", _emptied(found.get(_result_name(family))))


def _not_json(family: str, found: Record) -> Record:
    return _with_text(family, found, '{"resultUrls": [', "the result is ready")


def _twice_encoded(family: str, found: Record) -> Record:
    twice = json.dumps(found.get("resultJson", ""))
    return _with_text(family, found, twice, json.dumps(found.get(_result_name(family))))


_CHANGES: Final[Mapping[str, Callable[[str, Record], Record]]] = {
    "query-unknown-state": _unknown_state,
    "query-no-result": _no_result,
    "query-result-empty": _result_empty,
    "query-result-not-json": _not_json,
    "query-result-twice-encoded": _twice_encoded,
}
