"""A job, the endpoint it goes to, the request it becomes, and the handle that resumes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

import attrs

from kie_core._errors import BadHandle
from kie_core._models.model import JSON, Model
from kie_core._models.price import Price

if TYPE_CHECKING:
    from kie_core._files.local import Source

#: Source: docs.kie.ai/market/quickstart and docs.kie.ai/market/common/get-task-detail, read 2026-10-01.
JOBS_CREATE = "/api/v1/jobs/createTask"
JOBS_QUERY = "/api/v1/jobs/recordInfo"


#: How the result of a call is had.
Kind = Literal["task", "sync", "derived"]
#: Ours; it names files, so nothing else passes.
_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LONGEST_TASK_ID = 200


def _frozen_mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value))


@attrs.frozen(repr=False)
class Job:
    """One purchase, decided but not yet made.

    Attributes:
        id: Ours; exists before anything is sent.
        model: What is bought.
        params: The checked inputs with defaults: the contract, whatever the vendor does.
        given: The names that the caller gave.
        wire: The dialect in which it goes over the network.
        price: What it costs, both ways.
        files: What is uploaded before it is sent, by the address that stands for it in the params until then.
    """

    id: str
    model: Model
    params: Mapping[str, Any] = attrs.field(converter=_frozen_mapping)
    given: frozenset[str]
    wire: str
    price: Price
    #: Known from a handle only: without params, to be read back and never bought.
    attached: bool = attrs.field(default=False, kw_only=True)
    files: Mapping[str, Source] = attrs.field(factory=dict, converter=_frozen_mapping, kw_only=True)
    #: Made of what the caller wrote: nothing was checked, converted or added.
    raw: bool = attrs.field(default=False, kw_only=True)

    def __repr__(self) -> str:
        return f"<Job {self.id} {self.model.id} over wire {self.wire}, {self.price}>"

    def handle(self, task_id: str | None = None) -> str:
        """Return the text that resumes this job anywhere."""
        return Handle(self.id, self.model.id, self.wire, task_id).text


@attrs.frozen
class Handle:
    """``kie1:<job>:<model>:<wire>[:<task>]``, each part percent-escaped."""

    job: str
    model: str
    wire: str
    task: str | None = None

    @property
    def text(self) -> str:
        parts = (self.job, self.model, self.wire, *(() if self.task is None else (self.task,)))
        return ":".join(("kie1", *(quote(part, safe="") for part in parts)))

    @classmethod
    def parse(cls, text: str) -> Handle:
        """Read a handle.

        Raises:
            BadHandle: It is not one; says why.
        """
        prefix, *parts = text.strip().split(":")
        if prefix != "kie1":
            raise BadHandle(text, "it does not begin with 'kie1:'")
        if len(parts) not in (3, 4) or not all(parts):
            raise BadHandle(text, f"it has {len(parts)} parts")
        job, model, wire = (unquote(part) for part in parts[:3])
        task = unquote(parts[3]) if len(parts) > 3 else None
        if not _JOB_ID.fullmatch(job):
            raise BadHandle(text, "its first part is no job id")
        if task is not None and (not task.isprintable() or task.isspace() or len(task) > _LONGEST_TASK_ID):
            raise BadHandle(text, "its last part is no task id")
        return cls(job, model, wire, task)


def _is_path(_endpoint: object, attribute: Any, value: Any) -> None:
    """A path cannot lead the key to another host: ``@evil.example`` would."""
    if not isinstance(value, str) or not re.fullmatch(r"/[^/\s?#][^\s?#]*", value):
        raise ValueError(f"{attribute.name} is {value!r}; expected a path such as /api/v1/jobs/createTask")


@attrs.frozen(kw_only=True)
class Endpoint:
    """Where a job goes and where it is read back.

    Three kinds of calls cost money. A ``task`` answers with a task id, and its record is read at ``query``. A ``sync``
    call answers with the result itself: that answer is the record, and nobody is asked again. A ``derived`` call, a
    GET, is asked again until the file is there, as often as need be; it has neither task nor callback.

    Attributes:
        create: Path of the create call.
        query: Path of the call that reads a task, a GET; None: there is none (``sync``, ``derived``).
        kind: How its result is had.
        method: POST; GET for ``derived``, whose payload then is its query.
        promises: Members of ``data`` without which an answer to a ``sync`` call is no result.
        made_before: Codes by which the call names a task that was made earlier, in place of a new one.
        task_param: How the query calls the task id.
        callback_field: Where the callback URL belongs in the body; None: this call has no callback.
        callback_required: Kie refuses the call without a callback URL. The core sends one under the
            reserved ``.invalid`` domain where none is configured.
        drops: Inputs that have no place on this wire, with the reason; warned about if given.
        notes: What every caller of this wire should know.
    """

    create: str = attrs.field(validator=_is_path)
    query: str | None = attrs.field(default=None, validator=attrs.validators.optional(_is_path))
    kind: Kind = "task"
    method: Literal["POST", "GET"] = "POST"
    promises: tuple[str, ...] = ()
    made_before: tuple[int, ...] = ()
    task_param: str = "taskId"
    callback_field: str | None = "callBackUrl"
    callback_required: bool = False
    drops: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_mapping)
    notes: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        if (self.kind == "task") != (self.query is not None):
            raise ValueError(f"kind is {self.kind!r} and query is {self.query!r}; a task, and only a task, has a query")
        if (self.kind == "derived") != (self.method == "GET"):
            raise ValueError(
                f"kind is {self.kind!r} and method is {self.method!r}; derived, and only derived, is a GET"
            )
        if (self.kind == "sync") != bool(self.promises):
            raise ValueError(f"kind is {self.kind!r} and promises is {self.promises!r}; sync, and only sync, promises")
        if self.kind != "task" and self.callback_required:
            raise ValueError(f"kind is {self.kind!r}; only a task has a callback")

    @classmethod
    def jobs(cls, **more: Any) -> Endpoint:
        """Return the endpoint of the universal call, createTask."""
        return cls(create=JOBS_CREATE, query=JOBS_QUERY, **more)

    def dropping(self, **reasons: str) -> Endpoint:
        """Return this endpoint with further `drops`, for a job that loses something which others do not."""
        return attrs.evolve(self, drops={**self.drops, **reasons})


def jobs_body(job: Job) -> dict[str, JSON]:
    """Return the body of createTask for *job*: today's name of its model, what its id fixes, and its params.

    Source: docs.kie.ai/market/quickstart, read 2026-10-01.
    """
    return {"model": job.model.wire_model or job.model.id, "input": {**job.model.fixed, **job.params}}


@attrs.frozen
class Request:
    """One HTTP request, without host and key. ``content`` is the JSON body, already encoded and so frozen.

    Its text shows no content: that holds prompts, and the token of the callback address.
    """

    method: str
    path: str
    query: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_mapping)
    content: bytes | None = attrs.field(default=None, repr=False)
