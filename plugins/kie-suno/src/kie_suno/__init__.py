"""Suno songs, and what Suno does beside them (`kie_suno.operations`).

Source: docs.kie.ai/suno-api/generate-music, read 2026-08-19, and
docs.kie.ai/suno-api/get-music-details, read 2026-04-29.
"""

from __future__ import annotations

from typing import Any

from kie_core import (
    JOBS_REFUSED,
    JSON,
    Artifact,
    Endpoint,
    Job,
    Outcome,
    State,
    failure,
    hookimpl,
    jobs_outcome,
    part,
    record,
    rename,
    urls_of,
)
from kie_suno import operations

LENGTH = "Suno V4 chooses the length of the song itself"
OUTSUNG = "in custom mode the lyrics are sung in its place"

ENDPOINTS = {
    "dedicated": Endpoint(
        create="/api/v1/generate",
        query="/api/v1/generate/record-info",
        callback_required=True,  # code 422 without it, recorded 2026-04-16
        drops={"duration_seconds": LENGTH},
    ),
    "jobs": Endpoint.jobs(
        drops={"duration_seconds": LENGTH},
        notes=("pages of 2026-10 call Suno V4 discontinued on createTask",),
    ),
}
SONG = ENDPOINTS["dedicated"]
ENGINE = "V4"

#: Our input -> Kie's field.
DEDICATED = {
    "prompt": "prompt",
    "custom_mode": "customMode",
    "make_instrumental": "instrumental",
    "model": "model",
    "style": "style",
    "title": "title",
    "negative_tags": "negativeTags",
    "vocal_gender": "vocalGender",
    "style_weight": "styleWeight",
    "weirdness_constraint": "weirdnessConstraint",
    "audio_weight": "audioWeight",
    "persona_id": "personaId",
}
JOBS_MODEL = "ai-music-api/generate"
JOBS = {**{name: name for name in DEDICATED}, "make_instrumental": "instrumental", "lyrics": "lyrics"}

#: ``data.status``.
STATES: dict[str, State] = {
    "PENDING": "running",
    "TEXT_SUCCESS": "partial",
    "FIRST_SUCCESS": "partial",
    "SUCCESS": "succeeded",
    "CREATE_TASK_FAILED": "failed",
    "GENERATE_AUDIO_FAILED": "failed",
    "SENSITIVE_WORD_ERROR": "failed",
    "CALLBACK_EXCEPTION": "failed",  # UNVERIFIED: the callback was lost; the songs may be there all the same
}


@hookimpl
def endpoint_for(job: Job) -> Endpoint:
    if job.model.id in operations.OPERATIONS:
        return operations.OPERATIONS[job.model.id]
    endpoint = ENDPOINTS[job.wire]
    return endpoint.dropping(prompt=OUTSUNG) if job.params.get("lyrics") else endpoint


@hookimpl
def build_payload(job: Job) -> dict[str, JSON]:
    if job.model.id in operations.OPERATIONS:
        return operations.payload(job)
    params = {"custom_mode": False, "model": ENGINE, **job.params}
    sung = params["custom_mode"] and not params["make_instrumental"]
    if job.wire == "jobs":
        if sung:  # here the words travel in a field of their own
            params["lyrics"] = params.get("lyrics") or params["prompt"]
            del params["prompt"]
        return {"model": JOBS_MODEL, "input": rename(params, JOBS)}
    if sung:
        params["prompt"] = params.get("lyrics") or params["prompt"]
    return rename(params, DEDICATED)


@hookimpl
def parse_result(job: Job, body: dict[str, Any]) -> Outcome:
    if job.wire == "jobs":
        return jobs_outcome(job, body)
    if job.model.id == "suno-recovery":
        return operations.recovered(body)
    data = record(body)
    if job.model.id in operations.READINGS:
        return operations.outcome(operations.READINGS[job.model.id], data)
    if operations.OPERATIONS.get(job.model.id, SONG).kind == "sync":
        return operations.at_once(job.model.id, data)
    return songs(data)


def songs(data: dict[str, Any]) -> Outcome:
    """Read a record of songs: of a generation, and of what else makes them."""
    word = data.get("status")
    state = STATES.get(str(word))
    artifacts = tracks(data)
    if word == "CALLBACK_EXCEPTION" and artifacts:
        return Outcome("succeeded", artifacts)
    if word == "TEXT_SUCCESS":
        artifacts = lyrics(data)
    if state == "failed":
        return Outcome("failed", artifacts, failure(data.get("errorCode"), data.get("errorMessage") or word))
    return Outcome(state or "running", artifacts, remark=None if state else f"unknown status {word!r}")


def tracks(data: dict[str, Any]) -> tuple[Artifact, ...]:
    """Return the songs that are finished, then their covers. A track without ``audioUrl`` is still being made."""
    made = part(data, "response").get("sunoData")
    listed = made if isinstance(made, list) else []
    finished = [track for track in listed if isinstance(track, dict) and urls_of(track.get("audioUrl"))]
    songs = [Artifact("audio", url) for track in finished for url in urls_of(track["audioUrl"])]
    covers = [Artifact("image", url, role="cover") for track in finished for url in urls_of(track.get("imageUrl"))]
    return (*songs, *covers)


def lyrics(data: dict[str, Any]) -> tuple[Artifact, ...]:
    """Return the words that will be sung, while nothing can be heard yet."""
    made = part(data, "response").get("sunoData")
    texts = [track.get("prompt") for track in made if isinstance(track, dict)] if isinstance(made, list) else []
    found = dict.fromkeys(text for text in texts if isinstance(text, str) and text)
    return tuple(Artifact("text", text=text, role="lyrics", lifetime=None) for text in found)


#: Nothing was made: a file that the request names could not be fetched; there is one already, a WAV or a persona (other
#: words with that code mean what nobody knows); the song to recover is not known (recorded on 2026-09-10); and what
#: the page of lyrics has in place of the usual codes: too many calls, a prompt that is too long, calls too frequent.
#: Source: docs.kie.ai/suno-api/convert-to-wav and .../generate-lyrics, read 2026-08-19.
REFUSED = ((451, ""), (409, "exist"), (409, "persona"), (500, "task does not exist"), (405, ""), (413, ""), (430, ""))


@hookimpl
def refused() -> tuple[tuple[int, str], ...]:
    return (*JOBS_REFUSED, *REFUSED)
