"""From a caller's words to a request, and from an answer to an outcome: pure, for every client alike."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import attrs

from kie_core._config import Settings
from kie_core._errors import BadHandle, ConfigError, Fault, InvalidJob, ModelGone, PluginFailed, UnknownWire
from kie_core._job import JOBS_CREATE, JOBS_QUERY, Endpoint, Handle, Job, Request
from kie_core._model import JSON, Model
from kie_core._outcome import Outcome, jobs_outcome
from kie_core._plugins import Plugins, load_plugins
from kie_core._price import Price, Rates, quote
from kie_core._registry import bundled, from_file
from kie_core._validation import validate

#: The dialect of the V4 contract itself; the core speaks it for every model.
V4: Final = "v4"
#: Sent where Kie insists on a callback URL and none is configured: a domain that cannot exist (RFC 2606).
NO_CALLBACK: Final = "https://callback.invalid/kie"


@attrs.frozen
class Dispatcher:
    """Decides everything about a job except when to send it.

    Attributes:
        plugins: The plugins and the registry with their models.
        rates: How credits become roubles.
        preferred_wire: Used by every plugin that speaks it.
        callback_url: Where Kie is to report; None: nowhere.
    """

    plugins: Plugins
    rates: Rates
    preferred_wire: str | None = None
    callback_url: str | None = None

    def job(self, model_id: str, inputs: Mapping[str, Any], *, job_id: str, wire: str | None = None) -> Job:
        """Decide a job.

        Raises:
            UnknownModel, ModelGone: There is nothing to ask for.
            NoPlugin, PluginBroken, UnknownWire: Nobody can send it.
            InvalidJob: The inputs do not fit.
        """
        model = self.plugins.registry.get(model_id)
        if model.status == "gone":
            raise ModelGone(model.id, model.note or "it left the vendor's list")
        chosen = self.wire_for(model, wire)
        params = validate(model, inputs)
        given = frozenset(name for name, value in inputs.items() if value is not None)
        return Job(job_id, model, params, given, chosen, quote(model, params, chosen, self.rates))

    def wire_for(self, model: Model, wire: str | None) -> str:
        """Return the wire for *model*: the one asked for, else the preferred one if spoken, else the plugin's first."""
        spoken = (*self.plugins.wires(model.category), V4)
        if wire is not None and wire not in spoken:
            raise UnknownWire(wire, model.id, spoken)
        if wire is None and self.preferred_wire in spoken:
            return str(self.preferred_wire)
        return wire or spoken[0]

    def request(self, job: Job) -> Request:
        """Build the create request of *job*: the one that costs money once it is sent.

        Raises:
            InvalidJob: The plugin refuses the inputs, or they cannot be sent as JSON.
            PluginFailed: The plugin broke.
        """
        endpoint = self.endpoint(job)
        if job.wire == V4:
            body: Any = dict(job.params) if job.model.endpoint else {"model": job.model.id, "input": dict(job.params)}
        else:
            theirs = attrs.evolve(job, params=copy.deepcopy(dict(job.params)))  # a hook must not change what is bought
            body = self.plugins.call(job.model.category, "build_payload", job=theirs)
            if not isinstance(body, dict) or not body:
                raise PluginFailed(
                    job.model.category, "build_payload", f"returned {type(body).__name__}, not a filled JSON object"
                )
        callback = self.callback_url or (NO_CALLBACK if endpoint.callback_required else None)
        if endpoint.callback_field and callback:
            body = {**body, endpoint.callback_field: callback}
        return Request("POST", endpoint.create, content=_encoded(job, body))

    def endpoint(self, job: Job) -> Endpoint:
        """Return where *job* goes and where it is read back."""
        if job.wire == V4:
            return Endpoint(create=job.model.endpoint or JOBS_CREATE, query=JOBS_QUERY, callback_field=None)
        endpoint = self.plugins.call(job.model.category, "endpoint_for", job=job)
        if not isinstance(endpoint, Endpoint):
            raise PluginFailed(
                job.model.category, "endpoint_for", f"returned {type(endpoint).__name__}, not an Endpoint"
            )
        return endpoint

    def warnings(self, job: Job) -> list[str]:
        """Return what the caller should know before paying: inputs lost on this wire, doubts about the model."""
        endpoint = self.endpoint(job)
        lost = [f"{name} is not sent: {why}" for name, why in endpoint.drops.items() if name in job.given]
        doubt = [f"it is unclear whether Kie still offers {job.model.id}"] if job.model.status == "unclear" else []
        return [*lost, *endpoint.notes, *doubt, *filter(None, [job.model.caution])]

    def query(self, job: Job, task_id: str) -> Request:
        """Build the request that reads a task of *job*; it is free."""
        endpoint = self.endpoint(job)
        return Request("GET", endpoint.query, {endpoint.task_param: task_id})

    def outcome(self, job: Job, body: dict[str, Any]) -> Outcome:
        """Say what the answer to a query of *job* means.

        Raises:
            RecordMissing, ReadFailed: It says nothing about the task.
            PluginFailed: The plugin broke.
        """
        if job.wire == V4:
            return jobs_outcome(job, body)
        outcome = self.plugins.call(job.model.category, "parse_result", job=job, body=body)
        if not isinstance(outcome, Outcome):
            raise PluginFailed(job.model.category, "parse_result", f"returned {type(outcome).__name__}, not an Outcome")
        return outcome

    def refused(self, job: Job) -> Sequence[tuple[int, str]]:
        """Return the ``(code, message part)`` pairs by which this category says that nothing was made."""
        pairs = self.plugins.call(job.model.category, "refused") or ()
        try:
            return tuple((int(code), str.casefold(part)) for code, part in pairs)
        except (TypeError, ValueError) as error:
            raise PluginFailed(job.model.category, "refused", f"gave no (code, text) pairs: {error}") from error

    def attached(self, text: str) -> tuple[Job, str]:
        """Return the job and the task id of a handle: enough to read the task back.

        Raises:
            BadHandle, UnknownModel, NoPlugin, PluginBroken, UnknownWire: It cannot be read back here.
        """
        handle = Handle.parse(text)
        if handle.task is None:
            raise BadHandle(
                text, "it names no task; add the task id that https://kie.ai/logs shows for this job, after a colon"
            )
        model = self.plugins.registry.get(handle.model)
        wire = self.wire_for(model, handle.wire)
        nothing: Mapping[str, JSON] = MappingProxyType({})
        job = Job(
            handle.job, model, nothing, frozenset(), wire, Price(model.contract, None, None, model.unit), attached=True
        )
        return job, handle.task


def load_dispatcher(settings: Settings) -> Dispatcher:
    """Load registries and plugins as *settings* say.

    Raises:
        RegistryError: The user's registry file is broken or clashes.
        ConfigError: No plugin speaks the preferred wire.
    """
    registry = bundled()
    if settings.registry is not None:
        registry = registry.extended(from_file(settings.registry))
    plugins = load_plugins(registry, only=settings.plugins, disabled=settings.disable_plugins)
    wires = {"dedicated", "jobs", V4}.union(*(record.wires for record in plugins.records))
    if settings.wire is not None and settings.wire not in wires:
        raise ConfigError((f"wire is {settings.wire!r}; expected one of {', '.join(sorted(wires))}",))
    return Dispatcher(plugins, Rates(settings.rub_per_usd, settings.markup), settings.wire, settings.callback_url)


def _encoded(job: Job, body: Mapping[str, JSON]) -> bytes:
    """Encode *body* once; from here on nothing can change what is bought."""
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(job.model.id, (Fault("inputs", f"cannot be sent as JSON: {error}"),)) from error
