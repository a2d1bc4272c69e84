"""All that the description of the original system promises, point by point: each has a test that names it."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import itertools
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

import kie_registry
from kie_core import Budget, load_dispatcher, load_settings
from kie_core._cli.main import kie as command
from kie_core.builder import build_payload, get_model_config, get_model_schema, load_source_of_truth
from kie_core.client_v3 import KieApiClient
from kie_core.client_v4 import KieApiClientV4
from kie_core.generator import MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB, KieGenerator
from kie_core.router import (
    build_category_payload,
    get_all_v4_models,
    get_api_category_for_model,
    get_api_endpoint_for_model,
    get_base_url_for_category,
    is_v4_model,
    load_v4_source_of_truth,
)

pytestmark = pytest.mark.anyio
CAT = {"prompt": "a cat"}
V3 = "ideogram-v3-text-to-image-quality"
REAL = Path(__file__).parents[1] / "test_kie_real_v4.py"

#: The points, in the order of the description, in our words.
BULLETS = {
    "source.1": "a registry file with six models that work",
    "source.2": "the models are grouped by five categories",
    "source.3": "every category has its own endpoints",
    "source.4": "prices are in roubles",
    "source.5": "gpt-4o-image is the cheapest picture, 39",
    "source.6": "flux-kontext costs 47",
    "source.7": "suno-v4 is the cheapest sound, 78",
    "source.8": "veo3_fast costs 157",
    "source.9": "runway-gen3-turbo makes video of an image, 235",
    "source.10": "veo3 costs 314",
    "router.1": "a model leads to its category",
    "router.2": "a payload is built for the category",
    "router.3": "a model leads to its endpoint",
    "router.4": "old code goes on",
    "client.1": "create_task, get_record_info and poll_task_until_complete are coroutines that return dicts",
    "client.2": "endpoints by category are served",
    "client.3": "the model id decides where a job goes",
    "client.4": "what did not work is tried again",
    "client.5": "everything is logged in detail",
    "generator.1": "KIE_USE_V4, by default true",
    "generator.2": "V4 models take the V4 builder and client, all others those of V3",
    "generator.3": "V3 and V4 models run at the same time",
    "real.1": "a cheap test of gpt-4o-image",
    "real.2": "a cheap test of flux-kontext",
    "real.3": "a cheap test of suno-v4",
    "real.4": "a test of the structure",
    "real.5": "a test of the budget",
    "real.6": "no expensive model is tested: MAX_PRICE_RUB is 100",
    "real.7": "all tests together cost no more than MAX_TOTAL_BUDGET_RUB, 300",
    "real.8": "what was spent is known",
    "use.1": "a payload is printed without a key",
    "use.2": "a real test runs with a key",
    "use.3": "KIE_USE_V4=false is for the 210 old models",
    "use.4": "models can be looked at without a key",
    "results.1": "six models with price and category are listed",
    "results.2": "the payload of a cute cat",
    "results.3": "all five real tests pass",
    "architecture.1": "old code works with KIE_USE_V4=false",
    "architecture.2": "one generator, V3 and V4",
    "architecture.3": "one may move step by step",
    "architecture.4": "routing goes by the model alone: category, endpoint, payload",
    "architecture.5": "builder, router, two clients and a generator are modules of their own",
    "learned.1": "Kie changed its interface, and callers do not feel it",
    "learned.2": "categories have endpoints of their own",
    "learned.3": "210 old models: which of them work is written down",
    "learned.4": "six new models work",
    "advice.1": "use V4, the default",
    "advice.2": "begin with the cheap ones",
    "advice.3": "watch the budget",
    "advice.4": "move bots step by step",
    "next.1": "the source of truth V4",
    "next.2": "the generator speaks V4",
    "next.3": "a router for categories",
    "next.4": "real tests can be run",
    "next.5": "lists show V4 models only",
    "next.6": "the old source of truth is out of the way",
    "later.1": "models are cached",
    "later.2": "which models are popular can be counted",
    "later.3": "tries are repeated with growing pauses",
    "later.4": "webhooks report finished jobs",
    "files.1": "the new files",
    "files.2": "the changed files",
    "files.3": "what stays: 210 old models, their builder and their client",
}
_SHOWN = Counter()


def shows(*points):
    """Name the points that a test is about."""

    def keep(test):
        _SHOWN.update(points)
        return test

    return keep


def test_every_point_has_exactly_one_test():
    """None is left out, none is made up."""
    assert dict(_SHOWN) == dict.fromkeys(BULLETS, 1)


# --- the source of truth ------------------------------------------------------------------

CONTRACT = json.loads(Path(__file__).parents[1].joinpath("registry", "contract_v4.json").read_text(encoding="utf-8"))
#: As the description prints them.
SIX = {
    "veo3": ("314.6", "veo3"),
    "veo3_fast": ("157.3", "veo3"),
    "runway-gen3-turbo": ("235.95", "runway"),
    "suno-v4": ("78.65", "suno"),
    "gpt-4o-image": ("39.33", "4o-image"),
    "flux-kontext": ("47.19", "flux-kontext"),
}


def run(*words):
    return CliRunner().invoke(command, list(words))


def row_of(model_id):
    return next(row for row in get_all_v4_models() if row["model_id"] == model_id)


@shows("source.1", "learned.4", "next.1")
async def test_six_models_work(scene):
    """They are in the registry, and each makes something."""
    assert set(SIX) == {row["model_id"] for row in load_v4_source_of_truth()["models"]}
    generator = scene.facade(KieGenerator)
    for row in CONTRACT:
        inputs = {"image_url": "https://example.com/a.png", **CAT} if row["modality"] == "image-to-video" else CAT
        answer = await generator.generate(row["model_id"], inputs)
        assert answer["success"], answer


@shows("source.2")
def test_five_categories_group_the_models():
    """Two of the six share one."""
    groups = Counter(row["api_category"] for row in get_all_v4_models())

    assert groups == {"veo3": 2, "suno": 1, "4o-image": 1, "flux-kontext": 1, "runway": 1}
    assert {get_base_url_for_category(category) for category in groups} == {"https://api.kie.ai"}


@shows("source.3", "learned.2")
def test_every_category_has_one_endpoint_of_its_own():
    """In the contract, and at Kie."""
    dispatcher = load_dispatcher(load_settings())
    by_contract, at_kie = {}, {}
    for row in CONTRACT:
        inputs = {"image_url": "https://example.com/a.png", **CAT} if row["modality"] == "image-to-video" else CAT
        job = dispatcher.job(row["model_id"], inputs, job_id="j1")
        by_contract.setdefault(row["api_category"], set()).add(get_api_endpoint_for_model(row["model_id"]))
        at_kie.setdefault(row["api_category"], set()).add(dispatcher.endpoint(job).create)

    for found in (by_contract, at_kie):
        assert all(len(paths) == 1 for paths in found.values())
        assert len(set.union(*found.values())) == 5


@shows("source.4")
def test_prices_are_in_roubles():
    """Of each of the six."""
    assert {row["model_id"]: f"{row['pricing']['rub_per_use']:g}" for row in get_all_v4_models()} == {
        model_id: price for model_id, (price, _) in SIX.items()
    }


@shows("source.5", "source.6", "source.7", "source.8", "source.9", "source.10")
def test_the_price_list_of_the_description():
    """In whole roubles, cheapest first, and what each makes."""
    rows = sorted(get_all_v4_models(), key=lambda row: row["pricing"]["rub_per_use"])

    assert [(row["model_id"], int(row["pricing"]["rub_per_use"])) for row in rows] == [
        ("gpt-4o-image", 39), ("flux-kontext", 47), ("suno-v4", 78), ("veo3_fast", 157), ("runway-gen3-turbo", 235),
        ("veo3", 314),
    ]  # fmt: skip
    cheapest = {}
    for row in rows:
        cheapest.setdefault(row["output_type"].partition("/")[0], row["model_id"])
    assert cheapest == {"image": "gpt-4o-image", "audio": "suno-v4", "video": "veo3_fast"}
    assert row_of("runway-gen3-turbo")["modality"] == "image-to-video"


# --- the router ---------------------------------------------------------------------------


@shows("router.1")
def test_a_model_leads_to_its_category():
    """By its id alone."""
    assert {model_id: get_api_category_for_model(model_id) for model_id in SIX} == {
        model_id: category for model_id, (_, category) in SIX.items()
    }


@shows("router.2")
def test_a_payload_is_built_for_the_category():
    """Each category has its own fields."""
    fields = {
        model_id: set(build_category_payload(model_id, CAT)) for model_id in SIX if model_id != "runway-gen3-turbo"
    }

    assert fields == {
        "veo3": {"prompt", "model", "aspect_ratio", "duration_seconds"},
        "veo3_fast": {"prompt", "model", "aspect_ratio", "duration_seconds"},
        "suno-v4": {"prompt", "make_instrumental", "duration_seconds"},
        "gpt-4o-image": {"prompt", "size", "quality"},
        "flux-kontext": {"prompt", "width", "height"},
    }


@shows("router.3")
def test_a_model_leads_to_its_endpoint():
    """The example of the description."""
    assert get_api_endpoint_for_model("veo3") == "/veo3/text_to_video"
    assert get_api_endpoint_for_model("gpt-4o-image") == "/4o-image/generate"


@shows("router.4")
def test_old_code_finds_what_it_knew():
    """Names, parameters and what they return."""
    signatures = {
        get_api_category_for_model: ["model_id"],
        get_api_endpoint_for_model: ["model_id"],
        get_base_url_for_category: ["category"],
        build_category_payload: ["model_id", "inputs"],
        is_v4_model: ["model_id"],
        get_all_v4_models: [],
        load_v4_source_of_truth: [],
        load_source_of_truth: [],
        get_model_schema: ["model_id"],
        get_model_config: ["model_id"],
        build_payload: ["model_id", "user_inputs"],
    }
    for function, names in signatures.items():
        assert list(inspect.signature(function).parameters) == names


# --- the clients --------------------------------------------------------------------------


@shows("client.1")
async def test_the_three_calls_of_a_client(scene):
    """In both clients, with the parameters of the original in their order."""
    expected = {
        "create_task": ["self", "model_id", "payload"],
        "get_record_info": ["self", "task_id"],
        "poll_task_until_complete": ["self", "task_id", "max_wait_seconds", "poll_interval"],
    }
    for kind in (KieApiClientV4, KieApiClient):
        for name, parameters in expected.items():
            call = getattr(kind, name)
            assert inspect.iscoroutinefunction(call)
            assert list(inspect.signature(call).parameters)[: len(parameters)] == parameters

    client = scene.facade(KieApiClientV4)
    made = await client.create_task("gpt-4o-image", build_category_payload("gpt-4o-image", CAT))
    task_id = made["data"]["taskId"]
    assert isinstance(await client.get_record_info(task_id), dict)
    assert (await client.poll_task_until_complete(task_id))["resultUrls"]


@shows("client.2", "client.3")
async def test_the_model_id_decides_where_a_job_goes(scene, vendor):
    """To the call of its category."""
    client = scene.facade(KieApiClientV4)
    for model_id in ("gpt-4o-image", "flux-kontext", "suno-v4", "veo3"):
        await client.create_task(model_id, build_category_payload(model_id, CAT))

    assert [create.path for create in vendor.creates] == [
        "/api/v1/gpt4o-image/generate",
        "/api/v1/flux/kontext/generate",
        "/api/v1/generate",
        "/api/v1/veo/generate",
    ]


@shows("client.4")
async def test_what_was_not_bought_is_tried_again_and_nothing_else(scene, vendor):
    """Three refusals for now, then a task; a create of which nobody knows is sent once."""
    client, payload = scene.facade(KieApiClientV4), build_category_payload("gpt-4o-image", CAT)
    vendor.faults.add("create-code=429*2")
    assert (await client.create_task("gpt-4o-image", payload))["code"] == 200
    assert vendor.posts == 3

    vendor.faults.add("create-reset*1")
    assert (await client.create_task("gpt-4o-image", payload))["code"] == "SUBMIT_UNKNOWN"
    assert vendor.posts == 4


@shows("client.5")
async def test_what_happens_is_logged(scene, caplog):
    """From the create to the result, and every request at the finest level, without the key."""
    caplog.set_level(logging.DEBUG, "kie_core")
    answer = await scene.facade(KieGenerator).generate("gpt-4o-image", CAT)

    told = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert any(level == logging.INFO and f"accepted as task {answer['task_id']}" in text for level, text in told)
    assert any(level == logging.INFO and f"task {answer['task_id']} is succeeded" in text for level, text in told)
    assert any(level == logging.DEBUG and "/api/v1/gpt4o-image/generate" in text for level, text in told)
    assert scene.settings()["api_key"] not in caplog.text


# --- the generator ------------------------------------------------------------------------


@shows("generator.1", "advice.1")
def test_v4_is_the_default(monkeypatch):
    """The variable turns it off."""
    assert KieGenerator().use_v4
    monkeypatch.setenv("KIE_USE_V4", "true")
    assert KieGenerator().use_v4
    monkeypatch.setenv("KIE_USE_V4", "false")
    assert not KieGenerator().use_v4


@shows("generator.2", "generator.3", "architecture.2", "next.2")
async def test_one_generator_runs_v3_and_v4_at_the_same_time(scene, vendor):
    """Each by its own way; a body is the one that its builder makes."""
    generator = scene.facade(KieGenerator)

    answers = await asyncio.gather(generator.generate("gpt-4o-image", CAT), generator.generate(V3, CAT))

    assert [answer["success"] for answer in answers] == [True, True]
    bodies = {create.path: dict(create.body) for create in vendor.creates}
    assert bodies["/api/v1/jobs/createTask"] == build_payload(V3, CAT)
    assert "/api/v1/gpt4o-image/generate" in bodies


# --- the real tests -----------------------------------------------------------------------


@shows("real.1", "real.2", "real.3", "real.4", "real.5", "results.3", "use.2", "next.4")
async def test_the_five_real_tests_exist_and_pass():
    """By their names; here against the sandbox, with a key and a variable against Kie."""
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", "-rA", str(REAL)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "KIE_"))}
    done = await asyncio.to_thread(
        subprocess.run, words, cwd=REAL.parents[1], env=environ, capture_output=True, text=True, timeout=100
    )

    passed = {
        line.rpartition("::")[2].partition("[")[0] for line in done.stdout.splitlines() if line.startswith("PASSED ")
    }
    assert passed == {
        "test_gpt_4o_image_cheap", "test_flux_kontext_cheap", "test_suno_v4_cheap", "test_v4_models_exist",
        "test_budget_check",
    }, done.stdout + done.stderr  # fmt: skip
    assert "KIE_REAL_TESTS" in REAL.read_text(encoding="utf-8")


@shows("real.6", "advice.2")
async def test_an_expensive_model_is_over_the_limit_and_a_cheap_one_is_not(scene, vendor):
    """Where the constant is made a budget."""
    assert MAX_PRICE_RUB == 100
    generator = scene.facade(KieGenerator, budget=Budget(max_price_rub=MAX_PRICE_RUB))
    inputs = {"image_url": "https://example.com/a.png", **CAT}

    refused = [
        model_id
        for model_id in SIX
        if (await generator.generate(model_id, inputs if "runway" in model_id else CAT))["error_code"]
        == "BUDGET_EXCEEDED"
    ]

    assert refused == ["veo3", "veo3_fast", "runway-gen3-turbo"]
    assert len(vendor.creates) == 3


@shows("real.7", "real.8", "advice.3")
async def test_a_budget_bounds_all_and_tells_what_was_spent(scene, vendor):
    """300 roubles: the price is reserved, and settled with what Kie charged."""
    assert MAX_TOTAL_BUDGET_RUB == 300
    budget = Budget(max_total_rub=MAX_TOTAL_BUDGET_RUB)
    generator = scene.facade(KieGenerator, budget=budget)
    assert (await generator.generate("gpt-4o-image", CAT))["success"]
    assert (float(budget.spent), budget.reserved, len(budget.entries)) == (4.72, 0, 1)

    assert (await generator.generate("veo3", CAT))["error_code"] == "BUDGET_EXCEEDED"
    assert len(vendor.creates) == 1


# --- how it is used -----------------------------------------------------------------------

SAMPLES = """
from kie_core.router import build_category_payload
payload = build_category_payload('gpt-4o-image', {'prompt': 'cat'})
print(payload)

from kie_core.router import get_all_v4_models, is_v4_model
print(is_v4_model('gpt-4o-image'))
models = get_all_v4_models()
print(f"Found {len(models)} V4 models:")
for m in models:
    print(f"  - {m['model_id']}: {m['pricing']['rub_per_use']}\u20bd ({m['api_category']})")

payload = build_category_payload('gpt-4o-image', {'prompt': 'cute cat'})
print(f"Payload: {payload}")

from kie_core.router import get_api_category_for_model, get_api_endpoint_for_model
model_id = 'gpt-4o-image'
print(get_api_category_for_model(model_id), get_api_endpoint_for_model(model_id))
"""
PRINTED = """\
{'prompt': 'cat', 'size': '1024x1024', 'quality': 'standard'}
True
Found 6 V4 models:
  - veo3: 314.6\u20bd (veo3)
  - veo3_fast: 157.3\u20bd (veo3)
  - runway-gen3-turbo: 235.95\u20bd (runway)
  - suno-v4: 78.65\u20bd (suno)
  - gpt-4o-image: 39.33\u20bd (4o-image)
  - flux-kontext: 47.19\u20bd (flux-kontext)
Payload: {'prompt': 'cute cat', 'size': '1024x1024', 'quality': 'standard'}
4o-image /4o-image/generate
"""


async def ran(source, **environ):
    """Run a program as a user does, with every warning an error, and return what it prints."""
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-W", "error", "-c", source], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environ}, encoding="utf-8",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@shows("use.1", "use.4", "results.1", "results.2")
@pytest.mark.parametrize("use_v4", ["true", "false"])
async def test_the_samples_print_what_the_description_prints(use_v4):
    """Without a key, in both modes; only the module's name has changed."""
    assert await ran(SAMPLES, KIE_USE_V4=use_v4) == PRINTED


ROUTING = """
import asyncio, os
from kie_core.builder import build_payload
from kie_core.client_v3 import KieApiClient
from kie_core.client_v4 import KieApiClientV4
from kie_core.router import build_category_payload, is_v4_model

KIE_USE_V4 = os.getenv('KIE_USE_V4', 'true')

async def made(model_id, inputs):
    if KIE_USE_V4 == 'true' and is_v4_model(model_id):
        payload = build_category_payload(model_id, inputs)
        client = KieApiClientV4()
    else:
        payload = build_payload(model_id, inputs)
        client = KieApiClient()
    answer = await client.create_task(model_id, payload)
    record = await client.poll_task_until_complete(answer['data']['taskId'], poll_interval=0.1)
    return record['state']

for model_id in os.environ['MODELS'].split():
    print(model_id, asyncio.run(made(model_id, {'prompt': 'cat'})))
"""


@shows("use.3", "architecture.1", "architecture.3", "advice.4")
@pytest.mark.parametrize(("use_v4", "models"), [("true", ["gpt-4o-image", V3]), ("false", [V3])])
async def test_a_bot_of_the_original_runs_in_both_modes(scene, vendor, clock, use_v4, models):
    """Its own routing, over our names: the settings come from the environment, and nothing is bought twice."""
    clock.let_run()
    vendor.speed = 2000.0
    printed = await ran(
        ROUTING, KIE_USE_V4=use_v4, MODELS=" ".join(models), KIE_BASE_URL=vendor.url,
        KIE_API_KEY=scene.settings()["api_key"],
    )  # fmt: skip

    assert printed.split("\n")[:-1] == [f"{model_id} success" for model_id in models]
    assert vendor.posts == len(models)
    refused = await scene.facade(KieGenerator, use_v4=False).generate("gpt-4o-image", CAT)
    assert refused["error_code"] == "UNKNOWN_MODEL"


# --- architecture, findings, next steps -----------------------------------------------------


@shows("architecture.4", "next.3")
def test_routing_goes_by_the_model_alone():
    """The example of the description, and what is not V4 has no route."""
    model_id = "gpt-4o-image"

    assert is_v4_model(model_id) is True
    assert get_api_category_for_model(model_id) == "4o-image"
    assert get_api_endpoint_for_model(model_id) == "/4o-image/generate"
    assert list(build_category_payload(model_id, CAT)) == ["prompt", "size", "quality"]
    assert (is_v4_model(V3), get_api_category_for_model(V3)) == (False, None)


@shows("architecture.5", "files.1", "files.2")
def test_every_file_has_its_place():
    """Modules, registries, tests and pages."""
    for name, word in {
        "builder": "build_payload",
        "router": "build_category_payload",
        "client_v4": "KieApiClientV4",
        "client_v3": "KieApiClient",
        "generator": "KieGenerator",
    }.items():
        assert hasattr(importlib.import_module(f"kie_core.{name}"), word)
    assert len(json.loads(kie_registry.read("kie_source_of_truth_v4.json"))["models"]) == 6
    assert REAL.exists()
    assert REAL.parents[1].joinpath("docs", "migration.md").exists()


@shows("learned.1")
@pytest.mark.parametrize("wire", ["dedicated", "jobs", "v4"])
async def test_however_kie_calls_it_a_caller_says_and_gets_the_same(scene, wire):
    """Three dialects, one payload, one kind of result."""
    client = scene.facade(KieApiClientV4, wire=wire)
    answer = await client.create_task("gpt-4o-image", build_category_payload("gpt-4o-image", CAT))

    record = await client.poll_task_until_complete(answer["data"]["taskId"])

    assert (record["state"], len(record["resultUrls"])) == ("success", 1)


@shows("learned.3", "files.3")
def test_what_became_of_the_210_is_written_down():
    """179 work again, 22 are gone, 9 are unclear; builder and client are there."""
    rows = load_source_of_truth()["models"]

    assert Counter(row["status"] for row in rows) == {"current": 179, "gone": 22, "unclear": 9}
    assert build_payload(V3, CAT)["model"] == "ideogram/v3-text-to-image"
    assert get_model_config(V3)["input_schema"] == get_model_schema(V3)
    assert issubclass(KieApiClient, object)


@shows("next.5", "next.6")
def test_lists_show_none_of_the_old_ids():
    """The 210 are out of the way, and there for who asks; the six stand first, before today's market."""
    shown = [row["id"] for row in json.loads(run("models", "--json").stdout)]
    everything = {row["id"] for row in json.loads(run("models", "--all", "--json").stdout)}
    old = {row["model_id"] for row in load_source_of_truth()["models"]}

    assert set(shown[:6]) == set(SIX)
    assert not old & set(shown)
    assert old <= everything


@shows("later.1")
def test_registries_are_read_once(monkeypatch):
    """However often one asks; the file is not opened again."""
    kie_registry.read(kie_registry.V4)
    monkeypatch.setattr(kie_registry, "path", None)

    assert len(get_all_v4_models()) == 6
    assert is_v4_model("veo3")


@shows("later.2")
async def test_popular_models_can_be_counted(scene):
    """The ledger knows every job, and who asks needs no tool of its own."""
    generator = scene.facade(KieGenerator)
    for model_id in ("gpt-4o-image", "gpt-4o-image", V3):
        await generator.generate(model_id, CAT)

    async with scene.client() as kie:
        used = Counter(entry.plan.model for entry in await kie.jobs("succeeded"))

    assert used.most_common() == [("gpt-4o-image", 2), (V3, 1)]


@shows("later.3")
async def test_pauses_between_tries_grow(scene):
    """Where nothing left this machine: five tries, each pause longer than the one before."""
    client = scene.facade(KieApiClientV4, base_url="https://nothing.invalid")
    await client.create_task("gpt-4o-image", build_category_payload("gpt-4o-image", CAT))

    async with scene.client() as kie:
        (entry,) = await kie.jobs()
        tries = [event.at for event in await kie.history(entry.id) if event.state == "submitting"]

    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert len(pauses) == 4
    assert pauses == sorted(pauses)
    assert pauses[-1] > 2 * pauses[0]


@shows("later.4")
async def test_a_webhook_reports_a_job_of_the_original_names(scene, vendor, clock, door, until):
    """Bought through the old name, ended by Kie's callback, without a question of the buyer's."""
    async with scene.client(callback_url=door.url) as kie:
        door.inbox = kie
        client = scene.facade(KieApiClientV4, callback_url=door.url)
        await client.create_task("gpt-4o-image", build_category_payload("gpt-4o-image", CAT))
        await clock.sleep(5)

        async def ended():
            return await kie.jobs("succeeded")

        (entry,) = await until(ended)
        assert entry.outcome.urls
    assert 200 in [sent.status for sent in vendor.sent]
