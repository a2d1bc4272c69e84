"""A job that no registry vouches for: whatever createTask may take, as the caller wrote it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from kie_core._errors import Fault, InvalidJob, UnknownModel
from kie_core._models.model import JSON, Model
from kie_core._models.price import Price, Rates
from kie_core._models.registry import Registry
from kie_core._models.validation import copied, json_problem

#: The core's own category for such jobs, where the plugin of `MARKET` is not installed. No plugin can own it.
RAW: Final = "raw"
#: Whose plugin serves them where it is installed.
MARKET: Final = "market"
#: They go over the universal call alone.
WIRE: Final = "jobs"
#: Bytes of encoded inputs. No documented input comes near: files are given by their address.
LARGEST: Final = 1024 * 1024
#: Characters of a model id.
_LONGEST_ID: Final = 200
#: No job costs a hundredth of it.
_MOST_CREDITS: Final = 10_000_000
_UNCHECKED: Final = "raw: nothing was checked; what Kie does not know it drops or refuses, and may bill"


def raw_model(model_id: str, registry: Registry, category: str) -> Model:
    """Return what stands for a model that is asked for raw: no inputs, no rules, no price.

    Raises:
        InvalidJob: The id cannot be one.
    """
    proper = isinstance(model_id, str) and 0 < len(model_id) <= _LONGEST_ID
    if not proper or not model_id.isprintable() or model_id != " ".join(model_id.split()):
        raise InvalidJob(
            f"{model_id!a:.60}",  # it may hold what moves the cursor of a terminal
            (Fault("model", f"{model_id!a:.60} is no model id; expected 1 to {_LONGEST_ID} printable characters"),),
        )
    known = registry.get(model_id) if model_id in registry else None
    media = "data" if known is None else known.media
    hint = _doubt(model_id, known, registry)
    caution = f"{_UNCHECKED}; {hint}" if hint else _UNCHECKED
    return Model(id=model_id, title=model_id, category=category, media=media, inputs=(), caution=caution)


def raw_inputs(model_id: str, inputs: Mapping[str, Any]) -> dict[str, JSON]:
    """Return a copy of *inputs*: nothing is checked but that it can be sent, nothing is converted or added.

    Raises:
        InvalidJob: It is no object that JSON can say.
    """
    problem = json_problem(inputs) if isinstance(inputs, Mapping) else "is no object of names with values"
    if problem is not None:
        raise InvalidJob(model_id, (Fault("inputs", problem),))
    params: dict[str, JSON] = copied(inputs)
    return params


def stated_price(credits: float | Decimal | str | None, rates: Rates) -> Price:
    """Return the price that the caller expects; without one it is unknown.

    Raises:
        ValueError: It is no number of credits.
    """
    if credits is None:
        return Price(None, None, None)
    try:
        amount = Decimal(str(credits))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(credits, bool) or not amount.is_finite() or not 0 < amount < _MOST_CREDITS:
        raise ValueError(f"price_credits is {credits!r}; expected credits, more than 0")
    return Price(None, amount, rates.kopecks(amount))


def _doubt(model_id: str, known: Model | None, registry: Registry) -> str:
    if known is None:
        try:
            registry.get(model_id)
        except UnknownModel as error:
            return f"Kie calls it {error.moved_to!r} today" if error.moved_to else ""
    if known is None:
        return ""
    if known.status == "gone":
        return known.note or "it left the vendor's list"
    return f"createTask calls it {known.wire_model!r}" if known.wire_model not in (None, model_id) else ""
