"""The list of models that the fake Kie gives, and how a question narrows it.

Source of path, fields, filters and words: docs.kie.ai, model discovery pages, read 2026-10-01. Which of the words
belong to which model is made up here, from the model's name and inputs: Kie's own labels are careless too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

PATH: Final = "/api/v1/models"

#: How ids of a provider begin; any other is "Other", as at Kie.
_PROVIDERS: Final[Mapping[str, str]] = {
    "ai-music": "Suno", "bytedance": "ByteDance", "elevenlabs": "Elevenlabs", "flux": "Black Forest Labs",
    "gemini": "Google", "google": "Google", "gpt": "OpenAI", "4o": "OpenAI", "grok": "Grok", "hailuo": "Hailuo",
    "ideogram": "Ideogram", "kling": "Kling", "minimax": "Hailuo", "nano-banana": "Google", "pixverse": "Pixverse",
    "qwen": "Qwen", "runway": "Runway", "seedream": "ByteDance", "sora": "OpenAI", "topaz": "Topaz", "veo": "Google",
    "volcengine": "ByteDance", "wan": "Wan",
}  # fmt: skip
#: What a model makes -> its task type by what it takes: nothing, pictures, videos, sound.
_TASKS: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "image": ("Text to Image", "Image to Image", "Image Editing", "Image to Image"),
    "video": ("Text to Video", "Image to Video", "Video to Video", "Speech to Video"),
    "audio": ("Text to Music", "Text to Music", "Audio to Audio", "Audio to Audio"),
}


def listed(jobs: Mapping[str, Mapping[str, Any]], rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return every model that createTask takes, each once: those of the documentation, then those of *rows*."""
    found = {model: _listing(model, facts["media"], facts["fields"], facts["prices"]) for model, facts in jobs.items()}
    for row in rows:
        model = row.get("wire_model") or row["model_id"]
        media = row.get("output_type", "").partition("/")[0]
        found[model] = _listing(model, media, (), (), title=row.get("title"), provider=row.get("vendor"))
    return list(found.values())


def answer(models: Iterable[Mapping[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """Return ``data`` of the answer: the *models* that fit the filters of *query*."""
    # UNVERIFIED: that one of several task types suffices, and that case does not matter.
    types = {one.strip().casefold() for one in query.get("taskType", "").split(",") if one.strip()}
    provider, text = query.get("provider", "").strip().casefold(), query.get("q", "").strip().casefold()
    found = [
        one
        for one in models
        if (not types or types & {name.casefold() for name in one["taskType"]})
        and (not provider or provider == one["provider"].casefold())
        and (not text or text in f"{one['model']} {one['title']} {one['description'] or ''}".casefold())
    ]
    return {"total": len(found), "models": found}


def described(
    path: str, models: Iterable[Mapping[str, Any]], jobs: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return ``data`` of the answer about one model; None: the path is of no listed model.

    A model that was given has no schema: nobody said what it takes.
    """
    model, _, question = path.removeprefix(f"{PATH}/").rpartition("/")
    listed = next((one for one in models if one["model"] == model), None)
    if listed is None or question not in ("schema", "price"):
        return None
    if question == "price":
        return {"model": model, "pricingDesc": listed["pricingDesc"]}
    return {"model": model, "openapi": _document(model, jobs[model]["fields"]) if model in jobs else None}


def _document(model: str, fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an OpenAPI document. UNVERIFIED: everything in it but the version; Kie's own shape is not recorded."""
    properties = {
        name: {ours: facts[theirs] for theirs, ours in _KEYWORDS.items() if theirs in facts}
        for name, facts in fields.items()
    }
    needed = [name for name, facts in fields.items() if facts.get("required")]
    inputs = {"type": "object", "required": needed, "properties": properties}
    body = {"type": "object", "properties": {"model": {"const": model, "type": "string"}, "input": inputs}}
    post = {"requestBody": {"content": {"application/json": {"schema": body}}}}
    return {"openapi": "3.1.0", "paths": {"/api/v1/jobs/createTask": {"post": post}}}


#: Keyword of the facts -> of JSON Schema.
_KEYWORDS: Final = {
    "type": "type", "enum": "enum", "default": "default", "min": "minimum", "max": "maximum",
    "max_length": "maxLength", "max_items": "maxItems",
}  # fmt: skip


def _listing(
    model: str,
    media: str,
    fields: Iterable[str],
    prices: Iterable[Mapping[str, Any]],
    *,
    title: str | None = None,
    provider: str | None = None,
) -> dict[str, Any]:
    slug = model.replace("/", "-")
    words = slug.replace("-", " ").replace("_", " ")
    return {
        "model": model,
        "slug": slug,
        "title": title or words.title(),
        "provider": provider or next((name for start, name in _PROVIDERS.items() if model.startswith(start)), "Other"),
        "taskType": _task_types(media, " ".join(fields)),
        "description": None,
        "pricingDesc": _priced(prices),
    }


def _task_types(media: str, fields: str) -> list[str]:
    if media not in _TASKS:
        return ["Chat"]
    plain, picture, video, sound = _TASKS[media]
    taken = [("video_url", video), ("audio_url", sound), ("image_url", picture), ("input_urls", picture)]
    return list(dict.fromkeys(task for word, task in taken if word in fields)) or [plain]


def _priced(prices: Iterable[Mapping[str, Any]]) -> str | None:
    told = [f"{row['credits']:g} credits per {row['per']}" for row in prices if row.get("credits") is not None]
    return ", ".join(dict.fromkeys(told)) or None
