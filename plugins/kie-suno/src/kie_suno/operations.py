"""What Suno does beside songs of its own: where each operation goes, and how its answers are read.

What each takes and costs are rows of ``kie_models.json``. Source: the pages under docs.kie.ai/suno-api that the rows
name, requests read 2026-08-19, answers 2026-04-29. UNVERIFIED: the answers about voices and recovery, which are not in
these pages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import attrs

from kie_core import (
    JSON,
    Artifact,
    Endpoint,
    InvalidJob,
    Job,
    Outcome,
    RecordMissing,
    State,
    camel_case,
    failure,
    part,
    record,
    urls_of,
)

API = "/api/v1"
_MUSIC = f"{API}/generate/record-info"
_PHRASE = f"{API}/voice/validate-info"


def _task(create: str, query: str, **more: Any) -> Endpoint:
    return Endpoint(create=API + create, query=query if query.startswith(API) else API + query, **more)


def _music(create: str, *, insists: bool = True) -> Endpoint:
    return _task(f"/generate/{create}", _MUSIC, callback_required=insists)


#: ``callback_required`` where the page marks it so, or where calls without one were refused.
OPERATIONS: Mapping[str, Endpoint] = {
    "suno-generate": _task("/generate", _MUSIC, callback_required=True),
    "suno-extend": _music("extend"),
    "suno-cover": _music("upload-cover"),
    "suno-upload-extend": _music("upload-extend"),
    "suno-instrumental": _music("add-instrumental"),
    "suno-vocals": _music("add-vocals"),
    "suno-replace-section": _music("replace-section", insists=False),
    "suno-mashup": _music("mashup"),
    "suno-sounds": _music("sounds", insists=False),
    "suno-lyrics": _task("/lyrics", "/lyrics/record-info", callback_required=True),
    "suno-wav": _task("/wav/generate", "/wav/record-info", callback_required=True),
    "suno-mp4": _task("/mp4/generate", "/mp4/record-info", callback_required=True),
    "suno-separate-vocals": _task("/vocal-removal/generate", "/vocal-removal/record-info", callback_required=True),
    "suno-midi": _task("/midi/generate", "/midi/record-info", callback_required=True),
    # a second call answers 400 and names the first
    "suno-cover-image": _task("/suno/cover/generate", "/suno/cover/record-info", made_before=(400,)),
    "suno-voice-validate": _task("/voice/validate", _PHRASE),
    # one l: the page spells it so
    "suno-voice-regenerate": _task("/voice/regenerate", _PHRASE, callback_field="calBackUrl", callback_required=True),
    "suno-voice": _task("/voice/generate", "/voice/record-info"),
    "suno-recovery": _task("/suno/recovery", "/suno/recovery/record-info", task_param="task_id"),
    "suno-timestamped-lyrics": Endpoint(
        create=f"{API}/generate/get-timestamped-lyrics", kind="sync", promises=("alignedWords",)
    ),
    "suno-persona": Endpoint(create=f"{API}/generate/generate-persona", kind="sync", promises=("personaId",)),
    "suno-boost-style": Endpoint(create=f"{API}/style/generate", kind="sync", promises=("result",)),
    "suno-voice-check": Endpoint(create=f"{API}/voice/check-voice", kind="sync", promises=("isAvailable",)),
}

# --- requests -------------------------------------------------------------------------

#: Kie's field where that is not the input in camel case; None: not sent.
_SPELLED: Mapping[str, Mapping[str, str | None]] = {
    "suno-extend": {"task": None},
    "suno-voice-check": {"task": "task_id"},
    "suno-recovery": {"task": "task_id"},
}
_ALL: Mapping[str, str | None] = {"task": "taskId", "track": None}
#: Inputs that make a span, and how long it may be, in seconds.
SPANS: Mapping[str, tuple[str, str, float, float]] = {
    "suno-replace-section": ("infill_start_s", "infill_end_s", 10, float("inf")),
    "suno-persona": ("vocal_start", "vocal_end", 10, 30),
}
#: What Kie takes for the ends of a span that are not sent.
_SPAN = (0, 30)


def payload(job: Job) -> dict[str, JSON]:
    """Return what Kie expects of an operation.

    Raises:
        InvalidJob: A span is too short or too long.
    """
    _check_span(job)
    params = dict(job.params)
    if job.model.id == "suno-extend" and "default_param_flag" not in params:
        params["default_param_flag"] = "continue_at" in params
    spelled = {**_ALL, **_SPELLED.get(job.model.id, {})}
    fields = {name: spelled.get(name, camel_case(name)) for name in params}
    return {field: params[name] for name, field in fields.items() if field is not None}


def _check_span(job: Job) -> None:
    if job.model.id not in SPANS:
        return
    start, end, least, most = SPANS[job.model.id]
    length = job.params.get(end, _SPAN[1]) - job.params.get(start, _SPAN[0])
    if not least <= length <= most:
        limit = f"at least {least:g} s" if most == float("inf") else f"{least:g} to {most:g} s"
        raise InvalidJob.value(job, end, why=f"{length:g} s after {start}; expected {limit}")


# --- answers --------------------------------------------------------------------------


class Reading(NamedTuple):
    """How a record tells the state, and what it holds."""

    field: str
    states: Mapping[Any, State]
    made: Callable[[dict[str, Any]], list[Artifact]]


def _words(failed: str) -> Mapping[Any, State]:
    return {
        "PENDING": "running",
        "SUCCESS": "succeeded",
        "CREATE_TASK_FAILED": "failed",
        failed: "failed",
        "CALLBACK_EXCEPTION": "failed",  # UNVERIFIED: as for songs
        "SENSITIVE_WORD_ERROR": "failed",
    }


def _lyrics(data: dict[str, Any]) -> list[Artifact]:
    listed = part(data, "response").get("data")
    texts = [one.get("text") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [Artifact("text", text=text, lifetime=None) for text in texts if isinstance(text, str) and text]


def _wav(data: dict[str, Any]) -> list[Artifact]:
    return [Artifact("audio", url) for url in urls_of(part(data, "response").get("audioWavUrl"))]


def _clip(data: dict[str, Any]) -> list[Artifact]:
    return [Artifact("video", url) for url in urls_of(part(data, "response").get("videoUrl"))]


def _covers(data: dict[str, Any]) -> list[Artifact]:
    return [Artifact("image", url) for url in urls_of(part(data, "response").get("images"))]


def _stems(data: dict[str, Any]) -> list[Artifact]:
    """Every stem once, by its name; the song itself is called ``origin``."""
    made = part(data, "response")
    found: dict[str, str] = {}
    for name, value in made.items():
        if name.endswith("Url"):
            found.update((url, name.removesuffix("Url")) for url in urls_of(value))
    listed = made.get("originData")
    for stem in listed if isinstance(listed, list) else ():
        for url in urls_of(stem.get("audio_url")) if isinstance(stem, dict) else ():
            found.setdefault(url, str(stem.get("stem_type_group_name") or "stem"))
    return [Artifact("audio", url, role=role) for url, role in found.items()]


def _notes(data: dict[str, Any]) -> list[Artifact]:
    notes = data.get("midiData")
    return [Artifact("data", data=notes, lifetime=None)] if notes else []


def _phrase(data: dict[str, Any]) -> list[Artifact]:
    phrase = data.get("validateInfo")
    return [Artifact("text", text=phrase, lifetime=None)] if isinstance(phrase, str) and phrase else []


def _voice(data: dict[str, Any]) -> list[Artifact]:
    voice = data.get("voiceId")
    return [Artifact("data", data={"voiceId": voice}, lifetime=None)] if voice else []


_VOICE: Mapping[Any, State] = {
    "wait_processing": "running",
    "processing_validate": "running",
    "wait_validating": "needs_input",
    "processing_validate_fail": "failed",
    "success": "succeeded",
    "fail": "failed",
}
_COVER: Mapping[Any, State] = {
    0: "queued",
    1: "succeeded",
    2: "running",  # elsewhere a failure
    3: "failed",
    "PENDING": "running",  # the page's text has words, its schema numbers
    "SUCCESS": "succeeded",
    "CREATE_TASK_FAILED": "failed",
    "GENERATE_COVER_FAILED": "failed",
}
READINGS: Mapping[str, Reading] = {
    "suno-lyrics": Reading("status", _words("GENERATE_LYRICS_FAILED"), _lyrics),
    "suno-wav": Reading("successFlag", _words("GENERATE_WAV_FAILED"), _wav),
    "suno-mp4": Reading("successFlag", _words("GENERATE_MP4_FAILED"), _clip),
    "suno-separate-vocals": Reading("successFlag", _words("GENERATE_AUDIO_FAILED"), _stems),
    "suno-cover-image": Reading("successFlag", _COVER, _covers),
    "suno-midi": Reading("successFlag", {0: "running", 1: "succeeded", 2: "failed", 3: "failed"}, _notes),
    "suno-voice-validate": Reading("status", _VOICE, _phrase),
    "suno-voice-regenerate": Reading("status", _VOICE, _phrase),
    "suno-voice": Reading("status", _VOICE, _voice),
}


def outcome(reading: Reading, data: dict[str, Any]) -> Outcome:
    """Say what the record of an operation means."""
    word = data.get(reading.field)
    known = isinstance(word, (str, int)) and not isinstance(word, bool)
    state = reading.states.get(word) if known else None
    artifacts = tuple(reading.made(data))
    if word == "CALLBACK_EXCEPTION" and artifacts:
        state = "succeeded"
    if state == "succeeded":
        return Outcome("succeeded", artifacts)
    if state == "failed":
        return Outcome("failed", error=failure(data.get("errorCode"), data.get("errorMessage") or word))
    if state == "needs_input":
        phrase = artifacts[0].text if artifacts else ""
        remark = (
            f"a person has to go on: record the phrase {phrase!r}, then give this task and the recording to suno-voice"
        )
        return Outcome("needs_input", artifacts, remark=remark)
    return Outcome(state or "running", remark=None if state else f"unknown {reading.field} {word!r}")


# --- answers that are the result ---------------------------------------------------------


def at_once(model_id: str, data: dict[str, Any]) -> Outcome:
    """Say what came at once: a text for a style, else the table as Kie sent it."""
    if any(data.get(name) in (None, "") for name in OPERATIONS[model_id].promises):
        return Outcome("running", remark="an answer without a result")  # the core keeps none such
    text = data.get("result") if model_id == "suno-boost-style" else None
    made = Artifact("text", text=text, lifetime=None) if isinstance(text, str) else Artifact("data", data=data)
    return Outcome("succeeded", (attrs.evolve(made, lifetime=None),), credits=data.get("creditsConsumed"))


# --- recovery ---------------------------------------------------------------------------

RECOVERED, RECOVERING, LOST = 200, 201, 500


def recovered(body: dict[str, Any]) -> Outcome:
    """Read an answer about a recovery, which tells the state by its code; ``data`` is a list of tracks.

    Raises:
        RecordMissing: Nothing can be recovered, or the task is not known: Kie says both with 500, as it says that
            it has trouble, so the core asks some more before it believes it.
        ReadFailed: The answer says nothing about the task.
    """
    listed, code = body.get("data"), body.get("code")
    if code == RECOVERING:
        return Outcome("running")
    if code == LOST:
        raise RecordMissing(str(body.get("msg") or "code 500"))
    if code == RECOVERED and isinstance(listed, list) and listed:
        urls = [url for track in listed if isinstance(track, dict) for url in urls_of(track.get("audio_url"))]
        if urls:
            return Outcome("succeeded", tuple(Artifact("audio", url) for url in urls))
        return Outcome("failed", error=failure(None, "none of its tracks is stored any more"))
    record(body)
    return Outcome("running", remark="code 200 without tracks")
