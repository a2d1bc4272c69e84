"""The real tests of the original system for V3: the 210 ids, through createTask, in the sandbox and at Kie itself.

At Kie they **cost money**, at the most what the two limits say, counted in your own ledger over all runs::

    KIE_REAL_TESTS=1 KIE_API_KEY=... pytest tests/test_kie_real.py -v -s
"""

from __future__ import annotations

import pytest

from kie_core.builder import build_payload, get_model_config, load_source_of_truth
from kie_core.generator import MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(1000)]
#: 3 roubles by the registry.
CHEAP = "google-nano-banana-text-to-image"
PROMPT = {"prompt": "a cute cat"}


def test_v3_models_exist():
    """210, of which some are gone."""
    assert len(load_source_of_truth()["models"]) == 210
    assert get_model_config(CHEAP)["rub_per_use"] <= MAX_PRICE_RUB


async def test_a_cheap_picture_through_the_generator(place):
    """With ``KIE_USE_V4=false``, where a model of the V4 contract is unknown."""
    generator = place.generator(use_v4=False)

    answer = await generator.generate(CHEAP, PROMPT, print, timeout=900)
    unknown = await generator.generate("gpt-4o-image", PROMPT)

    assert answer["success"], answer["message"]
    assert answer["result_urls"]
    assert unknown["error_code"] == "UNKNOWN_MODEL"
    assert 0 < place.budget.spent <= MAX_TOTAL_BUDGET_RUB


async def test_a_cheap_picture_through_the_client(place):
    """Created, asked about, and waited for, by its task id alone."""
    client = place.client_v3()
    task_id = (await client.create_task(CHEAP, build_payload(CHEAP, PROMPT)))["data"]["taskId"]

    assert (await client.get_record_info(task_id))["state"] in ("waiting", "generating", "success")
    record = await client.poll_task_until_complete(task_id, max_wait_seconds=900, poll_interval=place.interval)

    assert record["state"] == "success"
    assert record["resultUrls"]


async def test_a_dear_video_is_refused(place):
    """Before anything is sent, so no real run ever buys one."""
    before = place.creates()
    dear = next(
        row["model_id"]
        for row in load_source_of_truth()["models"]
        if row["rub_per_use"] > MAX_PRICE_RUB
        and row["status"] == "current"
        and row["input_schema"]["required"] == ["prompt"]
    )

    answer = await place.generator(use_v4=False).generate(dear, PROMPT)

    assert answer["error_code"] == "BUDGET_EXCEEDED"
    assert place.creates() == before
