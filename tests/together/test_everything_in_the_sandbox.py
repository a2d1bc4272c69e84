"""All plugins against the sandbox, over real loopback sockets."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
from collections import Counter

import pytest
import stamina
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import kie_registry
from kie_core import (
    InvalidJob,
    Kie,
    KieBlocking,
    PluginFailed,
    ReadFailed,
    Refused,
    Schedule,
    load_dispatcher,
    load_settings,
)
from kie_core._cli.main import kie as command
from kie_core._dispatch.sandbox import SPEED
from kie_core.testing import example_inputs
from kie_sandbox import FAULTS, Fault, Sandbox, serve
from kie_sandbox.broken_answers import about_answers
from kie_sandbox.world import wire

pytestmark = pytest.mark.usefixtures("in_haste")
QUICK = Schedule(first=0.02, factor=1.1, longest=0.1)
SIX = ("veo3", "veo3_fast", "runway-gen3-turbo", "suno-v4", "gpt-4o-image", "flux-kontext")
MAGIC = {"image": b"\x89PNG", "video": b"ftyp", "audio": b"ID3"}
KEY = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def world():
    return Sandbox(speed=3000, credits=1_000_000, creates_per_10_seconds=None)


@pytest.fixture
def kie(world):
    with (
        serve(sandbox=world) as url,
        KieBlocking(KEY, base_url=url, schedule=QUICK, creates_per_10_seconds=10_000, concurrency=10_000) as client,
    ):
        yield client


def inputs_of(model):
    return {**example_inputs(model), **({"prompt": "a cat"} if model.input("prompt") else {})}


def test_the_catalogue_of_the_sandbox_is_read_and_kept_whole(kie, world):
    """What the fake Kie lists, our parser reads: no entry is skipped, and the file says the same."""
    fetched = kie.catalogue(refresh=True)

    assert (len(fetched.models), fetched.skipped) == (fetched.total, 0)
    assert {"nano-banana-pro", "z-image"} <= {one.model for one in fetched.models}
    assert kie.catalogue() == fetched
    assert [request.target for request in world.requests] == ["/api/v1/models"]
    assert not world.creates


@pytest.mark.parametrize(
    "fault", [name for name, kind in FAULTS.items() if kind.place == "query" and about_answers(Fault(name))]
)
def test_a_vendor_that_misbehaves_spoils_no_catalogue(fault):
    """Whatever befalls the answer: it is read, or refused in our words, and what was kept before stays whole."""
    world = Sandbox()
    with serve(sandbox=world) as url, KieBlocking(KEY, base_url=url, request_timeout=1.0) as kie:
        before = kie.catalogue(refresh=True)
        world.faults.add(fault)
        with stamina.set_testing(True, attempts=1), contextlib.suppress(ReadFailed, Refused):
            assert kie.catalogue(refresh=True).models == before.models

        assert kie.catalogue().models == before.models


@pytest.mark.parametrize("wire", ["dedicated", "jobs", "v4"])
@pytest.mark.parametrize("model_id", SIX)
def test_each_of_the_six_on_each_wire(kie, world, model_id, wire, tmp_path):
    """Submitted once, followed, saved: real media of the right kind."""
    model = kie.registry.get(model_id)

    task = kie.generate(model_id, inputs_of(model), wire=wire)
    paths = task.save(tmp_path)

    assert task.outcome.state == "succeeded"
    assert MAGIC[model.media] in paths[0].read_bytes()[:16]
    assert len(world.tasks) == 1


LEGACY = json.loads(kie_registry.read(kie_registry.V3))["models"]
ONE_PER_LABEL = {row["category"]: row["model_id"] for row in reversed(LEGACY) if row["status"] == "current"}


@pytest.mark.parametrize("label", sorted(ONE_PER_LABEL))
def test_one_legacy_model_of_each_label(kie, label, tmp_path):
    """The old ids work again."""
    model = kie.registry.get(ONE_PER_LABEL[label])

    task = kie.generate(model.id, inputs_of(model))

    assert task.outcome.state == "succeeded"
    assert task.save(tmp_path)


def test_there_are_seven_labels():
    """All of the old registry's."""
    assert len(ONE_PER_LABEL) == 7


def test_every_usable_legacy_model_is_accepted(kie, world):
    """The sandbox checks model ids, types, enums and required inputs by the vendor's pages."""
    refused = []
    for row in LEGACY:
        if row["status"] == "current":
            model = kie.registry.get(row["model_id"])
            try:
                kie.submit(model.id, inputs_of(model))
            except Refused as error:
                refused.append(f"{model.id}: {error}")

    assert refused == []
    assert Counter(task.family for task in world.tasks.values()) == {"jobs": 179}


@pytest.mark.parametrize("wire", ["dedicated", "jobs"])
@pytest.mark.parametrize("model_id", SIX)
def test_a_task_that_kie_refuses_for_its_content_fails_in_kies_words(kie, model_id, wire):
    """Each family tells failures in its own way."""
    task = kie.submit(model_id, {**inputs_of(kie.registry.get(model_id)), "prompt": "a cat [refuse]"}, wire=wire)

    states = [outcome.state for outcome in task.updates()]

    assert states[-1] == "failed"
    assert "content policy" in task.outcome.error.message
    assert task.outcome.error.code == "400"


def test_songs_reach_the_caller_as_they_come(kie, world):
    """Text, first track, second track."""
    world.speed = 200  # slow enough to be seen on the way
    task = kie.submit("suno-v4", {"prompt": "a song"})

    seen = [(outcome.state, len([a for a in outcome.artifacts if a.kind == "audio"])) for outcome in task.updates()]

    assert ("partial", 1) in seen
    assert seen[-1] == ("succeeded", 2)


def test_credits_go_down_by_todays_price(kie):
    """The price that we show is the price that is charged."""
    before = kie.credits()
    task = kie.submit("gpt-4o-image", {"prompt": "a cat"})

    assert before - kie.credits() == task.job.price.credits == 6


ALL = load_dispatcher(load_settings(environ={}))
USABLE = [model for model in ALL.plugins.registry if model.status != "gone"]


def values_for(field):
    if field.enum is not None:
        return st.sampled_from(field.enum)
    text = st.text(
        st.characters(codec="utf-8"), min_size=max(field.min_length or 0, 1), max_size=min(field.max_length or 40, 40)
    )
    match field.type:
        case "string":
            return st.just("https://example.com/a.png") if field.format == "uri" else text
        case "integer":
            return st.integers(int(field.minimum or 0), int(field.maximum or 10))
        case "number":
            return st.integers(int(field.minimum or 0), int(field.maximum or 10)).map(float)
        case "boolean":
            return st.booleans()
        case "array":
            item = values_for(field.items) if field.items is not None else text
            return st.lists(item, min_size=field.min_items or 0, max_size=min(field.max_items or 3, 3))
        case _:
            return st.fixed_dictionaries(
                {member.name: values_for(member) for member in field.fields if member.required}
            )


@given(st.data())
def test_whatever_validates_becomes_a_body_without_unknown_fields_or_secrets(data):
    """Any params of any model, on any wire: JSON, known names, no key."""
    model = data.draw(st.sampled_from(USABLE))
    optional = [field for field in model.inputs if not field.required]
    chosen = (
        data.draw(st.lists(st.sampled_from(optional), unique_by=lambda field: field.name, max_size=4))
        if optional
        else []
    )
    inputs = example_inputs(model) | {field.name: data.draw(values_for(field)) for field in chosen}
    wire = data.draw(st.sampled_from(ALL.wires(model)))
    try:
        job = ALL.job(model.id, inputs, job_id="j1", wire=wire)
        request = ALL.request(job)
    except InvalidJob:
        return

    body = request.query if request.content is None else json.loads(request.content)

    assert set(body) <= known_names(model, wire, request.path)
    if wire != "v4" and "input" in body:
        assert set(body["input"]) <= set(FACTS["jobs"][body["model"]]["fields"])
    assert "key" not in request.path


FACTS = wire()


def known_names(model, wire, path):
    """What the vendor's pages list for this call: taken from the sandbox's facts, not from the plugin."""
    if wire == "v4":
        return {field.name for field in model.inputs} if model.endpoint else {"model", "input"}
    if wire == "jobs":
        return {"model", "input", "callBackUrl"}
    return set(FACTS["dedicated"][path]["fields"])


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["code", "data", "msg", "state", "status", "successFlag", "response", "resultUrls", "resultJson", "sunoData", "audioUrl",
             "videoInfo", "videoUrl", "resultImageUrl", "progress", "errorCode", "createTime", "completeTime", "failCode", "expireFlag",
             "creditsConsumed"]
        ),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(st.sampled_from(SIX), st.sampled_from(["dedicated", "jobs"]), JSONS, st.sampled_from([200, 500, 422, None]))
def test_no_answer_makes_a_parser_fail(model_id, wire, data, code):
    """Only ReadFailed comes out, or an outcome; a plugin that raises something else is broken."""
    job = ALL.job(model_id, inputs_of(ALL.plugins.registry.get(model_id)), job_id="j1", wire=wire)
    try:
        outcome = ALL.outcome(job, {"code": code, "data": data})
    except ReadFailed:
        return
    except PluginFailed as error:
        raise AssertionError(error) from error

    assert outcome.state in ("queued", "running", "partial", "succeeded", "failed", "expired")


# --- the command line -----------------------------------------------------------------


def run(*words):
    return CliRunner().invoke(command, list(words))


def test_payload_of_the_contract():
    """The seed example, on the wire of the contract."""
    payload = json.loads(run("payload", "gpt-4o-image", "prompt=cat", "--wire", "v4", "--json").stdout)

    assert payload["body"] == {"prompt": "cat", "size": "1024x1024", "quality": "standard"}
    assert payload["url"] == "https://api.kie.ai/4o-image/generate"


def test_payload_of_the_dedicated_wire():
    """The same on the vendor's documented call."""
    payload = json.loads(run("payload", "gpt-4o-image", "prompt=cat", "--wire", "dedicated", "--json").stdout)

    assert (payload["method"], payload["url"]) == ("POST", "https://api.kie.ai/api/v1/gpt4o-image/generate")
    assert payload["body"]["size"] == "1:1"
    assert payload["price"] == {"rub": 39.33, "credits": 6, "usd": 0.03, "wire_rub": 4.72, "at_most": False}


def test_generate_in_the_sandbox_prints_the_path_of_a_picture(tmp_path, monkeypatch):
    """stdout holds the path alone; price, handle and states are on stderr."""
    monkeypatch.setattr("kie_core._dispatch.sandbox.SPEED", SPEED)  # so that it is seen running
    result = run("generate", "gpt-4o-image", "prompt=a cute cat", "--sandbox", "--out", str(tmp_path))

    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [str(path) for path in tmp_path.iterdir()]
    assert "39.33 RUB (Kie charges 6 credits today, 0.030 USD; with the markup about 4.72 RUB)" in result.stderr
    assert "accepted: kie1:" in result.stderr
    assert "running" in result.stderr


def test_generate_without_saving_prints_urls():
    """And as JSON one object."""
    plain = run("generate", "flux-kontext", "prompt=a cat", "--sandbox", "--no-save")
    one = json.loads(run("generate", "flux-kontext", "prompt=a cat", "--sandbox", "--no-save", "--json").stdout)

    assert plain.stdout.startswith("http://127.0.0.1:")
    assert (one["state"], one["model"], one["files"]) == ("succeeded", "flux-kontext", [])
    assert one["artifacts"][0]["kind"] == "image"


def test_no_wait_then_status(monkeypatch, world):
    """The handle is all that is needed later."""
    with serve(sandbox=world) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        handle = run("generate", "gpt-4o-image", "prompt=a cat", "--no-wait").stdout.strip()
        status = json.loads(run("status", handle, "--json").stdout)
        credits = run("credits").stdout

    assert status["handle"] == handle
    assert status["state"] in ("running", "succeeded")
    assert credits == "999994\n"


def test_save_finishes_what_was_only_submitted(monkeypatch, world, tmp_path):
    """Another day, another process: the handle, and no second create."""
    with serve(sandbox=world) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        handle = run("generate", "gpt-4o-image", "prompt=a cat", "--no-wait").stdout.strip()
        saved = run("save", handle, "--out", str(tmp_path))

    assert saved.exit_code == 0, saved.stderr
    assert saved.stdout.splitlines() == [str(path) for path in tmp_path.iterdir()]
    assert len(world.tasks) == 1


def test_every_example_that_the_help_prints_can_be_typed(monkeypatch):
    """The line after "try:" is accepted, for every model that is offered."""
    monkeypatch.setattr(
        "kie_core._dispatch.dispatcher.load_dispatcher", lambda settings: ALL
    )  # read once, not 757 times
    models = [row["id"] for row in json.loads(run("models", "--all", "--json").stdout) if row["status"] != "gone"]
    refused = []
    for model_id in models:
        line = next(line for line in run("model", model_id).stdout.splitlines() if line.startswith("try: "))
        words = [word for word in shlex.split(line)[3:] if word != "--sandbox"]
        if run("payload", *words).exit_code:
            refused.append(line)

    assert len(models) == 6 + 30 + 184 + 188
    assert refused == []


def test_a_wait_that_ends_early_has_its_own_exit_code(monkeypatch):
    """5: timed out, the task goes on; the handle is in the message."""
    with serve(speed=0.001) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        result = run("generate", "gpt-4o-image", "prompt=a cat", "--wait", "0.1")

    assert result.exit_code == 5
    assert "do not submit it again: kie save kie1:" in result.stderr


@pytest.mark.parametrize(("credits", "prompt", "code"), [(1, "a cat", 4), (100, "a cat [refuse]", 1)])
def test_exit_codes_of_what_kie_says(monkeypatch, credits, prompt, code):
    """4: no credits; 1: the task failed."""
    with serve(speed=300, credits=credits) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        result = run("generate", "gpt-4o-image", f"prompt={prompt}", "--no-save")

    assert result.exit_code == code


def test_ctrl_c_names_the_handle_and_says_that_the_task_goes_on(monkeypatch, tmp_path):
    """Exit code 130."""
    with serve(speed=0.001) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        words = [sys.executable, "-m", "kie_core", "generate", "gpt-4o-image", "prompt=a cat"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        seen = ""
        while "accepted" not in seen:
            seen += process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert process.returncode == 130
    assert out == ""
    assert "goes on at Kie and is paid: kie save kie1:" in err
    assert "Traceback" not in err


def test_the_sandbox_command_serves_bots_in_any_language(tmp_path):
    """It prints the variables that any client needs."""
    words = [sys.executable, "-m", "kie_core", "sandbox", "--port", "0", "--speed", "300"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    try:
        line = process.stdout.readline()
        url = line.partition("KIE_BASE_URL=")[2].split()[0]
        with KieBlocking(
            KEY, base_url=url, schedule=QUICK, creates_per_10_seconds=10_000, concurrency=10_000
        ) as client:
            assert client.generate("gpt-4o-image", {"prompt": "a cat"}).outcome.state == "succeeded"
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert process.returncode == 0, err


@pytest.mark.anyio
async def test_the_asynchronous_client_in_one_piece(world, tmp_path):
    """The example of the package's docstring."""
    with serve(sandbox=world) as url:
        async with Kie(KEY, base_url=url, schedule=QUICK, creates_per_10_seconds=10_000, concurrency=10_000) as kie:
            task = await kie.generate("gpt-4o-image", {"prompt": "a cute cat"})
            paths = await task.save(tmp_path)

    assert paths[0].suffix == ".png"


def test_a_folder_that_cannot_be_written_is_found_before_the_purchase(monkeypatch, world, tmp_path):
    """Exit code 2, and no create."""
    (tmp_path / "file").write_text("in the way")
    with serve(sandbox=world) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        result = run("generate", "gpt-4o-image", "prompt=a cat", "--out", str(tmp_path / "file" / "sub"))

    assert result.exit_code == 2
    assert "nothing was bought" in " ".join(result.stderr.replace("│", " ").split())
    assert world.tasks == {}


def test_nobody_listening_on_stderr_stops_no_purchase_half_way(monkeypatch, world, tmp_path):
    """The result still goes to stdout."""
    with serve(sandbox=world) as url:
        words = f"{sys.executable} -m kie_core generate gpt-4o-image prompt=cat --out {tmp_path} --json 2>&-"
        environ = {**os.environ, "KIE_BASE_URL": url, "KIE_API_KEY": KEY}
        done = subprocess.run(
            ["bash", "-c", words], capture_output=True, text=True, env=environ, check=False, timeout=60
        )

    assert done.returncode == 0
    assert json.loads(done.stdout)["state"] == "succeeded"


def test_the_tree_of_one_command_shows_no_key_anywhere(monkeypatch, world, tmp_path):
    """stdout, stderr at -vv, files."""
    with serve(sandbox=world) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", KEY)
        result = run("-vv", "generate", "gpt-4o-image", "prompt=a cat", "--out", str(tmp_path))

    assert KEY not in result.stdout + result.stderr
    assert all(KEY.encode() not in path.read_bytes() for path in tmp_path.iterdir())
