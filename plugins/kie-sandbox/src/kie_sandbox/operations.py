"""What the families do beside their first call: extensions, lyrics, stems, notes, voices, copies in 4K.

Source: the pages under docs.kie.ai/veo3-api, /runway-api and /suno-api, requests of 2026-08-19, answers of 2026-04-29.
UNVERIFIED: the records of voices and recovery, whose pages show none.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

from kie_sandbox.tasks import Task

POLICY: Final = "refused by the content policy"
PHRASE: Final = "seven boats left before noon"
#: "1080p copy is being made".
NOT_READY: Final = 400


@functools.cache
def pages() -> Any:
    """Return what the pages say of each call: fields, prices, media."""
    return json.loads(files("kie_sandbox").joinpath("operations.json").read_text(encoding="utf-8"))["dedicated"]


# --- what Kie refuses -----------------------------------------------------------------

Complaint = tuple[int, str] | None


def complaint(operation: str, body: Mapping[str, Any]) -> Complaint:
    """Return how Kie would refuse what no single field tells; None: it takes it."""
    needed = _needed(operation, body)
    missing = [name for name in needed if body.get(name) in (None, "")]
    if missing:
        return 422, f"{missing[0]} cannot be blank"
    if operation == "replace_section" and body["infillEndS"] - body["infillStartS"] < 10:
        return 422, "the section is too short"
    if operation == "generate_persona" and not 10 <= body.get("vocalEnd", 30) - body.get("vocalStart", 0) <= 30:
        return 422, "vocalEnd is out of range"
    return None


def _needed(operation: str, body: Mapping[str, Any]) -> Iterable[str]:
    match operation:
        case "upload_cover" | "mashup":
            words = [] if body["customMode"] and body.get("instrumental") else ["prompt"]
            return [*(["style", "title"] if body["customMode"] else []), *words]
        case "extend" if "defaultParamFlag" in body:
            if not body["defaultParamFlag"]:
                return ["audioId"]
            return ["continueAt", "style", "title", *([] if body.get("instrumental") else ["prompt"])]
        case "upload_extend":
            own = ["style", "title", *([] if body.get("instrumental") else ["prompt"])]
            return own if body["defaultParamFlag"] else ["uploadUrl"]
        case "replace_section":
            return ["taskId", "audioId"] if body.get("taskId") else ["uploadUrl", "model"]
        case "separate_vocals":
            stem = ["stemName"] if body.get("type") == "split_stem_advanced" else []
            return [*(["taskId", "audioId"] if body.get("taskId") else ["audioUrl"]), *stem]
        case "recovery":
            return ["task_id"]
        case _:
            return []


#: What a call says of an earlier task that it does not know; the others take any id, and fail later or never.
STRANGERS: Final[Mapping[tuple[str, str], tuple[int, str]]] = {
    ("veo3", "extend"): (404, "source task not found"),
    ("veo3", "get_1080p"): (422, "Record does not exist"),
    ("veo3", "get_4k"): (422, "Record does not exist"),
    ("suno-phrase", "voice_regenerate"): (422, "the task does not exist or cannot be done again"),
    ("suno-recovery", "recovery"): (500, "original Suno task does not exist"),
    ("suno", "get_timestamped_lyrics"): (422, "the task does not exist"),  # UNVERIFIED
    ("suno", "generate_persona"): (422, "the task does not exist"),  # UNVERIFIED
}
#: Calls that answer a second time, for the same file, with the task of the first: under which code.
ONCE: Final[Mapping[str, int]] = {"get_4k": 422, "cover_image": 400}


def source_of(body: Mapping[str, Any]) -> str:
    """Return the id of the earlier task that a call builds on; empty: none."""
    return str(body.get("taskId") or body.get("task_id") or "")


def again(task: Task, now: float) -> dict[str, Any]:
    """Return the ``data`` of the answer to a call for what was made, or begun, before."""
    done = task.ended(now)
    urls = {"resultUrls": [task.url()] if done else None, "imageUrls": [task.url(2, "picture.jpg")] if done else None}
    return {"taskId": task.id, **(urls if task.operation == "get_4k" else {})}


# --- answers that are the result ------------------------------------------------------


def answer(operation: str, body: Mapping[str, Any], task: Task, balance: float) -> dict[str, Any]:
    """Return the ``data`` with which a call answers that makes no task."""
    match operation:
        case "get_timestamped_lyrics":
            words = [
                {"word": "[Verse]\nA ", "success": True, "startS": 1.2, "endS": 1.4, "palign": 0},
                {"word": "sandbox ", "success": True, "startS": 1.4, "endS": 1.9, "palign": 0},
            ]
            return {"alignedWords": words, "waveformData": [0, 0.2, 0.7], "hootCer": 0.18, "isStreamed": False}
        case "generate_persona":
            return {"personaId": task.id[:10], "name": body["name"], "description": body["description"]}
        case "voice_check":
            return {"isAvailable": True}
        case _:  # a style; the flag was recorded as this word
            return {
                "taskId": task.id,
                "param": body["content"],
                "result": f"{body['content']}, brushed drums, close dry voice",
                "creditsConsumed": float(task.credits),
                "creditsRemaining": balance,
                "successFlag": "成功",
                "errorCode": None,
                "errorMsg": None,
                "createTime": task.create_time,
            }


# --- records --------------------------------------------------------------------------


def aleph(task: Task, now: float) -> dict[str, Any]:
    ended, made = task.ended(now), {"taskId": task.id, "resultVideoUrl": task.url()}
    failed = ended and task.fails
    return {
        "taskId": task.id,
        "paramJson": json.dumps(task.body, ensure_ascii=False),
        "response": {**made, "resultImageUrl": task.url(2, "picture.png")} if ended and not failed else None,
        "completeTime": task.complete_time if ended else None,
        "createTime": task.create_time,
        "successFlag": 3 if failed else int(ended),
        "errorCode": 400 if failed else 0 if ended else None,
        "errorMessage": POLICY if failed else "" if ended else None,
    }


def lyrics(task: Task, now: float) -> dict[str, Any]:
    status = _word(task, now, "SENSITIVE_WORD_ERROR")
    texts = [
        {"text": f"[Verse]\nA sandbox is a sunny place, {number}", "title": f"Sandbox {number}", "status": "complete",
         "errorMessage": ""}
        for number in (1, 2)
    ]  # fmt: skip
    return {
        "taskId": task.id,
        "param": json.dumps(task.body, ensure_ascii=False),
        "response": {"taskId": task.id, "data": texts} if status == "SUCCESS" else None,
        "status": status,
        "type": "LYRICS",
        **_errors(task, now),
    }


def _converted(failed: str, made: Callable[[Task], dict[str, Any]]) -> Callable[[Task, float], dict[str, Any]]:
    def record(task: Task, now: float) -> dict[str, Any]:
        flag = _word(task, now, failed)
        return {
            "taskId": task.id,
            "musicId": task.body.get("audioId"),
            "callbackUrl": task.body.get("callBackUrl"),
            "musicIndex": 0,
            "completeTime": task.complete_time if task.ended(now) else None,
            "createTime": task.create_time,
            "response": made(task) if flag == "SUCCESS" else None,
            "successFlag": flag,
            **_errors(task, now),
        }

    return record


_STEMS: Final = (
    "instrumental", "vocal", "backingVocals", "drums", "bass", "guitar", "piano", "keyboard", "percussion", "strings",
    "synth", "fx", "brass", "woodwinds",
)  # fmt: skip


def _stems(task: Task) -> dict[str, Any]:
    made = [("Vocals", "vocal", task.url(1)), ("Instrumental", "instrumental", task.url(2))]
    listed = [
        {"duration": 4.0, "audio_url": url, "stem_type_group_name": name, "id": f"{task.id}-{number}"}
        for number, (name, _, url) in enumerate(made, 1)
    ]
    urls = {stem: url for _, stem, url in made}
    return {"id": None, "originUrl": None, "originData": listed, **{f"{name}Url": urls.get(name) for name in _STEMS}}


def cover(task: Task, now: float) -> dict[str, Any]:
    ended, failed = task.ended(now), task.ended(now) and task.fails
    images = [task.url(1, "picture.png"), task.url(2, "picture.jpg")]
    return {
        "taskId": task.id,
        "parentTaskId": task.body.get("taskId"),
        "callbackUrl": task.body.get("callBackUrl"),
        "completeTime": task.complete_time if ended else None,
        "createTime": task.create_time,
        "response": {"images": images} if ended and not failed else None,
        "successFlag": 3 if failed else 1 if ended else 2 if task.share(now) > 0.2 else 0,
        "errorCode": 500 if failed else 200,
        "errorMessage": POLICY if failed else "",
    }


def midi(task: Task, now: float) -> dict[str, Any]:
    ended, failed = task.ended(now), task.ended(now) and task.fails
    return {
        "taskId": task.id,
        "recordTaskId": -1,
        "audioId": task.body.get("audioId"),
        "callbackUrl": task.body.get("callBackUrl"),
        "completeTime": task.complete_time if ended else None,
        "createTime": task.create_time,
        "midiData": notes() if ended and not failed else None,
        "successFlag": 3 if failed else int(ended),
        **_errors(task, now),
    }


def notes() -> dict[str, Any]:
    """Return two notes of one instrument."""
    played = [{"pitch": 40, "start": 0.5, "end": 0.92, "velocity": 0.8}, {"pitch": 43, "start": 1.0, "end": 1.4}]
    return {"state": "complete", "instruments": [{"name": "Upright Bass", "notes": played}]}


def phrase(task: Task, now: float) -> dict[str, Any]:
    ended, failed = task.ended(now), task.ended(now) and task.fails
    return {
        "taskId": task.id,
        "validateInfo": PHRASE if ended and not failed else None,
        "status": "processing_validate_fail" if failed else "wait_validating" if ended else "wait_processing",
        **_errors(task, now),
    }


def voice(task: Task, now: float) -> dict[str, Any]:
    ended, failed = task.ended(now), task.ended(now) and task.fails
    return {
        "taskId": task.id,
        "voiceId": f"vc-{task.id[:4]}" if ended and not failed else None,
        "status": "fail" if failed else "success" if ended else "processing_validate",
        **_errors(task, now),
    }


def recovered(task: Task) -> list[dict[str, Any]]:
    """Return the tracks of a recovery; the second is lost."""
    title = "Sandbox"
    return [
        {"id": f"{task.id}-1", "audio_url": task.url(), "title": title, "status": "success", "error": None},
        {"id": f"{task.id}-2", "audio_url": None, "title": title, "status": "failed", "error": "no longer stored"},
    ]


def recovery(task: Task, now: float) -> dict[str, Any]:
    """Return the whole answer: its code tells the state."""
    if not task.ended(now):
        return {"code": 201, "msg": "still working", "data": None}
    if task.fails:
        return {"code": 500, "msg": "nothing could be recovered", "data": None}
    return {"code": 200, "msg": "success", "data": recovered(task)}


def _word(task: Task, now: float, failed: str) -> str:
    return "PENDING" if not task.ended(now) else failed if task.fails else "SUCCESS"


def _errors(task: Task, now: float) -> dict[str, Any]:
    failed = task.ended(now) and task.fails
    return {"errorCode": 400 if failed else None, "errorMessage": POLICY if failed else None}


RECORDS: Final[Mapping[str, Callable[[Task, float], dict[str, Any]]]] = {
    "runway-aleph": aleph,
    "suno-lyrics": lyrics,
    "suno-wav": _converted("GENERATE_WAV_FAILED", lambda task: {"audioWavUrl": task.url()}),
    "suno-mp4": _converted("GENERATE_MP4_FAILED", lambda task: {"videoUrl": task.url()}),
    "suno-stems": _converted("GENERATE_AUDIO_FAILED", _stems),
    "suno-notes": midi,
    "suno-cover": cover,
    "suno-phrase": phrase,
    "suno-voice": voice,
}
