"""Check a caller's inputs against a model, and report everything that is wrong at once.

Kie drops inputs that it does not know and bills the job all the same, so an
unknown name is a fault here, with the nearest name that exists.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

from kie_core._errors import Fault, InvalidJob, one_of
from kie_core._model import JSON, Field, Model, Rule, holds

_PYTHON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list, tuple), "object": (Mapping,),
}  # fmt: skip
_URI = re.compile(r"https?://[^\s/?#\[\]@]+(?::\d+)?(?:[/?#]\S*)?", re.IGNORECASE)


def validate(model: Model, inputs: Mapping[str, Any]) -> dict[str, JSON]:
    """Return the params of a job: *inputs* checked, copied, with the model's defaults.

    An input that is None counts as not given. Params stand in the order of the model.

    Raises:
        InvalidJob: With every fault that was found.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidJob(model.id, (Fault("inputs", f"{_shown(inputs)}: expected names with values"),))
    faults = list(_unknown(model, inputs))
    params: dict[str, JSON] = {}
    for field in model.inputs:
        value = inputs.get(field.name)
        if value is None:
            if field.has_default:
                params[field.name] = copy.deepcopy(field.default)
            elif field.required:
                faults.append(Fault(field.name, f"missing; expected {describe(field)}"))
            continue
        found = list(_check(field, value, field.name))
        faults += found
        if not found:
            params[field.name] = _plain(field, value)
    if not faults:
        faults += _broken_rules(model, params)
    if faults:
        raise InvalidJob(model.id, tuple(faults))
    return params


def default_fault(field: Field) -> str | None:
    """Say what is wrong with the default of *field*, for the registry; None: nothing."""
    if not field.has_default:
        return None
    return next((str(fault) for fault in _check(field, field.default, f"the default of {field.name}")), None)


def describe(field: Field) -> str:
    """Say in a few words what *field* takes: ``integer 1..8``, ``one of '16:9', '9:16'``."""
    if field.enum is not None:
        return (
            f"one of {one_of(field.enum)}"
            if len(field.enum) <= 12
            else f"one of {len(field.enum)} values such as {one_of(field.enum[:3])}"
        )
    text = {"array": "list", "string": "text", "boolean": "true or false"}.get(field.type, field.type)
    if field.type == "array" and field.items is not None:
        text = f"list of {'URLs' if field.items.format == 'uri' else f'{field.items.type}s'}"
    elif field.format == "uri":
        text = "URL"
    span = _span(field.minimum, field.maximum)
    length = _span(field.min_length, field.max_length)
    count = _span(field.min_items, field.max_items)
    return (
        text
        + (f" {span}" if span else "")
        + (f" of {length} characters" if length else "")
        + (f" of {count} items" if count else "")
    )


def _span(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f"{low if low is not None else ''}..{high if high is not None else ''}"


def _unknown(model: Model, inputs: Mapping[str, Any]) -> Iterator[Fault]:
    names = [field.name for field in model.inputs]
    for name in inputs:
        if isinstance(name, str) and name in names:
            continue
        if name in model.fixed:
            yield Fault(str(name), f"fixed by the model id to {model.fixed[name]!r}; leave it out")
            continue
        label = name if isinstance(name, str) else _shown(name)
        near = get_close_matches(label, names, 1, 0.6)
        hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(names) or 'no inputs'}"
        yield Fault(label[:60], f"unknown input; {hint}")


def _check(field: Field, value: Any, place: str) -> Iterator[Fault]:
    problem = _type_problem(field, value)
    if problem is not None:
        yield Fault(place, f"{_shown(value)}: {problem}; expected {describe(field)}")
        return
    if field.enum is not None and value not in field.enum:
        near = (
            get_close_matches(_shown(value).strip("'"), [str(allowed) for allowed in field.enum], 1)
            if len(field.enum) > 4
            else ()
        )
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield Fault(place, f"{_shown(value)} is not allowed; expected {describe(field)}{hint}")
    elif field.type in ("integer", "number"):
        yield from _check_number(field, value, place)
    elif field.type == "string":
        yield from _check_text(field, value, place)
    elif field.type == "array":
        if not _within(len(value), field.min_items, field.max_items):
            yield Fault(place, f"has {len(value)} items; expected {_span(field.min_items, field.max_items)}")
        if field.items is not None:
            for at, item in enumerate(value):
                yield from _check(field.items, item, f"{place}[{at}]")
    elif field.type == "object" and field.fields:
        yield from _check_members(field, value, place)


def _check_members(field: Field, value: Mapping[str, Any], place: str) -> Iterator[Fault]:
    members = {member.name: member for member in field.fields}
    for name in value:
        if name not in members:
            yield Fault(f"{place}.{name}", f"unknown; expected some of {', '.join(members)}")
    for name, member in members.items():
        if value.get(name) is not None:
            yield from _check(member, value[name], f"{place}.{name}")
        elif member.required:
            yield Fault(f"{place}.{name}", f"missing; expected {describe(member)}")


def _type_problem(field: Field, value: Any) -> str | None:
    if isinstance(value, bool) and field.type != "boolean":
        return f"is true or false, not {field.type}"
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number"
    if field.type in ("integer", "number") and isinstance(value, int) and value.bit_length() > 64:
        return "is too large"
    if field.type == "integer" and isinstance(value, float) and value.is_integer():
        return None
    if not isinstance(value, _PYTHON_TYPES[field.type]):
        return f"is {type(value).__name__}"
    if field.type == "object" or (field.type == "array" and field.items is None):
        return _json_problem(value)
    return None


def _json_problem(value: Any, depth: int = 0) -> str | None:
    """Say why *value*, of which no schema knows the inside, cannot be sent as JSON."""
    if depth > 32:
        return "is nested more than 32 deep"
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return "has a key that is not text"
        return next(filter(None, (_json_problem(item, depth + 1) for item in (*value, *value.values()))), None)
    if isinstance(value, (list, tuple)):
        return next(filter(None, (_json_problem(item, depth + 1) for item in value)), None)
    if isinstance(value, str):
        return None if _encodable(value) else "has half of a surrogate pair, which is not valid text"
    if isinstance(value, float) and not math.isfinite(value):
        return "has a number that is not finite"
    if isinstance(value, int) and value.bit_length() > 64:
        return "has a number that is too large"
    return None if value is None or isinstance(value, (bool, int, float)) else f"has a {type(value).__name__} inside"


def _check_number(field: Field, value: float, place: str) -> Iterator[Fault]:
    if not _within(value, field.minimum, field.maximum):
        yield Fault(place, f"{_shown(value)} is out of range; expected {describe(field)}")
    elif field.multiple_of and abs(value / field.multiple_of - round(value / field.multiple_of)) > 1e-9:
        yield Fault(place, f"{_shown(value)} is not a multiple of {field.multiple_of}")


def _check_text(field: Field, value: str, place: str) -> Iterator[Fault]:
    if not _encodable(value):
        yield Fault(place, "has half of a surrogate pair, which is not valid text")
    if not _within(len(value), field.min_length, field.max_length):
        yield Fault(place, f"has {len(value)} characters; expected {_span(field.min_length, field.max_length)}")
    if field.required and not value.strip():
        yield Fault(place, f"is blank; expected {describe(field)}")
    if field.pattern is not None and not re.search(field.pattern, value):
        yield Fault(place, f"{_shown(value)} does not match {field.pattern}")
    if field.format == "uri" and not _URI.fullmatch(value):
        yield Fault(place, f"{_shown(value)} is not a URL; expected one that begins with http:// or https://")


def _broken_rules(model: Model, params: Mapping[str, Any]) -> Iterator[Fault]:
    known = {**model.fixed, **params}
    for rule in model.rules:
        if holds(rule.when, known):
            yield from _breaches(rule, known)


def _breaches(rule: Rule, known: Mapping[str, Any]) -> Iterator[Fault]:
    because = (
        " when " + " and ".join(condition(name, wanted) for name, wanted in rule.when.items()) if rule.when else ""
    )
    why = f" ({rule.why})" if rule.why else ""
    for name in rule.require:
        if known.get(name) is None or str(known[name]).strip() == "":
            yield Fault(name, f"missing; it is needed{because}{why}")
    for name in rule.forbid:
        if known.get(name) is not None:
            yield Fault(name, f"{_shown(known[name])}: leave it out{because}{why}")
    if rule.any_of and all(known.get(name) is None for name in rule.any_of):
        yield Fault(rule.any_of[0], f"missing; give at least one of {', '.join(rule.any_of)}{because}{why}")
    for field in rule.limit:
        if known.get(field.name) is not None:
            for fault in _check(field, known[field.name], field.name):
                yield Fault(fault.field, f"{fault.problem}{because}{why}")


def condition(name: str, wanted: Any) -> str:
    """Say one condition of a rule or a price in words (see `kie_core._model.holds`)."""
    if isinstance(wanted, Mapping):
        if "present" in wanted:
            return f"{name} is {'given' if wanted['present'] else 'not given'}"
        return f"{name} is not {_shown(wanted['not'])}"
    return f"{name} is {_shown(wanted)}"


def _plain(field: Field, value: Any) -> JSON:
    """Copy a checked value into plain JSON types: the job must not change when the caller's list does."""
    if field.type == "integer":
        return int(value)
    copied: JSON = _copied(value)
    return copied


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(item) for item in value]
    return value


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        text = repr(value)
    except Exception:  # a caller's object, or an integer with more digits than Python prints
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}..."
