"""What a model is: what it is called, makes and costs, and its inputs and rules. Built from one row of a registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from decimal import ROUND_CEILING, Decimal
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar, get_args

import attrs

from kie_core._models.count import Count
from kie_core._models.row import (
    OBJECT,
    RowError,
    check_keys,
    check_texts,
    check_when,
    count_of,
    names_of,
    text_of,
    value_of,
)

if TYPE_CHECKING:
    from kie_core._models.field import Field, Rule

#: Anything that JSON can say.
JSON: TypeAlias = "str | int | float | bool | list[JSON] | dict[str, JSON] | None"
Media = Literal["image", "video", "audio", "text", "data"]
Status = Literal["current", "gone", "unclear"]

#: ``output_type`` of a row -> media. ``application/json`` is data: masks, segments, notes.
_MEDIA: Final[dict[str, Media]] = {
    "image": "image",
    "video": "video",
    "audio": "audio",
    "text": "text",
    "application": "data",
}
T = TypeVar("T")


class Later(Generic[T]):
    """A part of a model that is built when it is first asked for: most of a row is inputs, which no list shows."""

    __slots__ = ("_build", "_fault", "_part")

    def __init__(self, build: Callable[[], tuple[T, ...]], fault: Callable[[RowError], Exception]) -> None:
        self._build: Callable[[], tuple[T, ...]] | None = build
        self._fault = fault
        self._part: tuple[T, ...] = ()

    def __call__(self) -> tuple[T, ...]:
        build = self._build
        if build is not None:  # for two threads perhaps twice: they get the same
            try:
                self._part = build()
            except RowError as error:
                raise self._fault(error) from error
            self._build = None
        return self._part


Part: TypeAlias = tuple[T, ...] | Later[T]


@attrs.frozen(kw_only=True)
class WirePrice:
    """What Kie charges today when ``when`` holds.

    Attributes:
        credits: For one unit; None: not documented.
        when: See `holds`.
        wires: On these wires; empty: on all.
        per: The unit in words: "second", "image".
        times: How many units a job has; None: one.
        at_most: It may be less: the inputs do not tell everything that the price depends on.
    """

    credits: Decimal | None
    when: Mapping[str, Any]
    wires: tuple[str, ...] = ()
    per: str = ""
    times: Count | None = None
    at_most: bool = False


def _built(part: Part[T]) -> tuple[T, ...]:
    return part() if isinstance(part, Later) else part


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
        contract_times: How many of these a job has; None: one.
        wire_prices: Today's prices in credits; the first row that fits counts.
        wire_extras: What is charged beside it; every row that fits counts.
        prices_as_of: The day of these prices.
        endpoint: Path of the ``v4`` wire, or None.
        wires: The only wires on which it can be had; empty: all of its plugin, and ``v4``.
        wire_model: The ``model`` text of createTask, where it is not the id.
        older_ids: What the vendor called it before; asking for one of these names this id, and buys nothing.
        example: Inputs that it takes.
        fixed: Inputs that the id itself implies (``...-10s`` is 10 seconds).
        status: ``current``, ``gone`` (the vendor removed it) or ``unclear``.
        note: What is known about the row.
        caution: What a buyer should know first; warned about before each purchase.
        source: The vendor's page and the day it was read.
        origin: The registry that brought the row.
        hidden: Left out of lists unless all are asked for.
        overlaid_at: When Kie's live schema was read that counts for its inputs, as ISO text in UTC; empty: none does.
        bundled: Without that schema; None: it is as it came, or known from the schema alone.
    """

    id: str
    title: str
    category: str
    media: Media
    _inputs: Part[Field] = attrs.field(alias="inputs", eq=_built, repr=lambda part: repr(_built(part)))
    _rules: Part[Rule] = attrs.field(default=(), alias="rules", eq=_built, repr=lambda part: repr(_built(part)))
    contract: int | None = None
    unit: str | None = None
    contract_times: Count | None = None
    wire_prices: tuple[WirePrice, ...] = ()
    wire_extras: tuple[WirePrice, ...] = ()
    prices_as_of: str = ""
    endpoint: str | None = None
    wires: tuple[str, ...] = ()
    wire_model: str | None = None
    older_ids: tuple[str, ...] = ()
    example: Mapping[str, Any] = attrs.field(factory=lambda: MappingProxyType({}))
    fixed: Mapping[str, Any] = attrs.field(factory=lambda: MappingProxyType({}))
    status: Status = "current"
    note: str = ""
    caution: str = ""
    what: str = ""
    vendor: str = ""
    source: str = ""
    origin: str = ""
    hidden: bool = False
    overlaid_at: str = ""
    bundled: Model | None = attrs.field(default=None, repr=False)

    @property
    def inputs(self) -> tuple[Field, ...]:
        return _built(self._inputs)

    @property
    def rules(self) -> tuple[Rule, ...]:
        return _built(self._rules)

    def input(self, name: str) -> Field | None:
        """Return the input called *name*, or None."""
        return next((field for field in self.inputs if field.name == name), None)

    @cached_property
    def vendor_defaults(self) -> Mapping[str, Any]:
        """What the vendor takes for inputs that are not sent."""
        return {field.name: field.vendor_default for field in self.inputs if field.vendor_default is not attrs.NOTHING}


def is_given(value: Any) -> bool:
    """Tell whether *value* says anything: None, a blank text and an empty list do not."""
    return value is not None and value not in ([], ()) and not (isinstance(value, str) and not value.strip())


def holds(
    when: Mapping[str, Any], values: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})
) -> bool:
    """Tell whether a condition of a rule or a price row fits *values*.

    A condition maps names to a value (equal), a list (one of), ``{"present": bool}``
    or ``{"not": value}``; a name that is absent from *values* has its value of *defaults*,
    else equals nothing, and is not present either way. So is what is empty (see `is_given`).
    """
    for name, wanted in when.items():
        given = values.get(name, defaults.get(name))
        if isinstance(wanted, (list, tuple)):
            fits = given in wanted
        elif not isinstance(wanted, Mapping):
            fits = given == wanted
        elif "present" in wanted:
            fits = wanted["present"] == is_given(values.get(name))
        else:
            fits = given != wanted["not"]
        if not fits:
            return False
    return True


# --- rows -----------------------------------------------------------------------------

_STATUSES: Final = get_args(Status)
_ROW: Final = frozenset({
    "model_id", "title", "display_name", "what", "vendor", "api_category", "api_endpoint", "base_url", "modality",
    "category", "output_type", "pricing", "usd_per_run", "rub_per_use", "unit", "times", "enabled", "verified",
    "status", "note", "caution", "wires", "wire_model", "older_ids", "fixed_input", "input_schema", "rules",
    "wire_pricing", "example", "source",
})  # fmt: skip
_TEXTS: Final = ("unit", "note", "caution", "what", "vendor", "source")
_PRICING: Final = frozenset({"as_of", "unit", "rows", "extras"})
_PRICE: Final = frozenset({"credits", "when", "wires", "per", "times", "at_most"})


def at_once(build: Callable[[], tuple[T, ...]]) -> Part[T]:
    """Build a part with its model."""
    return build()


def model_from_row(
    row: Mapping[str, Any],
    *,
    category: str | None = None,
    origin: str = "",
    hidden: bool = False,
    part: Callable[[Callable[[], tuple[Any, ...]]], Part[Any]] = at_once,
) -> Model:
    """Build a model from a registry row.

    Args:
        row: The row, in the format of the bundled files.
        category: Used where the row has no ``api_category``.
        origin: Who brought the row, for messages.
        hidden: Whether lists leave it out.
        part: Makes a part of what builds it: at once, or when it is asked for, which then raises.

    Raises:
        RowError: The row breaks the format; the text says where and what was expected.
    """
    check_keys(row, _ROW, "the row")
    check_texts(row, _TEXTS)
    schema = value_of(row, "input_schema", OBJECT, {})
    check_keys(schema, {"type", "required", "properties"}, "input_schema")
    properties = value_of(schema, "properties", OBJECT, {}, "input_schema.")
    pricing = value_of(row, "pricing", OBJECT, {})
    wire_pricing = value_of(row, "wire_pricing", OBJECT, {})
    check_keys(wire_pricing, _PRICING, "wire_pricing")
    check_texts(wire_pricing, ("as_of",), "wire_pricing.")
    fixed = value_of(row, "fixed_input", OBJECT, {})
    names = {*properties, *fixed}
    status = row.get("status", "current")
    if status not in _STATUSES:
        raise RowError(f"status is {status!r}; expected one of {', '.join(_STATUSES)}")
    return Model(
        id=text_of(row, "model_id"),
        title=text_of(row, "title" if "title" in row else "display_name"),
        category=text_of(row, "api_category", category),
        media=_media(row),
        inputs=part(partial(_inputs, schema, properties)),
        rules=part(partial(_rules, row, properties, names)),
        contract=_kopecks(row.get("rub_per_use", pricing.get("rub_per_use"))),
        unit=row.get("unit") or pricing.get("unit") or None,
        contract_times=count_of(row["times"], properties, "times") if "times" in row else None,
        wire_prices=_wire_prices(wire_pricing, "rows", properties, names),
        wire_extras=_wire_prices(wire_pricing, "extras", properties, names),
        prices_as_of=wire_pricing.get("as_of", ""),
        endpoint=_endpoint(row),
        wires=names_of(row, "wires", ""),
        wire_model=row.get("wire_model"),
        older_ids=names_of(row, "older_ids", ""),
        example=MappingProxyType(dict(value_of(row, "example", OBJECT, {}))),
        fixed=MappingProxyType(dict(fixed)),
        status=status,
        note=row.get("note", ""),
        caution=row.get("caution", ""),
        what=row.get("what", ""),
        vendor=row.get("vendor", ""),
        source=row.get("source", ""),
        origin=origin,
        hidden=hidden,
    )


def _inputs(schema: Mapping[str, Any], properties: Mapping[str, Any]) -> tuple[Field, ...]:
    from kie_core._models.field import inputs_of

    return inputs_of(schema, properties)


def _rules(row: Mapping[str, Any], properties: Mapping[str, Any], names: AbstractSet[str]) -> tuple[Rule, ...]:
    from kie_core._models.field import rules_of

    return rules_of(row, properties, names)


def _wire_prices(
    pricing: Mapping[str, Any], key: str, properties: Mapping[str, Any], names: AbstractSet[str]
) -> tuple[WirePrice, ...]:
    prices = value_of(pricing, key, list, [], "wire_pricing.")
    return tuple(_wire_price(price, properties, names) for price in prices)


def _wire_price(price: Any, properties: Mapping[str, Any], names: AbstractSet[str]) -> WirePrice:
    if not isinstance(price, OBJECT):
        raise RowError(f"wire_pricing.rows has {price!r}; expected an object")
    check_keys(price, _PRICE, "wire_pricing.rows")
    check_texts(price, ("per",), "wire_pricing.rows.")
    amount = price.get("credits")
    if amount is not None and (
        isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 <= amount < 1e9
    ):
        raise RowError(f"wire_pricing.rows: credits is {amount!r}; expected a number, 0 or more, or null")
    check_when(value_of(price, "when", OBJECT, {}, "wire_pricing.rows."), names, "wire_pricing.rows.when")
    return WirePrice(
        credits=None if amount is None else Decimal(str(amount)),
        when=price.get("when", {}),
        wires=names_of(price, "wires", "wire_pricing.rows.") if "wires" in price else (),
        per=price.get("per", ""),
        times=count_of(price["times"], properties, "wire_pricing.rows.times") if "times" in price else None,
        at_most=price.get("at_most") is True,
    )


def _media(row: Mapping[str, Any]) -> Media:
    kind = text_of(row, "output_type").partition("/")[0]
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
