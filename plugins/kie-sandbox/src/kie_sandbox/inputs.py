"""Check a create's inputs and find its price, as documented. Unknown inputs are ignored, as at Kie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip


def complaint(family: str, fields: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[int, str] | None:
    """Return the code and message with which Kie would refuse *body*, or None."""
    if family == "suno" and not body.get("callBackUrl"):
        return 422, "Please enter callBackUrl."
    for name, facts in fields.items():
        value = body.get(name)
        if value is None or value == "":
            if facts.get("required"):
                return (500 if family == "jobs" else 422), f"{name} is required"
            continue
        problem = _problem(name, facts, value)
        if problem is not None:
            return 422, problem
    return _across(family, body)


def _problem(name: str, facts: Mapping[str, Any], value: Any) -> str | None:
    if not isinstance(value, _TYPES[facts["type"]]) or (isinstance(value, bool) and facts["type"] != "boolean"):
        return f"{name} must be of type {facts['type']}"
    if "enum" in facts and value not in facts["enum"]:
        return f"{name} is not supported"
    if isinstance(value, (int, float)) and not facts.get("min", value) <= value <= facts.get("max", value):
        return f"{name} is out of range"
    if isinstance(value, str) and len(value) > facts.get("max_length", len(value)):
        return f"{name} is too long"
    if isinstance(value, list) and len(value) > facts.get("max_items", len(value)):
        return f"{name} has too many items"
    return None


def _across(family: str, body: Mapping[str, Any]) -> tuple[int, str] | None:
    if family == "4o-image" and not (body.get("prompt") or body.get("filesUrl") or body.get("fileUrl")):
        return 422, "prompt or filesUrl is required"
    if family == "flux-kontext" and body.get("inputImage") and body.get("safetyTolerance", 2) > 2:
        return 500, "safety tolerance out of range"
    if family == "runway":
        if body["duration"] == 10 and body["quality"] == "1080p":
            return 422, "1080p is not available for 10 seconds"
        if not body.get("imageUrl") and not body.get("aspectRatio"):
            return 422, "aspectRatio is required"
    if family == "suno":
        needed = ["style", "title"] if body["customMode"] else ["prompt"]
        if body["customMode"] and not body["instrumental"]:
            needed.append("prompt")
        missing = [name for name in needed if not body.get(name)]
        if missing:
            return 422, f"{missing[0]} is required"
    if family == "veo3" and body.get("generationType") == "TEXT_2_VIDEO" and body.get("imageUrls"):
        return 422, "imageUrls is not allowed with TEXT_2_VIDEO"
    return None


def credits_for(prices: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any]) -> Decimal:
    """Return what a create costs: the first row that fits, times the seconds where it is per second."""
    known = _known(inputs)
    for row in prices:
        when = row.get("when") or {key: value for key, value in row.items() if key not in ("credits", "per")}
        if all(known.get(name, value) == value for name, value in when.items()):
            units = _seconds(inputs) if row.get("per") == "second" else 1
            return Decimal(str(row.get("credits") or 0)) * units
    return Decimal(0)


def _known(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return *inputs* with the words by which the price pages tell situations apart."""
    return {
        "has_video": bool(inputs.get("reference_video_urls")),
        "variant": "image" if inputs.get("imageUrls") else "text",
        **inputs,
    }


def _seconds(inputs: Mapping[str, Any]) -> int:
    try:
        return max(1, int(inputs.get("duration", 5)))
    except (TypeError, ValueError):
        return 5
