"""The API clients of the original system: what they return, whatever happens, and that a job is bought once."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import httpx
import pytest

from kie_core import BadHandle, Budget, ConfigError, InvalidJob, UnknownJob, UnknownModel, UnknownWire
from kie_core.builder import build_payload
from kie_core.client_v3 import KieApiClient
from kie_core.client_v4 import KieApiClientV4
from kie_core.router import build_category_payload

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
V4, V3 = "gpt-4o-image", "ideogram-v3-text-to-image-quality"
CAT = {"prompt": "a cat"}
GOES_ON = ("waiting", "generating")
RECORD = {"taskId", "state", "resultUrls", "failCode", "failMsg", "raw"}
KINDS = {KieApiClientV4: (V4, build_category_payload), KieApiClient: (V3, build_payload)}
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def order(kind, **inputs):
    """What a caller of the original gives to create_task."""
    model_id, build = KINDS[kind]
    return model_id, build(model_id, {**CAT, **inputs})


async def created(client, **inputs):
    """Buy a picture and return Kie's id of the task."""
    answer = await client.create_task(*order(type(client), **inputs))
    return answer["data"]["taskId"]


async def ran(source, given):
    """Run a program with every warning an error, and return what it prints; it may complain of nothing."""
    words = [sys.executable, "-X", "dev", "-W", "error", "-c", source, json.dumps(given)]
    done = await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60)
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("Executing <")]  # a slow machine
    assert (done.returncode, complaints) == (0, [])
    return done.stdout


def assert_no_secret(*values):
    assert KEY not in repr(values)


# --- creating ---------------------------------------------------------------------------


@each
async def test_a_create_answers_in_the_shape_of_createtask(scene, vendor, kind):
    """Code, message and the task's id; one create."""
    answer = await scene.facade(kind).create_task(*order(kind))

    (made,) = vendor.creates
    assert answer == {"code": 200, "msg": "success", "data": {"taskId": made.task_id}}
    assert vendor.posts == 1


@pytest.mark.parametrize(
    "model_id", ["veo3", "veo3_fast", "runway-gen3-turbo", "suno-v4", "gpt-4o-image", "flux-kontext"]
)
@pytest.mark.parametrize("wire", [None, "jobs", "v4"])
async def test_the_payload_of_each_of_the_six_is_taken(scene, vendor, model_id, wire, caplog):
    """On every wire, with its defaults in it, and without a warning about what nobody chose."""
    inputs = {"image_url": "https://example.com/a.png", **CAT} if model_id == "runway-gen3-turbo" else CAT
    client = scene.facade(KieApiClientV4, wire=wire)

    answer = await client.create_task(model_id, build_category_payload(model_id, inputs))

    assert answer["data"]["taskId"] in vendor.tasks
    assert "is not sent" not in caplog.text


async def test_a_gateway_of_the_contract_gets_the_payload_as_it_is(scene, vendor):
    """At the endpoint of the contract."""
    payload = build_category_payload(V4, CAT)
    await scene.facade(KieApiClientV4, wire="v4").create_task(V4, payload)

    (made,) = vendor.creates
    assert (made.path, dict(made.body)) == ("/4o-image/generate", payload)


#: What Kie does to a create, and the code of the answer. A refusal has Kie's own.
REFUSALS = {
    "create-code=401": 401,
    "create-code=402": 402,
    "create-code=422": 422,
    "create-code=429": 429,
    "create-code=455": 455,
    "create-code=505": 505,
    "create-status=403": 403,
}
UNKNOWNS = [
    "create-code-made=500",
    "create-reset",
    "create-close",
    "create-html",
    "create-status=502",
    "create-cut-json",
    "create-silent",
]


@each
@pytest.mark.parametrize("fault", REFUSALS)
async def test_a_refusal_is_a_dict_with_kies_code(scene, vendor, kind, fault):
    """Nothing was bought, and it says so; nothing is reserved any more."""
    vendor.faults.add(fault)

    answer = await scene.facade(kind).create_task(*order(kind))

    assert answer.keys() == {"state", "error", "code"}
    assert (answer["state"], answer["code"]) == ("fail", REFUSALS[fault])
    assert "nothing was bought" in answer["error"]
    assert not vendor.creates
    async with scene.client() as kie:
        assert await scene.booked(kie) == (0, 0)
    assert_no_secret(answer)


@each
@pytest.mark.parametrize("fault", UNKNOWNS)
async def test_a_create_whose_fate_is_unknown_is_never_sent_again(scene, vendor, kind, fault):
    """It has a code of its own and a handle; whoever looks afterwards sends nothing either."""
    vendor.faults.add(fault)
    client = scene.facade(kind, create_timeout=0.3)

    answer = await client.create_task(*order(kind))

    assert answer.keys() == {"state", "error", "code", "handle"}
    assert (answer["state"], answer["code"]) == ("fail", "SUBMIT_UNKNOWN")
    assert "before you order it again" in answer["error"]
    assert answer["handle"].startswith("kie1:")
    vendor.faults.clear()
    async with scene.client() as kie:
        await kie.recover(wait_timeout=0)
        await kie.drive(wait_timeout=0)
        assert (await kie.entry(answer["handle"])).reserved > 0
    assert vendor.posts == 1
    assert_no_secret(answer)


@each
async def test_what_kie_takes_later_is_bought_once(scene, vendor, kind):
    """Two refusals for now, then a task."""
    vendor.faults.add("create-code=429*2")

    assert await created(scene.facade(kind)) in vendor.tasks
    assert (vendor.posts, len(vendor.creates)) == (3, 1)


@each
async def test_a_host_that_nobody_reaches_costs_nothing(scene, kind):
    """The code says that it is the network, the text that nothing was bought."""
    answer = await scene.facade(kind, base_url="https://nothing.invalid").create_task(*order(kind))

    assert (answer["state"], answer["code"]) == ("fail", "NETWORK")
    assert "nothing was bought" in answer["error"]


@each
async def test_without_a_key_nothing_is_sent(scene, vendor, kind):
    """The text names the variable."""
    answer = await scene.facade(kind, api_key=None).create_task(*order(kind))

    assert (answer["state"], answer["code"]) == ("fail", "UNAUTHORIZED")
    assert "nothing was sent: set KIE_API_KEY" in answer["error"]
    assert vendor.requests == []


@each
async def test_without_a_ledger_nothing_is_sent(scene, vendor, kind, tmp_path):
    """A record of purchases that cannot be written stops them."""
    (tmp_path / "file").write_text("in the way")

    answer = await scene.facade(kind, ledger=str(tmp_path / "file" / "ledger.sqlite")).create_task(*order(kind))

    assert (answer["state"], answer["code"]) == ("fail", "LEDGER")
    assert "nothing was sent" in answer["error"]
    assert vendor.posts == 0


@each
async def test_a_ledger_that_each_call_would_forget_stops_purchases(scene, vendor, kind):
    """In memory a limit would hold for one call only; inside async with it is kept."""
    client = scene.facade(kind, ledger="memory:")

    answer = await client.create_task(*order(kind))

    assert answer["code"] == "LEDGER"
    assert "async with" in answer["error"]
    assert vendor.posts == 0
    async with client:
        assert (await client.get_record_info(await created(client)))["state"] in GOES_ON


@each
async def test_a_job_over_the_budget_is_not_sent(scene, vendor, kind):
    """A limit counts over all calls of one object, and over all objects that are given it."""
    budget = Budget(max_total_rub=40)
    one, other = scene.facade(KieApiClientV4, budget=budget), scene.facade(kind, budget=budget)
    await created(one)

    answers = [await one.create_task(*order(KieApiClientV4)), await other.create_task(*order(kind))]

    assert {(answer["state"], answer["code"]) for answer in answers} == {("fail", "BUDGET_EXCEEDED")}
    assert all("Nothing was sent" in answer["error"] for answer in answers)
    assert vendor.posts == 1


@each
@pytest.mark.parametrize("wrong", [None, 7, ["x"]])
async def test_what_is_no_text_and_no_payload_is_a_value_error(scene, vendor, kind, wrong):
    """As a bot without types may give it; nothing is sent, and the error can be shown."""
    client = scene.facade(kind)
    model_id, payload = order(kind)

    for call in (
        client.create_task(model_id, wrong),
        client.create_task(str(wrong), payload),
        client.get_record_info(wrong),
        client.poll_task_until_complete(wrong),
    ):
        with pytest.raises(ValueError, match="cannot take|unknown model|a task id is text") as caught:
            await call
        assert str(wrong) in str(caught.value)
    with pytest.raises(UnknownModel):
        await client.create_task(None, payload)
    assert vendor.posts == 0


async def test_an_unknown_price_is_over_any_limit_unless_the_caller_allows_it(scene, vendor):
    """Nothing is sent; then it is bought."""
    client = scene.facade(KieApiClient, budget=Budget(max_price_rub=100))
    asked = "qwen-image-text-to-image", build_payload("qwen-image-text-to-image", {"prompt": "a cat"})

    assert ((await client.create_task(*asked))["code"], vendor.posts) == ("BUDGET_EXCEEDED", 0)
    assert (await client.create_task(*asked, allow_unknown_price=True))["code"] == 200


@each
async def test_limits_of_the_environment_count(scene, vendor, kind, monkeypatch):
    """They need no code of a bot's."""
    monkeypatch.setenv("KIE_MAX_PRICE_RUB", "5")

    answer = await scene.facade(kind).create_task(*order(kind))

    assert answer["code"] == "BUDGET_EXCEEDED"
    assert vendor.posts == 0


@each
@pytest.mark.parametrize("model_id", ["", "nothing"])
async def test_an_unknown_model_raises(scene, vendor, kind, model_id):
    """A ValueError, before anything is sent."""
    with pytest.raises(ValueError) as error:
        await scene.facade(kind).create_task(model_id, {"model": "x", "input": {}})

    assert isinstance(error.value, UnknownModel)
    assert vendor.posts == 0


async def test_each_client_knows_its_own_models_only(scene, vendor):
    """The six are unknown to createTask's client, the 210 to the other."""
    with pytest.raises(UnknownModel):
        await scene.facade(KieApiClient).create_task(V4, {"model": V4, "input": CAT})
    with pytest.raises(UnknownModel):
        await scene.facade(KieApiClientV4).create_task(V3, CAT)
    assert vendor.posts == 0


@pytest.mark.parametrize(
    ("kind", "payload", "named"),
    [
        (KieApiClientV4, {}, "prompt"),
        (KieApiClientV4, {"prompt": "a cat", "colour": "red"}, "colour"),
        (KieApiClientV4, {"prompt": "a cat", "callBackUrl": "https://x.example"}, "callBackUrl"),
        (KieApiClientV4, {"prompt": "a cat", "size": "1x1"}, "size"),
        (KieApiClient, {}, "input"),
        (KieApiClient, CAT, "prompt"),
        (KieApiClient, {"model": "ideogram/v3-text-to-image"}, "input"),
        (KieApiClient, {"model": "ideogram/v3-text-to-image", "input": {}}, "prompt"),
        (KieApiClient, {"model": "ideogram/v3-text-to-image", "input": {**CAT, "colour": "red"}}, "colour"),
        (KieApiClient, {"model": "ideogram/v3-text-to-image", "input": {**CAT, "rendering_speed": "TURBO"}}, "rendering_speed"),
        (KieApiClient, {"model": "some/other", "input": CAT}, "some/other"),
        (KieApiClient, {"input": CAT}, "None"),
        (KieApiClient, {"model": "ideogram/v3-text-to-image", "input": CAT, "callBackUrl": "https://x"}, "callBackUrl"),
    ],
)  # fmt: skip
async def test_a_payload_that_does_not_fit_raises(scene, vendor, kind, payload, named):
    """What would buy something else than the model id says, too."""
    with pytest.raises(InvalidJob) as error:
        await scene.facade(kind).create_task(KINDS[kind][0], payload)

    assert named in str(error.value)
    assert vendor.posts == 0


async def test_a_model_that_createtask_does_not_serve_raises(scene, acme):
    """Of an outsider's plugin with calls of its own."""
    with pytest.raises(UnknownWire):
        await scene.facade(KieApiClient).create_task(acme, {"model": acme, "input": CAT})


@pytest.mark.parametrize("kind", KINDS)
def test_settings_that_do_not_exist_raise(kind):
    """A limit with a slip of the pen is no limit."""
    with pytest.raises(TypeError, match="max_price"):
        kind(max_price=100)
    with pytest.raises(ConfigError, match="expected one of"):
        kind(wire="pigeon")


# --- reading ----------------------------------------------------------------------------


@each
async def test_a_record_says_how_far_a_task_is(scene, vendor, clock, kind):
    """First generating, then success with addresses; Kie's whole answer stands beside it."""
    client = scene.facade(kind)
    task_id = await created(client)

    early = await client.get_record_info(task_id)
    await clock.sleep(10)
    late = await client.get_record_info(task_id)

    assert early.keys() == late.keys() == RECORD
    assert (early["taskId"], early["state"] in GOES_ON, early["resultUrls"]) == (task_id, True, [])
    assert (late["state"], late["failCode"], late["failMsg"]) == ("success", None, None)
    assert [url.partition("/files/")[0] for url in late["resultUrls"]] == [vendor.url]
    assert late["raw"]["data"]["taskId"] == task_id
    json.dumps(late)


@each
async def test_a_failed_task_is_told_in_kies_words(scene, clock, kind):
    """With its code."""
    client = scene.facade(kind)
    record = await client.poll_task_until_complete(await created(client, prompt="a cat [refuse]"))

    assert record.keys() == RECORD
    assert (record["state"], record["failCode"], record["resultUrls"]) == ("fail", "400", [])
    assert "content policy" in record["failMsg"]


async def test_covers_are_no_results(scene):
    """Two songs; their pictures stand in Kie's record."""
    client = scene.facade(KieApiClientV4)
    answer = await client.create_task("suno-v4", build_category_payload("suno-v4", {"prompt": "a song"}))

    record = await client.poll_task_until_complete(answer["data"]["taskId"])

    assert len(record["resultUrls"]) == 2
    assert all(url.endswith(".mp3") for url in record["resultUrls"])


#: What befalls a question, and the word for it. None of it says anything about the task.
NOT_TOLD = {
    "query-reset": "NETWORK",
    "query-close": "NETWORK",
    "query-silent": "NETWORK",
    "query-html": "NETWORK",
    "query-cut-json": "NETWORK",
    "query-status=500": "NETWORK",
    "query-status=502": "NETWORK",
    "query-code=500": "NETWORK",
    "query-code=429": "NETWORK",
    "query-code=455": "NETWORK",
    "query-unknown-task": "NETWORK",
    "query-code=401": "UNAUTHORIZED",
    "query-code=402": "NO_CREDITS",
}


@each
@pytest.mark.parametrize("fault", NOT_TOLD)
async def test_a_question_without_an_answer_never_says_that_the_task_failed(scene, vendor, clock, kind, fault):
    """It goes on; afterwards its result is there."""
    client = scene.facade(kind, request_timeout=0.3)
    task_id = await created(client)
    await clock.sleep(5)
    vendor.faults.add(f"{fault}*4")

    record = await client.get_record_info(task_id)

    assert record.keys() == {*RECORD, "error", "code"}
    assert (record["state"], record["raw"], record["code"]) == ("generating", None, NOT_TOLD[fault])
    assert_no_secret(record)
    vendor.faults.clear()
    assert (await scene.facade(kind).get_record_info(task_id))["state"] == "success"  # with time enough


@each
async def test_what_is_known_to_have_ended_stays_so_when_kie_does_not_answer(scene, vendor, kind):
    """The ledger knows the result."""
    client = scene.facade(kind)
    known = await client.poll_task_until_complete(await created(client))
    vendor.faults.add("query-status=502")

    record = await client.get_record_info(known["taskId"])

    assert (record["state"], record["resultUrls"], record["raw"]) == ("success", known["resultUrls"], None)


@each
async def test_a_success_without_a_result_is_not_told_as_one(scene, vendor, clock, kind):
    """Kie names it later; a bot would look for an address in vain."""
    client = scene.facade(kind)
    task_id = await created(client)
    await clock.sleep(5)
    vendor.faults.add("query-no-result*1")

    assert (await client.get_record_info(task_id))["state"] == "generating"
    assert (await client.get_record_info(task_id))["resultUrls"]


CLUMSY = """
from kie_core import Endpoint, hookimpl

ENDPOINTS = {"dedicated": Endpoint(create="/api/v1/gpt4o-image/generate", query="/api/v1/gpt4o-image/record-info")}

@hookimpl
def endpoint_for(job):
    return ENDPOINTS[job.wire]

@hookimpl
def build_payload(job):
    return {"prompt": job.params["prompt"], "size": "1:1"}

@hookimpl
def parse_result(job, body):
    return body["data"]["nothing"]
"""


async def test_a_plugin_that_cannot_read_never_says_that_the_task_failed(scene, install, tmp_path):
    """It is the plugin's fault."""
    install("kie-clumsy", {"clumsy": "kie_clumsy_test"}, {"kie_clumsy_test": CLUMSY})
    row = {
        "model_id": "clumsy-image", "title": "Clumsy", "api_category": "clumsy", "output_type": "image/png",
        "input_schema": {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
    }  # fmt: skip
    (tmp_path / "models.json").write_text(json.dumps({"models": [row]}))
    settings = {"registry": str(tmp_path / "models.json")}
    async with scene.client(**settings) as kie:
        task = await kie.submit("clumsy-image", CAT)
    client = scene.facade(KieApiClientV4, **settings)

    record = await client.get_record_info(task.id)
    gave_up = await client.poll_task_until_complete(task.id)

    assert (record["state"], record["code"]) == ("generating", "PROVIDER_ERROR")
    assert "fault of the plugin" in record["error"]
    assert gave_up["state"] == "timeout"
    assert "fault of the plugin" in gave_up["error"]


BUYER = """
import asyncio, json, sys
from kie_core.client_v3 import KieApiClient
from kie_core.client_v4 import KieApiClientV4

kind, settings, model_id, payload = json.loads(sys.argv[1])
client = {"KieApiClient": KieApiClient, "KieApiClientV4": KieApiClientV4}[kind](**settings)
print(asyncio.run(client.create_task(model_id, payload))["data"]["taskId"])
"""


@each
async def test_a_task_of_another_process_is_read_by_its_id_alone(scene, kind):
    """The ledger knows what it is."""
    task_id = await ran(BUYER, [kind.__name__, scene.settings(), *order(kind)])

    record = await scene.facade(kind).poll_task_until_complete(task_id.strip())

    assert record["state"] == "success"


async def test_a_task_that_the_ledger_never_saw_is_read_by_its_model(scene, tmp_path):
    """From another machine, or from before."""
    task_id = await created(scene.facade(KieApiClientV4, ledger=str(tmp_path / "other.sqlite")))
    client = scene.facade(KieApiClientV4)
    with pytest.raises(ValueError) as error:
        await client.get_record_info(task_id)
    assert isinstance(error.value, UnknownJob)

    assert (await client.get_record_info(task_id, model_id=V4))["state"] == "generating"
    assert (await client.poll_task_until_complete(task_id, model_id=V4))["state"] == "success"
    with pytest.raises(UnknownModel):
        await client.get_record_info(task_id, model_id="nothing")


async def test_a_task_of_createtask_that_the_ledger_never_saw_needs_no_model(scene, tmp_path):
    """There is one call for all."""
    task_id = await created(scene.facade(KieApiClient, ledger=str(tmp_path / "other.sqlite")))
    client = scene.facade(KieApiClient)

    assert (await client.get_record_info(task_id))["state"] in GOES_ON
    assert (await client.poll_task_until_complete(task_id))["resultUrls"]
    assert (await client.get_record_info(task_id, model_id=V3))["state"] == "success"


@each
@pytest.mark.parametrize("task_id", ["", " ", "a\x00b", "7" * 1000])
async def test_what_cannot_be_a_task_id_raises(scene, vendor, kind, task_id):
    """Before anybody is asked."""
    client = scene.facade(kind)
    for call in (client.get_record_info, client.poll_task_until_complete):
        with pytest.raises(ValueError) as error:
            await call(task_id, model_id=KINDS[kind][0])
        assert isinstance(error.value, BadHandle)
        with pytest.raises(ValueError):
            await call(task_id)
    assert vendor.requests == []


@each
async def test_reading_works_without_a_ledger(scene, kind, tmp_path):
    """What is paid can be read all the same."""
    task_id = await created(scene.facade(kind))
    (tmp_path / "file").write_text("in the way")
    client = scene.facade(kind, ledger=str(tmp_path / "file" / "ledger.sqlite"))

    record = await client.poll_task_until_complete(task_id, model_id=KINDS[kind][0])

    assert record["state"] == "success"


# --- waiting ----------------------------------------------------------------------------


@each
async def test_polling_returns_the_final_record(scene, vendor, clock, kind):
    """As get_record_info does; asked in the caller's rhythm."""
    client = scene.facade(kind)
    task_id = await created(client)
    began, asked = clock.now(), len(vendor.requests)

    record = await client.poll_task_until_complete(task_id, poll_interval=0.5)

    assert record.keys() == RECORD
    assert (record["state"], record["taskId"]) == ("success", task_id)
    assert 1.5 < clock.now() - began < 4
    assert 3 <= len(vendor.requests) - asked <= 8


@each
@pytest.mark.parametrize("seconds", [0, 1.5])
async def test_a_wait_that_ends_early_says_that_the_task_goes_on(scene, vendor, kind, seconds):
    """Not that it failed; asking again finds it, and nothing is bought a second time."""
    client = scene.facade(kind)
    task_id = await created(client)

    answer = await client.poll_task_until_complete(task_id, max_wait_seconds=seconds)

    assert answer.keys() == {"state", "taskId", "error"}
    assert (answer["state"], answer["taskId"]) == ("timeout", task_id)
    assert "the task goes on at Kie and is paid" in answer["error"]
    assert "do not create it again" in answer["error"]
    assert (await client.poll_task_until_complete(task_id))["state"] == "success"
    assert vendor.posts == 1


@each
@pytest.mark.parametrize("fault", ["query-code=401", "query-code=402"])
async def test_an_account_that_may_not_read_is_told_without_failing_the_task(scene, vendor, kind, fault):
    """Waiting longer would not help."""
    client = scene.facade(kind)
    task_id = await created(client)
    vendor.faults.add(fault)

    answer = await client.poll_task_until_complete(task_id)

    assert answer["state"] == "timeout"
    assert "the task goes on at Kie and is paid" in answer["error"]


@each
async def test_a_wait_without_a_key_says_that_the_task_goes_on(scene, kind):
    """And so does a question."""
    task_id = await created(scene.facade(kind))
    client = scene.facade(kind, api_key=None)

    record = await client.get_record_info(task_id)
    answer = await client.poll_task_until_complete(task_id)

    assert (record["state"], record["code"]) == ("generating", "UNAUTHORIZED")
    assert (answer["state"], "the task goes on at Kie and is paid" in answer["error"]) == ("timeout", True)


@each
async def test_connections_that_break_are_waited_out(scene, vendor, kind):
    """Five in a row; the record is whole in the end."""
    client = scene.facade(kind)
    task_id = await created(client)
    vendor.faults.add("query-reset*3", "query-status=502*2")

    assert (await client.poll_task_until_complete(task_id))["state"] == "success"


@each
@pytest.mark.parametrize(
    "times", [{"max_wait_seconds": -1}, {"max_wait_seconds": float("nan")}, *({"poll_interval": one} for one in (0, -1, float("nan"), float("inf")))]
)  # fmt: skip
async def test_times_that_are_none_raise(scene, kind, times):
    """A ValueError that names the value."""
    client = scene.facade(kind)
    task_id = await created(client)

    with pytest.raises(ValueError, match=r"nan|inf|-1|0"):
        await client.poll_task_until_complete(task_id, **times)


# --- loops, concurrency, cancellation -----------------------------------------------------

TWICE = """
import asyncio, json, sys
from kie_core.client_v4 import KieApiClientV4

client = KieApiClientV4(**json.loads(sys.argv[1]))
answer = asyncio.run(client.create_task("gpt-4o-image", {"prompt": "a cat"}))
task_id = answer["data"]["taskId"]
print(asyncio.run(client.get_record_info(task_id))["taskId"] == task_id)

async def held():
    async with client:
        return await client.get_record_info(task_id)

print(asyncio.run(held())["taskId"] == task_id)
"""


async def test_one_object_serves_several_event_loops(scene, vendor):
    """One after the other, each closed when it ends: nothing is left open, with every warning an error."""
    assert await ran(TWICE, scene.settings()) == "True\nTrue\n"
    assert vendor.posts == 1


async def test_one_object_serves_event_loops_of_several_threads(scene, vendor):
    """At the same time."""
    client = KieApiClientV4(**scene.settings(creates_per_10_seconds=10_000))
    answers = await asyncio.gather(
        *(asyncio.to_thread(asyncio.run, client.create_task(V4, {"prompt": f"cat {at}"})) for at in range(4))
    )

    assert {answer["data"]["taskId"] for answer in answers} == set(vendor.tasks)
    assert set(vendor.purchases().values()) == {1}


@each
async def test_calls_at_the_same_time_share_one_client(scene, vendor, kind):
    """Each gets its own answer; the last one closes."""
    client = scene.facade(kind)
    ids = await asyncio.gather(*(created(client, prompt=f"cat {at}") for at in range(6)))

    records = await asyncio.gather(*(client.poll_task_until_complete(task_id) for task_id in ids))

    assert [record["taskId"] for record in records] == ids
    assert {record["state"] for record in records} == {"success"}
    assert vendor.purchases() == {f"cat {at}": 1 for at in range(6)}
    assert not client._on_demand._opened


@each
async def test_inside_async_with_one_client_stays_open(scene, kind):
    """Blocks may overlap, and end in any order."""
    client = scene.facade(kind)
    inside, leave = asyncio.Event(), asyncio.Event()

    async def other():
        async with client:
            inside.set()
            await leave.wait()

    async with client as same:
        assert same is client
        (opened,) = client._on_demand._opened.values()
        task_id = await created(client)
        overlapping = asyncio.create_task(other())
        await inside.wait()
    assert [one.kie for one in client._on_demand._opened.values()] == [opened.kie]
    assert (await client.get_record_info(task_id))["state"] in GOES_ON
    leave.set()
    await overlapping
    assert not client._on_demand._opened


@each
async def test_a_cancelled_create_is_awaited_and_written_down(scene, vendor, kind):
    """A task whose id nobody reads is paid and lost: the answer comes first, then the cancellation."""
    loop = asyncio.get_running_loop()
    client = scene.facade(kind)
    creating = asyncio.ensure_future(client.create_task(*order(kind)))
    vendor.before_answer = lambda: loop.call_soon_threadsafe(creating.cancel)

    with pytest.raises(asyncio.CancelledError) as error:
        await creating

    (made,) = vendor.creates
    assert made.task_id in str(error.value.__notes__)
    vendor.before_answer = None
    assert (await client.poll_task_until_complete(made.task_id))["state"] == "success"
    assert vendor.posts == 1


async def test_a_transport_of_the_callers_own_is_used_and_stays_theirs(scene, vendor):
    """It is closed by nobody else, however often the client is."""
    async with httpx.AsyncHTTPTransport() as transport:
        client = scene.facade(KieApiClientV4, transport=transport)

        task_id = await created(client)

        assert (await client.poll_task_until_complete(task_id))["state"] == "success"
    assert vendor.posts == 1


@each
async def test_the_key_is_in_nothing_that_is_shown(scene, vendor, kind, raw_server, http_bytes):
    """Not where Kie repeats it either."""

    async def repeat(reader, writer):
        writer.write(http_bytes(json.dumps({"code": 422, "msg": raw_server.received[-1].decode()})))

    async with raw_server.answering(repeat):
        echoing = scene.facade(kind, base_url=raw_server.url)
        answer = await echoing.create_task(*order(kind))
        read = await echoing.get_record_info("t1", model_id=KINDS[kind][0])

    assert answer["code"] == 422
    assert KEY.encode() in raw_server.received[0]
    assert_no_secret(answer, read, echoing, vars(echoing), echoing._on_demand, echoing._on_demand._settings)
