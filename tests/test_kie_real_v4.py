"""The real tests of the original system, by their names, for the V4 contract: in the sandbox, and at Kie itself.

At Kie they **cost money**, at the most what the two limits say, counted in your own ledger over all runs::

    KIE_REAL_TESTS=1 KIE_API_KEY=... pytest tests/test_kie_real_v4.py -v -s

Without both variables they are skipped there, and the very same functions run against the sandbox over a real port.
"""

from __future__ import annotations

import pytest

from kie_core.generator import MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB
from kie_core.router import get_all_v4_models, is_v4_model

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1000)]
PROMPT = {"prompt": "a cute cat"}
PICTURE = {"image_url": "https://example.com/cat.jpg"}


async def makes(place, model_id):
    answer = await place.generator().generate(model_id, PROMPT, print, timeout=900)

    assert answer["success"], answer["message"]
    assert answer["result_urls"]
    assert answer["task_id"]
    assert 0 < place.budget.spent <= MAX_TOTAL_BUDGET_RUB


async def test_gpt_4o_image_cheap(place):
    """The cheapest picture: 39 roubles by the contract."""
    await makes(place, "gpt-4o-image")


async def test_flux_kontext_cheap(place):
    """The second: 47."""
    await makes(place, "flux-kontext")


async def test_suno_v4_cheap(place):
    """The cheapest song: 78."""
    await makes(place, "suno-v4")


def test_v4_models_exist():
    """Six, each with category, endpoint and price."""
    rows = get_all_v4_models()

    assert len(rows) == 6
    for row in rows:
        assert is_v4_model(row["model_id"])
        assert row["api_category"]
        assert row["api_endpoint"].startswith("/")
        assert row["pricing"]["rub_per_use"] > 0


@pytest.mark.parametrize(
    ("model_id", "inputs"), [("veo3", PROMPT), ("veo3_fast", PROMPT), ("runway-gen3-turbo", {**PICTURE, **PROMPT})]
)
async def test_budget_check(place, model_id, inputs):
    """Videos cost more than one job may: they are refused before anything is sent, so no real run ever buys one."""
    before = place.creates()

    answer = await place.generator().generate(model_id, inputs)

    assert answer["error_code"] == "BUDGET_EXCEEDED"
    assert f"{MAX_PRICE_RUB}.00" in answer["message"]
    assert place.creates() == before
    assert place.budget.spent + place.budget.reserved <= MAX_TOTAL_BUDGET_RUB
