"""Check a create's inputs and find its price, as documented. Unknown inputs are ignored, as at Kie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, Final

from kie_sandbox import operations

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,),
}  # fmt: skip

#: Charged beside the price of the result -> how many of them are free.
_BESIDE: Final = {"input_image": 0, "input_image_after_first": 1, "input_image_after_5": 5}
#: How a price page sums up resolutions of one price.
_UP_TO: Final = {"720p": "up to 1080p", "1080p": "up to 1080p"}


def complaint(
    family: str, fields: Mapping[str, Any], body: Mapping[str, Any], operation: str = ""
) -> tuple[int, str] | None:
    """Return the code and message with which Kie would refuse *body*, or None.

    Args:
        family: Whose call it is.
        fields: What its page says of each.
        body: What came.
        operation: Which call; empty: the family's first.
    """
    if family == "suno" and fields.get("callBackUrl", {}).get("required") and not body.get("callBackUrl"):
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
    return operations.complaint(operation, body) if operation else _across(family, body)


def _problem(name: str, facts: Mapping[str, Any], value: Any) -> str | None:
    if not isinstance(value, _TYPES[facts["type"]]) or (isinstance(value, bool) and facts["type"] != "boolean"):
        return f"{name} must be of type {facts['type']}"
    if "enum" in facts and value not in facts["enum"]:
        return f"{name} is not supported"
    is_special = value in facts.get("special_values", ())
    if isinstance(value, (int, float)) and not (
        is_special or facts.get("min", value) <= value <= facts.get("max", value)
    ):
        return f"{name} is out of range"
    if isinstance(value, str) and len(value) > facts.get("max_length", len(value)):
        return f"{name} is too long"
    if isinstance(value, list) and len(value) > facts.get("max_items", len(value)):
        return f"{name} has too many items"
    if isinstance(value, list) and len(value) < facts.get("min_items", 0):
        return f"{name} has too few items"
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


def credits_for(
    prices: Sequence[Mapping[str, Any]], inputs: Mapping[str, Any], fields: Mapping[str, Any] = MappingProxyType({})
) -> Decimal:
    """Return what a create costs: the first row that fits, times its units, and what is charged beside it.

    Where nobody can know it, such as the length of a file, this Kie takes five seconds, or one piece.
    """
    given = {name: value for name, value in inputs.items() if value is not None}
    known = _known({**{name: facts["default"] for name, facts in fields.items() if "default" in facts}, **given})
    found = [row for row in prices if _fits(row, known)]
    base = [row for row in found if row.get("per") not in _BESIDE][:1]
    rows = [*base, *(row for row in found if row.get("per") in _BESIDE)]
    return sum((Decimal(str(row.get("credits") or 0)) * _units(row.get("per"), known) for row in rows), Decimal(0))


def _fits(row: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    when = row.get("when") or {key: value for key, value in row.items() if key not in ("credits", "per")}
    return all(
        known.get(name, value) == value or value == _UP_TO.get(str(known.get(name))) for name, value in when.items()
    )


def _known(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return *inputs* with the words by which the price pages tell situations apart."""
    return {
        "has_video": any(inputs.get(name) for name in ("reference_video_urls", "video_urls", "video_list")),
        "variant": "image" if inputs.get("imageUrls") else "text",
        **inputs,
    }


def _units(per: Any, known: Mapping[str, Any]) -> Decimal:
    if per == "second":
        return _number(known.get("duration", 5), 5)
    if per == "image":
        return _number(known.get("num_images", known.get("n", known.get("max_images", 1))), 1)
    if per == "1000_characters":
        spoken = known.get("text", "") or "".join(turn.get("text", "") for turn in known.get("dialogue", ()))
        return Decimal(len(spoken)) / 1000
    if per in _BESIDE:
        images = known.get("reference_image_urls", known.get("image_urls", ()))
        return Decimal(max(0, len(images) - _BESIDE[per]))
    return Decimal(1)


def _number(value: Any, otherwise: int) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return Decimal(otherwise)
    return number if number > 0 else Decimal(otherwise)
