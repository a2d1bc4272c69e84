"""Prices: the contract's, Kie's of today, and when one is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kie_core._price import Rates, quote
from kie_core._registry import bundled

RATES = Rates(Decimal("78.58546168958742"), Decimal(2))
PRICES = [
    ("gpt-4o-image", {}, "dedicated", 3933, "6", 472),
    ("gpt-4o-image", {"n_variants": 4}, "dedicated", 3933, None, None),
    ("flux-kontext", {}, "dedicated", 4719, "5", 393),
    ("flux-kontext", {"model": "flux-kontext-max"}, "dedicated", 4719, "10", 786),
    ("flux-kontext", {}, "jobs", 4719, None, None),
    ("suno-v4", {}, "dedicated", 7865, "12", 944),
    ("suno-v4", {}, "jobs", 7865, "12", 944),
    ("runway-gen3-turbo", {"duration": 5}, "dedicated", 23595, "12", 944),
    ("runway-gen3-turbo", {"duration": 10}, "dedicated", 23595, "30", 2358),
    ("runway-gen3-turbo", {"duration": 5, "quality": "1080p"}, "jobs", 23595, "30", 2358),
    ("veo3", {}, "dedicated", 31460, "250", 19647),
    ("veo3", {"resolution": "1080p"}, "dedicated", 31460, "255", 20040),
    ("veo3", {"resolution": "4k"}, "v4", 31460, "380", 29863),
    ("veo3", {"resolution": "4k", "image_urls": ["https://e.com/a"]}, "dedicated", 31460, "370", 29077),
    ("veo3_fast", {"resolution": "4k"}, "dedicated", 15730, "180", 14146),
    ("veo3_fast", {}, "jobs", 15730, None, None),
]


@pytest.mark.parametrize(("model", "params", "wire", "contract", "credits", "kopecks"), PRICES)
def test_the_prices_of_the_six(model, params, wire, contract, credits, kopecks):
    """Contract in kopecks, today's credits, and these in kopecks rounded up. Source: Kie's price feed, 2026-09-24."""
    price = quote(bundled().get(model), params, wire, RATES)

    assert (price.contract, price.credits, price.wire) == (
        contract,
        None if credits is None else Decimal(credits),
        kopecks,
    )


def test_a_price_reads_like_a_sentence():
    """Both prices are shown."""
    price = quote(bundled().get("gpt-4o-image"), {}, "dedicated", RATES)

    assert str(price) == "39.33 RUB (Kie charges 6 credits today, 0.030 USD; with the markup about 4.72 RUB)"


def test_kopecks_are_rounded_up():
    """A budget must never be short by a fraction."""
    assert Rates(Decimal(1), Decimal(1)).kopecks(Decimal("0.01")) == 1


def test_the_contract_is_reserved_where_there_is_one():
    """The contract's price wins over today's."""
    assert quote(bundled().get("gpt-4o-image"), {}, "dedicated", RATES).reserve == 3933


def test_the_legacy_prices_are_the_registrys():
    """Every legacy id has a price in roubles."""
    assert all(quote(model, {}, "jobs", RATES).reserve is not None for model in bundled() if model.hidden)
