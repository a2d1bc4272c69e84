"""Raw jobs: what the caller wrote, unchecked, over createTask, with the same ledger, budgets and recovery as any other."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

from kie_core import (
    Budget,
    InvalidJob,
    Kie,
    OverBudget,
    Schedule,
    SubmitUnknown,
    UnknownModel,
    UnknownWire,
    load_dispatcher,
    load_settings,
)
from kie_core._cli.inputs import read_inputs
from kie_core._cli.main import kie as command
from kie_core._client import as_decided
from kie_core._dispatch.raw import LARGEST
from kie_core._jobs.convert import plain, structured
from kie_core._ledger.entry import Entry, Plan
from kie_core._models.model import model_from_row

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
INPUTS = {"prompt": 5, "new_knob": {"deep": [1, None, "x"]}, "size": None}


class Universal:
    """A Kie that speaks createTask and recordInfo alone; keeps every create."""

    def __init__(self, server, http_bytes):
        self.server, self.http_bytes = server, http_bytes
        self.creates, self.answer_of_create = [], None

    async def answer(self, reader, writer):
        head, _, content = self.server.received[-1].partition(b"\r\n\r\n")
        path = head.split()[1]
        if head.startswith(b"POST"):
            self.creates.append((path.decode(), json.loads(content)))
            body = self.answer_of_create or {"code": 200, "data": {"taskId": f"t{len(self.creates)}"}}
        elif path.startswith(b"/files/"):
            writer.write(self.http_bytes(PNG))
            return
        elif path.startswith(b"/api/v1/jobs/recordInfo"):
            result = json.dumps({"resultUrls": [f"{self.server.url}/files/a.png"]})
            body = {"code": 200, "data": {"state": "success", "resultJson": result, "creditsConsumed": 7}}
        else:
            body = {"code": 404, "msg": "no such path"}
        if body == "lost":
            writer.close()
            return
        writer.write(self.http_bytes(json.dumps(body)))

    def client(self, **arguments):
        settings = {"base_url": self.server.url, "plugins": "none", "creates_per_10_seconds": 10_000, **arguments}
        return Kie(KEY, schedule=Schedule(first=0.01, longest=0.02), **settings)


@pytest.fixture
async def vendor(raw_server, http_bytes):
    made = Universal(raw_server, http_bytes)
    async with raw_server.answering(made.answer):
        yield made


def dispatcher(**settings):
    return load_dispatcher(load_settings({"plugins": "none", **settings}))


async def test_what_was_written_is_sent_and_nothing_else(vendor, tmp_path):
    """No conversion, no default, no check, one create, and the result is saved; without any plugin."""
    async with vendor.client() as kie:
        task = await kie.generate("new/model-9", INPUTS, raw=True)
        paths = await task.save(tmp_path)
        (entry,) = await kie.jobs()

    assert vendor.creates == [("/api/v1/jobs/createTask", {"model": "new/model-9", "input": INPUTS})]
    assert [path.read_bytes() for path in paths] == [PNG]
    assert (entry.state, entry.plan.raw, entry.plan.category, entry.plan.wire) == ("succeeded", True, "raw", "jobs")
    assert entry.spent == int(entry.plan.actual(task.outcome)) > 0


async def test_a_known_model_is_sent_as_it_is_called(vendor):
    """Nothing of its row is applied, not even its category's own call; its name at createTask is only mentioned."""
    async with vendor.client() as kie:
        task = await kie.submit("gpt-4o-image", {"prompt": "cat"}, raw=True)
        entry = await kie.entry(task.handle)

    assert vendor.creates == [("/api/v1/jobs/createTask", {"model": "gpt-4o-image", "input": {"prompt": "cat"}})]
    assert (entry.plan.contract, entry.plan.credits, entry.reserved) == (None, None, 0)


async def test_it_goes_on_in_the_next_process(vendor, tmp_path):
    """Listed, resumed by its id and by its handle, and saved: the registry has never heard of it."""
    ledger = str(tmp_path / "ledger.sqlite")
    async with vendor.client(ledger=ledger) as kie:
        handle = (await kie.submit("new/model-9", INPUTS, raw=True, price_credits=8)).handle

    async with vendor.client(ledger=ledger) as kie:
        (entry,) = await kie.jobs("running")
        assert await kie.recover(out=tmp_path / "out") == {}
        task = await kie.task(entry.id)
        outcome = await kie.attach(handle).wait()
        done = await kie.entry(entry.id)

    assert (task.job.raw, task.job.model.id, task.job.params) == (True, "new/model-9", INPUTS)
    assert (outcome.state, outcome.credits, done.state, done.unsaved) == ("succeeded", 7.0, "succeeded", False)
    assert len(list((tmp_path / "out").rglob("*.png"))) == 1
    assert len(vendor.creates) == 1


async def test_a_handle_suffices_where_the_ledger_is_another(vendor, tmp_path):
    """Of an unknown id, of an old id, and of a known one whose plugin does not speak that wire."""
    for model in ("new/model-9", "gpt-4o-image"):
        async with vendor.client(ledger="memory:") as kie:
            handle = (await kie.submit(model, {}, raw=True)).handle
        async with vendor.client(ledger="memory:") as kie:
            if model == "new/model-9":
                assert len(await kie.attach(handle).save(tmp_path)) == 1
                with pytest.raises(UnknownModel):
                    kie.attach(handle.replace(":jobs:", ":dedicated:"))


async def test_an_acme_id_that_went_raw_is_read_raw(acme, vendor, tmp_path):
    """The plan of the job says how it is read, not the registry; with a handle alone the wire says it."""
    ledger = str(tmp_path / "ledger.sqlite")
    async with vendor.client(plugins="acme", ledger=ledger) as kie:
        handle = (await kie.submit(acme, {"odd": 1}, raw=True)).handle
    for place in (ledger, "memory:"):
        async with vendor.client(plugins="acme", ledger=place) as kie:
            assert (await kie.attach(handle).wait()).state == "succeeded"


async def test_an_unanswered_create_is_unknown_and_never_repeated(vendor):
    """As for every job."""
    vendor.answer_of_create = "lost"
    async with vendor.client() as kie:
        with pytest.raises(SubmitUnknown) as caught:
            await kie.submit("new/model-9", {}, raw=True, price_credits=10)
        (entry,) = await kie.jobs("unknown")

    assert len(vendor.creates) == 1
    assert caught.value.handle == entry.handle()
    assert entry.reserved == entry.plan.wire_price > 0


async def test_a_limit_refuses_what_has_no_price(vendor):
    """Unless it is allowed, or the caller says what is expected; that is reserved and held against the limit."""
    budget = Budget(max_total_rub=20)
    async with vendor.client(budget=budget) as kie:
        with pytest.raises(OverBudget):
            await kie.submit("new/model-9", {}, raw=True)
        with pytest.raises(OverBudget):
            await kie.submit("new/model-9", {}, raw=True, price_credits=100)
        assert vendor.creates == []
        task = await kie.submit("new/model-9", {"n": 1}, raw=True, price_credits=Decimal("8.5"))
        price = task.job.price
        assert (price.credits, price.contract, budget.reserved * 100) == (Decimal("8.5"), None, price.wire)
        await kie.submit("new/model-9", {"n": 2}, raw=True, allow_unknown_price=True)

    assert len(vendor.creates) == 2


async def test_a_queued_raw_job_is_sent_by_the_next_process_at_the_price_that_was_said(vendor, tmp_path):
    """What the registry thinks of that id is no reason to stop it."""
    ledger = str(tmp_path / "ledger.sqlite")
    async with vendor.client(ledger=ledger) as kie:
        await kie.enqueue("gpt-4o-image", {"a": 1}, raw=True, price_credits=1, job_key="k")
        again = await kie.enqueue("gpt-4o-image", {"a": 1}, raw=True, price_credits=1, job_key="k")
    async with vendor.client(ledger=ledger) as kie:
        assert await kie.drive() == {}
        (entry,) = await kie.jobs()

    assert (entry.id, entry.state, len(vendor.creates)) == (again.id, "succeeded", 1)


def test_without_its_plugin_a_job_of_the_market_is_read_by_the_core():
    """It was installed when the job was bought, and is not any more."""
    assert dispatcher().raw_model_for("new/model-9", "market", "data").category == "raw"


@pytest.mark.parametrize(
    "inputs",
    [
        {"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {"a": {1: 2}}, {1: "a"}, {"a": b"x"}, {"a": {1, 2}},
        {"a": "\ud800"}, {"a": 10**400}, ["a"], "a", 7, {"a": "x" * LARGEST},
    ],
)  # fmt: skip
def test_what_cannot_be_sent_is_refused(inputs):
    """No JSON, half a character, too large: nothing is written and nothing is sent."""
    with pytest.raises(InvalidJob):
        dispatcher().raw_job("new/model-9", inputs, job_id="j")


def test_inputs_without_a_floor_are_refused():
    """Nested without end, or in themselves."""
    deep, ring = [], []
    for _ in range(5000):
        deep = [deep]
    ring += [ring, ring]

    for value in (deep, ring):
        with pytest.raises(InvalidJob, match="nested more than"):
            dispatcher().raw_job("new/model-9", {"a": value}, job_id="j")


@pytest.mark.parametrize("model", ["", " ", " a", "a\n", "a  b", "x" * 201, "a\x1b[2J", "a\u202eb", None, 7])
def test_an_id_that_moves_cursors_is_none(model):
    """It goes into commands and messages as it stands."""
    with pytest.raises(InvalidJob, match="no model id") as caught:
        dispatcher().raw_job(model, {}, job_id="j")
    assert all(line.isprintable() for line in str(caught.value).split("\n"))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("price", [0, -1, float("nan"), float("inf"), "many", True, 10**9])
def test_a_price_that_is_none_is_refused(price):
    """A price of nothing would pass every limit."""
    with pytest.raises(ValueError, match="price_credits"):
        dispatcher().raw_job("m", {}, job_id="j", price_credits=price)


def test_a_raw_job_does_not_change_with_the_callers_values():
    """What is bought is decided when it is decided."""
    inputs = {"a": [1]}
    job = dispatcher().raw_job("m", inputs, job_id="j")
    inputs["a"].append(2)

    assert job.params == {"a": [1]}


def test_raw_and_price_go_together(acme):
    """A price for a job that the registry prices is a slip; so is another wire, and raw for a job that is made."""
    made = Kie(KEY)

    with pytest.raises(TypeError, match="raw=True"):
        made.job(acme, {"prompt": "a"}, price_credits=5)
    with pytest.raises(UnknownWire):
        made.job("m", {}, raw=True, wire="dedicated")
    with pytest.raises(TypeError, match="carries its own"):
        as_decided(made.job("m", {}, raw=True), None, None, raw=True, price_credits=None)
    assert made.payload("m", {"a": 1}, raw=True).body == {"model": "m", "input": {"a": 1}}


def test_doubts_about_the_id_are_said():
    """A model that moved or left, and one that createTask calls otherwise."""
    row = {"title": "T", "api_category": "raw", "output_type": "image/png"}
    models = [
        model_from_row({**row, "model_id": "new-name", "older_ids": ["old-name"]}),
        model_from_row({**row, "model_id": "ours", "wire_model": "theirs"}),
        model_from_row({**row, "model_id": "left", "status": "gone", "note": "removed in May"}),
    ]
    from kie_core._dispatch.raw import raw_model
    from kie_core._models.registry import Registry

    registry = Registry({}).extended(models)
    said = [raw_model(name, registry, "raw").caution for name in ("old-name", "ours", "left", "other")]

    assert "Kie calls it 'new-name' today" in said[0]
    assert "createTask calls it 'theirs'" in said[1]
    assert "removed in May" in said[2]
    assert all(text.startswith("raw: nothing was checked") for text in said)


def test_errors_about_what_the_registry_lacks_name_raw(acme):
    """An unknown model, and an unknown input; not an old name, and no other fault."""
    made = Kie(KEY)

    with pytest.raises(UnknownModel, match=r"raw=True \(--raw\) sends it to createTask"):
        made.job("new/model-9")
    with pytest.raises(InvalidJob, match=r"raw=True \(--raw\) sends what its row lacks"):
        made.job(acme, {"prompt": "a", "knob": 1})
    with pytest.raises(InvalidJob) as caught:
        made.job(acme, {"prompt": ""})
    assert "raw" not in str(caught.value)
    assert "raw" not in str(UnknownModel("a", ("b",), "b"))


def test_entries_of_before_are_read():
    """A ledger that was written without the word is of jobs that are not raw."""
    job = dispatcher().raw_job("m", {}, job_id="j")
    plan = Plan(
        model="m", category="c", media="image", wire="jobs", create="/a", query="/b", task_param="t",
        callback_field=None, contract=1, credits=None, wire_price=None, unit=None, kopecks_per_credit="1", limits=(),
        seconds=1.0,
    )  # fmt: skip
    written = plain(plan)
    written.pop("raw")

    assert structured(written, Plan) == plan
    assert job.raw
    assert isinstance(Entry(id="j", account="a", plan=plan, inputs=None, fingerprint=""), Entry)


# --- the command line --------------------------------------------------------------------


def run(*words, **environ):
    return CliRunner().invoke(command, list(words), env={"KIE_PLUGINS": "none", **environ})


KNOWN = model_from_row(
    {
        "model_id": "m", "title": "M", "api_category": "acme", "output_type": "image/png",
        "input_schema": {"properties": {"prompt": {"type": "string"}, "urls": {"type": "array"}}},
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("a=5", 5), ("a=0.5", 0.5), ("a=true", True), ("a=null", None), ("a=[1,2]", [1, 2]), ('a={"b":1}', {"b": 1}),
        ('a="5"', "5"), ("a=cat", "cat"), ("a=", ""), ("a=NaN", "NaN"), ("a={odd", "{odd"), ("prompt=5", "5"),
        ("urls=x", ["x"]),
    ],
)  # fmt: skip
def test_raw_inputs_are_typed_by_what_they_look_like(pair, value):
    """JSON where it is JSON, else text; what the model knows has its type."""
    assert list(read_inputs(KNOWN, [pair], None, raw=True).values()) == [value]


def test_payload_shows_what_raw_would_send():
    """Both ways, without a key."""
    shown = run("payload", "new/model-9", "a=5", "--raw", "--price-credits", "8", "--json")

    assert shown.exit_code == 0
    made = json.loads(shown.stdout)
    assert (made["body"], made["wire"], made["category"]) == (
        {"model": "new/model-9", "input": {"a": 5}},
        "jobs",
        "raw",
    )
    assert made["price"]["credits"] == 8
    assert "raw: nothing was checked" in shown.stderr
    assert "price unknown" in run("payload", "new/model-9", "--raw").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("new/model-9",), "raw=True (--raw)"),
        (("gpt-4o-image", "prompt=a", "--price-credits", "5"), "--price-credits goes with --raw"),
        (("m", "--raw", "--price-credits", "0"), "above 0"),
        (("m", "--raw", "--price-credits", "nan"), "above 0"),
        (("m", "--raw", "--wire", "v4"), "wire"),
    ],
)
def test_slips_with_raw_are_usage(words, said):
    """Exit code 2; nothing is sent."""
    result = run("payload", *words)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.usefixtures("in_haste")
async def test_generate_raw_needs_a_price_or_leave(vendor, tmp_path):
    """Not on a terminal: --allow-unknown-price, or --price-credits."""
    import asyncio

    environ = {"KIE_API_KEY": KEY, "KIE_BASE_URL": vendor.server.url, "KIE_LEDGER": str(tmp_path / "l.sqlite")}
    words = ("generate", "new/model-9", "prompt=cat", "--raw", "--out", str(tmp_path / "out"))

    refused = await asyncio.to_thread(run, *words, **environ)
    assert (refused.exit_code, vendor.creates) == (2, [])
    assert "--allow-unknown-price" in " ".join(refused.stderr.replace("│", " ").split())
    bought = await asyncio.to_thread(run, *words, "--price-credits", "8", **environ)
    listed = await asyncio.to_thread(run, "jobs", **environ)

    assert (bought.exit_code, len(vendor.creates)) == (0, 1)
    assert bought.stdout.strip().endswith(".png")
    assert "new/model-9" in listed.stdout
