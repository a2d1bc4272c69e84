"""Budgets as values, in a client, on the command line, and with many who spend at once."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import pickle
from decimal import Decimal

import attrs
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_core import Budget, Kie, OverBudget, Refused, SubmitUnknown, load_dispatcher, load_settings
from kie_core._budget import Books, kopecks_of
from kie_core._cli.main import kie as command
from kie_core._jobs.answer import Answer
from kie_core._jobs.outcome import Artifact, Outcome
from kie_core._ledger.entry import read

pytestmark = pytest.mark.anyio
#: Roubles that the acme plugin's one model costs.
PRICE = Decimal("1.5")


# --- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "roubles", "kopecks"),
    [(100, "100", 10_000), ("39.33", "39.33", 3933), (0.29, "0.29", 29), (1.999, "1.99", 199), (0, "0", 0)],
)
def test_a_limit_is_kept_in_roubles_and_rounded_down(given, roubles, kopecks):
    """A limit of 1.999 must not allow 2."""
    budget = Budget(max_price_rub=given)

    assert budget.max_price_rub == Decimal(roubles)
    assert kopecks_of(budget.max_price_rub) == kopecks


@pytest.mark.parametrize("wrong", [-1, "ten", float("nan"), float("inf"), True, 10**16])
def test_what_is_no_amount_is_refused(wrong):
    """At once, with the value."""
    with pytest.raises(ValueError, match="expected roubles, 0 to"):
        Budget(max_total_rub=wrong)


def test_nothing_is_limited_unless_it_is_said():
    """And nothing was spent yet."""
    budget = Budget()

    assert (budget.max_price_rub, budget.max_total_rub) == (None, None)
    assert (budget.spent, budget.reserved, budget.entries) == (0, 0, ())


def test_a_budget_without_a_scope_is_one_of_its_kind():
    """Equal limits are not one limit; a copy in another process is."""
    one, other = Budget(max_total_rub=5), Budget(max_total_rub=5)

    assert one == other
    assert one.ledger_scope != other.ledger_scope
    assert pickle.loads(pickle.dumps(one)).ledger_scope == one.ledger_scope
    assert Budget(scope="user:7").ledger_scope == "user:7"


def test_books_forget_budgets_that_nobody_holds(make_job_entry):
    """A bot makes one for every message."""
    books = Books()
    for number in range(100):
        books.open(Budget(scope=f"user:{number}"))
    gc.collect()
    for number in range(100):
        books.note(make_job_entry(f"user:{number}"))

    assert books._held == {}


def test_old_news_of_a_job_change_nothing(make_job_entry):
    """Two answers may come in the wrong order."""
    books, budget = Books(), Budget(scope="user:7")
    books.open(budget)
    entry = make_job_entry("user:7")
    books.note(attrs.evolve(entry, revision=3, spent=150))
    books.note(attrs.evolve(entry, revision=2, reserved=150))

    assert (budget.spent, budget.reserved) == (PRICE, 0)


@pytest.fixture
def make_job_entry(acme):
    from kie_core._running.plan import Planner

    said = load_settings({"api_key": "sandbox"}, environ={})
    planner = Planner("account", said, load_dispatcher(said))

    def make(scope):
        job = planner.dispatcher.job("acme-sketch", {"prompt": "cat"}, job_id="job-1")
        return planner.planned(job, budgets=[Budget(scope=scope)])

    return make


# --- in a client ---------------------------------------------------------------------------


async def test_a_budget_tells_what_was_spent_on_it(fake):
    """Reserved while the job goes on, spent when it has ended, released where Kie refused."""
    budget = Budget(max_total_rub=300)
    async with fake.client(budget=budget) as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"})
        assert (budget.spent, budget.reserved) == (0, PRICE)
        await task.wait()
        assert (budget.spent, budget.reserved) == (PRICE, 0)
        fake.create = {"code": 422, "msg": "no"}
        with contextlib.suppress(Exception):
            await kie.submit("acme-sketch", {"prompt": "dog"})

    assert (budget.spent, budget.reserved) == (PRICE, 0)
    assert [(entry.state, entry.plan.model) for entry in budget.entries] == [
        ("succeeded", "acme-sketch"),
        ("failed", "acme-sketch"),
    ]


async def test_one_value_limits_all_clients_that_are_given_it(fake):
    """Together; an equal one is another limit."""
    budget = Budget(max_total_rub=2)
    async with fake.client(budget=budget) as one, fake.client(budget=budget) as two:
        await one.submit("acme-sketch", {"prompt": "cat"})
        with pytest.raises(OverBudget):
            await two.submit("acme-sketch", {"prompt": "cat"})
        async with fake.client(budget=Budget(max_total_rub=2)) as three:
            await three.submit("acme-sketch", {"prompt": "cow"})

    assert fake.creates == 2
    assert [entry.state for entry in budget.entries] == ["running", "cancelled"]


async def test_a_scope_remembers_what_an_earlier_process_spent(fake):
    """The budget says so from its first use on."""
    async with fake.client() as kie:
        task = await kie.submit("acme-sketch", {"prompt": "cat"}, budget=Budget(scope="user:7"))
        await task.wait()
    budget = Budget(max_total_rub=4, scope="user:7")
    async with fake.client(budget=budget) as kie:
        await kie.submit("acme-sketch", {"prompt": "dog"})
        with pytest.raises(OverBudget) as caught:
            await kie.submit("acme-sketch", {"prompt": "cow"})

    assert (budget.spent, budget.reserved) == (PRICE, PRICE)
    assert (caught.value.price, caught.value.limit) == (150, 400)
    assert (caught.value.spent, caught.value.reserved) == (150, 150)
    for amount in ("1.50 RUB", "4.00 RUB", "1.50 spent", "1.50 reserved"):
        assert amount in str(caught.value)


async def test_configured_limits_hold_for_the_whole_account(fake):
    """For every client and process, until the budget is reset."""
    async with fake.client(max_total_budget_rub=2) as kie:
        await kie.generate("acme-sketch", {"prompt": "cat"})
    async with fake.client(max_total_budget_rub=2) as kie:
        with pytest.raises(OverBudget):
            await kie.submit("acme-sketch", {"prompt": "dog"})
        await kie.reset_budget()
        await kie.submit("acme-sketch", {"prompt": "dog"})
    async with fake.client(max_price_rub=1) as kie:
        with pytest.raises(OverBudget, match="that one job may cost"):
            await kie.submit("acme-sketch", {"prompt": "cow"})

    assert fake.creates == 2


async def test_an_unknown_price_is_too_high_unless_it_is_allowed(fake_vendor, install, acme_source):
    """Allowed, it is booked when it is known: here never, for no price is."""
    source = acme_source.replace('"rub_per_use": 1.5,', "")
    install("kie-acme", {"acme": "kie_priceless_test"}, {"kie_priceless_test": source})
    budget = Budget(max_total_rub=300)
    async with fake_vendor.client(budget=budget) as kie:
        with pytest.raises(OverBudget, match="unknown"):
            await kie.submit("acme-sketch", {"prompt": "cat"})
        await kie.submit("acme-sketch", {"prompt": "cat"}, allow_unknown_price=True)

    assert fake_vendor.creates == 1
    assert (budget.reserved, len(budget.entries)) == (0, 1)


async def test_whoever_drives_keeps_to_its_own_limits(fake):
    """Jobs that somebody without any put into the ledger wait; what fits is booked on the driver's budget, too."""
    async with fake.client() as producer:
        jobs = [(await producer.enqueue("acme-sketch", {"prompt": str(number)})).id for number in range(3)]
    budget = Budget(max_total_rub=3)
    async with fake.client(budget=budget) as worker:
        faults = await worker.drive(*jobs, wait_timeout=2)
        states = [entry.state for entry in await worker.jobs()]
    async with fake.client(max_price_rub=1) as poor:
        with pytest.raises(OverBudget, match="one job may cost"):
            await poor.advance(next(iter(faults)))

    assert fake.creates == 2
    assert sorted(states) == ["queued", "succeeded", "succeeded"]
    assert [str(fault.limit) for fault in faults.values()] == ["300"]
    assert budget.spent + budget.reserved == 3


# --- many at once --------------------------------------------------------------------------


class Unhurried:
    """A vendor behind the HTTP client that takes, refuses or loses creates as it is told."""

    def __init__(self, fates):
        self.fates = iter(fates)
        self.creates = 0

    async def create(self, request, *, seconds, sendable):
        self.creates += 1
        fate = next(self.fates, "accepted")
        for _ in range(fate == "slow"):
            await asyncio.sleep(0)
        code = {"refused": 422, "lost": 500}.get(fate, 200)
        data = {"taskId": f"task-{self.creates}"} if code == 200 else None
        return Answer(200, json.dumps({"code": code, "msg": "", "data": data}).encode())

    def tell(self, request, answer):
        """Log nothing."""


@given(
    fates=st.lists(st.sampled_from(["accepted", "slow", "refused", "lost"]), min_size=8, max_size=16),
    limit=st.integers(0, 900),
    costs=st.lists(st.integers(0, 4), min_size=1, max_size=8),
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it only reads that
def test_many_submitters_together_never_exceed_a_limit(acme_dispatcher, fates, limit, costs):
    """Whatever Kie says to whom, in whatever order; what jobs cost in the end is what Kie reports, and is booked."""

    async def spend():
        budget = Budget(max_total_rub=Decimal(limit) / 100)
        said = load_settings({"api_key": "sandbox", "ledger": "memory:", "creates_per_10_seconds": 100_000}, environ={})
        async with Kie(settings=said, dispatcher=acme_dispatcher, budget=budget) as kie:
            runner = await kie._opened.for_buying()
            runner.buyer.http = Unhurried(fates)

            async def submit(number):
                try:
                    return await kie.submit("acme-sketch", {"prompt": f"{number}"}, wait_timeout=5)
                except (OverBudget, Refused, SubmitUnknown):
                    return None
                finally:
                    assert budget.spent + budget.reserved <= budget.max_total_rub

            tasks = [task for task in await asyncio.gather(*map(submit, range(len(fates)))) if task is not None]
            assert bool(runner.buyer.http.creates) == (limit >= 150)
            booked = {balance.scope: balance for balance in await kie.balances()}.get(budget.ledger_scope)
            assert booked is not None
            assert booked.spent + booked.reserved <= limit
            assert (booked.spent, booked.reserved) == (budget.spent * 100, budget.reserved * 100)
            for task, credits in zip(tasks, costs, strict=False):  # never more than was reserved
                done = Outcome(
                    "succeeded", (Artifact("image", "https://files.example.com/a.png"),), credits=credits / 10
                )
                entry = await runner.ledger.get(task.job.id)
                await runner.ledger.change(entry, lambda one, now, done=done: read(one, done, now))
            booked = {balance.scope: balance for balance in await kie.balances()}[budget.ledger_scope]
            assert (booked.spent, booked.reserved) == (budget.spent * 100, budget.reserved * 100)
            assert booked.spent + booked.reserved <= limit
            with pytest.raises(OverBudget):
                await kie.submit("acme-sketch", {"prompt": "more"}, budget=attrs.evolve(budget, max_price_rub=0))

    asyncio.run(spend())


@pytest.fixture
def acme_dispatcher(acme):
    return load_dispatcher(load_settings({"plugins": ["acme"]}, environ={}))


# --- on the command line -------------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(command, list(words))


async def bought(fake, **arguments):
    async with fake.client(**arguments) as kie:
        await kie.generate("acme-sketch", {"prompt": "cat"}, budget=Budget(max_total_rub=10, scope="user:7"))
        await kie.submit("acme-sketch", {"prompt": "dog"}, budget=Budget(max_total_rub=10, scope="user:7"))


async def test_the_command_shows_every_scope(fake):
    """In roubles; the account's own is there without any limit."""
    await bought(fake)

    shown = json.loads(run("budget", "--json").stdout)

    account = next(row for row in shown if row["scope"].startswith("account:"))
    assert {row["scope"]: row for row in shown} == {
        account["scope"]: {**account, "max_rub": None, "spent_rub": 1.5, "reserved_rub": 1.5, "left_rub": None},
        "user:7": {
            "scope": "user:7", "max_rub": 10.0, "spent_rub": 1.5, "reserved_rub": 1.5, "left_rub": 7.0, "reset_at": None,
        },
    }  # fmt: skip
    assert "user:7\t10.00\t1.50\t1.50\t7.00\t" in run("budget").stdout


async def test_the_command_lists_the_jobs_of_a_scope_and_resets_it(fake):
    """Afterwards what is reserved is left, and the job that goes on."""
    await bought(fake)

    before = json.loads(run("budget", "entries", "user:7", "--json").stdout)
    reset = run("budget", "reset", "user:7")
    after = json.loads(run("budget", "entries", "user:7", "--json").stdout)
    shown = {row["scope"]: row for row in json.loads(run("budget", "--json").stdout)}["user:7"]

    assert [row["state"] for row in before] == ["running", "succeeded"]
    assert "user:7 counts anew; 1.50 RUB stay reserved" in reset.stderr
    assert [row["state"] for row in after] == ["running"]
    assert (shown["spent_rub"], shown["reserved_rub"], shown["left_rub"]) == (0.0, 1.5, 8.5)
    assert shown["reset_at"] is not None


async def test_a_scope_that_nobody_booked_on_is_named(fake):
    """With those that there are, and nothing is changed."""
    await bought(fake)

    result = run("budget", "reset", "user:8")

    assert result.exit_code == 2
    assert "'user:8'" in result.stderr
    assert "user:7" in result.stderr


async def test_without_a_key_the_account_has_to_be_named(fake):
    """Nobody can say whose it is."""
    assert run("budget", "reset").exit_code == 3
    assert run("budget", "entries").exit_code == 3
    assert run("budget").exit_code == 0


async def test_a_price_limit_of_one_purchase(fake, monkeypatch):
    """Exit code 7, and nothing was sent."""
    monkeypatch.setenv("KIE_BASE_URL", fake.server.url)
    monkeypatch.setenv("KIE_API_KEY", fake.key)

    result = await asyncio.to_thread(run, "generate", "acme-sketch", "prompt=cat", "--no-save", "--max-price", "1")

    assert result.exit_code == 7
    assert "1.50 RUB, more than the 1.00 RUB" in result.stderr.replace("\n", " ")
    assert fake.creates == 0
