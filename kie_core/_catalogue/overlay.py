"""What Kie's live schemas say of inputs: from an OpenAPI document to our rows, and from these to a registry. Pure.

A schema comes from outside, so it is read for what can be trusted and no further. It never brings a price, a pattern
or a default that is sent; it is small or left out; and one that cannot be read harms no other model.

Source: docs.kie.ai, model discovery pages, read 2026-10-01: ``data.openapi`` is an OpenAPI 3.1 document, or null.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import attrs

from kie_core._catalogue.drift import Difference
from kie_core._errors import InvalidJob, ReadFailed
from kie_core._jobs.answer import code_of, message_of
from kie_core._models.field import Field
from kie_core._models.model import Model, model_from_row
from kie_core._models.registry import Registry
from kie_core._models.row import RowError
from kie_core._models.validation import default_fault, describe, validate

#: Inputs of a model, values of an enum, members inside one another: more is not looked at.
_MOST_INPUTS: Final = 100
_MOST_VALUES: Final = 500
_DEEPEST: Final = 4
#: References that are followed for one schema.
_MOST_STEPS: Final = 2000
_LONGEST: Final = 200
_MOST_NUMBER: Final = 2**53
_TYPES: Final = frozenset({"string", "integer", "number", "boolean", "array", "object"})
_NUMBERS: Final = ("minimum", "maximum")
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems")
#: What a live schema may replace of an input that is known.
_STATED: Final = {
    "enum": "enum", "minimum": "minimum", "maximum": "maximum", "minLength": "min_length", "maxLength": "max_length",
    "minItems": "min_items", "maxItems": "max_items",
}  # fmt: skip


class Unreadable(Exception):
    """A live schema says nothing that we can use; the text says why."""


@attrs.frozen
class Live:
    """What Kie's live schema says of one model.

    Attributes:
        model: What createTask calls it.
        title: For people.
        schema: ``required`` and ``properties``, in the form of our rows.
        fetched_at: When it was asked for, as ISO text in UTC.
        price_text: Kie's price in prose; never a price of ours.
        left_out: Inputs that could not be read.
    """

    model: str
    title: str
    schema: Mapping[str, Any]
    fetched_at: str
    price_text: str = ""
    left_out: tuple[str, ...] = ()


def schema_in(body: dict[str, Any]) -> dict[str, Any] | None:
    """Return ``data.openapi`` of an answer; None: Kie has none for this model.

    Raises:
        ReadFailed: The answer is none.
    """
    if code_of(body) == 404:  # Source: as above: "envelope with code 404" for an unknown model
        return None
    data = body.get("data")
    if code_of(body) != 200 or not isinstance(data, dict):
        raise ReadFailed(f"{message_of(body) or 'no schema'} (code {body.get('code')!r:.40})")
    document = data.get("openapi")
    return document if isinstance(document, dict) else None


def inputs_in(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the inputs of an OpenAPI document in the form of our rows, and the names that could not be read.

    Raises:
        Unreadable: It has none, or one that is required cannot be read.
    """
    reader = _Reader(document)
    schema = reader.followed(_body_schema(reader))
    members = _object(schema.get("properties"))
    # UNVERIFIED: that the schema is of the whole body of createTask, with the inputs under "input".
    if "input" in members:
        schema = reader.followed(members["input"])
        members = _object(schema.get("properties"))
    if not members or len(members) > _MOST_INPUTS:
        raise Unreadable(f"it names {len(members)} inputs; expected 1..{_MOST_INPUTS}")
    needed = [name for name in _list(schema.get("required")) if isinstance(name, str)]
    properties: dict[str, Any] = {}
    left_out: list[str] = []
    for name, member in members.items():
        made = reader.property(member) if _is_name(name) else None
        if made is not None:
            properties[name] = made
        elif name in needed:
            raise Unreadable(f"its input {name!r:.60}, which is required, cannot be read")
        else:
            left_out.append(name[:60])
    if not properties:
        raise Unreadable("none of its inputs can be read")
    row = {"required": [name for name in dict.fromkeys(needed) if name in properties], "properties": properties}
    return row, tuple(left_out)


def model_of(live: Live) -> Model:
    """Return a model that is known from Kie's schema alone: of the market, of unknown price, sending no default.

    Raises:
        RowError, TypeError, ValueError: The row is none.
    """
    model = model_from_row(
        {
            "model_id": live.model,
            "title": live.title or live.model,
            "api_category": "market",
            "output_type": "application/json",
            "input_schema": _without_defaults(live.schema),
            "note": f"Kie says of its price: {live.price_text}" if live.price_text else "",
            "caution": "known from Kie's live schema alone: its price is unknown, and nobody has looked at it",
            "source": f"Kie's live schema, read {live.fetched_at[:10]}",
        },
        origin="the local overlay",
    )
    return attrs.evolve(model, overlaid_at=live.fetched_at)


def merged(model: Model, live: Live) -> Model:
    """Return a known model with what Kie's schema states of its inputs, and nothing else changed.

    Inputs that the schema does not name stay; so do defaults, rules, prices, and an input of another type than here.
    """
    stated = _fields_of(live)
    needed = set(_list(live.schema.get("required")))
    inputs = [
        _replaced(field, stated[field.name], live, required=field.name in needed) if field.name in stated else field
        for field in model.inputs
    ]
    known = {field.name for field in model.inputs} | set(model.fixed)
    added = [attrs.evolve(field, vendor_default=attrs.NOTHING) for name, field in stated.items() if name not in known]
    if [*inputs, *added] == list(model.inputs):
        return model
    return attrs.evolve(model, inputs=(*inputs, *added), overlaid_at=live.fetched_at, bundled=model)


def overlaid(registry: Registry, lives: Mapping[str, Live]) -> tuple[Registry, list[str]]:
    """Return *registry* with what Kie's live schemas say, and why some could not be used.

    Of what is bundled only models of the market are touched.
    """
    changed: dict[str, Model] = {}
    problems: list[str] = []
    wires = {model.wire_model for model in registry}
    for name, live in lives.items():
        try:
            if name in registry:
                known = registry.get(name)
                if known.category == "market" and known.status != "gone":
                    changed[name] = merged(known, live)
            elif registry.moved_to(name) is None and name not in wires:
                changed[name] = model_of(live)
        except Exception as error:  # the file lies outside; no other model may suffer
            problems.append(f"{name}: {error}")
    return registry.replaced(changed.values()), problems


def differing_inputs(registry: Registry, lives: Mapping[str, Live]) -> Iterator[Difference]:
    """Yield each input of a model of the market of which Kie's schema says something else; *registry* is without it."""
    for name, live in lives.items():
        if name not in registry:
            continue
        model = registry.get(name)
        if model.category != "market":
            continue
        needed = set(_list(live.schema.get("required")))
        for field_name, field in _fields_of(live).items():
            ours = model.input(field_name)
            if ours is None:
                if field_name not in model.fixed:
                    yield Difference(name, "inputs", f"no {field_name}", f"{field_name}: {describe(field)}")
                continue
            kie = f"{describe(field)}{', required' if field_name in needed else ''}"
            here = f"{describe(ours)}{', required' if ours.required else ''}"
            differs = _replaced(ours, field, live, required=field_name in needed) != ours
            if ours.type != field.type or (differs and kie != here):  # a limit within a list says nothing new
                yield Difference(name, "inputs", f"{field_name}: {here}", f"{field_name}: {kie}")


def is_beyond(model: Model, inputs: Mapping[str, Any]) -> bool:
    """Tell whether *inputs* fit *model* only by what the overlay adds: then its price table says nothing of them."""
    if model.bundled is None:
        return False
    try:
        validate(model.bundled, inputs)
    except InvalidJob:
        return True
    return False


def _replaced(field: Field, live: Field, source: Live, *, required: bool) -> Field:
    row = source.schema["properties"][field.name]
    if live.type != field.type:
        return field
    changes: dict[str, Any] = {ours: getattr(live, ours) for theirs, ours in _STATED.items() if theirs in row}
    if "required" in source.schema:
        changes["required"] = required
    made = attrs.evolve(field, **changes)
    return field if default_fault(made) is not None else made


def _fields_of(live: Live) -> dict[str, Field]:
    return {field.name: field for field in model_of(live).inputs}


def _without_defaults(schema: Any) -> dict[str, Any]:
    """Return *schema* with what a row may have of a live schema; a file may have been changed by hand."""
    properties = {name: _allowed(prop) for name, prop in _object(schema.get("properties")).items()}
    return {"required": _list(schema.get("required")), "properties": properties}


_ALLOWED: Final = frozenset({"type", "enum", "vendorDefault", "description", "format", "items", *_NUMBERS, *_COUNTS})


def _allowed(prop: Any) -> dict[str, Any]:
    kept = {key: value for key, value in _object(prop).items() if key in _ALLOWED}
    if "items" in kept:
        kept["items"] = _allowed(kept["items"])
    return kept


class _Reader:
    """Reads one document, following its own references only, and only so many."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._left = _MOST_STEPS

    def followed(self, schema: Any) -> dict[str, Any]:
        for _ in range(8):
            self._left -= 1
            if self._left < 0:
                raise Unreadable("it has too many references")
            schema = _object(schema)
            reference = schema.get("$ref")
            if reference is None:
                return dict(schema)
            if not isinstance(reference, str) or not reference.startswith("#/") or len(reference) > _LONGEST:
                return {}
            schema = self.document
            for step in reference[2:].split("/"):
                schema = _object(schema).get(step.replace("~1", "/").replace("~0", "~"))
        return {}

    def property(self, schema: Any, depth: int = 0) -> dict[str, Any] | None:
        """Return an input in the form of our rows; None: it cannot be said in it."""
        source = self.followed(schema)
        kind = _type(source)
        if kind is None or depth > _DEEPEST:
            return None
        made: dict[str, Any] = {"type": kind, **_limits(source, kind)}
        if "enum" in source or "const" in source:
            made["enum"] = _enum(source, kind)
            if not made["enum"]:
                return None
        if kind == "array" and "items" in source:
            made["items"] = self.property(source["items"], depth + 1)
            if made["items"] is None:
                return None
        if isinstance(source.get("description"), str):
            made["description"] = _line(source["description"])
        if depth == 0 and "default" in source and _fits(source["default"], kind):
            with_default = {**made, "vendorDefault": source["default"]}
            return made if _default_fault(with_default) else with_default
        return made


def _type(source: Mapping[str, Any]) -> str | None:
    kind = source.get("type")
    if isinstance(kind, list):
        kinds = [one for one in kind if one != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    unclear = any(word in source for word in ("oneOf", "anyOf", "allOf", "not", "if"))
    return kind if isinstance(kind, str) and kind in _TYPES and not unclear else None


def _limits(source: Mapping[str, Any], kind: str) -> dict[str, Any]:
    names = {"integer": _NUMBERS, "number": _NUMBERS, "string": _COUNTS[:2], "array": _COUNTS[2:]}.get(kind, ())
    whole = kind in ("string", "array")
    return {
        name: source[name]
        for name in names
        if _is_number(source.get(name)) and (not whole or (isinstance(source[name], int) and source[name] >= 0))
    }


def _default_fault(prop: Mapping[str, Any]) -> bool:
    row = {"model_id": "m", "title": "m", "api_category": "market", "output_type": "image/png"}
    try:
        model_from_row({**row, "input_schema": {"properties": {"one": prop}}})
    except RowError:
        return True
    return False


def _body_schema(reader: _Reader) -> Any:
    paths = _object(reader.document.get("paths"))
    # UNVERIFIED: which path it names; the one that we post to comes first.
    chosen = sorted((path for path in paths if isinstance(path, str)), key=lambda path: "createTask" not in path)[:20]
    for path in chosen:
        post = _object(_object(paths[path]).get("post"))
        content = _object(reader.followed(post.get("requestBody")).get("content"))
        media = _object(content.get("application/json"))
        if "schema" in media:
            return media["schema"]
    raise Unreadable("it has no POST with a JSON body")


def _enum(source: Mapping[str, Any], kind: str) -> list[Any]:
    values = _list(source.get("enum")) if "enum" in source else [source["const"]]
    if len(values) > _MOST_VALUES:
        return []
    return [value for value in values if _fits(value, kind)] if kind not in ("array", "object") else []


def _fits(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    if kind == "string":
        return isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()
    if kind == "integer":
        return isinstance(value, int) and _is_number(value)
    return kind == "number" and _is_number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _MOST_NUMBER


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= 60 and name.isprintable() and not set(name) & set(" =")


def _line(text: str) -> str:
    shown = "".join(one if one.isprintable() else " " for one in text[: _LONGEST * 2])
    return " ".join(shown.split())[:_LONGEST]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
