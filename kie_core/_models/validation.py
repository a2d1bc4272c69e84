"""Check a caller's inputs against a model, and report everything that is wrong at once.

Kie drops inputs that it does not know and bills the job all the same, so an
unknown name is a fault here, with the nearest name that exists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, Final

from kie_core._errors import Fault, InvalidJob, one_of
from kie_core._models.field import Field, Rule
from kie_core._models.lossless import lossless
from kie_core._models.model import JSON, Model, holds, is_given
from kie_core._texts import said

_PYTHON_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "array": (list, tuple), "object": (Mapping,),
}  # fmt: skip
_URI = re.compile(r"([a-z][a-z0-9+.-]*)://[^\s/?#\[\]@]+(?::\d+)?(?:[/?#]\S*)?", re.IGNORECASE)


def validate(model: Model, inputs: Mapping[str, Any]) -> dict[str, JSON]:
    """Return the params of a job: *inputs* checked, copied, in the form that the model lists, with its defaults.

    An input that is None counts as not given. Params stand in the order of the model. A value is converted only
    where nothing is lost by it: ``"5"`` for 5, ``720P`` for ``720p``, a URL for a list of one.

    Raises:
        InvalidJob: With every fault that was found, in the language that is `spoken`.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidJob(model.id, (Fault("inputs", said("inputs", value=_shown(inputs))),))
    faults = list(_unknown(model, inputs))
    params: dict[str, JSON] = {}
    for field in model.inputs:
        value = inputs.get(field.name)
        if value is None:
            if field.has_default:
                params[field.name] = copied(field.default)
            elif field.required:
                faults.append(Fault(field.name, said("missing", expected=describe(field))))
            continue
        value = lossless(field, value)
        found = list(_check(field, value, field.name))
        if not found and field.required and field.type == "array" and not is_given(value):
            found.append(Fault(field.name, said("blank", expected=describe(field))))
        faults += found
        if not found:
            params[field.name] = _plain(field, value)
    if not faults:
        faults += _broken_rules(model, params)
    if faults:
        raise InvalidJob(model.id, tuple(faults))
    return params


def default_fault(field: Field) -> str | None:
    """Say what is wrong with a default of *field*, for the registry; None: nothing."""
    faults: list[Fault] = []
    if field.has_default:
        faults += _check(field, field.default, f"the default of {field.name}")
    if field.has_vendor_default:
        faults += _check(field, field.vendor_default, f"Kie's default of {field.name}")
    return str(faults[0]) if faults else None


def describe(field: Field) -> str:
    """Say in a few words what *field* takes: ``integer 1..8``, ``one of '16:9', '9:16'``."""
    if field.enum is not None:
        return said("one_of", values=_listed(field.enum))
    text = said("boolean_type" if field.type == "boolean" else field.type)
    if field.type == "array" and field.items is not None:
        text = said("list_of_urls") if field.items.format == "uri" else said("list_of", type=field.items.type)
    elif field.format == "uri":
        text = said("uri")
    elif field.source is not None:
        text = said("earlier_task")
    if field.examples:
        text += said("such_as", values=one_of(field.examples[:3]))
    span = _span(field.minimum, field.maximum)
    length = _span(field.min_length, field.max_length)
    count = _span(field.min_items, field.max_items)
    return (
        text
        + (f" {span}" if span else "")
        + (said("of_characters", span=length) if length else "")
        + (said("of_items", span=count) if count else "")
    )


def _listed(values: Sequence[Any]) -> str:
    """All values, up to a dozen; whole numbers in a row as ``4..30``; of a long list the first."""
    if len(values) <= 12:
        return one_of(values)
    numbers = [int(value) if str(value).isdecimal() else None for value in values]
    runs = sum(1 for one, other in pairwise(numbers) if one is None or other != one + 1)
    if runs > 1 or numbers[-1] is None:
        return said("some_of", count=len(values), values=one_of(values[:3]))
    rest = values[1:] if runs else values
    first = f"{values[0]!r}, " if runs else ""
    return f"{first}{rest[0]!r}..{rest[-1]!r}"


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
            yield Fault(str(name), said("fixed", value=repr(model.fixed[name])))
            continue
        label = name if isinstance(name, str) else _shown(name)
        near = get_close_matches(label, names, 1, 0.6)
        hint = said("near", near=near[0]) if near else said("takes", names=", ".join(names) or said("no_inputs"))
        yield Fault(label[:60], said("unknown", hint=hint), unknown=True)


def _check(field: Field, value: Any, place: str) -> Iterator[Fault]:
    problem = _type_problem(field, value)
    if problem is not None:
        yield Fault(place, said("wrong", value=_shown(value), problem=problem, expected=describe(field)))
        return
    if field.enum is not None and value not in field.enum:
        near = (
            get_close_matches(_shown(value).strip("'"), [str(allowed) for allowed in field.enum], 1)
            if len(field.enum) > 4
            else ()
        )
        hint = f"; {said('near', near=near[0])}" if near else ""
        yield Fault(place, said("not_allowed", value=_shown(value), expected=describe(field)) + hint)
    elif field.type in ("integer", "number"):
        yield from _check_number(field, value, place)
    elif field.type == "string":
        yield from _check_text(field, value, place)
    elif field.type == "array":
        if not _within(len(value), field.min_items, field.max_items):
            yield Fault(place, said("items", count=len(value), span=_span(field.min_items, field.max_items)))
        if field.items is not None:
            for at, item in enumerate(value):
                yield from _check(field.items, item, f"{place}[{at}]")
    elif field.type == "object" and field.fields:
        yield from _check_members(field, value, place)


def _check_members(field: Field, value: Mapping[str, Any], place: str) -> Iterator[Fault]:
    members = {member.name: member for member in field.fields}
    for name in value:
        if name not in members:
            yield Fault(f"{place}.{name}", said("no_member", names=", ".join(members)))
    for name, member in members.items():
        if value.get(name) is not None:
            yield from _check(member, value[name], f"{place}.{name}")
        elif member.required:
            yield Fault(f"{place}.{name}", said("missing", expected=describe(member)))


def _type_problem(field: Field, value: Any) -> str | None:
    if isinstance(value, bool) and field.type != "boolean":
        return said("boolean", type=said(field.type))
    if isinstance(value, float) and not math.isfinite(value):
        return said("not_finite")
    if field.type in ("integer", "number") and isinstance(value, int) and value.bit_length() > 64:
        return said("too_large")
    if field.type == "integer" and isinstance(value, float) and value.is_integer():
        return None
    if not isinstance(value, _PYTHON_TYPES[field.type]):
        return said("type", type=type(value).__name__)
    if field.type == "object" or (field.type == "array" and field.items is None):
        return json_problem(value)
    return None


def json_problem(value: Any, depth: int = 0) -> str | None:
    """Say why *value*, of which no schema knows the inside, cannot be sent as JSON."""
    if depth > 32:
        return said("deep")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            return said("odd_key")
        return next(filter(None, (json_problem(item, depth + 1) for item in (*value, *value.values()))), None)
    if isinstance(value, (list, tuple)):
        return next(filter(None, (json_problem(item, depth + 1) for item in value)), None)
    if isinstance(value, str):
        return None if _encodable(value) else said("surrogate")
    if isinstance(value, float) and not math.isfinite(value):
        return said("not_finite_inside")
    if isinstance(value, int) and value.bit_length() > 64:
        return said("too_large_inside")
    known = value is None or isinstance(value, (bool, int, float))
    return None if known else said("odd_inside", type=type(value).__name__)


def _check_number(field: Field, value: float, place: str) -> Iterator[Fault]:
    if not _within(value, field.minimum, field.maximum):
        yield Fault(place, said("range", value=_shown(value), expected=describe(field)))
    elif field.multiple_of and abs(value / field.multiple_of - round(value / field.multiple_of)) > 1e-9:
        yield Fault(place, said("multiple", value=_shown(value), of=field.multiple_of))


def _check_text(field: Field, value: str, place: str) -> Iterator[Fault]:
    if not _encodable(value):
        yield Fault(place, said("surrogate"))
    if not _within(len(value), field.min_length, field.max_length):
        yield Fault(place, said("length", count=len(value), span=_span(field.min_length, field.max_length)))
    if field.required and not value.strip():
        yield Fault(place, said("blank", expected=describe(field)))
    if field.pattern is not None and not re.search(field.pattern, value):
        yield Fault(place, said("pattern", value=_shown(value), pattern=field.pattern))
    if field.format == "uri":
        matched = _URI.fullmatch(value)
        if matched is None or matched[1].lower() not in field.schemes:
            begins = said("or").join(f"{scheme}://" for scheme in field.schemes)
            hint = "" if "://" in value else said("file_hint")
            yield Fault(place, said("url", value=_shown(value), begins=begins) + hint)


def _broken_rules(model: Model, params: Mapping[str, Any]) -> Iterator[Fault]:
    known = {**model.fixed, **params}
    defaults = model.vendor_defaults if model.rules else {}
    for rule in model.rules:
        if holds(rule.when, known, defaults):
            yield from _breaches(rule, known)


def _breaches(rule: Rule, known: Mapping[str, Any]) -> Iterator[Fault]:
    for name in rule.require:
        if not is_given(known.get(name)):
            yield Fault(name, said("needed", because=_because(rule)))
    for name in rule.forbid:
        if is_given(known.get(name)):
            yield Fault(name, said("forbidden", value=_shown(known[name]), because=_because(rule)))
    if rule.any_of and not any(is_given(known.get(name)) for name in rule.any_of):
        yield Fault(rule.any_of[0], said("one_needed", names=", ".join(rule.any_of), because=_because(rule)))
    for field in rule.limit:
        if known.get(field.name) is not None:
            for fault in _check(field, known[field.name], field.name):
                yield Fault(fault.field, f"{fault.problem}{_because(rule)}")
    units = [count.of(known) or 0 for count in rule.total]
    if sum(units) > rule.most:
        names = ", ".join(count.input for count in rule.total)
        first = rule.total[0].input.partition(".")[0]
        yield Fault(first, said("together", names=names, sum=sum(units), most=rule.most, because=_because(rule)))


def _because(rule: Rule) -> str:
    conditions = said("and").join(condition(name, wanted) for name, wanted in rule.when.items())
    return (said("when", conditions=conditions) if rule.when else "") + (f" ({rule.why})" if rule.why else "")


def condition(name: str, wanted: Any) -> str:
    """Say one condition of a rule or a price in words (see `kie_core._models.model.holds`)."""
    if isinstance(wanted, Mapping):
        if "present" in wanted:
            return said("given" if wanted["present"] else "not_given", name=name)
        return said("is_not", name=name, value=_shown(wanted["not"]))
    return said("is", name=name, value=_shown(wanted))


def _plain(field: Field, value: Any) -> JSON:
    """Copy a checked value into plain JSON types: the job must not change when the caller's list does."""
    if field.type == "integer":
        return int(value)
    plain: JSON = copied(value)
    return plain


def copied(value: Any) -> Any:
    """Return *value* as plain JSON types that nobody else holds."""
    if isinstance(value, (str, int, float)):  # nearly every input is
        return value
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [copied(item) for item in value]
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
