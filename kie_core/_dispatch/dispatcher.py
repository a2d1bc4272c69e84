"""From a caller's words to a request, and from an answer to an outcome: pure, for every client alike."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType, NoneType
from typing import Any, Final
from urllib.parse import parse_qsl

import attrs

from kie_core._catalogue.overlay import is_beyond
from kie_core._config import Settings
from kie_core._dispatch.models import load_models
from kie_core._dispatch.plugins import Plugins
from kie_core._dispatch.raw import LARGEST, MARKET, RAW, WIRE, raw_inputs, raw_model, stated_price
from kie_core._dispatch.reference import offline
from kie_core._errors import (
    ConfigError,
    Fault,
    InvalidJob,
    ModelGone,
    NoPlugin,
    PluginBroken,
    PluginFailed,
    UnknownModel,
    UnknownWire,
)
from kie_core._jobs.answer import JOBS_REFUSED
from kie_core._jobs.job import JOBS_CREATE, JOBS_QUERY, Endpoint, Handle, Job, Request, jobs_body
from kie_core._jobs.outcome import Outcome, generic_outcome, jobs_outcome
from kie_core._models.model import JSON, Media, Model
from kie_core._models.price import Price, Rates, quote
from kie_core._models.validation import copied, validate

#: The dialect of the V4 contract itself; the core speaks it for every model.
V4: Final = "v4"
#: Sent where Kie insists on a callback URL and none is configured: a domain that cannot exist (RFC 2606).
NO_CALLBACK: Final = "https://callback.invalid/kie"
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


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
            kind = model.what.partition(",")[0]
            found = " " not in kind and self.plugins.registry.search([kind])
            raise ModelGone(model.id, model.note or "it left the vendor's list", kind if found else "")
        chosen = self.wire_for(model, wire)
        inputs = offline(model, inputs)
        params = validate(model, inputs)
        given = frozenset(name for name, value in inputs.items() if value is not None)
        beyond = is_beyond(model, inputs)  # then no price of ours was made for it
        price = Price(model.contract, None, None, model.unit) if beyond else self.price(model, params, chosen)
        return Job(job_id, model, params, given, chosen, price)

    def raw_job(
        self,
        model_id: str,
        inputs: Mapping[str, Any],
        *,
        job_id: str,
        wire: str | None = None,
        price_credits: float | Decimal | None = None,
    ) -> Job:
        """Decide a job of createTask that no registry vouches for. Nothing is checked, converted or added.

        Raises:
            InvalidJob: It cannot be sent as JSON, or is larger than a MiB.
            UnknownWire: Another wire than ``jobs`` is asked for.
            ValueError: ``price_credits`` is no number of credits.
        """
        model = raw_model(model_id, self.plugins.registry, self._raw_category)
        if wire not in (None, WIRE):
            raise UnknownWire(str(wire), model.id, (WIRE,))
        params, price = raw_inputs(model.id, inputs), stated_price(price_credits, self.rates)
        size = len(encoded(model.id, params))
        if size > LARGEST:
            raise InvalidJob(model.id, (Fault("inputs", f"make {size} bytes of JSON; expected ..{LARGEST}"),))
        return Job(job_id, model, params, frozenset(params), WIRE, price, raw=True)

    @property
    def _raw_category(self) -> str:
        return MARKET if self.plugins.owns(MARKET) else RAW

    def wire_for(self, model: Model, wire: str | None) -> str:
        """Return the wire for *model*: the one asked for, else the preferred one if spoken, else the plugin's first."""
        spoken = (WIRE,) if model.category == RAW else self.wires(model)
        if wire is not None and wire not in spoken:
            raise UnknownWire(wire, model.id, spoken)
        if wire is None and self.preferred_wire in spoken:
            return str(self.preferred_wire)
        return wire or spoken[0]

    def wires(self, model: Model) -> tuple[str, ...]:
        """Return the wires on which *model* can be had, its default first; never none.

        Raises:
            NoPlugin, PluginBroken: The category has no working owner.
            UnknownWire: The owner speaks none of those on which the model can be had.
        """
        every = (*self.plugins.wires(model.category), V4)
        spoken = tuple(wire for wire in every if not model.wires or wire in model.wires)
        if not spoken:
            raise UnknownWire(" or ".join(model.wires), model.id, every)
        return spoken

    def price(self, model: Model, params: Mapping[str, Any], wire: str) -> Price:
        """Return what a job of *model* costs today: an old id costs what the model that serves it does."""
        return quote(model, params, wire, self.rates, self.served_by(model))

    def served_by(self, model: Model) -> Model | None:
        """Return the model that serves an old id today, if it is known here."""
        registry = self.plugins.registry
        return registry.get(model.wire_model) if model.wire_model and model.wire_model in registry else None

    def model_for(self, model_id: str, category: str, media: Media) -> Model:
        """Return a model to read a task back with: from the registry, or what the ledger knows of it."""
        if model_id in self.plugins.registry:
            return self.plugins.registry.get(model_id)
        return Model(id=model_id, title=model_id, category=category, media=media, inputs=())

    def raw_model_for(self, model_id: str, category: str, media: Media) -> Model:
        """Return a model to read a raw task back with: the registry may know the id, but not of this job."""
        category = category if self.plugins.owns(category) else RAW
        return Model(id=model_id, title=model_id, category=category, media=media, inputs=())

    def request(self, job: Job, callback: str | None = None) -> Request:
        """Build the create request of *job*: the one that costs money once it is sent.

        Args:
            job: What is bought.
            callback: Where Kie is to report it; None: nowhere.

        Raises:
            InvalidJob: The plugin refuses the inputs, or they cannot be sent as JSON.
            PluginFailed: The plugin broke.
        """
        endpoint = self.endpoint(job)
        body = self.body(job, endpoint)
        if endpoint.kind == "derived":
            return Request("GET", endpoint.create, asked(body))
        if endpoint.kind == "task" and endpoint.callback_field and callback:
            body = {**body, endpoint.callback_field: callback}
        return Request("POST", endpoint.create, content=encoded(job.model.id, body))

    def body(self, job: Job, endpoint: Endpoint | None = None) -> Mapping[str, Any]:
        """Return what the create of *job* carries, without our callback address. Raises what `request` raises.

        Args:
            job: What is bought.
            endpoint: Where it goes, for who has asked already.
        """
        endpoint = endpoint or self.endpoint(job)
        if job.wire == V4:
            body: Any = dict(job.params) if job.model.endpoint else {"model": job.model.id, "input": dict(job.params)}
        elif job.model.category == RAW:
            body = jobs_body(job)
        else:
            body = self.plugins.call(job.model.category, "build_payload", job=_unalterable(job))
            if not isinstance(body, dict) or not body:
                raise PluginFailed(
                    job.model.category, "build_payload", f"returned {type(body).__name__}, not a filled JSON object"
                )
        if endpoint.callback_field and endpoint.callback_required:
            body = {endpoint.callback_field: NO_CALLBACK, **body}
        return _frozen(job.model.id, body)

    def endpoint(self, job: Job) -> Endpoint:
        """Return where *job* goes and where it is read back."""
        if job.wire == V4:
            return Endpoint(create=job.model.endpoint or JOBS_CREATE, query=JOBS_QUERY, callback_field=None)
        if job.model.category == RAW:
            return Endpoint.jobs()
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
        """Build the request that reads a task of *job*; it is free.

        Raises:
            ValueError: There is none: the result came with the answer to the create.
        """
        endpoint = self.endpoint(job)
        return reading(endpoint.kind, endpoint.query or endpoint.create, endpoint.task_param, task_id)

    def outcome(self, job: Job, body: dict[str, Any]) -> Outcome:
        """Say what the answer to a query of *job* means.

        Raises:
            RecordMissing, ReadFailed: It says nothing about the task.
            PluginFailed: The plugin broke.
        """
        if job.wire == V4 or job.model.category == RAW:
            return jobs_outcome(job, body)
        try:
            self.plugins.wires(job.model.category)
        except (NoPlugin, PluginBroken):
            return generic_outcome(job, body)  # what was paid is read, plugin or not
        outcome = self.plugins.call(job.model.category, "parse_result", job=job, body=body)
        if not isinstance(outcome, Outcome):
            raise PluginFailed(job.model.category, "parse_result", f"returned {type(outcome).__name__}, not an Outcome")
        return outcome

    def readable(self, text: str) -> tuple[Job, Handle]:
        """Return the job and the parts of a handle: enough to read its task back.

        A model that nobody here knows, and a known one that does not speak it, is read through the universal
        call where the handle says that it was made by that.

        Raises:
            BadHandle, UnknownModel, NoPlugin, PluginBroken, UnknownWire: It cannot be read back here.
        """
        handle = Handle.parse(text)
        raw = False
        try:
            model = self.plugins.registry.get(handle.model)
            wire = self.wire_for(model, handle.wire)
        except (UnknownModel, UnknownWire):
            if handle.wire != WIRE:
                raise
            model, wire, raw = self.raw_model_for(handle.model, self._raw_category, "data"), WIRE, True
        price = Price(model.contract, None, None, model.unit)
        job = Job(handle.job, model, MappingProxyType({}), frozenset(), wire, price, attached=True, raw=raw)
        return job, handle

    def unknown_job(self, job_id: str) -> Job:
        """Return a job of which only the task is known: enough to read it through the universal call."""
        model = Model(id="unknown", title="a task of createTask", category="unknown", media="data", inputs=())
        return Job(job_id, model, MappingProxyType({}), frozenset(), V4, Price(None, None, None), attached=True)

    def refused(self, job: Job) -> Sequence[tuple[int, str]]:
        """Return the ``(code, message part)`` pairs by which this category says that nothing was made."""
        raw = job.model.category == RAW
        pairs = JOBS_REFUSED if raw else self.plugins.call(job.model.category, "refused") or ()
        try:
            return tuple((int(code), str.casefold(part)) for code, part in pairs)
        except (TypeError, ValueError) as error:
            raise PluginFailed(job.model.category, "refused", f"gave no (code, text) pairs: {error}") from error


def _frozen(model_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Return *body* as JSON has it, of which a plugin holds nothing any more.

    Raises:
        InvalidJob: It cannot be sent as JSON.
    """
    try:
        plain = _is_plain(body)
    except RecursionError:
        plain = False
    frozen: dict[str, Any] = copied(body) if plain else json.loads(encoded(model_id, body))
    return frozen


def _is_plain(value: Any) -> bool:
    """Tell whether JSON has *value* as it is, of these very types; nearly every body is so."""
    kind = type(value)
    if kind is dict:
        return all(type(name) is str and _is_plain(item) for name, item in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    return kind in (str, int, bool, NoneType) or (kind is float and math.isfinite(value))


def _unalterable(job: Job) -> Job:
    """Return *job* for a hook, which must not change what is bought: what is no text or number, it gets a copy of."""
    if all(isinstance(value, (str, int, float)) for value in job.params.values()):
        return job
    return attrs.evolve(job, params=copied(job.params))


def asked(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the query of a ``derived`` call."""
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}


def reading(kind: str, path: str, task_param: str, task_id: str) -> Request:
    """Build the request that reads a task. The "task id" of a ``derived`` job is the query of its call.

    Raises:
        ValueError: Nobody can be asked: the result of a ``sync`` job came with the answer to its create.
    """
    if kind == "sync":
        raise ValueError("the result of a sync call came with its answer; there is no record to ask for")
    return Request("GET", path, dict(parse_qsl(task_id)) if kind == "derived" else {task_param: task_id})


def load_dispatcher(settings: Settings) -> Dispatcher:
    """Load registries and plugins as *settings* say.

    Raises:
        RegistryError: The user's registry file is broken or clashes.
        ConfigError: No plugin speaks the preferred wire.
    """
    plugins = load_models(settings)
    known = {"dedicated", "jobs", V4}
    if settings.wire is not None and settings.wire not in known:
        known.update(*(record.wires for record in plugins.records))
        if settings.wire not in known:
            raise ConfigError((f"wire is {settings.wire!r}; expected one of {', '.join(sorted(known))}",))
    return Dispatcher(plugins, Rates(settings.rub_per_usd, settings.markup), settings.wire, settings.callback_url)


def encoded(model_id: str, body: Mapping[str, JSON]) -> bytes:
    """Encode *body*; from here on nothing can change what is bought.

    Raises:
        InvalidJob: It cannot be sent as JSON.
    """
    try:
        return _ENCODER.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidJob(model_id, (Fault("inputs", f"cannot be sent as JSON: {error}"),)) from error
