"""What the five families do beside their first call, against the fake vendor: bought once, read, saved, whatever fails."""

from __future__ import annotations

import contextlib
import json
import shlex
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from kie_core import InvalidJob, JobFailed, LedgerError, Refused, Schedule, SubmitUnknown, WrongState
from kie_core._cli.main import kie as command
from kie_core._dispatch.reference import reference
from kie_core._jobs.answer import Accepted, Answer, asked_again, verdict
from kie_core._ledger.entry import orphaned
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.spill import left_behind
from kie_core.testing import example_inputs
from kie_core.webhook import _task_id

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef0123456789abcdef"
#: The rows that the plugins of the families bring.
MODELS = [
    "veo3_lite", "suno-generate", "veo-extend", "veo-1080p", "veo-4k", "runway-generate", "runway-extend", "runway-gen4-aleph", "suno-extend", "suno-cover",
    "suno-upload-extend", "suno-instrumental", "suno-vocals", "suno-replace-section", "suno-mashup",
    "suno-sounds", "suno-timestamped-lyrics", "suno-persona", "suno-boost-style", "suno-cover-image", "suno-lyrics",
    "suno-wav", "suno-mp4", "suno-separate-vocals", "suno-midi", "suno-voice-validate", "suno-voice-regenerate",
    "suno-voice", "suno-voice-check", "suno-recovery",
]  # fmt: skip
ID_NAMES = ("taskId", "task_id")
#: These end where a person has to go on.
PHRASES = ("suno-voice-validate", "suno-voice-regenerate")
SYNC = ("suno-timestamped-lyrics", "suno-persona", "suno-boost-style", "suno-voice-check")
STYLE, STYLE_INPUTS = "suno-boost-style", {"content": "dusty folk, slow"}
#: Kopecks that 0.4 credits are.
STYLE_PRICE = 32


async def finished(kie, model, inputs):
    """Buy a job and wait for what it makes, or for what a person is needed for."""
    task = await kie.submit(model, inputs, allow_unknown_price=True)
    with contextlib.suppress(JobFailed) if model in PHRASES else contextlib.nullcontext():
        await task.wait()
    return task


async def inputs_of(kie, model):
    """The example of a model; what it builds on is made first, and named by its handle alone."""
    row = kie.registry.get(model)
    inputs, field = {"prompt": "a fox", **example_inputs(row)}, reference(row)
    inputs = {name: value for name, value in inputs.items() if row.input(name) is not None}
    if field is None or field.name not in inputs:
        return inputs
    first = field.source.models[0]
    task = await finished(kie, first, await inputs_of(kie, first))
    given = {gift.name for gift in field.source.gives}
    return {name: value for name, value in inputs.items() if name not in given} | {field.name: task.handle}


def test_no_operation_is_left_out(plugins_and_prices):
    """Every row of a family's plugin is tried here, and listed by `kie models`."""
    families = ("veo3", "runway", "suno", "4o-image", "flux-kontext")
    brought = [m for m in plugins_and_prices.plugins.registry if m.category in families and "plugin" in m.origin]

    assert sorted(MODELS) == sorted(model.id for model in brought)
    assert not any(model.hidden for model in brought)


@pytest.mark.parametrize("model", MODELS)
async def test_every_operation_is_bought_once_and_saved(scene, tmp_path, model):
    """From the example: the earlier task by its handle, one create, its price, and what it made on the disk."""
    async with scene.client() as kie:
        inputs = await inputs_of(kie, model)
        before, credits = len(scene.vendor.creates), scene.vendor.balance
        task = await finished(kie, model, inputs)

        assert len(scene.vendor.creates) == before + 1
        if task.job.price.credits is not None:
            assert credits - scene.vendor.balance == task.job.price.credits
        if model in PHRASES:
            assert task.outcome.state == "needs_input"
            return
        paths = await task.save(tmp_path)
        again = await (await kie.task(task.job.id)).save(tmp_path)
        balance = await scene.booked(kie)

    assert [path.stat().st_size > 0 for path in paths] == [True] * len(task.outcome.artifacts)
    assert again == paths
    assert balance[0] == 0 or model in ("suno-voice", "suno-voice-check")  # the phrase waits for a person
    assert len(scene.vendor.creates) == before + 1


@pytest.mark.parametrize(
    ("model", "kind", "part"),
    [("suno-lyrics", "txt", "A sandbox is a sunny place"), ("suno-boost-style", "txt", "dusty folk"),
     ("suno-midi", "json", "Upright Bass"), ("suno-timestamped-lyrics", "json", "alignedWords")],
)  # fmt: skip
async def test_what_is_no_file_is_saved_as_text_or_json(scene, tmp_path, model, kind, part):
    """A text as it is, a table as JSON."""
    async with scene.client() as kie:
        task = await finished(kie, model, await inputs_of(kie, model))
        path = (await task.save(tmp_path))[0]

    assert path.suffix == f".{kind}"
    assert part in path.read_text(encoding="utf-8")


PAGES = {
    model: page
    for path in (Path(__file__).parents[2] / "plugins").glob("*/tests/operations.json")
    for model, page in json.loads(path.read_text(encoding="utf-8"))["operations"].items()
}
#: The tier that the contract lacks has no page of its own.
OPERATIONS = [model for model in MODELS if model != "veo3_lite"]
SAID = [(model, name) for model in OPERATIONS for name in PAGES[model]["create"]["examples"] if "request" not in name]
#: These name what was made before, or say that it is being made.
TAKEN = {("suno-cover-image", "already_exists"), ("veo-1080p", "not_ready"), ("veo-4k", "still_running"),
         ("veo-4k", "already_done")}  # fmt: skip
CALLED = [(model, name) for model in OPERATIONS for name in PAGES[model]["callbacks"] or ()]


@pytest.mark.parametrize("family", ["suno", "veo3", "runway"])
def test_the_rows_keep_the_format(family):
    """As the bundled files do."""
    root = Path(__file__).parents[2]
    schema = json.loads(root.joinpath("tests", "registry", "schema.json").read_text(encoding="utf-8"))
    rows = root.joinpath("plugins", f"kie-{family}", "src", f"kie_{family}", "kie_models.json")

    assert list(jsonschema.Draft202012Validator(schema).iter_errors(json.loads(rows.read_text("utf-8")))) == []


@pytest.mark.parametrize(("model", "name"), SAID)
def test_every_documented_refusal_is_one(plugins_and_prices, model, name):
    """Nothing was made, and nobody has to wonder; but for those that name what was made before."""
    job = plugins_and_prices.job(model, example_inputs(plugins_and_prices.plugins.registry.get(model)), job_id="job1")
    endpoint, known = plugins_and_prices.endpoint(job), plugins_and_prices.refused(job)
    answer = Answer(200, json.dumps(PAGES[model]["create"]["examples"][name]).encode())

    if endpoint.kind == "derived":
        found = asked_again(answer, known, "asks")
    else:
        found = verdict(answer, known, promises=endpoint.promises, made_before=endpoint.made_before)

    assert isinstance(found, Accepted if (model, name) in TAKEN else Refused)


@pytest.mark.parametrize(("model", "name"), CALLED)
def test_every_documented_callback_names_its_task(model, name):
    """Nothing else in it is believed: Kie is asked what became of the task."""
    body = PAGES[model]["callbacks"][name]
    wanted = [place.get(key) for place in (body, body.get("data")) if isinstance(place, dict) for key in ID_NAMES]

    assert [_task_id(json.dumps(body).encode())] == [task_id for task_id in wanted if task_id]


# --- earlier tasks ----------------------------------------------------------------------


async def a_song(kie):
    return await finished(kie, "suno-v4", {"prompt": "a song"})


def sent(scene):
    return scene.vendor.creates[-1].body


@pytest.mark.parametrize("named", ["handle", "job", "task id", "task id of nobody's"])
async def test_an_earlier_task_is_named_by_handle_job_or_task_id(scene, tmp_path, named):
    """The request gets the ids that it needs; a task that the ledger never saw is read, too."""
    async with scene.client() as kie:
        song = await a_song(kie)
        text = {"handle": song.handle, "job": song.job.id}.get(named, song.id)
    other = {"ledger": str(tmp_path / "other.sqlite")} if "nobody" in named else {}
    async with scene.client(**other) as kie:
        await kie.submit("suno-wav", {"task": text})

    assert (sent(scene)["taskId"], sent(scene)["audioId"]) == (song.id, f"{song.id}-1")


async def test_another_track_is_picked_by_its_number(scene):
    """From 1, as files are numbered; there is no third."""
    async with scene.client() as kie:
        song = await a_song(kie)
        await kie.submit("suno-wav", {"task": song.handle, "track": 2})
        assert sent(scene)["audioId"] == f"{song.id}-2"
        with pytest.raises(InvalidJob, match=r"track: the task has 2; there is no number 3"):
            await kie.submit("suno-wav", {"task": song.handle, "track": 3})

    assert len(scene.vendor.creates) == 2


async def test_a_song_goes_on_from_where_one_says(scene):
    """Engine, style, title and words are those of the song, unless the caller has others."""
    async with scene.client() as kie:
        song = await a_song(kie)
        await kie.submit("suno-extend", {"task": song.handle, "continue_at": 60, "title": "Mine"})

    body = {name: value for name, value in sent(scene).items() if name != "callBackUrl"}
    assert body == {
        "audioId": f"{song.id}-1", "defaultParamFlag": True, "prompt": "[Verse]\nA sandbox is a sunny place",
        "style": "pop", "title": "Mine", "continueAt": 60, "model": "V4",
    }  # fmt: skip


async def test_a_song_goes_on_by_its_own_parameters(scene):
    """Nothing but the song is named."""
    async with scene.client() as kie:
        song = await a_song(kie)
        await kie.submit("suno-extend", {"task": song.handle})

    body = {name: value for name, value in sent(scene).items() if name != "callBackUrl"}
    assert body == {"audioId": f"{song.id}-1", "defaultParamFlag": False, "model": "V4"}


async def test_a_task_that_is_not_finished_is_not_built_upon(scene):
    """It says so, and how to wait; nothing is bought."""
    async with scene.client() as kie:
        song = await kie.submit("suno-v4", {"prompt": "a song"})
        with pytest.raises(InvalidJob, match=rf"is running.*kie save {song.handle}"):
            await kie.submit("suno-wav", {"task": song.handle})

    assert len(scene.vendor.creates) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("0" * 32, "Kie does not know"), ("0" * 16, "the ledger does not know job"),
     ("kie1:x:suno-v4:dedicated", "names no task"), ("kie1:x", "parts"),
     ("kie1:x:gpt-4o-image:dedicated:t1", "is a task of gpt-4o-image; expected one of suno-v4")],
)  # fmt: skip
async def test_what_is_no_task_to_build_on_is_refused_before_anything_is_bought(scene, text, words):
    """Each with its reason."""
    async with scene.client() as kie:
        with pytest.raises(InvalidJob, match=words):
            await kie.submit("suno-wav", {"task": text})
        assert not await kie.jobs()

    assert scene.vendor.posts == 0


async def test_a_task_of_another_account_is_refused(scene):
    """This key cannot use it."""
    async with scene.client() as kie:
        song = await a_song(kie)
    async with scene.client(api_key="f" * 32) as kie:
        with pytest.raises(InvalidJob, match="another account"):
            await kie.submit("suno-wav", {"task": song.job.id})

    assert len(scene.vendor.creates) == 1


def test_without_a_network_a_handle_serves_and_the_rest_has_to_be_given(plugins_and_prices):
    """`kie payload` asks nobody, and says what it would have asked for."""
    handle = "kie1:job1:suno-v4:dedicated:t1"

    job = plugins_and_prices.job("suno-wav", {"task": handle, "audio_id": "a1"}, job_id="job2")

    assert json.loads(plugins_and_prices.request(job).content) == {
        "taskId": "t1", "audioId": "a1", "callBackUrl": "https://callback.invalid/kie",
    }  # fmt: skip
    with pytest.raises(InvalidJob, match="audio_id: missing.*offline, give it"):
        plugins_and_prices.job("suno-wav", {"task": handle}, job_id="job2")
    with pytest.raises(InvalidJob, match="a job of the ledger"):
        plugins_and_prices.job("suno-wav", {"task": "0123456789abcdef", "audio_id": "a1"}, job_id="job2")


# --- on the way -------------------------------------------------------------------------


async def test_what_is_there_already_reaches_the_caller_as_it_comes(scene):
    """First the words, then the first of two songs."""
    async with scene.client() as kie:
        task = await kie.submit("suno-sounds", {"prompt": "gravel"})
        often = Schedule(first=0.2, factor=1.0, longest=0.2)
        seen = [outcome async for outcome in task.updates(schedule=often)]

    partial = [[artifact.role for artifact in one.artifacts] for one in seen if one.state == "partial"]
    assert partial[0] == ["lyrics"]
    assert ["result", "cover"] in partial
    assert seen[-1].state == "succeeded"


async def test_a_wait_for_a_person_ends_with_what_has_to_be_done(scene):
    """It does not go round and round, for whoever drives it either."""
    async with scene.client() as kie:
        task = await kie.submit("suno-voice-validate", await inputs_of(kie, "suno-voice-validate"),
                                allow_unknown_price=True)  # fmt: skip
        with pytest.raises(JobFailed, match="record the phrase 'seven boats left before noon'") as caught:
            await task.wait()
        asked = scene.vendor.asked("validate-info")
        faults = await kie.drive(task.job.id)

    assert caught.value.state == "needs_input"
    assert scene.vendor.asked("validate-info") == asked + 1
    assert str(faults[task.job.id]) == str(caught.value)


async def test_what_takes_up_everything_says_that_a_person_is_needed(scene):
    """And not to come back later: nothing changes by itself. It asks once, and waits for nothing."""
    async with scene.client() as kie:
        task = await finished(kie, "suno-voice-validate", await inputs_of(kie, "suno-voice-validate"))
    asked = scene.vendor.asked("validate-info")
    resumed = typed(scene, "resume")

    assert resumed.exit_code == 1
    assert f"error: job {task.job.id}: the task is needs_input: a person has to go on" in resumed.stderr
    assert "later" not in resumed.stderr
    assert "waiting for" not in resumed.stderr
    assert scene.vendor.asked("validate-info") == asked + 1


# --- answers that are the result ----------------------------------------------------------


async def nobody_asks(scene, job_id, asked):
    """Nothing is ever asked of Kie for a job whose answer is known, or of which nobody knows."""
    async with scene.client() as kie:
        await kie.recover(wait_timeout=0)
        await kie.advance(job_id)
    assert [request.target for request in scene.vendor.requests[asked:]] == []


async def test_an_answer_that_is_the_result_is_read_without_asking_again(scene, tmp_path):
    """Status, record, save, another process: all from the ledger; settled by what Kie says it took."""
    async with scene.client() as kie:
        task = await kie.submit(STYLE, STYLE_INPUTS)
        asked = len(scene.vendor.requests)
        assert await scene.standing(kie, task.job.id) == ("succeeded", 0)
        outcome = await task.wait()
        assert (await task.record())["data"]["result"] == outcome.artifacts[0].text
        assert await scene.booked(kie) == (0, STYLE_PRICE)
    async with scene.client() as kie:
        (path,) = await kie.attach(task.handle).save(tmp_path)

    assert path.read_text(encoding="utf-8") == outcome.artifacts[0].text
    await nobody_asks(scene, task.job.id, asked)


async def test_a_process_that_dies_after_the_answer_leaves_the_result_in_the_ledger(scene):
    """The answer was committed with the end of the intent; `recover` reads it there."""
    async with scene.client() as kie:
        runner = await kie._opened.for_buying()
        entry = await runner.add(runner.planner.planned(kie.job(STYLE, STYLE_INPUTS)))
        leased = await runner.ledger.claim(entry, interval=0.0, most=9)
        await runner.buyer.buy(leased, runner.planner.request_of(entry), ())
        assert await scene.standing(kie, entry.id) == ("running", STYLE_PRICE)
    async with scene.client() as kie:
        await kie.recover(wait_timeout=0)

        assert (await kie.entry(entry.id)).state == "succeeded"
        assert await scene.booked(kie) == (0, STYLE_PRICE)
    assert len(scene.vendor.creates) == 1


async def test_elsewhere_the_handle_of_an_answer_says_where_the_result_is(scene, tmp_path):
    """There is nobody to ask, and no waiting."""
    async with scene.client() as kie:
        task = await kie.submit(STYLE, STYLE_INPUTS)
    async with scene.client(ledger=str(tmp_path / "other.sqlite")) as kie:
        with pytest.raises(WrongState, match="only in the ledger where it was bought"):
            await kie.attach(task.handle).wait()


@pytest.mark.parametrize("model", SYNC)
@pytest.mark.parametrize(
    "fault",
    ["create-reset", "create-status=500", "create-cut-body", "create-cut-json", "create-html", "create-data-null"],
)
async def test_an_answer_that_is_lost_is_unknown_and_never_bought_again(scene, model, fault):
    """Reset after the request, half an answer, 500, an answer without its result: reserved, and left to a person."""
    async with scene.client() as kie:
        inputs = await inputs_of(kie, model)
        before, posts = len(scene.vendor.creates), scene.vendor.posts
        scene.vendor.faults.add(fault)
        with pytest.raises(SubmitUnknown) as caught:
            await kie.submit(model, inputs, allow_unknown_price=True)
        scene.vendor.faults.clear()
        job_id = caught.value.handle.split(":")[1]
        price = (await kie.entry(job_id)).plan.price or 0
        await kie.drive(wait_timeout=0)
        with pytest.raises(WrongState, match="makes no task"):
            await kie.resolve(job_id, adopt_task="t1")

        assert await scene.standing(kie, job_id) == ("unknown", price)
        assert (await kie.resolve(job_id, not_sent=True)).state == "not_submitted"
    assert scene.vendor.posts == posts + 1
    assert len(scene.vendor.creates) <= before + 1


@contextlib.contextmanager
def a_ledger_that_takes_no_answer(monkeypatch):
    """It fails between the answer and its commit."""

    async def fails(*_, **__):
        raise LedgerError("played", "the disk is full", "make room", "full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "adopt", fails)
        yield


async def test_a_result_that_the_ledger_does_not_take_is_put_beside_it(scene, monkeypatch):
    """Killed between the answer and its commit: the next process finds the whole result, and buys nothing."""
    async with scene.client() as kie:
        job = kie.job(STYLE, STYLE_INPUTS)
        with a_ledger_that_takes_no_answer(monkeypatch):
            task = await kie.submit(job)
            assert (await task.wait()).artifacts[0].text
        runner = await kie._opened.for_buying()
        path, (spilt,) = next(iter(left_behind(runner.stem)))
        assert json.loads(spilt.record)["data"]["result"]
        left = path.read_bytes()
        runner.buyer.unwritten.clear()  # it dies, and with it what only its memory has
    path.with_name(path.name + "x").write_bytes(left)
    async with scene.client() as kie:
        await kie.recover(wait_timeout=0)

        assert (await kie.entry(job.id)).state == "succeeded"
        assert await scene.booked(kie) == (0, STYLE_PRICE)
    assert scene.vendor.posts == len(scene.vendor.creates) == 1


@pytest.mark.parametrize("model", [STYLE, "veo-1080p", "veo-4k"])
async def test_an_answer_that_the_ledger_takes_later_is_booked_once(scene, monkeypatch, model):
    """Whatever kind of call it was, the process has it until then."""
    async with scene.client() as kie:
        inputs = await inputs_of(kie, model)
        before, spent = len(scene.vendor.creates), (await scene.booked(kie))[1] if await kie.jobs() else 0
        with a_ledger_that_takes_no_answer(monkeypatch):
            task = await kie.submit(model, inputs)
            assert (await kie.entry(task.job.id)).state in ("submitting", "succeeded")  # a result may still fit
        await kie.recover()

        assert (await kie.entry(task.job.id)).state == "succeeded"
        assert await scene.booked(kie) == (0, spent + task.job.price.wire)
    assert len(scene.vendor.creates) == before + 1


async def test_a_process_that_dies_before_the_answer_leaves_an_unknown_job(scene):
    """Between intent and commit: the price stays reserved, nobody is asked, nothing is sent."""
    async with scene.client() as kie:
        runner = await kie._opened.for_buying()
        entry = await runner.add(runner.planner.planned(kie.job(STYLE, STYLE_INPUTS)))
        await runner.ledger.intend(await runner.ledger.claim(entry, interval=0.0, most=9))
        await runner.ledger.change(await runner.ledger.get(entry.id), orphaned)
        await kie.recover(wait_timeout=0)

        assert await scene.standing(kie, entry.id) == ("unknown", STYLE_PRICE)
    await nobody_asks(scene, entry.id, 0)


# --- asked again until it is there --------------------------------------------------------


async def a_video(kie):
    return await finished(kie, "veo3_fast", {"prompt": "a kite"})


@pytest.mark.parametrize(
    "fault",
    ["create-reset", "create-status=500", "create-cut-body", "create-cut-json", "create-html", "create-data-null"],
)
async def test_a_copy_whose_first_answer_is_lost_is_asked_for_again(scene, tmp_path, fault):
    """Asking again is what the call is for: it is no second purchase."""
    async with scene.client() as kie:
        video = await a_video(kie)
        scene.vendor.faults.add(fault)
        task = await kie.submit("veo-1080p", {"task": video.handle})
        scene.vendor.faults.clear()
        await task.wait()
        assert len(await task.save(tmp_path)) == 1
        entry = await kie.entry(task.job.id)

        assert (entry.state, entry.reserved, entry.spent > 0) == ("succeeded", 0, True)
    assert len(scene.vendor.creates) == 2


async def test_a_copy_is_resumed_anywhere_by_its_handle(scene, tmp_path):
    """The handle has all that is asked."""
    async with scene.client() as kie:
        task = await kie.submit("veo-1080p", {"task": (await a_video(kie)).handle, "index": 0})
    async with scene.client(ledger=str(tmp_path / "other.sqlite")) as kie:
        outcome = await kie.attach(task.handle).wait()

    assert outcome.urls
    assert len(scene.vendor.creates) == 2


@pytest.mark.parametrize("model", ["veo-1080p", "veo-4k", "suno-cover-image"])
async def test_the_same_copy_is_not_bought_twice(scene, model):
    """The vendor would name the first; whoever asks again is told which job that is."""
    async with scene.client() as kie:
        inputs = await inputs_of(kie, model)
        first = await kie.submit(model, inputs)
        with pytest.raises(Refused, match=f"it is job {first.job.id} already"):
            await kie.submit(model, inputs)
        booked = await kie.booked()

    assert len(scene.vendor.creates) == 2
    assert [entry.id for entry in booked if entry.reserved] == [first.job.id] * (model != "suno-cover-image")  # free


@pytest.mark.parametrize("model", ["veo-4k", "suno-cover-image"])
async def test_a_copy_that_somebody_else_ordered_is_taken_up(scene, tmp_path, model):
    """A refusal with the task inside: it is read like one that was made now."""
    async with scene.client() as kie:
        inputs = await inputs_of(kie, model)
        first = await kie.submit(model, inputs)
    async with scene.client(ledger=str(tmp_path / "other.sqlite")) as kie:
        second = await kie.submit(model, inputs)
        await second.wait()

    assert second.id == first.id
    assert len(scene.vendor.creates) == 2


async def test_a_copy_whose_process_died_is_taken_up_again(scene):
    """Between intent and commit: it is known by what it asks."""
    async with scene.client() as kie:
        video = await a_video(kie)
        runner = await kie._opened.for_buying()
        entry = await runner.add(runner.planner.planned(await kie.prepare("veo-1080p", {"task": video.handle})))
        leased = await runner.ledger.claim(entry, interval=0.0, most=9)
        await runner.ledger.intend(leased)
        lost = await runner.ledger.change(await runner.ledger.get(entry.id), orphaned)
        assert lost.state == "unknown"
        await kie.recover()

        assert (await kie.entry(entry.id)).state == "succeeded"
    assert len(scene.vendor.creates) == 2


@pytest.mark.parametrize("model", ["veo-1080p", "veo-4k", "veo-extend"])
async def test_a_copy_of_nothing_is_refused_and_costs_nothing(scene, plugins_and_prices, model):
    """Kie does not know the video."""
    async with scene.client() as kie:
        job = kie.job(model, example_inputs(kie.registry.get(model)))
        with pytest.raises(Refused):
            await kie.submit(job)

        assert await scene.standing(kie, job.id) == ("failed", 0)
    assert not scene.vendor.creates


# --- on the command line, and by callback -------------------------------------------------


def typed(scene, *words):
    environ = {"KIE_API_KEY": KEY, "KIE_BASE_URL": scene.vendor.url, "KIE_LEDGER": str(scene.ledger)}
    return CliRunner().invoke(command, words, env=environ)


async def test_as_a_user_types_it(scene, tmp_path):
    """The song is named by its handle; what the answer was is shown, and saved, without asking Kie for it."""
    async with scene.client() as kie:
        song = await a_song(kie)
    extended = typed(scene, "generate", "suno-extend", f"task={song.handle}", "continue_at=60", "--no-wait")
    assert (extended.exit_code, sent(scene)["continueAt"]) == (0, 60), extended.output
    styled = typed(scene, "generate", STYLE, "content=dusty folk", f"--out={tmp_path}", "--json")
    assert styled.exit_code == 0, styled.output
    handle = json.loads(styled.stdout)["handle"]
    asked = len(scene.vendor.requests)
    shown = typed(scene, "jobs", "show", handle.split(":")[1])
    status, again = typed(scene, "status", handle), typed(scene, "save", handle, f"--out={tmp_path}")

    assert "task: none, the answer to its create is the result" in shown.output
    assert (status.exit_code, again.exit_code) == (0, 0), (status.output, again.output)
    assert len(scene.vendor.requests) == asked


@pytest.mark.parametrize("model", ["suno-lyrics", "suno-midi", "suno-wav", "suno-voice-validate"])
async def test_how_far_a_task_is_says_what_it_made(scene, model):
    """On stdout: a file by its address, a text as it is, data as JSON."""
    async with scene.client() as kie:
        task = await finished(kie, model, await inputs_of(kie, model))
    shown, known = typed(scene, "status", task.handle), json.loads(typed(scene, "status", task.handle, "--json").stdout)
    made = [one["url"] or one["text"] or json.dumps(one["data"], indent=2) for one in known["artifacts"]]

    assert made
    assert shown.stdout == "\n".join([known["state"], *made, ""])


def test_a_result_that_is_a_text_is_printed_where_nothing_is_saved(scene):
    """On stdout, as addresses are."""
    bought = typed(scene, "generate", "suno-lyrics", "prompt=a fox", "--sandbox", "--no-save")

    assert bought.exit_code == 0, bought.output
    assert bought.stdout.startswith("[Verse]\n")
    assert "[Verse]" not in bought.stderr


def test_payload_shows_the_query_of_a_copy(scene):
    """A GET has no body; what it asks is in its address."""
    shown = typed(scene, "payload", "veo-1080p", "task=kie1:job1:veo3:dedicated:t1", "index=0")

    assert f"GET {scene.vendor.url}/api/v1/veo/get-1080p-video?taskId=t1&index=0" in shown.output


@pytest.mark.usefixtures("in_haste")
@pytest.mark.parametrize("model", MODELS)
def test_what_a_model_says_one_may_try_works_as_it_is_typed(scene, model):
    """In the sandbox, or without any vendor where an earlier task is needed."""
    line, _, _ = typed(scene, "model", model).output.partition("try: ")[2].partition("source: ")
    program, *words = shlex.split(line)

    tried = typed(scene, *words, *(["--no-save", "--allow-unknown-price"] if "--sandbox" in words else []))

    assert (program, words[1]) == ("kie", model)
    waits = model == "suno-voice-validate"  # for a person
    assert tried.exit_code == waits, tried.output


async def test_a_record_that_names_only_the_callback_address_tells_whose_it_is(scene):
    """Some records repeat nothing else of the request: a lost task is adopted by it, and a stranger's is not."""
    async with scene.client(callback_url="http://127.0.0.1:9/kie") as kie:
        inputs = {"task": (await a_song(kie)).handle}
        scene.vendor.faults.add("create-reset*2")
        ids = []
        for _ in range(2):
            with pytest.raises(SubmitUnknown) as caught:
                await kie.submit("suno-wav", inputs)
            ids.append(caught.value.handle.split(":")[1])
        mine, other = (create.task_id for create in scene.vendor.creates[-2:])
        with pytest.raises(WrongState, match="of another job"):
            await kie.resolve(ids[0], adopt_task=other)

        assert (await kie.resolve(ids[0], adopt_task=mine)).task_id == mine
