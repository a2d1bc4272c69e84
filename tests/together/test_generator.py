"""The generator of the original system: one dict, whatever happens, and a job that is bought once."""

from __future__ import annotations

import asyncio
import itertools
import json
import math

import pytest

from kie_core import Budget, ConfigError, RegistryError
from kie_core.generator import MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB, Generated, KieGenerator

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
V4, V3 = "gpt-4o-image", "ideogram-v3-text-to-image-quality"
CAT = {"prompt": "a cat"}
SEVEN = {"success", "message", "result_urls", "result_object", "error_code", "error_message", "task_id"}


def assert_documented(answer):
    """Exactly seven keys, of the documented types, that do not contradict each other; no key is shown."""
    assert answer.keys() == SEVEN == Generated.__annotations__.keys()
    assert isinstance(answer["message"], str)
    assert answer["message"]
    assert isinstance(answer["result_urls"], list)
    if answer["success"]:
        assert (answer["error_code"], answer["error_message"]) == (None, None)
        assert answer["result_urls"] or answer["result_object"] is not None
        assert answer["task_id"]
    else:
        assert answer["error_code"]
        assert answer["error_message"] == answer["message"]
        assert (answer["result_urls"], answer["result_object"]) == ([], None)
    json.dumps(answer)
    assert KEY not in repr(answer)


@pytest.fixture
def generate(scene):
    """Buy a picture of a cat, unless said otherwise, and look at the dict."""

    async def generated(model_id=V4, inputs=CAT, progress_callback=None, seconds=300.0, **settings):
        generator = scene.facade(KieGenerator, **settings)
        answer = await generator.generate(model_id, inputs, progress_callback, seconds)
        assert_documented(answer)
        return answer

    return generated


# --- what succeeds ------------------------------------------------------------------------


async def test_a_result_has_addresses_and_a_task(generate, vendor):
    """The message is for the person who asked."""
    answer = await generate()

    (made,) = vendor.creates
    assert answer["success"] is True
    assert answer["message"] == "Done: 1 result(s)"
    assert answer["result_urls"] == [f"{vendor.url}/files/{made.task_id}/1-picture.png"]
    assert answer["task_id"] == made.task_id


@pytest.mark.parametrize(
    "model_id", ["veo3", "veo3_fast", "runway-gen3-turbo", "suno-v4", "gpt-4o-image", "flux-kontext", V3]
)
async def test_v4_and_v3_models_run_side_by_side(generate, model_id):
    """Each by its own plugin."""
    inputs = {"image_url": "https://example.com/a.png", **CAT} if model_id == "runway-gen3-turbo" else CAT

    assert (await generate(model_id, inputs))["success"]


async def test_a_result_that_is_no_file_is_an_object(generate):
    """A finding."""
    answer = await generate("omnihuman-1-5/human-identification", {"image_url": "https://example.com/a.png"})

    assert (answer["success"], answer["result_urls"]) == (True, []), answer
    assert answer["result_object"] == {"text": "example"}


async def test_a_model_that_builds_on_an_earlier_task_reads_it_first(generate, scene, vendor):
    """By its handle or its task id: what the request needs of it is in its record."""
    song = await generate("suno-v4")
    async with scene.client() as kie:
        (entry,) = await kie.jobs()

    for task in (entry.handle(), song["task_id"]):
        assert (await generate("suno-extend", {"task": task, "continue_at": 10}))["success"]
    assert len(vendor.creates) == 3


async def test_the_outcome_is_in_the_ledger(generate, scene):
    """Bought once, settled by today's price."""
    answer = await generate()

    async with scene.client() as kie:
        (entry,) = await kie.jobs()
        assert (entry.state, entry.task_id) == ("succeeded", answer["task_id"])
        assert await scene.booked(kie) == (0, 472)


# --- every error code ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "inputs", [{}, None, "a cat", {"prompt": None}, {"prompt": 7}, {**CAT, "size": "1x1"}, {**CAT, "colour": "red"}]
)
@pytest.mark.parametrize("use_v4", [True, False])
async def test_inputs_that_do_not_fit(generate, vendor, inputs, use_v4):
    """INVALID_INPUT, and nothing is sent."""
    answer = await generate(V4 if use_v4 else V3, inputs, use_v4=use_v4)

    assert answer["error_code"] == "INVALID_INPUT"
    assert "nothing was bought" in answer["message"]
    assert vendor.requests == []


@pytest.mark.parametrize("model_id", ["", "nothing", "open-ai-sora-2-pro-text-to-video-pro-high-100s"])
async def test_a_model_that_is_not_there(generate, vendor, model_id):
    """UNKNOWN_MODEL: no such id, or one that Kie has given up."""
    answer = await generate(model_id)

    assert answer["error_code"] == "UNKNOWN_MODEL"
    assert vendor.requests == []


async def test_a_model_whose_plugin_is_not_used(generate, vendor):
    """UNKNOWN_MODEL too."""
    answer = await generate(disable_plugins="4o-image")

    assert answer["error_code"] == "UNKNOWN_MODEL"
    assert "4o-image" in answer["message"]
    assert vendor.requests == []


@pytest.mark.parametrize("seconds", [0, 1.5])
async def test_a_wait_that_ends_early(generate, scene, vendor, seconds):
    """TIMEOUT: the task goes on and is paid, is named, and is not bought again."""
    answer = await generate(seconds=seconds)

    (made,) = vendor.creates
    assert (answer["error_code"], answer["task_id"]) == ("TIMEOUT", made.task_id)
    assert answer["message"].startswith(f"Not ready after {seconds:g} s. It goes on and is paid")
    async with scene.client() as kie:
        (entry,) = await kie.jobs("running")
        assert entry.handle() in answer["message"]
        assert (await (await kie.task(entry.id)).wait()).urls


async def test_a_job_over_the_budget(generate, vendor):
    """BUDGET_EXCEEDED: nothing is sent."""
    answer = await generate("veo3", budget=Budget(max_price_rub=MAX_PRICE_RUB))

    assert answer["error_code"] == "BUDGET_EXCEEDED"
    assert "veo3 costs 314.60 RUB, one job may cost 100.00 RUB" in answer["message"]
    assert vendor.requests == []


async def test_an_unknown_price_is_over_any_limit_unless_the_caller_allows_it(scene, vendor):
    """BUDGET_EXCEEDED, and nothing is sent; then it is bought."""
    generator = scene.facade(KieGenerator, budget=Budget(max_price_rub=MAX_PRICE_RUB))

    refused = await generator.generate("qwen-image-text-to-image", CAT)
    assert (refused["error_code"], vendor.requests) == ("BUDGET_EXCEEDED", [])

    assert (await generator.generate("qwen-image-text-to-image", CAT, allow_unknown_price=True))["success"]


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_file_that_cannot_be_used_is_told_with_all_other_faults(generate, vendor, tmp_path, language):
    """What is wrong with the file itself, and not that it is one."""
    inputs = {"image_url": tmp_path / "gone.png", "prompt": "a cat", "duration": 7}
    answer = await generate("runway-gen3-turbo", inputs, language=language)

    assert answer["error_code"] == "INVALID_INPUT"
    assert "gone.png' cannot be read: No such file or directory" in answer["message"]
    assert "duration: 7" in answer["message"]
    assert vendor.requests == []


async def test_a_budget_that_a_cost_exceeded(generate, vendor, clock):
    """BUDGET_EXCEEDED at once, with what was spent: nobody waits for a limit that is used up."""
    budget = Budget(max_total_rub=100, scope="user:7")
    vendor.faults.add("query-credits=1000")
    assert (await generate("google/nano-banana", budget=budget))["success"]
    before = clock.now()

    answer = await generate(budget=budget)

    assert (answer["error_code"], clock.now() - before < 1) == ("BUDGET_EXCEEDED", True)
    assert "Limit 100.00 RUB: 785.86 spent" in answer["message"]
    assert vendor.posts == 1


async def test_an_empty_account(generate, vendor):
    """NO_CREDITS: Kie's own refusal."""
    vendor.balance = 1

    answer = await generate()

    assert (answer["error_code"], answer["task_id"]) == ("NO_CREDITS", None)
    assert "nothing was bought" in answer["message"]


#: What Kie does, the code, what the text says, and how many creates came.
FAULTS = {
    "create-code=401": ("UNAUTHORIZED", "nothing was bought"),
    "create-code=402": ("NO_CREDITS", "nothing was bought"),
    "create-code=422": ("PROVIDER_ERROR", "nothing was bought"),
    "create-code=429": ("RATE_LIMITED", "nothing was bought"),
    "create-code=455": ("PROVIDER_ERROR", "nothing was bought"),
    "create-code-made=500": ("SUBMIT_UNKNOWN", "before you order it again"),
    "create-reset": ("SUBMIT_UNKNOWN", "before you order it again"),
    "create-html": ("SUBMIT_UNKNOWN", "before you order it again"),
    "create-silent": ("SUBMIT_UNKNOWN", "before you order it again"),
    "query-code=401": ("UNAUTHORIZED", "goes on and is paid"),
    "query-code=402": ("NO_CREDITS", "goes on and is paid"),
    "query-unfinished": ("TIMEOUT", "goes on and is paid"),
    "query-status=502": ("TIMEOUT", "goes on and is paid"),
    "query-reset": ("TIMEOUT", "goes on and is paid"),
    "query-unknown-task": ("PROVIDER_ERROR", "was bought, but Kie does not know the task any more"),
    "query-no-result": ("PROVIDER_ERROR", "is paid and Kie says that it is done, but names no result"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("use_v4", [True, False])
async def test_whatever_kie_does_becomes_a_word_and_a_text(generate, vendor, fault, use_v4):
    """It says what became of the money, names a task where there is one, and nothing is bought twice."""
    vendor.faults.add(fault)

    answer = await generate(V4 if use_v4 else V3, use_v4=use_v4, create_timeout=0.3)

    code, words = FAULTS[fault]
    assert (answer["success"], answer["error_code"]) == (False, code)
    assert words in answer["message"]
    assert (answer["task_id"] is not None) == fault.startswith("query")
    assert len(vendor.creates) <= 1
    assert vendor.posts == 1 or fault in ("create-code=429", "create-code=455")


async def test_a_task_that_fails_has_kies_own_code_and_words(generate):
    """And is named."""
    answer = await generate(inputs={"prompt": "a cat [refuse]"})

    assert answer["error_code"] == "400"
    assert "content policy" in answer["message"]
    assert answer["message"].startswith("It was bought, but Kie could not make it")
    assert answer["task_id"]


async def test_a_host_that_nobody_reaches(generate):
    """NETWORK: nothing was bought."""
    answer = await generate(base_url="https://nothing.invalid")

    assert (answer["error_code"], answer["task_id"]) == ("NETWORK", None)
    assert "nothing was bought" in answer["message"]


async def test_no_key(generate, vendor):
    """UNAUTHORIZED: nothing was sent."""
    answer = await generate(api_key=None)

    assert answer["error_code"] == "UNAUTHORIZED"
    assert "KIE_API_KEY" in answer["message"]
    assert vendor.requests == []


async def test_a_ledger_that_cannot_be_written(generate, vendor, tmp_path):
    """LEDGER: nothing was sent."""
    (tmp_path / "file").write_text("in the way")

    answer = await generate(ledger=str(tmp_path / "file" / "ledger.sqlite"))

    assert (answer["error_code"], answer["task_id"]) == ("LEDGER", None)
    assert "nothing was sent" in answer["message"]
    assert vendor.posts == 0


async def test_a_ledger_that_each_call_would_forget(generate, scene, vendor):
    """LEDGER, unless it is held open: a limit would count for one call only."""
    assert (await generate(ledger="memory:"))["error_code"] == "LEDGER"
    assert vendor.posts == 0

    async with scene.facade(KieGenerator, ledger="memory:", budget=Budget(max_total_rub=40)) as generator:
        assert (await generator.generate("gpt-4o-image", CAT))["success"]
        assert (await generator.generate("veo3_fast", CAT))["error_code"] == "BUDGET_EXCEEDED"


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_ledger_that_breaks_after_the_purchase(generate, vendor, hold_ledger, monkeypatch, language):
    """LEDGER; the text does not say that nothing was sent, and the task is named."""
    monkeypatch.setattr("kie_core._ledger.sqlite.BUSY_SECONDS", 0.1)

    def break_it(said):
        if vendor.creates:
            hold_ledger()

    answer = await generate(progress_callback=break_it, language=language)
    hold_ledger.release()

    (made,) = vendor.creates
    assert (answer["error_code"], answer["task_id"]) == ("LEDGER", made.task_id)
    assert ("goes on and is paid" if language == "en" else "продолжается и оплачено") in answer["message"]
    assert "nothing was" not in answer["message"]


def test_every_code_of_the_docstring_is_reached_here():
    """The list of codes and these tests agree."""
    documented = {word.strip("`") for word in KieGenerator.__doc__.replace(",", " ").split() if word.startswith("``")}
    codes = {word for word in documented if word.isupper() and not word.startswith("KIE_")}
    reached = {code for code, _ in FAULTS.values()} | {
        "INVALID_INPUT",
        "UNKNOWN_MODEL",
        "BUDGET_EXCEEDED",
        "NETWORK",
        "LEDGER",
    }

    assert codes == reached


# --- times --------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [-1, -0.001, math.nan, -math.inf])
async def test_a_time_that_is_none_raises_and_sends_nothing(generate, vendor, seconds):
    """It is a mistake of the program, not of a person."""
    with pytest.raises(ValueError, match="timeout is"):
        await generate(seconds=seconds)
    assert vendor.requests == []


async def test_one_may_wait_for_ever(generate):
    """Until the job has ended."""
    assert (await generate(seconds=math.inf))["success"]


async def test_the_time_counts_for_all_of_it(generate, vendor, clock):
    """Refusals and waiting for the result come out of one timeout."""
    vendor.faults.add("create-code=429*1")
    vendor.speed = 1.0

    answer = await generate(seconds=20)

    assert answer["error_code"] == "TIMEOUT"
    assert "Not ready after 20 s" in answer["message"]
    assert 19 < clock.now() < 25


# --- progress -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "first", "last"),
    [("en", "GPT-4o Image: 39.33 RUB", "Done: 1 result(s)"), ("ru", "GPT-4o Image: 39.33 ₽", "Готово, результатов: 1")],
)
async def test_progress_is_told_in_order_and_in_the_language(generate, vendor, language, first, last):
    """Price, task, shares that grow, the end; nothing twice in a row."""
    vendor.speed = 2.0
    said = []

    answer = await generate(progress_callback=said.append, language=language)

    assert (said[0], said[-1]) == (first, last)
    assert answer["task_id"] in said[1]
    shares = [text for text in said[2:-1] if text.endswith("%")]
    assert len(shares) >= 3
    assert shares == sorted(shares, key=lambda text: int(text.split()[-1].rstrip("%")))
    assert all(one != other for one, other in itertools.pairwise(said))


async def test_an_async_callback_is_awaited(generate):
    """Before things go on."""
    said = []

    async def tell(text):
        await asyncio.sleep(0)
        said.append(text)

    await generate(progress_callback=tell)

    assert (said[0], said[-1]) == ("GPT-4o Image: 39.33 RUB", "Done: 1 result(s)")


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_callback_that_raises_stops_nothing(generate, vendor, caplog, is_async):
    """It is logged."""

    def fail(text):
        raise RuntimeError(f"nobody listens to {text} 100% {{}}")

    async def fail_later(text):
        fail(text)

    answer = await generate(progress_callback=fail_later if is_async else fail)

    assert answer["success"]
    assert vendor.posts == 1
    assert "the progress callback failed: RuntimeError: nobody listens to GPT-4o Image" in caplog.text


async def test_a_callback_that_hangs_is_left_behind(generate, vendor, monkeypatch, caplog):
    """The job is paid, and its result reaches the caller."""
    monkeypatch.setattr("kie_core.generator.CALLBACK_SECONDS", 0.01)

    answer = await generate(progress_callback=lambda _: asyncio.Event().wait())

    assert answer["success"]
    assert "the progress callback failed: TimeoutError" in caplog.text
    assert vendor.posts == 1


async def test_a_slow_callback_does_not_lose_the_result(generate, clock):
    """The time that it takes is the caller's."""
    answer = await generate(progress_callback=lambda _: clock.sleep(20))

    assert answer["success"]


async def test_a_callback_that_is_cancelled_cancels_the_wait_and_not_the_task(scene, vendor):
    """A bot that is told to end."""
    generator = scene.facade(KieGenerator)

    async def cancel(text):
        if vendor.creates:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError) as caught:
        await generator.generate(V4, CAT, cancel)

    async with scene.client() as kie:
        (entry,) = await kie.jobs("running")
        assert entry.task_id == vendor.creates[0].task_id
    assert entry.handle() in caught.value.__notes__[0]


async def test_a_cancelled_generate_writes_the_task_down(scene, vendor):
    """Cancelled in the middle of the create: the answer is awaited first."""
    loop = asyncio.get_running_loop()
    generator = scene.facade(KieGenerator)
    running = asyncio.ensure_future(generator.generate(V4, CAT))
    vendor.before_answer = lambda: loop.call_soon_threadsafe(running.cancel)

    with pytest.raises(asyncio.CancelledError):
        await running

    async with scene.client() as kie:
        (entry,) = await kie.jobs()
        assert (entry.state, entry.task_id) == ("running", vendor.creates[0].task_id)


@pytest.mark.parametrize("model", [None, 5, ["gpt-4o-image"]])
async def test_what_is_no_model_id_is_an_unknown_model(generate, model):
    """One dict, whatever comes."""
    answer = await generate(model)

    assert answer["error_code"] == "UNKNOWN_MODEL"


# --- languages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "inputs", "words"),
    [
        ("gpt-4o-image", {}, "prompt: не указан; нужно: текст"),
        ("veo3", {"prompt": "a fox", "aspect_ratio": "1:1"}, "Veo makes no square video"),
    ],
)
async def test_what_is_wrong_with_inputs_is_told_in_russian(generate, model, inputs, words):
    """Every fault of the validation; a rule of a plugin in the plugin's words."""
    answer = await generate(model, inputs, language="ru")

    assert answer["error_code"] == "INVALID_INPUT"
    assert "ничего не куплено" in answer["message"]
    assert words in answer["message"]


@pytest.mark.parametrize(
    ("said", "language"),
    [("", "en"), ("  ", "en"), ("en", "en"), ("en_GB.UTF-8", "en"), ("ru", "ru"), ("RU", "ru"), ("ru_RU.UTF-8", "ru")],
)
def test_the_language_is_that_of_the_environment(monkeypatch, said, language):
    """As it is when the generator is made."""
    monkeypatch.setenv("KIE_LANG", said)

    assert KieGenerator().language == language
    assert KieGenerator(language="ru").language == "ru"


@pytest.mark.parametrize("said", ["de", "xx", "русский"])
def test_a_language_that_nobody_speaks_is_a_wrong_setting(monkeypatch, said):
    """It says what is allowed."""
    monkeypatch.setenv("KIE_LANG", said)

    with pytest.raises(ConfigError, match="en or ru"):
        KieGenerator()


@pytest.mark.parametrize("fault", [*FAULTS, "none"])
async def test_errors_are_told_in_russian(generate, vendor, fault):
    """Every one of them, and the success."""
    if fault != "none":
        vendor.faults.add(fault)

    answer = await generate(language="ru", create_timeout=0.3)

    assert answer["success"] == (fault == "none")
    assert any("а" <= letter <= "я" for letter in answer["message"])


ODD = "{0} {model} %s %d 100% {{x}} \\ {"


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_braces_and_percent_signs_come_through(generate, language, raw_server, http_bytes):
    """In inputs, in model ids, and in Kie's words."""

    async def refuse(reader, writer):
        writer.write(http_bytes(json.dumps({"code": 422, "msg": ODD})))

    said = []
    assert (await generate(inputs={"prompt": ODD}, progress_callback=said.append, language=language))["success"]
    assert repr(ODD) in (await generate(ODD, language=language))["message"]
    assert repr(ODD) in (await generate(inputs={**CAT, "size": ODD}, language=language))["message"]
    async with raw_server.answering(refuse):
        assert ODD in (await generate(base_url=raw_server.url, language=language))["message"]


# --- V4 and V3 ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "use_v4"),
    [
        (None, True),
        ("", True),
        ("true", True),
        ("1", True),
        ("TRUE", True),
        ("false", False),
        ("False", False),
        ("0", False),
        ("no", False),
    ],
)
def test_the_environment_decides_when_a_generator_is_made(monkeypatch, said, use_v4):
    """Not when the module is loaded; an argument wins."""
    if said is not None:
        monkeypatch.setenv("KIE_USE_V4", said)

    assert KieGenerator().use_v4 is use_v4
    assert KieGenerator(use_v4=not use_v4).use_v4 is not use_v4


def test_a_word_that_is_neither_yes_nor_no_is_a_wrong_setting(monkeypatch):
    """Nobody guesses where the money goes."""
    monkeypatch.setenv("KIE_USE_V4", "maybe")

    with pytest.raises(ConfigError, match="KIE_USE_V4 is 'maybe'"):
        KieGenerator()


async def test_both_ways_live_side_by_side(scene, vendor, monkeypatch):
    """One process, one ledger: each generator stays as it was made."""
    monkeypatch.setenv("KIE_USE_V4", "false")
    old = scene.facade(KieGenerator)
    monkeypatch.setenv("KIE_USE_V4", "true")
    new = scene.facade(KieGenerator)
    monkeypatch.delenv("KIE_USE_V4")

    answers = [await one.generate(model, CAT) for one in (old, new) for model in (V4, V3)]

    assert [answer["error_code"] for answer in answers] == ["UNKNOWN_MODEL", None, None, None]
    assert [create.path for create in vendor.creates] == [
        "/api/v1/jobs/createTask",
        "/api/v1/gpt4o-image/generate",
        "/api/v1/jobs/createTask",
    ]
    assert_documented(answers[0])


@pytest.mark.parametrize(
    "model_id", ["veo3", "veo3_fast", "runway-gen3-turbo", "suno-v4", "gpt-4o-image", "flux-kontext"]
)
async def test_the_six_are_unknown_to_the_v3_way(generate, vendor, model_id):
    """As they were."""
    assert (await generate(model_id, use_v4=False))["error_code"] == "UNKNOWN_MODEL"
    assert vendor.requests == []


async def test_the_preferred_wire_does_not_change_the_v3_way(generate, vendor):
    """It is createTask."""
    assert (await generate(V3, use_v4=False, wire="v4"))["success"]
    assert [create.path for create in vendor.creates] == ["/api/v1/jobs/createTask"]


# --- budgets and settings -----------------------------------------------------------------


async def test_the_limits_of_the_original_can_be_a_budget(scene, vendor):
    """100 roubles for a job and 300 in all: what is spent counts by what Kie charged."""
    assert (MAX_PRICE_RUB, MAX_TOTAL_BUDGET_RUB) == (100, 300)
    budget = Budget(max_price_rub=MAX_PRICE_RUB, max_total_rub=MAX_TOTAL_BUDGET_RUB)
    generator = scene.facade(KieGenerator, budget=budget)

    for _ in range(3):
        assert (await generator.generate(V4, CAT))["success"]
    assert (await generator.generate("veo3_fast", CAT))["error_code"] == "BUDGET_EXCEEDED"

    assert float(budget.spent) == pytest.approx(3 * 4.72)
    assert budget.reserved == 0
    assert vendor.posts == 3


@pytest.mark.parametrize("scope", [None, "user:7"])
async def test_two_generators_share_a_budget(scene, vendor, scope):
    """The second one knows what the first has reserved, also when both run at once."""
    budget = Budget(max_total_rub=40, scope=scope)
    generators = [scene.facade(KieGenerator, budget=budget) for _ in range(2)]

    answers = await asyncio.gather(*(one.generate(V4, CAT, timeout=1) for one in generators))

    assert sorted(str(answer["error_code"]) for answer in answers) == ["BUDGET_EXCEEDED", "TIMEOUT"]
    assert vendor.posts == 1


async def test_generators_without_a_common_budget_do_not_know_each_other(scene, vendor):
    """Equal limits are two limits."""
    answers = [
        await scene.facade(KieGenerator, budget=Budget(max_total_rub=40)).generate(V4, CAT, timeout=1) for _ in range(2)
    ]

    assert [answer["error_code"] for answer in answers] == ["TIMEOUT", "TIMEOUT"]
    assert vendor.posts == 2


@pytest.mark.parametrize("name", ["max_price", "budgets", "settings", "lang"])
def test_a_setting_that_does_not_exist_raises(name):
    """A limit with a slip of the pen would be no limit."""
    with pytest.raises(TypeError, match=f"unknown setting '{name}'"):
        KieGenerator(**{name: 100})


def test_what_is_wrong_is_found_when_the_generator_is_made(tmp_path):
    """Not at the first purchase."""
    (tmp_path / "models.json").write_text("{")

    with pytest.raises(ConfigError):
        KieGenerator(wire="pigeon")
    with pytest.raises(ConfigError):
        KieGenerator(base_url="ftp://x")
    with pytest.raises(RegistryError):
        KieGenerator(registry=str(tmp_path / "models.json"))


async def test_calls_at_the_same_time_get_their_own_results(scene, vendor):
    """On one object, which closes after the last."""
    generator = scene.facade(KieGenerator)

    answers = await asyncio.gather(*(generator.generate(V4, {"prompt": f"cat {at}"}) for at in range(5)))

    by_prompt = {create.body["prompt"]: create.task_id for create in vendor.creates}
    assert [answer["task_id"] for answer in answers] == [by_prompt[f"cat {at}"] for at in range(5)]
    assert not generator._on_demand._opened


def test_no_key_in_what_a_generator_shows(scene):
    """Its text, its attributes and its settings."""
    generator = scene.facade(KieGenerator)

    assert KEY not in repr([generator, vars(generator), generator._on_demand._settings, vars(generator._on_demand)])
