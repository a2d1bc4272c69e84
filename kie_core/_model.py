"""What a model is: its inputs, its rules, its prices. Built from one row of a registry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, Decimal
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, get_args

import attrs

#: Anything that JSON can say.
JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
Media = Literal["image", "video", "audio", "text", "data"]
Type = Literal["string", "integer", "number", "boolean", "array", "object"]
Status = Literal["current", "gone", "unclear"]

#: ``output_type`` of a row -> media. ``application/json`` is data: masks, segments, notes.
_MEDIA: Final[dict[str, Media]] = {
    "image": "image",
    "video": "video",
    "audio": "audio",
    "text": "text",
    "application": "data",
}


class RowError(ValueError):
    """A registry row breaks its format. The registry adds the file and the line."""


@attrs.frozen(kw_only=True)
class Field:
    """One input of a model. Limits that are None are not documented."""

    name: str
    type: Type
    required: bool = False
    default: Any = attrs.NOTHING
    enum: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    min_items: int | None = None
    max_items: int | None = None
    items: Field | None = None
    fields: tuple[Field, ...] = ()
    description: str = ""
    #: False: Kie's current pages do not list it; it is sent as given.
    verified: bool = True

    @property
    def has_default(self) -> bool:
        return self.default is not attrs.NOTHING


@attrs.frozen(kw_only=True)
class Rule:
    """What holds between inputs, when ``when`` holds (see `holds`)."""

    when: Mapping[str, Any]
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    limit: tuple[Field, ...] = ()
    why: str = ""


@attrs.frozen(kw_only=True)
class WirePrice:
    """What Kie charges today when ``when`` holds. ``credits`` None: not documented."""

    credits: Decimal | None
    when: Mapping[str, Any]
    wires: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Model:
    """One row of a registry.

    Attributes:
        id: What the caller asks for.
        category: Which plugin serves it.
        media: What it makes.
        inputs: What it takes, in the order of the registry.
        contract: Price of one use by the registry, in kopecks, or None.
        unit: What the registry's price is for ("video", "second" ...), where it says so.
        wire_prices: Today's prices in credits; the first row that fits counts.
        endpoint: Path of the ``v4`` wire, or None.
        wire_model: The ``model`` text of createTask, where the registry fixes one.
        fixed: Inputs that the id itself implies (``...-10s`` is 10 seconds).
        status: ``current``, ``gone`` (the vendor removed it) or ``unclear``.
        note: What is known about the row.
        caution: What a buyer should know first; warned about before each purchase.
        source: The vendor's page and the day it was read.
        origin: The registry that brought the row.
        hidden: Left out of lists unless all are asked for.
    """

    id: str
    title: str
    category: str
    media: Media
    inputs: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    contract: int | None = None
    unit: str | None = None
    wire_prices: tuple[WirePrice, ...] = ()
    endpoint: str | None = None
    wire_model: str | None = None
    fixed: Mapping[str, Any] = attrs.field(factory=lambda: MappingProxyType({}))
    status: Status = "current"
    note: str = ""
    caution: str = ""
    what: str = ""
    vendor: str = ""
    source: str = ""
    origin: str = ""
    hidden: bool = False

    def input(self, name: str) -> Field | None:
        """Return the input called *name*, or None."""
        return next((field for field in self.inputs if field.name == name), None)


def holds(when: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    """Tell whether a condition of a rule or a price row fits *values*.

    A condition maps names to a value (equal), a list (one of), ``{"present": bool}``
    or ``{"not": value}``; a name that is absent from *values* equals nothing.
    """
    for name, wanted in when.items():
        given = values.get(name)
        if isinstance(wanted, Mapping):
            if "present" in wanted and wanted["present"] != (given is not None):
                return False
            if "not" in wanted and given == wanted["not"]:
                return False
        elif given not in wanted if isinstance(wanted, (list, tuple)) else given != wanted:
            return False
    return True


# --- rows -----------------------------------------------------------------------------

#: JSON Schema keyword -> attribute of Field.
_LIMITS: Final = {
    "minimum": "minimum", "maximum": "maximum", "multipleOf": "multiple_of", "minLength": "min_length",
    "maxLength": "max_length", "pattern": "pattern", "format": "format", "minItems": "min_items",
    "maxItems": "max_items", "description": "description", "verified": "verified",
}  # fmt: skip
_PROPERTY: Final = frozenset(_LIMITS) | {"type", "enum", "default", "items", "properties", "required"}
_ROW: Final = frozenset({
    "model_id", "title", "display_name", "what", "vendor", "api_category", "api_endpoint", "base_url", "modality",
    "category", "output_type", "pricing", "usd_per_run", "rub_per_use", "unit", "enabled", "verified", "status",
    "note", "caution", "wire_model", "fixed_input", "input_schema", "rules", "wire_pricing", "source",
})  # fmt: skip
_RULE: Final = frozenset({"if", "require", "forbid", "any_of", "limit", "why"})


def model_from_row(
    row: Mapping[str, Any], *, category: str | None = None, origin: str = "", hidden: bool = False
) -> Model:
    """Build a model from a registry row.

    Args:
        row: The row, in the format of the bundled files.
        category: Used where the row has no ``api_category``.
        origin: Who brought the row, for messages.
        hidden: Whether lists leave it out.

    Raises:
        RowError: The row breaks the format; the text says where and what was expected.
    """
    _known(row, _ROW, "the row")
    schema = _get(row, "input_schema", Mapping, {})
    _known(schema, {"type", "required", "properties"}, "input_schema")
    properties = _get(schema, "properties", Mapping, {}, "input_schema.")
    required = _names(schema, "required", "input_schema.")
    for name in required:
        if name not in properties:
            raise RowError(f"input_schema.required names {name!r}, which is not in input_schema.properties")
    inputs = tuple(_field(name, prop, name in required) for name, prop in properties.items())
    pricing = _get(row, "pricing", Mapping, {})
    wire_pricing = _get(row, "wire_pricing", Mapping, {})
    status = row.get("status", "current")
    if status not in get_args(Status):
        raise RowError(f"status is {status!r}; expected one of {', '.join(get_args(Status))}")
    return Model(
        id=_text(row, "model_id"),
        title=_text(row, "title" if "title" in row else "display_name"),
        category=_text(row, "api_category", category),
        media=_media(row),
        inputs=inputs,
        rules=tuple(_rule(rule, properties, at) for at, rule in enumerate(_get(row, "rules", list, []))),
        contract=_kopecks(row.get("rub_per_use", pricing.get("rub_per_use"))),
        unit=row.get("unit") or pricing.get("unit") or None,
        wire_prices=tuple(_wire_price(price) for price in wire_pricing.get("rows", ())),
        endpoint=_endpoint(row),
        wire_model=row.get("wire_model"),
        fixed=MappingProxyType(dict(_get(row, "fixed_input", Mapping, {}))),
        status=status,
        note=row.get("note", ""),
        caution=row.get("caution", ""),
        what=row.get("what", ""),
        vendor=row.get("vendor", ""),
        source=row.get("source", ""),
        origin=origin,
        hidden=hidden,
    )


def _field(name: str, prop: Any, required: bool, place: str = "input_schema.properties") -> Field:
    where = f"{place}.{name}"
    if not isinstance(prop, Mapping):
        raise RowError(f"{where} is {prop!r}; expected an object")
    _known(prop, _PROPERTY, where)
    kind: Any = prop.get("type")
    if kind not in get_args(Type):
        raise RowError(f"{where}.type is {kind!r}; expected one of {', '.join(get_args(Type))}")
    _check_limits(prop, where)
    inner = _get(prop, "properties", Mapping, {}, f"{where}.")
    needed = _names(prop, "required", f"{where}.")
    return Field(
        name=name,
        type=kind,
        required=required,
        default=prop.get("default", attrs.NOTHING),
        enum=tuple(_get(prop, "enum", list, [], f"{where}.")) or None,
        items=_field(f"{name}[]", prop["items"], True, place) if "items" in prop else None,
        fields=tuple(_field(key, value, key in needed, where) for key, value in inner.items()),
        **{ours: prop[theirs] for theirs, ours in _LIMITS.items() if theirs in prop},
    )


def _rule(rule: Any, properties: Mapping[str, Any], at: int) -> Rule:
    where = f"rules[{at}]"
    if not isinstance(rule, Mapping):
        raise RowError(f"{where} is {rule!r}; expected an object")
    _known(rule, _RULE, where)
    limit = _get(rule, "limit", Mapping, {}, f"{where}.")
    _check_when(_get(rule, "if", Mapping, {}, f"{where}."), f"{where}.if")
    made = Rule(
        when=_get(rule, "if", Mapping, {}, f"{where}."),
        require=_names(rule, "require", f"{where}."),
        forbid=_names(rule, "forbid", f"{where}."),
        any_of=_names(rule, "any_of", f"{where}."),
        limit=tuple(
            _field(name, {"type": properties[name]["type"], **extra}, False, f"{where}.limit")
            for name, extra in limit.items()
            if name in properties
        ),
        why=rule.get("why", ""),
    )
    for name in (*made.require, *made.forbid, *made.any_of, *limit):
        if name not in properties:
            raise RowError(f"{where} names {name!r}, which is not in input_schema.properties")
    return made


def _wire_price(price: Mapping[str, Any]) -> WirePrice:
    _known(price, {"credits", "when", "wires"}, "wire_pricing.rows")
    amount = price.get("credits")
    if amount is not None and (
        isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < 1e9
    ):
        raise RowError(f"wire_pricing.rows: credits is {amount!r}; expected a number, 0 or more, or null")
    _check_when(_get(price, "when", Mapping, {}, "wire_pricing.rows."), "wire_pricing.rows.when")
    return WirePrice(
        credits=None if amount is None else Decimal(str(amount)),
        when=price.get("when", {}),
        wires=tuple(price.get("wires", ())),
    )


def _check_when(when: Mapping[str, Any], where: str) -> None:
    for name, wanted in when.items():
        if isinstance(wanted, Mapping) and set(wanted) not in ({"present"}, {"not"}):
            raise RowError(
                f'{where}.{name} is {wanted!r}; expected a value, a list, {{"present": true}} or {{"not": value}}'
            )


def _check_limits(prop: Mapping[str, Any], where: str) -> None:
    for name in ("minLength", "maxLength", "minItems", "maxItems"):
        if name in prop and (not isinstance(prop[name], int) or isinstance(prop[name], bool)):
            raise RowError(f"{where}.{name} is {prop[name]!r}; expected a whole number")
    for name in ("minimum", "maximum", "multipleOf"):
        if name in prop and (not isinstance(prop[name], (int, float)) or isinstance(prop[name], bool)):
            raise RowError(f"{where}.{name} is {prop[name]!r}; expected a number")
    try:
        re.compile(prop.get("pattern", ""))
    except (re.error, TypeError) as error:
        raise RowError(f"{where}.pattern is {prop['pattern']!r}: {error}") from None


def _media(row: Mapping[str, Any]) -> Media:
    kind = _text(row, "output_type").partition("/")[0]
    if kind not in _MEDIA:
        raise RowError(f"output_type is {row['output_type']!r}; expected one that begins with {', '.join(_MEDIA)}")
    return _MEDIA[kind]


def _endpoint(row: Mapping[str, Any]) -> str | None:
    endpoint = row.get("api_endpoint")
    if endpoint is not None and not str(endpoint).startswith("/"):
        raise RowError(f"api_endpoint is {endpoint!r}; expected a path that begins with '/'")
    return endpoint


def _kopecks(rub: Any) -> int | None:
    if rub is None:
        return None
    if isinstance(rub, bool) or not isinstance(rub, (int, float)) or not 0 <= rub < 1e9:
        raise RowError(f"rub_per_use is {rub!r}; expected a number of roubles, 0 or more")
    return int((Decimal(str(rub)) * 100).to_integral_value(ROUND_CEILING))


def _text(row: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = row.get(key, default)
    if not isinstance(value, str) or not value.strip():
        raise RowError(f"{key} is {value!r}; expected a text" if key in row else f"{key} is missing")
    return value


def _get(row: Mapping[str, Any], key: str, kind: Any, default: Any, place: str = "") -> Any:
    value = row.get(key, default)
    if not isinstance(value, kind):
        raise RowError(f"{place}{key} is {value!r}; expected {'a list' if kind is list else 'an object'}")
    return value


def _names(row: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    return tuple(_get(row, key, list, [], place))


def _known(row: Mapping[str, Any], allowed: Sequence[str] | frozenset[str] | set[str], where: str) -> None:
    for key in row:
        if key not in allowed:
            near = get_close_matches(key, list(allowed), 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; expected some of {', '.join(sorted(allowed))}"
            raise RowError(f"{where} has an unknown key {key!r}{hint}")
