"""Prices: the contract's, Kie's of today, and when one is unknown."""

from __future__ import annotations

from decimal import Decimal

import pytest

from kie_core._models.model import model_from_row
from kie_core._models.price import Rates, quote
from kie_core._models.registry import bundled

RATES = Rates(Decimal("78.58546168958742"), Decimal(2))
PRICES = [
    ("gpt-4o-image", {}, "dedicated", 3933, "6", 472),
    ("gpt-4o-image", {"n_variants": 4}, "dedicated", 4 * 3933, None, None),
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
    ("veo3_fast", {}, "jobs", 15730, "250", 19647),
    ("veo3_fast", {"resolution": "4k"}, "jobs", 15730, "380", 29863),
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


def test_the_higher_price_is_reserved():
    """The contract's of the six; today's where it rose above the registry's. A limit is then never exceeded."""
    assert quote(bundled().get("gpt-4o-image"), {}, "dedicated", RATES).reserve == 3933
    clip = model_from_row({**CLIP, "rub_per_use": 0.01})

    price = quote(clip, {"resolution": "720p"}, "jobs", RATES)

    assert price.contract == 1
    assert price.reserve == price.wire > 1


@pytest.mark.parametrize(
    ("model", "params", "kopecks"),
    [
        ("google-nano-banana-text-to-image", {}, 314),
        ("ideogram-v3-remix-image-to-image-turbo", {"num_images": "4"}, 4 * 275),
        ("ideogram-v3-remix-image-to-image-turbo", {}, 275),
        ("elevenlabs-text-to-speech-turbo-25", {"text": "a" * 1001}, 2 * 472),
        ("elevenlabs-audio-isolation", {}, None),
        ("topaz-video-upscaler-upscale-factor-1x2x4xs", {}, None),
        ("elevenlabs-speech-to-text", {}, None),
        ("qwen-image-text-to-image", {}, None),
    ],
)
def test_the_registrys_price_is_that_of_the_whole_job(model, params, kopecks):
    """Times the images, or the thousands of characters; of a length that only Kie knows afterwards it is unknown."""
    assert quote(bundled().get(model), params, "jobs", RATES).contract == kopecks


def test_an_old_id_costs_what_the_model_that_serves_it_does():
    """Where that is known; its own rows count first."""
    old = model_from_row({**CLIP, "model_id": "old", "wire_pricing": {"rows": []}, "rub_per_use": 1})
    served_by = model_from_row(CLIP)
    params = {"resolution": "720p"}

    assert quote(old, params, "jobs", RATES, served_by).credits == quote(served_by, params, "jobs", RATES).credits
    assert quote(old, params, "jobs", RATES).credits is None


CLIP = {
    "model_id": "clip",
    "title": "Clip",
    "api_category": "acme",
    "output_type": "video/mp4",
    "input_schema": {
        "properties": {
            "duration": {"type": "string", "vendorDefault": "5"},
            "resolution": {"type": "string", "enum": ["720p", "1080p"]},
            "sound": {"type": "boolean", "vendorDefault": False},
            "images": {"type": "array", "items": {"type": "string"}},
            "video": {"type": "string"},
        }
    },
    "wire_pricing": {
        "as_of": "2026-10-01",
        "rows": [
            {"credits": 9, "per": "second", "times": "unknown", "when": {"video": {"present": True}}},
            {
                "credits": 3,
                "per": "second",
                "times": {"value": "duration"},
                "when": {"resolution": "720p", "sound": True},
            },
            {"credits": 2, "per": "second", "times": {"value": "duration"}, "when": {"resolution": "720p"}},
            {"credits": None, "per": "second", "when": {"resolution": "1080p", "sound": True}},
            {"credits": 4, "per": "second", "times": {"value": "duration"}, "at_most": True},
        ],
        "extras": [{"credits": 0.5, "per": "image", "times": {"items": "images", "after": 1}}],
    },
}


@pytest.mark.parametrize(
    ("params", "credits", "at_most"),
    [
        ({"resolution": "720p", "duration": "10"}, "20", False),
        ({"resolution": "720p"}, "10", False),
        ({"resolution": "720p", "sound": True}, "15", False),
        ({"resolution": "720p", "images": ["a", "b", "c"]}, "11", False),
        ({}, "20", True),
        ({"resolution": "1080p"}, "20", True),
        ({"resolution": "1080p", "sound": True}, None, False),
        ({"resolution": "720p", "video": "a"}, None, False),
        ({"resolution": "720p", "duration": "-1"}, None, False),
    ],
)
def test_a_price_is_a_row_times_what_it_counts_and_what_comes_beside(params, credits, at_most):
    """The vendor's defaults count; what nobody can count makes the price unknown, never too low."""
    price = quote(model_from_row(CLIP), params, "jobs", RATES)

    assert (price.credits, price.at_most) == (None if credits is None else Decimal(credits), at_most)
    assert (price.wire is None) == (credits is None)


def test_a_price_that_may_be_lower_says_so():
    """It is reserved in full."""
    price = quote(model_from_row(CLIP), {}, "jobs", RATES)

    assert str(price) == "15.72 RUB (Kie charges at most 20 credits today, 0.100 USD)"
    assert price.reserve == 1572
