"""For the tests of plugins: jobs without a client, and a check that a plugin keeps the rules of the hooks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from kie_core._config import Settings
from kie_core._dispatch.dispatcher import V4
from kie_core._dispatch.fit import Fit, Unfit, fit_of
from kie_core._dispatch.plugins import check_late, declared
from kie_core._errors import InvalidJob, ReadFailed, RegistryError
from kie_core._jobs.job import Endpoint, Job
from kie_core._jobs.outcome import Outcome
from kie_core._models.examples import example_inputs
from kie_core._models.model import Model, model_from_row
from kie_core._models.price import Rates, quote
from kie_core._models.registry import bundled, from_rows, whole
from kie_core._models.validation import validate

_DEFAULTS = Settings()
_RATES = Rates(_DEFAULTS.rub_per_usd, _DEFAULTS.markup)
__all__ = ["check_plugin", "example_inputs", "make_job"]

#: Answers that every plugin meets sooner or later.
_ODD_ANSWERS: tuple[dict[str, Any], ...] = (
    {},
    {"code": 200},
    {"code": 200, "msg": "success", "data": None},
    {"code": 200, "msg": "success", "data": []},
    {"code": 200, "msg": "success", "data": "text"},
    {"code": 200, "msg": "success", "data": {}},
    {"code": 200, "msg": "success", "data": {"state": None, "status": 7, "successFlag": "x", "response": None}},
    {"code": 422, "msg": "recordInfo is null", "data": None},
    {"code": 500, "msg": "Server exception", "data": None},
    {"code": "777", "msg": None},
)


def make_job(
    model: str | Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
    *,
    wire: str = "dedicated",
    job_id: str = "job1",
) -> Job:
    """Make a job as the core makes it, without plugins, key or network.

    Args:
        model: A bundled id, or a registry row of your own.
        inputs: Checked against the model.
        wire: Not checked.
        job_id: Any text.

    Raises:
        UnknownModel, InvalidJob: As for `kie_core.Kie.job`.
    """
    found = bundled().get(model) if isinstance(model, str) else model_from_row(model, origin="a test")
    params = validate(found, inputs or {})
    given = frozenset(name for name, value in (inputs or {}).items() if value is not None)
    return Job(job_id, found, params, given, wire, quote(found, params, wire, _RATES))


def check_plugin(plugin: Any, category: str) -> None:
    """Check that *plugin* keeps the rules of the hooks for every model of *category*, on every wire that it speaks.

    Builds each request twice and compares, and feeds odd answers to ``parse_result``.

    Raises:
        AssertionError: A rule is broken; says which, and for which model.
    """
    try:
        fit = fit_of(plugin)
        brought = _brought(plugin, fit, category)
    except (Unfit, RegistryError) as error:
        raise AssertionError(f"{category}: {error}") from error
    assert fit.owns, f"{category}: the plugin implements no category hooks"
    models = [model for model in (*bundled(), *brought) if model.category == category]
    assert models, f"{category}: no registry holds a model of this category"
    for wire in plugin.ENDPOINTS:
        assert wire != V4, f"{category}: the wire {V4!r} is the core's own"
        for model in models:
            if model.status != "gone" and (not model.wires or wire in model.wires):
                _check_model(plugin, model, wire)


def _brought(plugin: Any, fit: Fit, category: str) -> Sequence[Model]:
    models = declared(getattr(plugin, "__name__", type(plugin).__module__), category)
    if models is None:
        return from_rows(plugin.register_models(), category) if hasattr(plugin, "register_models") else ()
    check_late(plugin, fit)
    whole(models)
    return models


def _check_model(plugin: Any, model: Model, wire: str) -> None:
    inputs = example_inputs(model)
    params = validate(model, inputs)
    job = Job("job1", model, params, frozenset(inputs), wire, quote(model, params, wire, _RATES))
    place = f"{model.id} on wire {wire}"
    assert isinstance(plugin.endpoint_for(job), Endpoint), f"{place}: endpoint_for gave no Endpoint"
    try:
        first = json.dumps(plugin.build_payload(job), allow_nan=False, sort_keys=True)
    except InvalidJob:
        return
    assert first == json.dumps(plugin.build_payload(job), sort_keys=True), f"{place}: build_payload is not pure"
    assert dict(job.params) == validate(model, inputs), f"{place}: build_payload changed the job"
    attached = attrs.evolve(job, params={}, given=frozenset())
    assert isinstance(plugin.endpoint_for(attached), Endpoint), (
        f"{place}: endpoint_for needs params, an attached job has none"
    )
    for answer, outcome in _read(plugin, attached):
        assert isinstance(outcome, Outcome), f"{place}: parse_result gave {outcome!r} for {answer}"
        assert not outcome.finished, f"{place}: parse_result takes {answer} for the end of the task"


def _read(plugin: Any, job: Job) -> Iterator[tuple[dict[str, Any], Any]]:
    for answer in _ODD_ANSWERS:
        try:
            yield answer, plugin.parse_result(job, answer)
        except ReadFailed:
            continue
