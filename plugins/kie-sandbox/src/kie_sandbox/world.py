"""The fake Kie itself: `Sandbox.handle` turns a request into a response, and nothing else happens.

Source of paths, fields, codes and shapes: docs.kie.ai, pages of 2026-04-29 to 2026-10-07, and recordings.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

import attrs

from kie_sandbox import records
from kie_sandbox.inputs import complaint, credits_for
from kie_sandbox.tasks import Task

#: How long a task takes, in seconds, by what it makes.
SECONDS: Final = {"image": 40.0, "audio": 90.0, "video": 90.0, "json": 20.0}
MEDIA: Final = {"image": "picture.png", "audio": "song.mp3", "video": "clip.mp4"}
TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4", ".mp3": "audio/mpeg"}
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


@attrs.frozen
class Request:
    """What came in. Header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    content: bytes = b""


@attrs.frozen
class Response:
    """What goes out."""

    content: bytes
    content_type: str = "application/json;charset=UTF-8"
    status: int = 200

    @classmethod
    def said(cls, code: int, msg: str, **more: Any) -> Response:
        """Answer as Kie does: HTTP 200, and the outcome in the body."""
        return cls(json.dumps({"code": code, "msg": msg, **more}).encode())

    @classmethod
    def ok(cls, data: Any) -> Response:
        return cls.said(200, "success", data=data)


@functools.cache
def wire() -> Any:
    """Return what the documentation says about every create: fields, prices, media."""
    return json.loads(files("kie_sandbox").joinpath("wire.json").read_text(encoding="utf-8"))


@functools.cache
def media_file(name: str) -> bytes:
    return files("kie_sandbox").joinpath("media", name).read_bytes()


class Sandbox:
    """A fake account at a fake Kie.

    Args:
        credits: The balance to begin with; goes down with every task, and back up with a failed one.
        speed: How much faster than real time tasks move.
        models: Further models, as rows of the registry with ``model_id``, ``output_type`` and perhaps
            ``api_endpoint`` (then a V4 route serves it) and ``wire_model`` (then createTask takes that name too).
        creates_per_10_seconds: Kie's limit; more are refused with code 429. None: no limit.
        clock: Seconds since 1970; for tests.
    """

    def __init__(
        self,
        *,
        credits: float = 10_000,
        speed: float = 1.0,
        models: Iterable[Mapping[str, Any]] = (),
        creates_per_10_seconds: int | None = 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.balance = Decimal(str(credits))
        self.tasks: dict[str, Task] = {}
        self.requests: list[Request] = []
        self._speed = speed
        self._clock = clock
        self._limit = creates_per_10_seconds
        self._recent: deque[float] = deque()
        rows = list(models)
        self._models = {row[name]: row for row in rows for name in ("model_id", "wire_model") if row.get(name)}
        self._v4 = dict(wire()["v4"])
        for row in rows:
            if row.get("api_endpoint"):
                self._v4[row["api_endpoint"]] = {"output_type": row["output_type"], "required": []}

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        self.requests.append(request)
        path, _, query_text = request.target.partition("?")
        if path.startswith("/files/"):
            return self._file(path)
        if not _bearer(request):
            return Response.said(401, "Unauthorized – Authentication failed.")
        query = {name: values[0] for name, values in parse_qs(query_text).items()}
        if request.method == "GET":
            return self._get(path, query)
        if request.method != "POST":
            return Response.said(405, "Method not allowed", data=None)
        try:
            body = json.loads(request.content)
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return Response.said(400, "The request body is not valid JSON", data=None)
        return self._post(path, body, _origin(request))

    # --- reading ----------------------------------------------------------------------

    def _get(self, path: str, query: Mapping[str, str]) -> Response:
        self._settle()
        if path == CREDIT_PATH:
            return Response.ok(float(self.balance))
        family = "jobs" if path == RECORD_PATH else _family_of_query(path)
        if family is None:
            return Response.said(404, "Not found", data=None)
        task = self.tasks.get(query.get("taskId", ""))
        if task is None or task.family != family:
            return Response(json.dumps(records.UNKNOWN[family]).encode())
        return Response.ok(records.RECORDS[family](task, self._clock()))

    def _settle(self) -> None:
        for task in self.tasks.values():
            if task.fails and not task.refunded and task.ended(self._clock()):
                task.refunded = True  # UNVERIFIED: Kie is said to give the credits of a failed task back
                self.balance += task.credits

    def _file(self, path: str) -> Response:
        name = path.rpartition("-")[2]
        if "." + name.rpartition(".")[2] not in TYPES or name not in {*MEDIA.values(), "picture.jpg"}:
            return Response(b"not found", "text/plain", 404)
        return Response(media_file(name), TYPES["." + name.rpartition(".")[2]])

    # --- creating ---------------------------------------------------------------------

    def _post(self, path: str, body: dict[str, Any], origin: str) -> Response:
        if path == DOWNLOAD_PATH:
            url = str(body.get("url", ""))
            if not url.startswith(f"{origin}/files/"):
                return Response.said(422, "url is wrong", data=None)
            return Response.ok(f"{url}?X-Expires=1200&X-Signature=sandbox")
        if path == CREATE_PATH:
            return self._create_job(body, origin)
        if path in wire()["dedicated"]:
            facts = wire()["dedicated"][path]
            problem = complaint(facts["family"], facts["fields"], body)
            media = {"suno": "audio", "veo3": "video", "runway": "video"}.get(facts["family"], "image")
            return self._refused(problem) or self._create(facts["family"], media, body, body, facts["prices"], origin)
        if path in self._v4:
            missing = [name for name in self._v4[path]["required"] if body.get(name) in (None, "")]
            if missing:
                return Response.said(422, f"{missing[0]} is required", data=None)
            return self._create("jobs", _media(self._v4[path]["output_type"]), body, body, [], origin)
        return Response.said(404, "Not found", data=None)

    def _create_job(self, body: dict[str, Any], origin: str) -> Response:
        model, inputs = body.get("model"), body.get("input")
        if not isinstance(inputs, dict):
            return Response.said(422, "input is required", data=None)
        if not isinstance(model, str):
            return Response.said(422, "model is required", data=None)
        if model in self._models:
            media = _media(self._models[model]["output_type"])
            return self._create("jobs", media, body, inputs, [], origin)
        facts = wire()["jobs"].get(model)
        if facts is None:
            return Response.said(422, UNKNOWN_MODEL, data=None)
        if facts.get("paused"):
            return Response.said(500, "This interface is temporarily paused", data=None)
        problem = complaint("jobs", facts["fields"], inputs)
        return self._refused(problem) or self._create(
            "jobs", facts["media"], body, inputs, facts["prices"], origin, tracks="tracks" in facts
        )

    def _refused(self, problem: tuple[int, str] | None) -> Response | None:
        return None if problem is None else Response.said(problem[0], problem[1], data=None)

    def _create(
        self,
        family: str,
        media: str,
        body: Mapping[str, Any],
        inputs: Mapping[str, Any],
        prices: list[Any],
        origin: str,
        *,
        tracks: bool = False,
    ) -> Response:
        now = self._clock()
        while self._recent and now - self._recent[0] >= 10:
            self._recent.popleft()
        if self._limit is not None and len(self._recent) >= self._limit:
            return Response.said(429, "Your call frequency is too high. Please try again later.", data=None)
        self._settle()
        cost = credits_for(prices, inputs)
        if cost > self.balance:
            return Response.said(402, "Credits insufficient", data=None)
        self._recent.append(now)
        self.balance -= cost
        unique = uuid.uuid4()
        task_id = str(unique) if family == "runway" else unique.hex
        wanted = inputs.get("outputFormat", inputs.get("output_format", "jpeg" if family == "flux-kontext" else ""))
        name = "picture.jpg" if media == "image" and wanted in ("jpeg", "jpg") else MEDIA.get(media, "")
        self.tasks[task_id] = Task(
            id=task_id,
            family=family,
            media=media,
            body=dict(body),
            created=now,
            seconds=SECONDS[media],
            speed=self._speed,
            credits=cost,
            files=f"{origin}/files/{task_id}",
            file_name=name,
            tracks=tracks,
            fails=REFUSE in str(inputs.get("prompt", "")),
        )
        return Response.ok({"taskId": task_id, **({"recordId": task_id} if family == "jobs" else {})})


def _bearer(request: Request) -> bool:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    return scheme == "Bearer" and bool(key.strip())


def _origin(request: Request) -> str:
    return f"http://{request.headers.get('host', '127.0.0.1')}"


def _family_of_query(path: str) -> str | None:
    return next((facts["family"] for facts in wire()["dedicated"].values() if facts["query"] == path), None)


def _media(output_type: str) -> str:
    kind = output_type.partition("/")[0]
    return kind if kind in SECONDS else "json"
