"""What an answer says about a task."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from kie_core._depth import is_deep
from kie_core._errors import ReadFailed, RecordMissing
from kie_core._models.model import JSON, Media

if TYPE_CHECKING:
    from kie_core._jobs.job import Job

State = Literal["queued", "running", "partial", "needs_input", "succeeded", "failed", "expired"]
#: States that no later answer changes.
TERMINAL: Final[frozenset[State]] = frozenset({"succeeded", "failed", "expired"})

#: How long the address of generated media is good for, in seconds: 24 hours.
#: Source: docs.kie.ai/market/common/get-task-detail, read 2026-10-01. docs.kie.ai/1973359m0, read 2026-04-29,
#: says 14 days; the shorter counts.
MEDIA_LIFETIME: Final = 24 * 3600.0


def _figure(value: Any) -> float | None:
    """Return a number of Kie's; None for anything else that stands in its place."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool) and -1e15 < value < 1e15
    return value if known else None


@attrs.frozen
class Artifact:
    """One result: exactly one of ``url``, ``text`` and ``data``.

    Attributes:
        kind: What it is.
        url: Where it lies; anybody with the address can read it.
        text: Lyrics and the like.
        data: Tables, notes, boxes.
        role: ``result``, or what else it is: ``cover``, ``origin``, ``last_frame``.
        lifetime: Seconds after the end of the task for which its address is good; None: for ever.
        expires_at: When its address may stop working; set by the core when the end of the task is seen.
    """

    kind: Media
    url: str | None = None
    text: str | None = attrs.field(default=None, kw_only=True)
    data: JSON = attrs.field(default=None, kw_only=True)
    role: str = attrs.field(default="result", kw_only=True)
    lifetime: float | None = attrs.field(default=MEDIA_LIFETIME, kw_only=True)
    expires_at: datetime | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if sum(value is not None for value in (self.url, self.text, self.data)) != 1:
            raise ValueError("an artifact has exactly one of url, text and data")


@attrs.frozen
class SavedFile:
    """One result on disk.

    Attributes:
        number: The artifact's place, from 1.
        path: Where it lies.
        size: Bytes.
        sha256: Its hash, in hexadecimal.
        kind: Its extension, by its content.
        declared: The Content-Type as sent.
        url: Where it came from; None: it came with the answer.
    """

    number: int
    path: Path
    size: int
    sha256: str
    kind: str
    declared: str | None = None
    url: str | None = None


@attrs.frozen
class Failure:
    """Why a task failed, in Kie's words. ``code`` is text: Kie sends numbers and words."""

    message: str
    code: str | None = None


@attrs.frozen
class Outcome:
    """What one answer says about a task.

    Attributes:
        state: Where the task stands.
        artifacts: What is there already.
        error: Why it failed.
        progress: 0 to 1, where Kie tells.
        credits: What Kie says it charged; what is no number counts as not said, here and in the next.
        seconds: How long the task took, by Kie's clock.
        remark: A word of Kie's that is not in its documentation, such as an unknown state.
    """

    state: State
    artifacts: tuple[Artifact, ...] = ()
    error: Failure | None = None
    progress: float | None = attrs.field(default=None, kw_only=True, converter=_figure)
    credits: float | None = attrs.field(default=None, kw_only=True, converter=_figure)
    seconds: float | None = attrs.field(default=None, kw_only=True, converter=_figure)
    remark: str | None = attrs.field(default=None, kw_only=True)

    @property
    def finished(self) -> bool:
        """Whether no later answer can change the state."""
        return self.state in TERMINAL

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of all artifacts that have one."""
        return tuple(artifact.url for artifact in self.artifacts if artifact.url)


def record(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``data`` object of the answer to a query.

    Raises:
        RecordMissing: Kie does not know the task: code 422 or 404, or 200 without data.
            Source: the query pages of all families and recordings, 2026-04 to 2026-09.
        ReadFailed: Any other code, or data that is not an object: asked again later.
    """
    code, data = body.get("code"), body.get("data")
    if code in (404, 422) or (code == 200 and data is None):
        raise RecordMissing(str(body.get("msg") or "no record"))
    if code != 200 or not isinstance(data, dict):
        raise ReadFailed(f"{body.get('msg') or 'no message'} (code {code!r})")
    return data


def part(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the object ``data[name]``; an empty one where it is missing, null or something else."""
    value = data.get(name)
    return value if isinstance(value, dict) else {}


def failure(code: Any, message: Any) -> Failure:
    """Make a `Failure` of what Kie sent as code (number or word) and message."""
    return Failure(str(message or "Kie gave no reason"), None if code in (None, "", 0) else str(code))


def urls_of(value: Any) -> list[str]:
    """Return the URLs in *value*: a list, one text, or (older answers) a list as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return []
    if isinstance(value, str):
        value = [value]
    return [url for url in value if isinstance(url, str) and url.strip()] if isinstance(value, list) else []


def seconds_between(start: Any, end: Any) -> float | None:
    """Return the seconds from *start* to *end*, else None.

    Kie sends milliseconds since 1970; its pages also show ISO text, with a T or a blank.
    """
    begun, ended = _milliseconds(start), _milliseconds(end)
    if begun is None or ended is None or not 0 <= ended - begun < 7 * 24 * 3_600_000:
        return None
    return (ended - begun) / 1000


def _milliseconds(time: Any) -> float | None:
    if isinstance(time, (int, float)) and 0 < time < 1e14:
        return float(time)
    try:
        moment = datetime.fromisoformat(time)
    except (TypeError, ValueError):
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


#: ``data.successFlag`` of the dedicated calls of 4o-image, flux-kontext and veo3.
#: Source: their detail pages, read 2026-04-29. UNVERIFIED for 4o-image: that 3 is a failure.
_FLAGS: Final[dict[int, State]] = {0: "running", 1: "succeeded", 2: "failed", 3: "failed"}


def flag_outcome(body: Mapping[str, Any], artifacts: Callable[[dict[str, Any]], Iterable[Artifact]]) -> Outcome:
    """Read an answer that tells the state by ``data.successFlag``.

    Args:
        body: The whole answer.
        artifacts: Finds the results in ``data.response`` of a success.

    Raises:
        RecordMissing, ReadFailed: The answer says nothing about the task.
    """
    data = record(body)
    flag = data.get("successFlag")
    state = _FLAGS.get(flag) if isinstance(flag, int) and not isinstance(flag, bool) else None
    progress = _share(data.get("progress"))
    if state not in TERMINAL:
        return Outcome("running", progress=progress, remark=None if state else f"unknown successFlag {flag!r}")
    took = seconds_between(data.get("createTime"), data.get("completeTime"))
    if state == "failed":
        return Outcome("failed", error=failure(data.get("errorCode"), data.get("errorMessage")), seconds=took)
    found = tuple(artifacts(part(data, "response")))
    return Outcome("succeeded", found, progress=progress, seconds=took)


def _share(text: Any) -> float | None:
    """Read ``"0.42"``; anything else is no progress."""
    try:
        share = float(text)
    except (TypeError, ValueError, OverflowError):
        return None
    return None if math.isnan(share) else min(1.0, max(0.0, share))


#: ``data.state`` of the jobs API. Source: docs.kie.ai/market/common/get-task-detail, read 2026-10-01.
_JOBS_STATES: Final[dict[str, State]] = {
    "waiting": "queued", "queuing": "queued", "generating": "running", "success": "succeeded", "fail": "failed",
}  # fmt: skip
#: Further lists of ``resultJson`` and what their files are.
_JOBS_EXTRAS: Final = {
    "firstFrameUrl": "first_frame",
    "lastFrameUrl": "last_frame",
    "resultWaterMarkUrls": "watermarked",
}


#: Seconds for which the address of a mask is good.
#: Source: docs.kie.ai/market/omnihuman-1-5/subject-detection, read 2026-10-07.
_MASK_LIFETIME: Final = 3600.0


def jobs_outcome(job: Job, body: Mapping[str, Any]) -> Outcome:
    """Read an answer of ``GET /api/v1/jobs/recordInfo``, for any model.

    Source: docs.kie.ai/market/common/get-task-detail and recordings, 2026-04 to 2026-10.

    Raises:
        RecordMissing, ReadFailed: The answer says nothing about the task.
    """
    data = record(body)
    word = data.get("state")
    state = _JOBS_STATES.get(str(word))
    charged = data.get("creditsConsumed", data.get("consumeCredits"))
    if state not in TERMINAL:
        progress = data.get("progress")
        return Outcome(
            state or "running",
            progress=progress / 100 if isinstance(progress, (int, float)) and 0 <= progress <= 100 else None,
            credits=charged,
            remark=None if state else f"unknown state {word!r}",
        )
    took = seconds_between(data.get("createTime"), data.get("completeTime"))
    if state == "failed":
        problem = failure(data.get("failCode"), data.get("failMsg"))
        return Outcome("failed", error=problem, credits=charged, seconds=took)
    return Outcome("succeeded", _jobs_artifacts(job.model.media, data), credits=charged, seconds=took)


def _jobs_artifacts(media: Media, data: Mapping[str, Any]) -> tuple[Artifact, ...]:
    result = part(data, "response") or _loaded(data.get("resultJson"))
    found = [Artifact(media, url) for url in urls_of(result.get("resultUrls"))]
    for name, role in _JOBS_EXTRAS.items():
        found += [Artifact("image" if "Frame" in name else media, url, role=role) for url in urls_of(result.get(name))]
    tracks = result.get("data")
    for track in tracks if isinstance(tracks, list) else ():
        if isinstance(track, dict):
            found += [Artifact("audio", url) for url in urls_of(track.get("audio_url"))]
            found += [Artifact("image", url, role="cover") for url in urls_of(track.get("image_url"))]
    made = result.get("resultObject")
    if made is not None:
        masks = urls_of(made.get("mask_urls")) if isinstance(made, dict) else []
        found += [Artifact("image", url, lifetime=_MASK_LIFETIME) for url in masks]
        found.append(Artifact("data", data=made))
    return tuple(found)


def _loaded(text: Any) -> dict[str, Any]:
    """Read ``resultJson``: JSON text, at times JSON text inside JSON text."""
    for _ in range(2):
        if not isinstance(text, str):
            break
        if is_deep(text.encode(errors="surrogatepass")):
            return {}
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return {}
    return text if isinstance(text, dict) else {}


#: Words by which the families say how a task ended. Source: their detail pages, read 2026-04-29 to 2026-10-01.
_GOOD_WORDS: Final = frozenset({"success", "succeeded"})
_BAD_WORDS: Final = frozenset({"fail", "failed", "generate_failed", "create_task_failed", "generate_audio_failed",
                               "sensitive_word_error"})  # fmt: skip


def generic_outcome(job: Job, body: Mapping[str, Any]) -> Outcome:
    """Read an answer of any family as well as that goes without its plugin: whether it ended, and every address.

    Raises:
        RecordMissing, ReadFailed: The answer says nothing about the task.
    """
    data = record(body)
    words = {str(data.get(name)).casefold() for name in ("state", "status")}
    mark = data.get("successFlag")
    flag = _FLAGS.get(mark) if isinstance(mark, int) and not isinstance(mark, bool) else None
    if words & _BAD_WORDS or flag == "failed":
        code, message = data.get("failCode", data.get("errorCode")), data.get("failMsg", data.get("errorMessage"))
        return Outcome("failed", error=failure(code, message))
    if words & _GOOD_WORDS or flag == "succeeded":
        result = {name: data.get(name) for name in ("response", "videoInfo")}
        found = dict.fromkeys([*_addresses(result), *_addresses(_loaded(data.get("resultJson")))])
        return Outcome("succeeded", tuple(Artifact(job.model.media, url) for url in found))
    return Outcome("running")


def _addresses(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [url for one in value.values() for url in _addresses(one)]
    if isinstance(value, list):
        return [url for one in value for url in _addresses(one)]
    return [value] if isinstance(value, str) and value.startswith(("https://", "http://")) else []
