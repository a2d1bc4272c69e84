"""What goes wrong with prices, prompts, keys, plugins and ledger files. Each of 58 faults has its number."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import os
import pickle
import sqlite3
import sys
import traceback

import pytest

from kie_core import ConfigError, InvalidJob, Kie, LedgerError, PluginFailed, SubmitUnknown

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
MODEL = "gpt-4o-image"
PRICE = 3933
INPUTS = {"prompt": "a cat"}


# --- 47 ----------------------------------------------------------------------------------


@pytest.fixture
def priced(vendor, tmp_path):
    """A registry of the user's own, whose one model costs what is said; returns its path."""

    def at(credits):
        row = {
            "model_id": "my-sketch", "title": "My Sketch", "api_category": "4o-image", "output_type": "image/png",
            "input_schema": {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
            "wire_pricing": {"rows": [{"credits": credits}]},
        }  # fmt: skip
        vendor.offer(row)
        path = tmp_path / "registry.json"
        path.write_text(json.dumps({"models": [row]}))
        return str(path)

    return at


@pytest.mark.parametrize(("today", "bought"), [(6, True), (6.2, True), (4, True), (7, False), (600, False)])
async def test_a_price_that_rose_since_it_was_planned_is_not_paid(scene, vendor, priced, today, bought):  # 47
    """Some tolerance aside; a lower one is."""
    async with scene.client(registry=priced(6), wire="v4") as kie:
        job = await kie.enqueue("my-sketch", INPUTS)
    async with scene.client(registry=priced(today), wire="v4") as kie:
        await kie.drive(job.id)
        entry = await kie.entry(job.id)
        assert (await scene.booked(kie))[0] == 0

    assert (entry.state, vendor.posts) == (("succeeded", 1) if bought else ("cancelled", 0))
    assert bought or f"its price rose from 6 to {today} credits" in entry.reason


# --- 48, 49 ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prompt",
    ["a \0 cat", "חתול \u202e טוב", "🐈\u200d⬛ e\u0301 \ufeff", 'a "cat" \\ \n\t \u2028', "cat " * 700],
    ids=["nul", "right to left", "emoji", "quotes", "long"],
)
async def test_an_odd_prompt_arrives_as_it_was_typed(scene, vendor, prompt):  # 48
    """Letter by letter, at the vendor and in the ledger."""
    async with scene.client() as kie:
        job = await kie.enqueue(MODEL, {"prompt": prompt})
        await kie.drive(job.id)

        assert (await kie.entry(job.id)).inputs.params["prompt"] == prompt
    assert vendor.purchases() == {prompt: 1}


@pytest.mark.parametrize(
    ("model", "prompt"), [(MODEL, "half a \ud83d cat"), ("suno-v4", "a" * 1024**2)], ids=["half a letter", "a megabyte"]
)
async def test_a_prompt_that_cannot_be_sent_is_refused_before_anything_is_written(scene, vendor, model, prompt):  # 48
    """Half a letter, and more than the model takes."""
    async with scene.client() as kie:
        for buy in (kie.submit, kie.enqueue):
            with pytest.raises(InvalidJob, match="prompt|inputs"):
                await buy(model, {"prompt": prompt})

        assert await kie.jobs() == []
    assert vendor.posts == 0


@pytest.mark.parametrize(
    "key", ["abc\ndefghijklmnop", "schlüssel-schlüssel", "abc defghijklmnop", "abc\0defghijklmnop", " "]
)
def test_a_key_that_no_header_can_carry_is_refused_when_it_is_read(key, monkeypatch):  # 49
    """From wherever it comes, and the message does not repeat it."""
    with pytest.raises(ConfigError) as caught:
        Kie(key)

    assert "key" in str(caught.value)
    assert key.strip() == "" or not any(part in str(caught.value) for part in ("defghijklmnop", "schl"))
    if "\0" not in key and key.strip():
        monkeypatch.setenv("KIE_API_KEY", key)
        with pytest.raises(ConfigError):
            Kie()


# --- 55 ----------------------------------------------------------------------------------

ODD = """
import contextlib
import time
from kie_core import Endpoint, hookimpl, jobs_outcome

ENDPOINTS = {"jobs": Endpoint.jobs()}
mood = ""

def register_models():
    return [{"model_id": "odd-sketch", "title": "Odd Sketch", "api_category": "odd", "output_type": "image/png",
             "rub_per_use": 39.33,
             "input_schema": {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}}}]

def feel(hook):
    if mood == f"raises in {hook}":
        raise ZeroDivisionError("oh")
    if mood == f"exits in {hook}":
        raise SystemExit(3)
    if mood == f"hangs in {hook}":
        time.sleep(1.05)

@hookimpl
def endpoint_for(job):
    feel("endpoint_for")
    return ENDPOINTS[job.wire]

@hookimpl
def build_payload(job):
    feel("build_payload")
    body = {"model": job.model.id, "input": {"prompt": job.params["prompt"]}}
    if mood == "changes its mind":
        body["input"]["prompt"] = "a dog"
    sent.append(body)
    with contextlib.suppress(TypeError):
        job.params["prompt"] = "a dog"
    return body

sent = []

@hookimpl
def parse_result(job, body):
    feel("parse_result")
    return jobs_outcome(job, body)

@hookimpl
def job_accepted(job, task_id):
    for body in sent:
        body["input"]["prompt"] = "a dog"
    feel("job_accepted")

@hookimpl
def job_finished(job, task_id, outcome):
    feel("job_finished")
"""


@pytest.fixture
def odd(install, vendor):
    """An outsider's plugin that behaves as it feels."""
    install("kie-odd", {"odd": "kie_odd_test"}, {"kie_odd_test": ODD})
    vendor.offer({"model_id": "odd-sketch", "output_type": "image/png"})
    return importlib.import_module("kie_odd_test")


@pytest.mark.parametrize("mood", ["raises", "exits"])
@pytest.mark.parametrize("hook", ["endpoint_for", "build_payload"])
async def test_a_plugin_that_breaks_before_the_purchase_buys_nothing(scene, vendor, odd, mood, hook):  # 55
    """It is named, and nothing is written."""
    odd.mood = f"{mood} in {hook}"
    async with scene.client(plugins="odd") as kie:
        with pytest.raises(PluginFailed, match="'odd'"):
            await kie.submit("odd-sketch", INPUTS)

        assert await kie.jobs() == []
    assert vendor.posts == 0


@pytest.mark.parametrize("mood", ["raises", "exits"])
@pytest.mark.parametrize("hook", ["job_accepted", "job_finished"])
async def test_a_plugin_that_breaks_after_the_purchase_changes_nothing(scene, vendor, odd, mood, hook):  # 55
    """What it was told, it was told."""
    odd.mood = f"{mood} in {hook}"
    async with scene.client(plugins="odd") as kie:
        task = await kie.generate("odd-sketch", INPUTS)

        assert (await kie.entry(task.job.id)).state == "succeeded"
    assert vendor.purchases() == {"a cat": 1}


async def test_a_plugin_that_cannot_read_a_task_leaves_it_running(scene, vendor, odd):  # 55
    """It is paid; when the plugin can read again, it ends."""
    odd.mood = "raises in parse_result"
    async with scene.client(plugins="odd") as kie:
        task = await kie.submit("odd-sketch", INPUTS)
        with pytest.raises(PluginFailed) as caught:
            await task.wait()
        assert caught.value.handle == task.handle
        assert await scene.standing(kie, task.job.id) == ("running", PRICE)
        odd.mood = ""

        assert (await task.wait()).state == "succeeded"
    assert vendor.posts == 1


async def test_a_plugin_that_hangs_is_told_of(scene, vendor, odd, caplog):  # 55
    """Hooks are plain functions, which nobody can stop; whoever waits sees at whom to look."""
    odd.mood = "hangs in build_payload"
    async with scene.client(plugins="odd") as kie:
        await kie.submit("odd-sketch", INPUTS)

    assert "plugin 'odd' took" in caplog.text
    assert vendor.posts == 1


async def test_what_is_bought_is_what_was_decided(scene, vendor, odd):  # 55
    """A plugin changes neither the inputs, nor the request that it gave, nor that of a job that waits."""
    async with scene.client(plugins="odd") as kie:
        job = await kie.enqueue("odd-sketch", INPUTS)
        for body in odd.sent:
            body["input"]["prompt"] = "a dog"
        assert (await kie.entry(job.id)).inputs.params == INPUTS
    odd.mood = "changes its mind"
    async with scene.client(plugins="odd") as kie:
        await kie.drive(job.id)

    assert vendor.purchases() == {"a cat": 1}


# --- 56 ----------------------------------------------------------------------------------


async def cannot_buy(scene, vendor, words, kind=""):
    """Neither way to buy works, nothing is sent, and the message says what to do."""
    async with scene.client() as kie:
        for buy in (kie.submit, kie.enqueue):
            with pytest.raises(LedgerError, match=words) as caught:
                await buy(MODEL, INPUTS)
            assert (caught.value.kind, bool(caught.value.remedy)) == (kind, True)
    assert vendor.posts == 0


@pytest.mark.parametrize("whole", [False, True], ids=["in part", "as a whole"])
async def test_a_damaged_ledger_buys_nothing(scene, vendor, whole):  # 56
    """The message says what to do with the file."""
    async with scene.client() as kie:
        for number in range(20):
            await kie.enqueue(MODEL, {"prompt": f"cat {number} " * 50})
    content = bytearray(scene.ledger.read_bytes())
    content[0 if whole else 4096 : None if whole else 16384] = os.urandom(len(content) if whole else 12288)
    scene.ledger.write_bytes(content)

    await cannot_buy(scene, vendor, "damaged or no ledger.*move .* away", "corrupt")


async def test_a_ledger_of_a_newer_version_buys_nothing(scene, vendor):  # 56
    """Nothing is changed in it."""
    with sqlite3.connect(scene.ledger) as ledger:
        ledger.execute("PRAGMA user_version = 99")
    ledger.close()
    before = scene.ledger.read_bytes()

    await cannot_buy(scene, vendor, "schema 99.*pip install -U kie-core")

    assert scene.ledger.read_bytes() == before


async def test_a_database_of_something_else_buys_nothing(scene, vendor):  # 56
    """Nothing is written into it."""
    with sqlite3.connect(scene.ledger) as ledger:
        ledger.execute("CREATE TABLE cats (name TEXT)")
    ledger.close()

    await cannot_buy(scene, vendor, "a database of something else.*KIE_LEDGER")


async def test_an_old_sqlite_buys_nothing(scene, vendor, monkeypatch):  # 56
    """It cannot keep the books."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))

    await cannot_buy(scene, vendor, "too old.*3.37")


# --- 57 ----------------------------------------------------------------------------------

FORKS = """
import asyncio, glob, json, os, sys
from kie_core import Kie

async def buy(kie, prompt):
    job = await kie.enqueue("gpt-4o-image", {"prompt": prompt})
    await kie.advance(job.id)
    await kie.recover(wait_timeout=0)  # asks, over connections that are kept

def spills():
    return set(glob.glob(settings["ledger"] + ".spill-*"))

settings = json.loads(sys.argv[1])
loop = asyncio.new_event_loop()
kie = Kie(**settings)
loop.run_until_complete(kie.__aenter__())
loop.run_until_complete(buy(kie, "before"))
ours = spills()
assert len(ours) == 1
child = os.fork()
if not child:
    other = asyncio.new_event_loop()
    if sys.argv[2] == "buys":
        other.run_until_complete(buy(kie, "child"))
        assert len(spills()) == 2
    other.run_until_complete(kie.__aexit__(None, None, None))
    sys.stdout.flush()
    os._exit(0)
_, status = os.waitpid(child, 0)
assert spills() == ours
loop.run_until_complete(buy(kie, "after"))
loop.run_until_complete(kie.__aexit__(None, None, None))
loop.close()
assert not spills()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("child", ["buys", "leaves"])
async def test_a_client_that_is_forked_opens_everything_anew(scene, vendor, child):  # 57
    """Parent and child buy what they should, each under a name of its own, and take nothing from each other."""
    settings = scene.settings(creates_per_10_seconds=1000)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FORKS, json.dumps(settings), child)

    assert await process.wait() == 0
    assert vendor.purchases() == dict.fromkeys(["before", "after", *(["child"] if child == "buys" else [])], 1)
    async with scene.client() as kie:
        jobs = await kie.jobs()
        owners = {event.owner for entry in jobs for event in await kie.history(entry.id)}
        assert {entry.state for entry in jobs} == {"running"}
        assert len(owners) == (2 if child == "buys" else 1)
        assert await scene.booked(kie) == (len(jobs) * PRICE, 0)


# --- 58 ----------------------------------------------------------------------------------


async def test_neither_log_nor_error_nor_repr_shows_key_or_token(scene, vendor, clock, door, caplog, until):  # 58
    """At the finest level, for a purchase, an unknown one, a callback and a result."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "kie_core")
    shown = []
    async with scene.client(callback_url=door.url) as kie:
        door.inbox = kie
        task = await kie.submit(MODEL, INPUTS)
        await clock.sleep(3)
        await until(lambda: vendor.sent)
        await task.wait()
        vendor.faults.add("create-cut-json*1")
        try:
            await kie.submit(MODEL, {"prompt": "a dog"})
        except SubmitUnknown as error:
            shown += [*traceback.format_exception(error), repr(error), str(pickle.dumps(error))]
        shown += [repr(one) for one in (kie, kie.settings, task, await kie.jobs(), await kie.history(task.job.id))]
    shown += [caplog.text, *(repr(record.args) for record in caplog.records), *map(str, shown)]
    tokens = [create.callback.rpartition("/")[2] for create in vendor.creates]

    assert len(tokens) == 2
    assert "answered HTTP 200" in caplog.text
    assert not [text for text in shown for secret in (KEY, *tokens) if secret in text]
    assert not [secret for secret in (KEY, *tokens) if secret.encode() in scene.ledger.read_bytes()]
