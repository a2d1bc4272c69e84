"""Name of the original system: the API client for the six models of the V4 contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kie_core._client import Kie
from kie_core._errors import Fault, InvalidJob
from kie_core._jobs.job import Job
from kie_core._original.api_client import ApiClient
from kie_core.router import v4_model

__all__ = [
    "KieApiClientV4",
]


class KieApiClientV4(ApiClient):
    """Creates and reads tasks of the six models; ``payload`` is what `build_category_payload` returns.

    A task goes to the call that serves the model at Kie today; ``wire="v4"`` sends the payload as it is to
    the contract's own endpoint, for a gateway that speaks it.
    """

    def _decided(self, kie: Kie, model_id: str, payload: Mapping[str, Any]) -> Job:
        fields = {field.name: field for field in kie.registry.get(v4_model(model_id)).inputs}
        if not isinstance(payload, Mapping):
            raise InvalidJob(model_id, (Fault("payload", f"{payload!r:.80}: expected what the builder returns"),))
        # A payload holds the defaults too; what nobody chose is nothing to warn about.
        chosen = {
            name: value
            for name, value in payload.items()
            if name not in fields or not fields[name].has_default or value != fields[name].default
        }
        return kie.job(model_id, chosen)
