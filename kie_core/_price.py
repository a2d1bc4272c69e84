"""What a job costs: the contract's price and what Kie charges today.

One credit is 0.005 USD (Source: every row of Kie's public price feed, read 2026-09-24).
Roubles are integers of kopecks, rounded up, at a rate that is frozen in the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

import attrs

from kie_core._model import Model, holds

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
    """

    contract: int | None
    credits: Decimal | None
    wire: int | None
    unit: str | None = None

    @property
    def reserve(self) -> int | None:
        """What a budget sets aside for the job, in kopecks; None: the price is unknown."""
        return self.contract if self.contract is not None else self.wire

    @property
    def usd(self) -> Decimal | None:
        """What Kie charges today, in US dollars."""
        return None if self.credits is None else self.credits * USD_PER_CREDIT

    def __str__(self) -> str:
        if self.reserve is None:
            return "price unknown"
        if self.credits is None:
            return roubles(self.reserve)
        today = f"Kie charges {self.credits.normalize():f} credits today, {self.usd:f} USD"
        if self.contract is None:
            return f"{roubles(self.reserve)} ({today})"
        return f"{roubles(self.contract)} ({today}; with the markup about {roubles(self.wire)})"


def roubles(kopecks: int | None) -> str:
    """Render kopecks as ``39.33 RUB``."""
    return "unknown" if kopecks is None else f"{kopecks / 100:.2f} RUB"


def quote(model: Model, params: Mapping[str, Any], wire: str, rates: Rates) -> Price:
    """Return the price of a job of *model* with *params* over *wire*."""
    known = {**model.fixed, **params}
    for row in model.wire_prices:
        if (not row.wires or wire in row.wires) and holds(row.when, known):
            credits = row.credits
            break
    else:
        credits = None
    return Price(
        contract=model.contract,
        credits=credits,
        wire=None if credits is None else rates.kopecks(credits),
        unit=model.unit,
    )
