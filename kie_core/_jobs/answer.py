"""What an answer to a create means for the purse: accepted, refused, or unknown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import attrs

from kie_core._depth import DEEPEST, is_deep
from kie_core._errors import Maintenance, OutOfCredits, RateLimited, ReadFailed, Refused, Unauthorized
from kie_core._json import loads


@attrs.frozen
class Answer:
    """An HTTP answer that was read to its end."""

    status: int
    content: bytes
    retry_after: float | None = None


@attrs.frozen
class Accepted:
    """Kie made a task, or sent the result at once: then that is in ``record``, and ``task_id`` stands for it."""

    task_id: str
    record: str | None = None


@attrs.frozen
class Unknown:
    """Kie may or may not have made a task.

    Attributes:
        reason: What came instead of a clear answer.
        answer: What came, cut to a length that fits a message.
        task_id: What looks like a task id in it.
    """

    reason: str
    answer: str = ""
    task_id: str | None = None


Verdict: TypeAlias = "Accepted | Refused | Unknown"

#: Codes of the account: the same for every call of every category.
ACCOUNT: Final[dict[int, type[Refused]]] = {401: Unauthorized, 402: OutOfCredits, 429: RateLimited, 455: Maintenance}
#: Further body codes that say "no task was made": malformed, no such path, refused by the
#: check of parameters, key over its own cap, switched off.
#: Source: the code tables of docs.kie.ai, read 2026-08-19 to 2026-10-01.
_REFUSED: Final = frozenset({400, 404, 422, 433, 505})
#: HTTP statuses of a gateway in front of Kie that did not let the request through.
_EDGE: Final = frozenset({400, 401, 403, 404, 405, 411, 413, 414, 415, 429, 431})
#: A task id is short text; anything longer is not one.
_LONGEST_ID: Final = 200


def body_of(answer: Answer) -> dict[str, Any]:
    """Return the JSON object that *answer* carries.

    Raises:
        ReadFailed: It carries none; says what came instead.
    """
    if is_deep(answer.content):
        raise ReadFailed(f"HTTP {answer.status} with JSON of more than {DEEPEST} levels")
    try:
        body = loads(answer.content)
    except (ValueError, RecursionError) as error:
        raise ReadFailed(f"HTTP {answer.status} without readable JSON ({type(error).__name__})") from None
    if not isinstance(body, dict):
        raise ReadFailed(f"HTTP {answer.status} with a JSON {type(body).__name__} instead of an object")
    return body


def code_of(body: dict[str, Any]) -> int | None:
    """Return the body code; text of digits counts, true and false do not."""
    code = body.get("code")
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 6:
        return int(code)
    if isinstance(code, float) and code.is_integer():
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def message_of(body: dict[str, Any]) -> str:
    """Return Kie's text, cut to a length that fits a message."""
    text = body.get("msg") or body.get("message") or ""
    return str(text)[:500]


def account_refusal(code: int | None, message: str, retry_after: float | None = None) -> Refused | None:
    """Return the error for a code of the account, None for any other."""
    kind = ACCOUNT.get(code) if code is not None else None
    return kind(code, message, retry_after) if kind is not None and code is not None else None


def verdict(
    answer: Answer,
    refused: Sequence[tuple[int, str]] = (),
    *,
    promises: Sequence[str] = (),
    made_before: Sequence[int] = (),
) -> Verdict:
    """Judge the answer to a create. What is not clearly accepted or refused is unknown.

    Args:
        answer: What came.
        refused: Pairs of the plugin: ``(code, part of the message)`` that mean "no task was made".
        promises: Members of ``data`` that are the result; empty: the answer has to name a task.
        made_before: Codes by which the call names a task that was made earlier.
    """
    try:
        body = body_of(answer)
    except ReadFailed as error:
        if answer.status in _EDGE and not _TASK_ID.search(answer.content.decode(errors="replace")):
            return ACCOUNT.get(answer.status, Refused)(answer.status, f"HTTP {answer.status}", answer.retry_after)
        return unknown(error.reason, answer.content)
    code, message, task_id = code_of(body), message_of(body), task_named(body)
    if code == 200 and promises:
        return _kept(answer, body, promises)
    if task_id and (code == 200 or code in made_before):
        return Accepted(task_id)
    if code == 200:
        return unknown("Kie said yes, but named no task id", answer.content)
    if task_id or _TASK_ID.search(answer.content.decode(errors="replace")):  # a refusal that names a task
        return unknown(f"Kie answered code {code} and a task id", answer.content)
    if code is None:
        return _without_code(answer, message)
    if code in ACCOUNT:
        return ACCOUNT[code](code, message, answer.retry_after)
    if code in _REFUSED or any(code == known and part.casefold() in message.casefold() for known, part in refused):
        return Refused(code, message)
    return unknown(f"Kie answered code {code}: {message or 'no message'}", answer.content)


def _without_code(answer: Answer, message: str) -> Verdict:
    if answer.status in _EDGE:
        return ACCOUNT.get(answer.status, Refused)(
            answer.status, message or f"HTTP {answer.status}", answer.retry_after
        )
    return unknown(f"HTTP {answer.status} with JSON, but without a code", answer.content)


def asked_again(answer: Answer, refused: Sequence[tuple[int, str]], stands_for: str) -> Verdict:
    """Judge the first answer to a ``derived`` call: it may be asked again, so only a clear refusal ends it.

    Args:
        answer: What came.
        refused: As for `verdict`.
        stands_for: What is taken for its task id.
    """
    judged = verdict(answer, refused)
    if isinstance(judged, Refused) and judged.code != _NOT_READY:
        return judged
    return Accepted(stands_for)


#: "The file is being made". Source: docs.kie.ai/veo3-api/generate-veo-3-video, read 2026-04-29.
_NOT_READY: Final = 400


def _kept(answer: Answer, body: dict[str, Any], promises: Sequence[str]) -> Verdict:
    data = body.get("data")
    missing = [name for name in promises if not isinstance(data, dict) or data.get(name) in (None, "")]
    if missing:
        return unknown(f"Kie said yes, but sent no {missing[0]}", answer.content)
    return Accepted("", answer.content.decode("utf-8-sig"))


def unknown(reason: str, content: bytes) -> Unknown:
    """Keep what came, however little: a task id in half an answer may be all that is left of a paid task."""
    text = content.decode(errors="replace")
    found = _TASK_ID.search(text)
    return Unknown(reason, text[:_LONGEST_KEPT], (found[1] or found[2]) if found else None)


_LONGEST_KEPT: Final = 2000
_TASK_ID: Final = re.compile(r'"task_?[iI]d"\s*:\s*(?:"([^"\\\s]{1,200})"|(\d{1,30})\b)')


def task_named(body: dict[str, Any]) -> str | None:
    """Return the id of the task that the answer to a create names, or that a record is of; None: it names none."""
    data = body.get("data")
    task_id = data.get("taskId") if isinstance(data, dict) else None
    if isinstance(task_id, int) and not isinstance(task_id, bool):
        task_id = str(task_id)
    if not isinstance(task_id, str) or not 0 < len(task_id) <= _LONGEST_ID:
        return None
    return task_id if task_id.isprintable() and not task_id.isspace() else None


#: Messages with code 500 by which the jobs API refuses inputs and paused models; for `refused` of plugins.
#: Source: recordings of 2026-04 to 2026-10; the credits text is UNVERIFIED (reported by third parties).
JOBS_REFUSED: Final = (
    (500, "is required"),
    (500, "cannot be empty"),
    (500, "temporarily paused"),
    (500, "credits insufficient"),
)
