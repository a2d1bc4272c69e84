"""What a job costs: the contract's price and what Kie charges today.

One credit is 0.005 USD (Source: every row of Kie's public price feed, read 2026-09-24).
Roubles are integers of kopecks, rounded up, at a rate that is frozen in the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import attrs

from kie_core._models.model import Model, WirePrice, holds

USD_PER_CREDIT: Final = Decimal("0.005")


@attrs.frozen
class Rates:
    """How credits become roubles: Kie's USD price, times the exchange rate, times a markup."""

    rub_per_usd: Decimal
    markup: Decimal

    def kopecks(self, credits: Decimal) -> int:
        """Return what *credits* are in kopecks, rounded up."""
        return int((credits * USD_PER_CREDIT * self.rub_per_usd * self.markup * 100).to_integral_value(ROUND_CEILING))


@attrs.frozen
class Price:
    """The price of one job, both ways.

    Attributes:
        contract: The registry's price in kopecks; None: the registry has none.
        credits: What Kie charges today, in credits; None: not documented for these inputs on this wire.
        wire: ``credits`` in kopecks, at the exchange rate and with the markup of the settings.
        unit: What the registry's price is for, where it says so.
        at_most: ``credits`` is the highest that it can be: the inputs do not tell everything that it depends on.
    """

    contract: int | None
    credits: Decimal | None
    wire: int | None
    unit: str | None = None
    at_most: bool = False

    @property
    def reserve(self) -> int | None:
        """What a budget sets aside for the job, in kopecks: the higher of the two prices; None: both are unknown."""
        return max((price for price in (self.contract, self.wire) if price is not None), default=None)

    @property
    def usd(self) -> Decimal | None:
        """What Kie charges today, in US dollars."""
        return None if self.credits is None else self.credits * USD_PER_CREDIT

    def __str__(self) -> str:
        if self.reserve is None:
            return "price unknown"
        if self.credits is None:
            return roubles(self.reserve)
        most = "at most " if self.at_most else ""
        today = f"Kie charges {most}{self.credits.normalize():f} credits today, {self.usd:f} USD"
        if self.contract is None:
            return f"{roubles(self.reserve)} ({today})"
        return f"{roubles(self.contract)} ({today}; with the markup about {roubles(self.wire)})"


def roubles(kopecks: int | None) -> str:
    """Render kopecks as ``39.33 RUB``."""
    return "unknown" if kopecks is None else f"{kopecks / 100:.2f} RUB"


def quote(model: Model, params: Mapping[str, Any], wire: str, rates: Rates, served_by: Model | None = None) -> Price:
    """Return the price of a job of *model* with *params* over *wire*.

    Args:
        model: What is bought.
        params: Its checked inputs.
        wire: The dialect in which it goes.
        rates: How credits become roubles.
        served_by: The model that serves it today, whose prices count where it has none of its own.
    """
    priced = model if model.wire_prices or served_by is None else served_by
    values = {**model.fixed, **params}
    credits, at_most = _charged(priced, values, wire)
    return Price(
        contract=_contract(model, values),
        credits=credits,
        wire=None if credits is None else rates.kopecks(credits),
        unit=model.unit,
        at_most=at_most,
    )


def _contract(model: Model, values: Mapping[str, Any]) -> int | None:
    """Return the registry's price of the whole job; None: it has none, or nobody can count before the job ran."""
    times = model.contract_times
    if model.contract is None or times is None:
        return model.contract
    everything = {**model.vendor_defaults, **values}
    if times.kind == "value" and everything.get(times.input) is None:
        return model.contract  # one, unless the caller says more
    units = times.of(everything)
    return None if units is None else int((model.contract * units).to_integral_value(ROUND_CEILING))


def _charged(model: Model, values: Mapping[str, Any], wire: str) -> tuple[Decimal | None, bool]:
    """Return today's credits, and whether they may be fewer. One part that is unknown makes the sum unknown."""
    defaults = model.vendor_defaults

    def fits(row: WirePrice) -> bool:
        return (not row.wires or wire in row.wires) and holds(row.when, values, defaults)

    first = next(filter(fits, model.wire_prices), None)
    if first is None:
        return None, False
    total, at_most = Decimal(0), False
    for row in (first, *filter(fits, model.wire_extras)):
        units = Decimal(1) if row.times is None else row.times.of({**defaults, **values})
        if row.credits is None or units is None:
            return None, False
        total += row.credits * units
        at_most |= row.at_most
    whole = total.to_integral_value()
    return (whole if total == whole else total.normalize()), at_most
