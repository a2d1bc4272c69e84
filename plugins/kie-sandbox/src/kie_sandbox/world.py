"""The fake Kie itself: `Sandbox.handle` turns a request into a response, and nothing else happens.

Source of paths, fields, codes and shapes: docs.kie.ai, pages of 2026-04-29 to 2026-10-07, and recordings.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

import attrs

from kie_sandbox import broken_records, catalogue, operations, records, served_files, uploads
from kie_sandbox.broken_answers import about_answers, broken, with_task_id
from kie_sandbox.callbacks import Callback, Schedule, callback_of
from kie_sandbox.counting import Create, Sent, busiest, prompt_of
from kie_sandbox.faults import Fault, Faults
from kie_sandbox.inputs import complaint, credits_for
from kie_sandbox.messages import Delivery, Request, Response
from kie_sandbox.tasks import Task

#: How long a task takes, in seconds, by what it makes.
SECONDS: Final = {"image": 40.0, "audio": 90.0, "video": 90.0, "json": 20.0}
MEDIA: Final = {"image": "picture.png", "audio": "song.mp3", "video": "clip.mp4"}
#: A prompt with this word makes its task fail for its content.
REFUSE: Final = "[refuse]"
UNKNOWN_MODEL: Final = (
    "The model name you specified is not supported. "
    "Please verify your input and use one of the supported models provided by KIE."
)
CREDIT_PATH: Final = "/api/v1/chat/credit"
DOWNLOAD_PATH: Final = "/api/v1/common/download-url"
CREATE_PATH: Final = "/api/v1/jobs/createTask"
RECORD_PATH: Final = "/api/v1/jobs/recordInfo"


@functools.cache
def wire() -> Any:
    """Return what the documentation says about every create: fields, prices, media."""
    facts = json.loads(files("kie_sandbox").joinpath("wire.json").read_text(encoding="utf-8"))
    return {**facts, "dedicated": {**facts["dedicated"], **operations.pages()}}


@attrs.frozen
class Order:
    """A create that Kie accepts, if there is room and money."""

    family: str
    media: str
    inputs: Mapping[str, Any]
    prices: list[Any]
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    tracks: bool = False
    operation: str = ""
    kind: str = "task"


class Sandbox:
    """A fake account at a fake Kie.

    What a create with ``callBackUrl`` sets off, `due_callbacks` says; the server sends it, but only to addresses
    on this machine: this is a fake, and nothing that it says may reach anybody else.

    Args:
        credits: The balance to begin with; goes down with every task, and back up with a failed one.
        speed: How much faster than real time tasks move.
        models: Further models, as rows of the registry with ``model_id``, ``output_type`` and perhaps
            ``api_endpoint`` (then a V4 route serves it), ``wire_model`` (then createTask takes that name too),
            ``title`` and ``vendor`` (for the list of models).
        creates_per_10_seconds: Kie's limit; more are refused with code 429. None: no limit.
        faults: What to do wrong, as in `kie_sandbox.faults`: ``["create-reset*1", "query-invisible=5"]``.
        webhook_key: Callbacks are signed with it; None: they are not signed.
        clock: Seconds since 1970; for tests.

    Attributes:
        faults: Those that are left; may be changed at any time (``add``, ``clear``).
        requests: All that came, in order.
        creates: Those that made a task, whatever the client was told.
        create_times: When each create came, made or refused, in seconds since 1970.
        refusals: How many creates made no task.
        sent: The tries at sending callbacks, with what their receivers answered.
        uploads: What was uploaded: ``uploads.files``, by path.

    Raises:
        BadFault: One of *faults* does not exist or cannot be read.
    """

    def __init__(
        self,
        *,
        credits: float = 10_000,
        speed: float = 1.0,
        models: Iterable[Mapping[str, Any]] = (),
        creates_per_10_seconds: int | None = 20,
        faults: Iterable[str | Fault] = (),
        webhook_key: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.balance = Decimal(str(credits))
        self.faults = Faults(faults)
        self.tasks: dict[str, Task] = {}
        self.requests: list[Request] = []
        self.creates: list[Create] = []
        self.create_times: list[float] = []
        self.refusals = 0
        self.sent: list[Sent] = []
        self.uploads = uploads.Uploads()
        self.speed = speed
        self._clock = clock
        self._webhook_key = webhook_key
        self._callbacks = Schedule()
        self._file_requests = 0
        #: What was made of an earlier task -> the task that makes it, where that is made once.
        self._copies: dict[tuple[Any, ...], Task] = {}
        self._limit = creates_per_10_seconds
        self._recent: deque[float] = deque()
        rows = list(models)
        self._listed = catalogue.listed(wire()["jobs"], rows)
        self._models = {row[name]: row for row in rows for name in ("model_id", "wire_model") if row.get(name)}
        self._v4 = dict(wire()["v4"])
        for row in rows:
            if row.get("api_endpoint"):
                self._v4[row["api_endpoint"]] = {"output_type": row["output_type"], "required": []}

    @property
    def now(self) -> float:
        """Seconds since 1970 by the sandbox's clock."""
        return self._clock()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self.requests.append(request)
        path, _, query_text = request.target.partition("?")
        if path.startswith("/files/"):
            return self._file(request)
        if path.startswith(uploads.PREFIX):
            return self._file(request, self.uploads.served(request.target))
        if path in uploads.PATHS:
            return self._upload(path, request)
        if not _bearer(request):
            return Response.said(401, "Unauthorized – Authentication failed.")
        query = {name: values[0] for name, values in parse_qs(query_text).items()}
        if request.method == "GET":
            return self._get(path, query, request)
        if request.method != "POST":
            return Response.said(405, "Method not allowed", data=None)
        try:
            body = json.loads(request.content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return Response.said(400, "The request body is not valid JSON", data=None)
        return self._post(path, body, request)

    def greet(self) -> Delivery | None:
        """Return what befalls a new connection before anything is read; None: nothing."""
        fault = self.faults.take("connection")
        return None if fault is None else Delivery(end="reset" if fault.effect == "reset" else "close")

    # --- counting ---------------------------------------------------------------------

    def purchases(self, key: Callable[[Mapping[str, Any]], Hashable] = prompt_of) -> Counter[Hashable]:
        """Count the made tasks by what *key* finds in the body of their create.

        Without *key* by the prompt: give each job a prompt of its own, and a count of 2 is a duplicate purchase.
        """
        return Counter(key(create.body) for create in list(self.creates))

    @property
    def creates_by_callback(self) -> Counter[str]:
        """Count the made tasks by their callback address; those without one are left out."""
        return Counter(create.callback for create in list(self.creates) if create.callback is not None)

    def busiest_window(self, seconds: float = 10.0) -> int:
        """Return how many creates, made or refused, came in the fullest window of so many seconds."""
        return busiest(list(self.create_times), seconds)

    # --- callbacks --------------------------------------------------------------------

    def due_callbacks(self, now: float | None = None) -> list[Callback]:
        """Return the callbacks that are due, each once, in order; *now* is in seconds since 1970.

        They are those that Kie would send, to any address on the web; who sends them looks whether it may.
        """
        return self._callbacks.take(self.now if now is None else now, self.faults, self._webhook_key)

    @property
    def next_callback_at(self) -> float | None:
        """When the next callback is due, in seconds since 1970; None: none is to come."""
        return self._callbacks.next_at

    def note_sent(self, callback: Callback, status: int | None) -> None:
        """Keep what a receiver answered; None: nothing, or it is not on this machine."""
        self.sent.append(Sent(callback, status))

    # --- reading ----------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, str], request: Request) -> Response:
        target = request.target
        self._settle()
        if path == CREDIT_PATH:
            return Response.ok(float(self.balance))
        if path == catalogue.PATH or path.startswith(f"{catalogue.PATH}/"):
            fault, response = self.faults.take("query", about_answers), self._discovered(path, query)
            return response if fault is None else broken(response, fault, target)
        if wire()["dedicated"].get(path, {}).get("kind") == "derived":
            return self._derived(path, query, request)
        family = "jobs" if path == RECORD_PATH else _family_of_query(path)
        if family is None:
            return Response.said(404, "Not found", data=None)
        task = self.tasks.get(query.get("task_id" if family == "suno-recovery" else "taskId", ""))
        if task is None or task.family != family:
            fault = self.faults.take("query", about_answers)
            response = Response(json.dumps(records.UNKNOWN[family]).encode())
        else:
            fault, response = self._read(task)
        return response if fault is None else broken(response, fault, target)

    def _discovered(self, path: str, query: Mapping[str, str]) -> Response:
        if path == catalogue.PATH:
            return Response.ok(catalogue.answer(self._listed, query))
        data = catalogue.described(path, self._listed, wire()["jobs"])
        return Response.said(404, "Model not found", data=None) if data is None else Response.ok(data)

    def _read(self, task: Task) -> tuple[Fault | None, Response]:
        now = self.now
        if task.ended(now):
            task.readings += 1
        fault = self.faults.take("query", lambda fault: broken_records.fits(fault, task, now))
        marked = attrs.evolve(task, mark=served_files.link_mark(self.faults, task.readings, now))
        if task.family == "suno-recovery":
            return fault, Response(json.dumps(operations.recovery(marked, now)).encode())
        found = broken_records.record(marked, now, fault)
        if found is None:
            return fault, Response(json.dumps(records.UNKNOWN[task.family]).encode())
        return fault, Response(broken_records.written({"code": 200, "msg": "success", "data": found}))

    def _derived(self, path: str, query: Mapping[str, str], request: Request) -> Response:
        """Answer a call that is repeated until its file is there; the first one orders it, and is paid."""
        number = query.get("index", "0")
        key = (path, query.get("taskId"), number)
        task = self._copies.get(key)
        if task is not None:
            fault = self.faults.take("query", about_answers)
            response = Response.said(operations.NOT_READY, "1080p copy is being made", data=None)
            if task.ended(self.now):
                response = Response.ok({"resultUrl": task.url()})
            return response if fault is None else broken(response, fault, request.target)
        before = len(self.creates)
        response = self._create(path, {**query, "index": int(number) if number.isdecimal() else number}, request)
        if len(self.creates) > before:
            self._copies[key] = self.tasks[self.creates[-1].task_id]
        return response

    def _settle(self) -> None:
        for task in self.tasks.values():
            if task.fails and not task.refunded and task.ended(self._clock()):
                task.refunded = True  # UNVERIFIED: Kie is said to give the credits of a failed task back
                self.balance += task.credits

    def _upload(self, path: str, request: Request) -> Response:
        if not _bearer(request):
            return uploads.unauthorized()
        fault = self.faults.take("upload")
        response = self.uploads.answer(path, request, _origin(request), self.now)
        if fault is None:
            return response
        if fault.effect == "address":
            return uploads.with_data(response, downloadUrl=fault.text)
        if fault.effect == "size":
            return uploads.with_data(response, fileSize=int(fault.number))
        return broken(response, fault, request.target)

    def _file(self, request: Request, uploaded: Response | None = None) -> Response:
        now = self.now
        self._file_requests += 1
        fault = self.faults.take("file", lambda fault: served_files.fits(fault, request, now))
        response = uploaded or served_files.served(request, fault, self._file_requests)
        return response if fault is None else broken(response, fault, request.target)

    # --- creating ---------------------------------------------------------------------

    def _post(self, path: str, body: dict[str, Any], request: Request) -> Response:
        if path == DOWNLOAD_PATH:
            url = str(body.get("url", ""))
            if not url.startswith(f"{_origin(request)}/files/"):
                return Response.said(422, "url is wrong", data=None)
            return Response.ok(f"{url}{'&' if '?' in url else '?'}X-Expires=1200&X-Signature=sandbox")
        if path == CREATE_PATH or path in wire()["dedicated"] or path in self._v4:
            return self._create(path, body, request)
        return Response.said(404, "Not found", data=None)

    def _create(self, path: str, body: dict[str, Any], request: Request) -> Response:
        self.create_times.append(self.now)
        before = len(self.creates)
        fault = self.faults.take("create", lambda fault: before > 0 or fault.effect != "task-id-repeated")
        if fault is not None and _refuses(fault):
            response = Response.ok(None)
        else:
            order = self._order(path, body)
            response = order if isinstance(order, Response) else self._buy(order, path, body, request, fault)
        if len(self.creates) == before:
            self.refusals += 1
        if fault is None:
            return response
        if fault.name == "create-task-id-repeated":
            return with_task_id(response, self.creates[before - 1].task_id)
        if fault.name == "callback-before-answer":
            return attrs.evolve(response, delivery=Delivery(delay=fault.number))
        return broken(response, fault, request.target)

    def _order(self, path: str, body: dict[str, Any]) -> Order | Response:
        """Return what is ordered, or the refusal."""
        if path == CREATE_PATH:
            return self._job_order(body)
        if path in self._v4:
            missing = [name for name in self._v4[path]["required"] if body.get(name) in (None, "")]
            if missing:
                return Response.said(422, f"{missing[0]} is required", data=None)
            return Order("jobs", _media(self._v4[path]["output_type"]), body, [])
        facts = wire()["dedicated"][path]
        family, operation = facts["family"], facts.get("operation", "")
        media = facts.get("media") or {"suno": "audio", "veo3": "video", "runway": "video"}.get(family, "image")
        problem = complaint(family, facts["fields"], body, operation) or self._about_source(family, operation, body)
        order = Order(family, media, body, facts["prices"], facts["fields"] if operation else {})
        return _refused(problem) or attrs.evolve(order, operation=operation, kind=facts.get("kind", "task"))

    def _about_source(self, family: str, operation: str, body: Mapping[str, Any]) -> tuple[int, str] | None:
        source = operations.source_of(body)
        return operations.STRANGERS.get((family, operation)) if source and source not in self.tasks else None

    def _job_order(self, body: dict[str, Any]) -> Order | Response:
        model, inputs = body.get("model"), body.get("input")
        if not isinstance(inputs, dict):
            return Response.said(422, "input is required", data=None)
        if not isinstance(model, str):
            return Response.said(422, "model is required", data=None)
        facts = wire()["jobs"].get(model)
        if facts is None:  # what the documentation knows is judged by the documentation, whatever a client says of it
            if model in self._models:
                return Order("jobs", _media(self._models[model]["output_type"]), inputs, [])
            return Response.said(422, UNKNOWN_MODEL, data=None)
        if facts.get("paused"):
            return Response.said(500, "This interface is temporarily paused", data=None)
        problem = complaint("jobs", facts["fields"], inputs)
        return _refused(problem) or Order(
            "jobs", facts["media"], inputs, facts["prices"], facts["fields"], "tracks" in facts
        )

    def _buy(self, order: Order, path: str, body: dict[str, Any], request: Request, fault: Fault | None) -> Response:
        now = self.now
        once = (path, operations.source_of(body), body.get("index", 0))
        if order.operation in operations.ONCE and once in self._copies:
            made = operations.again(self._copies[once], now)
            return Response.said(operations.ONCE[order.operation], "already generated", data=made)
        while self._recent and now - self._recent[0] >= 10:
            self._recent.popleft()
        if self._limit is not None and len(self._recent) >= self._limit:
            return Response.said(429, "Your call frequency is too high. Please try again later.", data=None)
        self._settle()
        cost = credits_for(order.prices, order.inputs, order.fields)
        if cost > self.balance:
            return Response.said(402, "Credits insufficient", data=None)
        self._recent.append(now)
        self.balance -= cost
        task = self._task(order, body, _origin(request), cost, "" if fault is None else fault.name)
        self.tasks[task.id] = task
        self.creates.append(Create(task.id, now, path, task.body, callback_of(body)))
        if order.operation in operations.ONCE:
            self._copies[once] = task
        if order.kind == "sync":
            return Response.ok(operations.answer(order.operation, body, task, float(self.balance)))
        if order.kind == "derived":
            return Response.said(operations.NOT_READY, "1080p copy is being made", data=None)
        self._callbacks.plan(task)
        return Response.ok({"taskId": task.id, **({"recordId": task.id} if order.family == "jobs" else {})})

    def _task(self, order: Order, body: dict[str, Any], origin: str, cost: Decimal, fault: str) -> Task:
        unique = uuid.uuid4()
        task_id = str(unique) if order.family == "runway" else unique.hex
        if fault == "create-task-id-number":
            task_id = str(unique.int % 10**15)
        seconds = SECONDS[order.media]
        at_once = fault == "callback-before-answer"
        inputs = order.inputs
        usual = "jpeg" if order.family == "flux-kontext" else ""
        wanted = inputs.get("outputFormat", inputs.get("output_format", usual))
        is_jpeg = order.media == "image" and wanted in ("jpeg", "jpg")
        return Task(
            id=task_id,
            family=order.family,
            media=order.media,
            body=dict(body),
            created=self.now - (seconds / self.speed + 0.001 if at_once else 0.0),
            seconds=seconds,
            speed=self.speed,
            credits=cost,
            files=f"{origin}/files/{task_id}",
            file_name="picture.jpg" if is_jpeg else MEDIA.get(order.media, ""),
            tracks=order.tracks,
            operation=order.operation,
            fails=any(REFUSE in str(inputs.get(name, "")) for name in ("prompt", "author", "voiceName")),
        )


def _refused(problem: tuple[int, str] | None) -> Response | None:
    return None if problem is None else Response.said(problem[0], problem[1], data=None)


def _refuses(fault: Fault) -> bool:
    """Tell whether *fault* is an answer of somebody who did not take the order."""
    return not fault.kind.made or (fault.name == "create-status" and fault.number < 500)


def _bearer(request: Request) -> bool:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return scheme == "Bearer" and bool(key.strip())


def _origin(request: Request) -> str:
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _family_of_query(path: str) -> str | None:
    return next((facts["family"] for facts in wire()["dedicated"].values() if facts.get("query") == path), None)


def _media(output_type: str) -> str:
    kind = output_type.partition("/")[0]
    return kind if kind in SECONDS else "json"
