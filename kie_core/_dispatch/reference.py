"""A job that builds on an earlier task: find that task, see that it is finished, and take from it what is needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from kie_core._errors import BadHandle, Fault, InvalidJob, RecordMissing, WrongState
from kie_core._jobs.job import Handle
from kie_core._jobs.outcome import record
from kie_core._models.field import Field
from kie_core._models.model import Model, holds
from kie_core._models.source import Gift, Source, values_at

if TYPE_CHECKING:
    from kie_core._ledger.entry import Entry
    from kie_core._running.runner import Runner

#: What the ids of our own jobs look like, and no id of Kie's.
_OURS: Final = re.compile(r"[0-9a-f]{16}")


def reference(model: Model) -> Field | None:
    """Return the input of *model* that is an earlier task, or None."""
    return next((field for field in model.inputs if field.source is not None), None)


def unresolved(model: Model, inputs: Mapping[str, Any]) -> bool:
    """Tell whether *inputs* name an earlier task."""
    field = reference(model)
    return field is not None and isinstance(inputs, Mapping) and isinstance(inputs.get(field.name), str)


def offline(model: Model, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Put Kie's task id in the place of a handle: all that can be said of an earlier task without asking anybody.

    Raises:
        InvalidJob: The handle is of another model or names no task, or only the ledger knows the task.
    """
    field = reference(model)
    if field is None or field.source is None or not unresolved(model, inputs):
        return inputs
    text = inputs[field.name].strip()
    if _OURS.fullmatch(text):
        raise _unfit(model, field, f"{text!r} is a job of the ledger; without it, give Kie's task id or a handle")
    if not text.startswith("kie1:"):
        return inputs
    handle = _parsed(model, field, text)
    _check_model(model, field, handle.model, text)
    if handle.task is None:
        raise _unfit(model, field, f"{text!r} names no task; Kie has not taken that job, as far as the handle says")
    return {**inputs, field.name: handle.task}


async def resolved(runner: Runner, model: Model, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *inputs* with Kie's id of the earlier task, and with what else its record tells. Asks at most once; free.

    Raises:
        InvalidJob: The task is not finished, of another model or account, or nobody knows it.
        ReadFailed, ReadRefused, NoKey, PluginFailed: It cannot be read now.
    """
    field = reference(model)
    if field is None or field.source is None or not unresolved(model, inputs):
        return inputs
    text = inputs[field.name].strip()
    entry = await _entry(runner, model, field, text)
    _check_model(model, field, entry.plan.model, text)
    if entry.account != runner.account:
        raise _unfit(model, field, f"{text!r} is a task of another account, whose tasks this key cannot use")
    if entry.task_id is None:
        raise _unfit(model, field, f"{text!r} is {entry.state}: Kie has no task of it")
    found = {**inputs, field.name: entry.task_id}
    missing = [gift for gift in field.source.gives if found.get(gift.name) is None and holds(gift.when, found)]
    if not missing and (not field.source.states or entry.state in field.source.states):
        return found
    try:
        body = await runner.reader.record(entry, entry.task_id)
        outcome = runner.reader.understood(entry, body)
    except RecordMissing as error:
        raise _unfit(model, field, f"Kie does not know {text!r} as a task of {entry.plan.model}") from error
    except WrongState as error:
        raise _unfit(model, field, error.problem) from error
    if field.source.states and outcome.state not in field.source.states:
        hint = "" if outcome.finished else f"; wait for it: kie save {entry.handle()}"
        raise _unfit(model, field, f"{text!r} is {outcome.state}, not {' or '.join(field.source.states)}{hint}")
    return {**found, **_taken(model, field.source, found, missing, record(body))}


async def _entry(runner: Runner, model: Model, field: Field, text: str) -> Entry:
    """Return the ledger's entry of the task that *text* names, or one made of what is said."""
    assert field.source is not None
    if text.startswith("kie1:"):
        handle = _parsed(model, field, text)
        known = await runner.ledger.get(handle.job)
        if known is not None and (known.task_id is not None or handle.task is None):
            return known
        _check_model(model, field, handle.model, text)
        if handle.task is None:
            raise _unfit(model, field, f"{text!r} names no task, and the ledger does not know its job")
        job, _ = runner.dispatcher.readable(text)
        return runner.planner.foreign(job, handle.task, runner.clock.time())
    known = await runner.ledger.get(text) or await runner.ledger.by_task(runner.account, text)
    if known is not None:
        return known
    if _OURS.fullmatch(text):
        raise _unfit(model, field, f"the ledger does not know job {text!r}")
    first = runner.dispatcher.plugins.registry.get(field.source.models[0])
    try:
        wire = runner.dispatcher.wire_for(first, None)
        job, _ = runner.dispatcher.readable(Handle("unknown", first.id, wire, text).text)
    except BadHandle:
        raise _unfit(model, field, f"{text!r} is no handle, no job of the ledger and no task id of Kie's") from None
    return runner.planner.foreign(job, text, runner.clock.time())


def _taken(
    model: Model, source: Source, inputs: Mapping[str, Any], missing: list[Gift], data: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the inputs that are *missing*, from the record of the task.

    Raises:
        InvalidJob: The record does not have them, or not so many.
    """
    wanted = inputs.get(source.pick) if source.pick is not None else None
    number = int(str(wanted)) if str(wanted).isdecimal() else 1
    taken = {}
    for gift in missing:
        values = values_at(data, gift.path)
        if not values:
            raise InvalidJob(model.id, (Fault(gift.name, "the record of the task does not tell it; give it"),))
        at = number if "[]" in gift.path else 1
        if not 1 <= at <= len(values):
            problem = f"the task has {len(values)}; there is no number {at}"
            raise InvalidJob(model.id, (Fault(source.pick or gift.name, problem),))
        taken[gift.name] = values[at - 1]
    return taken


def _parsed(model: Model, field: Field, text: str) -> Handle:
    try:
        return Handle.parse(text)
    except BadHandle as error:
        raise _unfit(model, field, str(error)) from None


def _check_model(model: Model, field: Field, found: str, text: str) -> None:
    assert field.source is not None
    if found not in field.source.models:
        problem = f"{text!r} is a task of {found}; expected one of {', '.join(field.source.models)}"
        raise _unfit(model, field, problem)


def _unfit(model: Model, field: Field, problem: str) -> InvalidJob:
    return InvalidJob(model.id, (Fault(field.name, problem),))
