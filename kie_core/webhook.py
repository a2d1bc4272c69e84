"""Receive what Kie reports about jobs.

Kie POSTs to the callback address of a job when the job ends, and for some categories before that. It may do so
twice, in any order, or never. Its signature covers the task id and a timestamp, **not the body**: whoever saw one
signed request can sign any other text about the same task. So nothing in a body is believed but the task id. A
callback says "look at this task", the inbox keeps that, and the task is then read with the key, as in polling.
Forged, replayed, doubled and overtaken callbacks are thereby harmless: they cost one read at most.

Two things show that a callback concerns us, and either is enough to look at the task:

* the token in the address, which kie-core puts there. It also names the job, so it finds the task of a job whose
  create was never answered;
* the signature, if a webhook key was made on https://kie.ai/settings. With such a key every callback must be signed.

In a framework, mount `Receiver`, an ASGI application, where ``callback_url`` points:

>>> app.mount("/kie", Receiver(kie))

Anywhere else, call `handle` with what the framework gives, and answer what it returns. Tokens stand in the
address, so they show up in access logs: keep those to yourself.

Source: docs.kie.ai/common-api/webhook-verification and the callback pages, read 2026-04-29 to 2026-10-01.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import math
import re
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, Literal, Protocol, TypeAlias

import attrs

from kie_core._depth import is_deep
from kie_core._errors import KieError
from kie_core._jobs.callback import job_and_token
from kie_core._secret import MASK, Secret

__all__ = [
    "LARGEST_BODY",
    "TOLERANCE",
    "Inbox",
    "Receiver",
    "Reply",
    "Verified",
    "WebhookRefused",
    "handle",
    "verify",
]

log = logging.getLogger("kie_core")

#: Bytes. Most callbacks have a few thousand; those of suno-midi hold every note of a song, some sixty bytes each.
LARGEST_BODY: Final = 1024 * 1024
#: Seconds by which a timestamp may differ from our clock, either way. Kie documents no limit; this one is ours.
TOLERANCE: Final = 300.0
#: Seconds for a body to come in. Kie itself waits 15 for the answer.
READ_SECONDS: Final = 10.0

Headers: TypeAlias = "Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]"
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]


@attrs.define
class WebhookRefused(KieError):
    """A request to the webhook receiver was refused; nothing was stored.

    Attributes:
        status: The HTTP status to answer with.
        reason: Why; without anything of the request or of a key, so it may be answered.
    """

    status: int
    reason: str

    def __str__(self) -> str:
        return f"the webhook was refused ({self.status}): {self.reason}"


@attrs.frozen
class Verified:
    """What the signature of a webhook covers. The rest of the body is a hint, to be checked by reading the task.

    Attributes:
        task_id: Kie's task id.
        timestamp: When Kie signed it, in seconds since 1970.
    """

    task_id: str
    timestamp: int


@attrs.frozen
class Reply:
    """What to answer to a request.

    Attributes:
        status: The HTTP status.
        body: JSON.
        content_type: Of the body.
    """

    status: int
    body: bytes
    content_type: str = "application/json"


class Inbox(Protocol):
    """Where callbacks are kept until their tasks are read again. `kie_core.Kie` is one."""

    @property
    def webhook_keys(self) -> Sequence[Secret]:
        """The keys of https://kie.ai/settings: the new and the former one while it is changed. None: no signatures."""

    def token_fits(self, job_id: str, token: str) -> bool:
        """Say whether the token in an address was made by us for this job; in constant time."""

    async def receive(
        self, *, job_id: str | None, task_id: str, digest: str
    ) -> Literal["stored", "duplicate", "unknown"]:
        """Keep a callback, durably, before returning; the work comes later.

        Args:
            job_id: The job that the address names, with a token that fits; None: the callback is only signed.
            task_id: The task that the callback is about. Without a signature nothing vouches for it.
            digest: SHA-256 of the body in hexadecimal digits: the same callback once more has the same.

        Returns:
            ``stored``; ``duplicate``: it was stored before; ``unknown``: neither job nor task is ours.

        Raises:
            KieError: It cannot be kept now. The answer is 503, so that Kie tries again.
        """


def verify(
    headers: Headers,
    raw_body: bytes,
    keys: Sequence[str | Secret],
    *,
    now: float | None = None,
    tolerance: float = TOLERANCE,
) -> Verified:
    """Check the signature and the age of a webhook. Reads nothing but its arguments and the clock.

    The signature does not cover the body, only the task id that is returned: read that task before you believe
    anything else. A task id stands in several places of a body; they must all agree.

    Args:
        headers: Of the request, a mapping or pairs, names in any case.
        raw_body: As it came, before any framework parsed it.
        keys: The webhook keys of https://kie.ai/settings (not the API key). Any of them will do, so give the new
            and the former one while you change it. Empty ones fit nothing.
        now: Seconds since 1970; None: the clock.
        tolerance: Seconds by which the timestamp may differ from *now*, either way. An older request may be one
            that somebody recorded.

    Raises:
        WebhookRefused: Status 400 for a missing header, an unreadable body or one without a clear task id, 401 for
            a wrong signature or age, 413 for a body over `LARGEST_BODY`.
        TypeError: *keys* is one text instead of a sequence of them.
    """
    if isinstance(keys, str):
        raise TypeError("keys is one text; expected a sequence of keys")
    fields = _fields(headers)
    timestamp, signature = fields.get("x-webhook-timestamp"), fields.get("x-webhook-signature")
    if not timestamp or not signature:
        raise WebhookRefused(400, "X-Webhook-Timestamp or X-Webhook-Signature is missing")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise WebhookRefused(401, "X-Webhook-Timestamp is not a number of seconds")
    task_id = _task_id(raw_body)
    if not _signed(f"{task_id}.{timestamp}", signature, keys):
        raise WebhookRefused(401, "the signature does not fit")
    age = (time.time() if now is None else now) - int(timestamp)
    if not abs(age) <= tolerance:
        log.warning(
            "a webhook has the right signature, but its timestamp is %.0f seconds %s by this machine's clock: "
            "the clock is wrong, or somebody repeats an old request; it was refused, and polling finishes its job",
            abs(age),
            "old" if age > 0 else "in the future",
        )
        raise WebhookRefused(401, "the timestamp is too old or in the future")
    return Verified(task_id, int(timestamp))


async def handle(
    inbox: Inbox, *, method: str, path: str, headers: Headers, body: bytes, now: float | None = None
) -> Reply:
    """Take one request of Kie's and say what to answer. The inbox has the callback before this returns.

    Nothing but the task id of the body is used, and that only to look at the task. Every refusal leaves the inbox
    as it was.

    Args:
        inbox: An open `kie_core.Kie`, or your own.
        method: Of the request.
        path: Of the request, up to its end. Where its last two segments are a job id and 32 hexadecimal digits,
            they are taken for the job and its token.
        headers: As for `verify`.
        body: As it came. Let your framework cap it at `LARGEST_BODY`.
        now: Seconds since 1970; None: the clock.

    Returns:
        200: kept, or kept before. 400: unreadable, unsigned or without a task id. 401: wrongly signed, or too old.
        404: neither the token nor the task is ours. 405: no POST. 413: too large. 415: no JSON. 503: it cannot be
        kept now, Kie should try again.
    """
    try:
        fields = _fields(headers)
        _check_head(method, fields)
        return await _received(inbox, path, fields, body, now)
    except WebhookRefused as refusal:
        return _refusal(refusal)
    except Exception as error:  # an inbox is foreign code, and Kie tries again only if it is told so
        _, token = job_and_token(path) or ("", "")
        log.error("a webhook could not be kept, Kie is asked to try again: %s", _told(error, token))  # noqa: TRY400
        return _reply(503, {"error": "it cannot be kept now, try again", "retry_after": _RETRY_AFTER})


class Receiver:
    """An ASGI 3 application that takes callbacks and answers as `handle` does; 408 if a body does not come in.

    Mount it in any ASGI framework, or run it alone. It reads no more of a body than `LARGEST_BODY`. Behind a proxy,
    limit the requests per address there.

    Args:
        inbox: An open `kie_core.Kie`, or your own.
        read_seconds: For the whole body to come in.
        clock: Seconds since 1970.
    """

    def __init__(
        self, inbox: Inbox, *, read_seconds: float = READ_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self._inbox = inbox
        self._read_seconds = read_seconds
        self._clock = clock

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection.

        Raises:
            ValueError: The server speaks a protocol of which ASGI 3 does not know.
        """
        match scope["type"]:
            case "http":
                await self._serve(scope, receive, send)
            case "lifespan":
                await _live(receive, send)
            case "websocket":
                await receive()
                await send({"type": "websocket.close", "code": 1000})
            case kind:
                raise ValueError(f"the webhook receiver does not speak {kind!r}")

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        was_read = False
        try:
            _check_head(scope["method"], _fields(scope["headers"]))
            body = await self._body(receive)
            if body is None:
                return
            was_read = True
        except WebhookRefused as refusal:
            reply = _refusal(refusal)
        else:
            reply = await handle(
                self._inbox,
                method=scope["method"],
                path=_path_below_mount(scope),
                headers=scope["headers"],
                body=body,
                now=self._clock(),
            )
        headers = [
            (b"content-type", reply.content_type.encode()),
            (b"content-length", str(len(reply.body)).encode()),
            *_HEADERS_OF_STATUS.get(reply.status, ()),
        ]
        if not was_read and str(scope.get("http_version", "")).startswith("1."):
            headers.append((b"connection", b"close"))  # what is left of the body is not the next request
        try:
            await send({"type": "http.response.start", "status": reply.status, "headers": headers})
            await send({"type": "http.response.body", "body": reply.body})
        except OSError:
            log.info("the sender of a webhook did not wait for the answer (%d)", reply.status)

    async def _body(self, receive: Receive) -> bytes | None:
        body = bytearray()
        try:
            async with asyncio.timeout(self._read_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    part = message.get("body", b"")
                    if len(body) + len(part) > LARGEST_BODY:
                        raise _too_large()
                    body += part
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise WebhookRefused(408, f"the body did not come in within {self._read_seconds:g} seconds") from None


# --- what is asked of a request ----------------------------------------------------------

_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_LONGEST_TASK_ID: Final = 200
_RETRY_AFTER: Final = 30
_HEADERS_OF_STATUS: Final[dict[int, tuple[tuple[bytes, bytes], ...]]] = {
    405: ((b"allow", b"POST"),),
    503: ((b"retry-after", str(_RETRY_AFTER).encode()),),
}


async def _received(inbox: Inbox, path: str, fields: Mapping[str, str], body: bytes, now: float | None) -> Reply:
    if len(body) > LARGEST_BODY:
        raise _too_large()
    job_id = None
    if named := job_and_token(path):
        job_id, token = named
        if not inbox.token_fits(job_id, token):
            raise WebhookRefused(404, "no such address")
    if keys := inbox.webhook_keys:
        task_id = verify(fields, body, keys, now=now).task_id
    elif job_id is None:
        raise WebhookRefused(404, "no such address")
    else:
        task_id = _task_id(body)
    kept = await inbox.receive(job_id=job_id, task_id=task_id, digest=hashlib.sha256(body).hexdigest())
    if kept == "unknown":
        raise WebhookRefused(404, "no such task")
    if kept not in ("stored", "duplicate"):
        raise TypeError(f"receive() returned {kept!r}")
    return _reply(200, {"status": "received"})


def _check_head(method: str, fields: Mapping[str, str]) -> None:
    if method.upper() != "POST":
        raise WebhookRefused(405, "only POST is served here")
    if fields.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise WebhookRefused(415, "the content type is not application/json")
    length = fields.get("content-length", "")
    if length.isascii() and length.isdigit() and (len(length) > 15 or int(length) > LARGEST_BODY):
        raise _too_large()


def _too_large() -> WebhookRefused:
    return WebhookRefused(413, f"the body has more than {LARGEST_BODY} bytes")


def _fields(headers: Headers) -> dict[str, str]:
    """Join what is sent twice, as RFC 9110 does: two different signatures are then none."""
    items = getattr(headers, "items", None)
    pairs: Any = items() if items is not None else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        key, text = _text(name).lower(), _text(value)
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _path_below_mount(scope: Message) -> str:
    # Servers disagree on whether the path repeats the mount; what stands in the mount is never a token.
    path, mount = str(scope["path"]), str(scope.get("root_path", "")).rstrip("/")
    return path.removeprefix(mount) if path == mount or path.startswith(f"{mount}/") else path


def _signed(text: str, signature: str, keys: Sequence[str | Secret]) -> bool:
    try:
        given = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    fits = False
    for key in keys:
        letters = (key.reveal() if isinstance(key, Secret) else key).encode(errors="surrogatepass")
        right = hmac.compare_digest(given, hmac.digest(letters, text.encode(), "sha256"))
        fits |= right and bool(letters.strip())  # anybody can sign with an empty key
    return fits


# --- the task id of a body -----------------------------------------------------------------


def _task_id(raw_body: bytes) -> str:
    if len(raw_body) > LARGEST_BODY:
        raise _too_large()
    body = _parsed(raw_body)
    if body is None:
        raise WebhookRefused(400, "the body is not a JSON object that can be read safely")
    found = set(_task_ids(body))
    if len(found) != 1:
        raise WebhookRefused(400, "the body names several tasks" if found else "the body names no task")
    (task_id,) = found
    if len(task_id) > _LONGEST_TASK_ID or not task_id.isprintable() or task_id.isspace():
        raise WebhookRefused(400, "the body names no possible task id")
    return task_id


def _task_ids(body: dict[str, Any]) -> Iterator[str]:
    data = body.get("data")
    for part in (body, data if isinstance(data, dict) else {}):
        for name in ("taskId", "task_id"):
            value = part.get(name)
            if value is None or value == "":
                continue
            if not isinstance(value, str):
                raise WebhookRefused(400, "a task id in the body is neither text nor a whole number")
            yield value


_LONGEST_INTEGER: Final = 40


def _parsed(raw_body: bytes) -> dict[str, Any] | None:
    if is_deep(raw_body):
        return None
    try:
        body = json.loads(
            raw_body.decode("utf-8-sig"),
            object_pairs_hook=_without_twins,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_digits,
        )
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _digits(text: str) -> str:
    """Keep the digits as they came: of all numbers only a task id is looked at, and that is text to us."""
    if len(text) > _LONGEST_INTEGER:
        raise ValueError("a number is too long")
    return text


# --- answers -------------------------------------------------------------------------------


def _reply(status: int, body: dict[str, Any]) -> Reply:
    return Reply(status, json.dumps(body).encode())


def _refusal(refusal: WebhookRefused) -> Reply:
    log.info("%s", refusal)
    return _reply(refusal.status, {"error": refusal.reason})


def _told(error: Exception, token: str) -> str:
    # Texts of our own errors hold no secrets; those of others may hold anything.
    if isinstance(error, KieError):
        text = str(error)
        return text.replace(token, MASK) if token else text
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {frames[-1].name}, {frames[-1].filename}:{frames[-1].lineno}"


async def _live(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != "lifespan.shutdown":
        await send({"type": "lifespan.startup.complete"})
    await send({"type": "lifespan.shutdown.complete"})
