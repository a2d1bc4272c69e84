"""What a model takes: its inputs and the rules between them. Built from one row of a registry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs

from kie_core._models.count import Count
from kie_core._models.row import OBJECT, RowError, check_keys, check_texts, check_when, count_of, names_of, value_of

if TYPE_CHECKING:
    from kie_core._models.file_limits import FileLimits
    from kie_core._models.source import Source

Type = Literal["string", "integer", "number", "boolean", "array", "object"]


@attrs.frozen(kw_only=True)
class Field:
    """One input of a model. Limits that are None are not documented.

    Attributes:
        default: What is sent where the caller says nothing.
        vendor_default: What the vendor takes where nothing is sent; counts for prices and rules, and stays unsent.
        examples: Some values of a text that takes others too, such as names of voices.
        schemes: How a URL may begin.
        file: What the file behind a URL may be.
        source: What an earlier task may be, where the input is one (format ``task``).
        verified: False: Kie's current pages do not list it; it is sent as given.
    """

    name: str
    type: Type
    required: bool = False
    default: Any = attrs.field(factory=lambda: attrs.NOTHING)
    vendor_default: Any = attrs.field(factory=lambda: attrs.NOTHING)
    enum: tuple[Any, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    schemes: tuple[str, ...] = ("http", "https")
    min_items: int | None = None
    max_items: int | None = None
    items: Field | None = None
    fields: tuple[Field, ...] = ()
    examples: tuple[str, ...] = ()
    file: FileLimits | None = None
    source: Source | None = None
    description: str = ""
    verified: bool = True

    @property
    def has_default(self) -> bool:
        return self.default is not attrs.NOTHING

    @property
    def has_vendor_default(self) -> bool:
        return self.vendor_default is not attrs.NOTHING


@attrs.frozen(kw_only=True)
class Rule:
    """What holds between inputs, when ``when`` holds (see `holds`)."""

    when: Mapping[str, Any]
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    limit: tuple[Field, ...] = ()
    #: Added up, these make ``most`` at the most.
    total: tuple[Count, ...] = ()
    most: int = 0
    why: str = ""


_TYPES: Final = get_args(Type)
#: JSON Schema keyword -> attribute of Field.
_LIMITS: Final = {
    "minimum": "minimum", "maximum": "maximum", "multipleOf": "multiple_of", "minLength": "min_length",
    "maxLength": "max_length", "pattern": "pattern", "format": "format", "minItems": "min_items",
    "maxItems": "max_items", "description": "description", "verified": "verified",
}  # fmt: skip
_PROPERTY: Final = frozenset(_LIMITS) | {
    "type", "enum", "default", "vendorDefault", "items", "properties", "required", "schemes", "examples", "file",
    "from",
}  # fmt: skip
_RULE: Final = frozenset({"if", "require", "forbid", "any_of", "limit", "total", "why"})


def inputs_of(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[Field, ...]:
    """Build the inputs of a row. Raises `RowError`."""
    from kie_core._models.validation import default_fault

    required = names_of(schema, "required", "input_schema.")
    for name in required:
        if name not in properties:
            raise RowError(f"input_schema.required names {name!r}, which is not in input_schema.properties")
    inputs = tuple(_from(_field(name, prop, name in required), properties) for name, prop in properties.items())
    for field in inputs:
        fault = default_fault(field)
        if fault is not None:
            raise RowError(fault)
    return inputs


def rules_of(row: Mapping[str, Any], properties: Mapping[str, Any], names: AbstractSet[str]) -> tuple[Rule, ...]:
    """Build the rules of a row; *names* are those that a condition may ask about. Raises `RowError`."""
    return tuple(_rule(rule, properties, names, at) for at, rule in enumerate(value_of(row, "rules", list, [])))


def _field(name: str, prop: Any, required: bool, place: str = "input_schema.properties") -> Field:
    where = f"{place}.{name}"
    if not isinstance(prop, Mapping):
        raise RowError(f"{where} is {prop!r}; expected an object")
    check_keys(prop, _PROPERTY, where)
    kind: Any = prop.get("type")
    if kind not in _TYPES:
        raise RowError(f"{where}.type is {kind!r}; expected one of {', '.join(_TYPES)}")
    _check_limits(prop, where)
    inner = value_of(prop, "properties", OBJECT, {}, f"{where}.")
    needed = names_of(prop, "required", f"{where}.")
    return Field(
        name=name,
        type=kind,
        required=required,
        default=prop.get("default", attrs.NOTHING),
        vendor_default=prop.get("vendorDefault", attrs.NOTHING),
        enum=tuple(value_of(prop, "enum", list, [], f"{where}.")) or None,
        items=_field(f"{name}[]", prop["items"], True, place) if "items" in prop else None,
        fields=tuple(_field(key, value, key in needed, where) for key, value in inner.items()),
        schemes=names_of(prop, "schemes", f"{where}.") or ("http", "https"),
        examples=names_of(prop, "examples", f"{where}."),
        file=_file(prop["file"], where) if "file" in prop else None,
        **{ours: prop[theirs] for theirs, ours in _LIMITS.items() if theirs in prop},
    )


def _from(field: Field, properties: Mapping[str, Any]) -> Field:
    row = properties[field.name].get("from")
    if (row is None) != (field.format != "task"):
        raise RowError(f'input_schema.properties.{field.name}: format "task" and "from" go together')
    if row is None:
        return field
    from kie_core._models.source import source_from_row

    try:
        return attrs.evolve(field, source=source_from_row(row, properties))
    except ValueError as error:
        raise RowError(f"input_schema.properties.{field.name}.from {error}") from None


def _file(row: Any, where: str) -> FileLimits:
    from kie_core._models.file_limits import limits_from_row

    try:
        return limits_from_row(row)
    except ValueError as error:
        raise RowError(f"{where}.file {error}") from None


def _rule(rule: Any, properties: Mapping[str, Any], names: AbstractSet[str], at: int) -> Rule:
    where = f"rules[{at}]"
    if not isinstance(rule, Mapping):
        raise RowError(f"{where} is {rule!r}; expected an object")
    check_keys(rule, _RULE, where)
    limit = value_of(rule, "limit", OBJECT, {}, f"{where}.")
    limit = {name: value_of(limit, name, OBJECT, {}, f"{where}.limit.") for name in limit}
    check_when(value_of(rule, "if", OBJECT, {}, f"{where}."), names, f"{where}.if")
    total = value_of(rule, "total", OBJECT, {"of": [], "most": 0}, f"{where}.")
    if set(total) != {"of", "most"} or not isinstance(total["of"], list) or not isinstance(total["most"], int):
        raise RowError(f'{where}.total is {total!r}; expected {{"of": [counts], "most": a whole number}}')
    made = Rule(
        when=value_of(rule, "if", OBJECT, {}, f"{where}."),
        require=names_of(rule, "require", f"{where}."),
        forbid=names_of(rule, "forbid", f"{where}."),
        any_of=names_of(rule, "any_of", f"{where}."),
        limit=tuple(
            _field(name, {"type": properties[name]["type"], **extra}, False, f"{where}.limit")
            for name, extra in limit.items()
            if name in properties
        ),
        total=tuple(count_of(count, properties, f"{where}.total") for count in total["of"]),
        most=total["most"],
        why=rule.get("why", ""),
    )
    for name in (*made.require, *made.forbid, *made.any_of, *limit):
        if name not in properties:
            raise RowError(f"{where} names {name!r}, which is not in input_schema.properties")
    return made


def _check_limits(prop: Mapping[str, Any], where: str) -> None:
    check_texts(prop, ("format", "description"), f"{where}.")
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
