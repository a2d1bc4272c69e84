"""What a bot adds to `KieGenerator.generate`: a name for the order, and the limits of the person who ordered."""

from __future__ import annotations

import pytest

from kie_core import Budget
from kie_core.generator import KieGenerator
from kie_sandbox import Sandbox, serve

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("in_haste")]

MODEL = "gpt-4o-image"
INPUTS = {"prompt": "a cute cat"}


@pytest.fixture
def world():
    return Sandbox(speed=1000.0)


@pytest.fixture
def generator(world, tmp_path):
    with serve(sandbox=world) as url:
        yield KieGenerator(api_key="any", base_url=url, ledger=str(tmp_path / "ledger.sqlite"), language="ru")


async def test_the_same_order_is_bought_once(generator, world):
    """Asking again under the same job key gives the same task and its result, and sends nothing."""
    first = await generator.generate(MODEL, INPUTS, job_key="order-17")

    again = await generator.generate(MODEL, INPUTS, job_key="order-17")

    assert first["success"]
    assert again == first
    assert len(world.creates) == 1


async def test_a_key_of_another_order_is_refused(generator, world):
    """A job key with other inputs is an error, says that nothing was bought, and sends nothing."""
    await generator.generate(MODEL, INPUTS, job_key="order-17")

    other = await generator.generate(MODEL, {"prompt": "a dog"}, job_key="order-17")

    assert (other["success"], other["error_code"]) == (False, "INVALID_INPUT")
    assert "ничего не куплено" in other["message"]
    assert len(world.creates) == 1


async def test_what_is_no_job_key_is_a_mistake_of_the_caller(generator, world):
    """A job key that the ledger cannot take raises before anything is sent."""
    with pytest.raises(ValueError, match="job_key"):
        await generator.generate(MODEL, INPUTS, job_key="")

    assert not world.create_times


async def test_each_person_has_limits_of_their_own(generator, world):
    """The limit of one call counts for its scope alone; who is over it is told, and nothing is sent."""
    poor, rich = Budget(max_total_rub=30, scope="user:1"), Budget(max_total_rub=300, scope="user:2")

    refused = await generator.generate(MODEL, INPUTS, budget=poor)
    bought = await generator.generate(MODEL, INPUTS, budget=rich)

    assert refused["error_code"] == "BUDGET_EXCEEDED"
    assert bought["success"]
    assert [entry.plan.model for entry in rich.entries] == [MODEL]
    assert len(world.create_times) == 1


async def test_a_limit_of_the_call_comes_beside_those_of_the_generator(world, tmp_path):
    """A generator's own limit still holds where a call brings another."""
    ledger = str(tmp_path / "ledger.sqlite")
    with serve(sandbox=world) as url:
        strict = KieGenerator(api_key="any", base_url=url, ledger=ledger, budget=Budget(max_price_rub=30))
        refused = await strict.generate(MODEL, INPUTS, budget=Budget(max_price_rub=100, scope="user:1"))

    assert refused["error_code"] == "BUDGET_EXCEEDED"
    assert not world.create_times
