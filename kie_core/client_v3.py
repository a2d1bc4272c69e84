"""Name of the original system: the API client for createTask."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from kie_core._client import Kie
from kie_core._errors import Fault, InvalidJob
from kie_core._jobs.job import Job
from kie_core._original.api_client import ApiClient
from kie_core._task import Task
from kie_core.builder import v3_job

__all__ = [
    "KieApiClient",
]


class KieApiClient(ApiClient):
    """Creates and reads tasks of createTask; ``payload`` is what `build_payload` returns.

    A task that the ledger never saw is read without `model_id` too: createTask has one call for all.
    """

    def _decided(self, kie: Kie, model_id: str, payload: Mapping[str, Any]) -> Job:
        if not isinstance(payload, Mapping):
            raise InvalidJob(model_id, (Fault("payload", f"{payload!r:.80}: expected what the builder returns"),))
        inputs = payload.get("input")
        wrong = [
            Fault(name, "not a part of the payload; expected model and input (Kie reports to the setting callback_url)")
            for name in payload
            if name not in ("model", "input")
        ]
        if not isinstance(inputs, Mapping):
            wrong.append(Fault("input", "missing; expected an object, as build_payload returns it"))
        if wrong:
            raise InvalidJob(model_id, tuple(wrong))
        assert isinstance(inputs, Mapping)
        model = kie.registry.get(model_id)
        chosen = {name: value for name, value in inputs.items() if model.fixed.get(name) != value}
        job = v3_job(kie.dispatcher, model_id, chosen, secrets.token_hex(8))
        meant = kie.dispatcher.body(job).get("model")
        if payload.get("model") != meant:
            fault = Fault("model", f"{payload.get('model')!r} would buy something else; expected {meant!r}")
            raise InvalidJob(model_id, (fault,))
        return job

    async def _found(self, kie: Kie, task_id: str, model_id: str | None) -> Task:
        return await kie.find(task_id, model=model_id, universal=True)
