"""Names of the original system: the 210 models of the V3 registry and their payloads for createTask.

The same registry, plugins and validation as everywhere; nothing here sends anything.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import kie_registry
from kie_core._config import load_settings
from kie_core._dispatch.dispatcher import Dispatcher, load_dispatcher
from kie_core._errors import Fault, InvalidJob, UnknownModel
from kie_core._files.local import decided
from kie_core._jobs.job import Job
from kie_core.router import is_v4_model

__all__ = [
    "build_payload",
    "get_model_config",
    "get_model_schema",
    "load_source_of_truth",
]


def load_source_of_truth() -> dict[str, Any]:
    """Return the V3 registry as it stands in the file; ``["models"]`` has its 210 rows."""
    document: dict[str, Any] = json.loads(kie_registry.read(kie_registry.V3))
    return document


@functools.cache
def _rows() -> Mapping[str, dict[str, Any]]:
    return {row["model_id"]: row for row in load_source_of_truth()["models"]}


def get_model_config(model_id: str) -> dict[str, Any] | None:
    """Return the row of a model of the V3 registry: title, price, inputs and what serves it today; None: not in it."""
    row = _rows().get(model_id)
    return None if row is None else json.loads(json.dumps(row))


def get_model_schema(model_id: str) -> dict[str, Any] | None:
    """Return what a model of the V3 registry takes, as a JSON schema; None: not in it."""
    row = get_model_config(model_id)
    return None if row is None else row["input_schema"]


def build_payload(model_id: str, user_inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body for createTask: ``{"model": ..., "input": {...}}``. Sends nothing.

    Takes every known model but the six of the V4 contract, for which `build_category_payload` is.

    Raises:
        UnknownModel, InvalidJob: The model is none, or the inputs do not fit; both are a `ValueError`. A file of
            this machine does not fit: nothing here uploads it.
        ModelGone: Kie does not offer it any more.
        NoPlugin, PluginBroken: Nobody here can build it.
    """
    dispatcher = load_dispatcher(load_settings())
    job = v3_job(dispatcher, model_id, user_inputs, "not-sent")
    if job.files:
        problem = "hold a file of this machine, and nothing is uploaded here; expected a URL, such as kie.upload gives"
        raise InvalidJob(model_id, (Fault("inputs", problem),))
    return dict(dispatcher.body(job))


def v3_job(dispatcher: Dispatcher, model_id: str, inputs: Mapping[str, Any], job_id: str) -> Job:
    """Decide a job for createTask, where the six of the V4 contract are unknown.

    Raises:
        What `build_payload` raises.
    """
    if is_v4_model(model_id):
        raise UnknownModel(model_id, tuple(id for id in dispatcher.plugins.registry.near(model_id) if id in _rows()))
    return decided(dispatcher, model_id, inputs, job_id=job_id, wire="jobs")
