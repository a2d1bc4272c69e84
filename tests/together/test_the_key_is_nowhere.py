"""The key, the webhook key and the tokens of callback addresses: whatever happens, nobody sees them but Kie."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import pickle
import socket
import subprocess
import sys
import traceback
from urllib.parse import urlsplit

import attrs
import pytest

from kie_core import Budget, ConfigError, Kie, KieError, Schedule, load_settings
from kie_core._config import load_with_origins
from kie_core._jobs.callback import callback_token, without_tokens
from kie_core._secret import Secret
from kie_core.webhook import handle, verify
from kie_sandbox import Sandbox, serve

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("in_haste")]
KEY = "Kq7-nobody-may-see-this-key-of-forty-chr"
WEBHOOK_KEY = "Wz3-nobody-may-see-this-webhook-key-eith"
CAT = {"prompt": "a cat"}
#: What Kie does wrong to one job, and the error of a caller who waits for it.
FAULTS_AND_ERRORS = {
    "create-html*1": "SubmitUnknown",
    "create-reset*1": "SubmitUnknown",
    "create-cut-json*1": "SubmitUnknown",
    "create-cut-body*1": "SubmitUnknown",
    "create-code=500*1": "SubmitUnknown",
    "create-code=401*1": "Unauthorized",
    "create-code=402*1": "OutOfCredits",
    "create-code=422*1": "Refused",
    "create-code=429*1": "RateLimited",
    "create-code=455*1": "Maintenance",
    "query-code=401*1": "ReadRefused",
    "query-unfinished": "WaitTimeout",
    "file-status=404": "SaveFailed",
    "file-cut-body": "SaveFailed",
    "file-disguised": "SaveFailed",
}


class Heard(logging.Handler):
    """Keeps every record of every logger as text: its words, what they were made of, and its traceback."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.texts = []

    def emit(self, record):
        self.texts.append(f"{record.name} {self.format(record)} {record.args!r}")


@pytest.fixture
def heard():
    """All that is logged, at the finest level."""
    handler = Heard()
    loggers = [logging.getLogger(name) for name in ("", "kie_core", "httpx", "httpcore", "asyncio", "stamina")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    loggers[0].addHandler(handler)
    yield handler.texts
    loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def world():
    return Sandbox(speed=400, credits=1_000_000, creates_per_10_seconds=None, webhook_key=WEBHOOK_KEY)


@pytest.fixture
def given(world, tmp_path):
    """Settings with all secrets; nobody listens at the callback address."""
    with serve(sandbox=world) as url:
        yield {
            "api_key": KEY, "webhook_keys": WEBHOOK_KEY, "base_url": url, "callback_url": "http://127.0.0.1:1/kie",
            "ledger": str(tmp_path / "ledger.sqlite"), "out": str(tmp_path / "out"), "creates_per_10_seconds": 10_000,
        }  # fmt: skip


def forms(error):
    """All that a program may do with an error."""
    yield str(error)
    yield repr(error)
    yield "".join(traceback.format_exception(error))
    yield pickle.dumps(error).decode("latin-1")
    yield repr(pickle.loads(pickle.dumps(error)))


def contents(folder):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with contextlib.suppress(FileNotFoundError):
                yield f"{path.name} {path.read_bytes().decode('latin-1')}"


def secrets_of(jobs):
    texts = [KEY, WEBHOOK_KEY, *(callback_token(Secret(KEY), job) for job in jobs)]
    return [*texts, *(base64.b64encode(text.encode()).decode().rstrip("=") for text in texts)]


def assert_clean(texts, jobs):
    """No text holds a secret; the message does not repeat it."""
    secrets = secrets_of(jobs)
    for text in texts:
        found = [number for number, secret in enumerate(secrets) if secret in text]
        assert not found, f"secret {found} in {text.replace(KEY, '!!!')[:300]!r}"


@contextlib.contextmanager
def caught(errors):
    try:
        yield
    except (KieError, ValueError) as error:
        errors.append(error)


async def test_no_secret_in_logs_errors_ledger_and_results(world, given, heard, tmp_path):
    """Successes, every kind of failure, callbacks right and wrong, with everything logged."""
    errors, shown, jobs = [], [], []
    quick = Schedule(first=0.02, factor=1.1, longest=0.05)
    for number, (fault, name) in enumerate(FAULTS_AND_ERRORS.items()):
        world.faults.add(fault)
        async with Kie(schedule=quick, **{**given, "ledger": str(tmp_path / f"{number}.sqlite")}) as kie:
            with caught(errors):
                task = await kie.submit("flux-kontext", CAT, wait_timeout=0)
                await task.wait(0.3)
                await task.save(tmp_path / f"of {number}")
            jobs += [entry.id for entry in await kie.jobs()]
        assert type(errors[-1]).__name__ == name, f"{fault}: {errors[-1]!r}"
        world.faults.clear()
    async with Kie(schedule=quick, **given) as kie:
        shown += [repr(kie), repr(kie.settings), str(kie.settings), repr(attrs.asdict(kie.settings)), repr(vars(kie))]
        task = await kie.generate("gpt-4o-image", CAT)
        await task.save()
        shown += [repr(task), repr(task.job), repr(kie.job("veo3", CAT)), repr(kie.payload("veo3", CAT))]
        for model, inputs in {"gpt-4o-image": {"prompt": "[refuse]"}, "nothing": {}, "veo3": {"prompt": 7}}.items():
            with caught(errors):
                await kie.generate(model, inputs)
        with caught(errors):
            await kie.submit("gpt-4o-image", CAT, budget=Budget(max_price_rub=1))
        for call in (kie.cancel, kie.entry, kie.attach):
            with caught(errors):
                await call("kie1:nothing:nothing:dedicated")
        running = await kie.submit("suno-v4", CAT, job_key="song")
        with caught(errors):
            await kie.submit("suno-v4", {"prompt": "a dog"}, job_key="song")
        with caught(errors):
            await kie.cancel(running.job.id)
        await running.wait()
        for callback in [sent.callback for sent in list(world.sent)]:
            path, headers = urlsplit(callback.url).path, dict(callback.headers)
            for where, what in ((path, headers), (path[:-1] + "0", headers), (path, {"Content-Type": "text/html"})):
                reply = await handle(kie, method="POST", path=where, headers=what, body=callback.content)
                shown.append(repr(reply))
            with caught(errors):
                verify({**headers, "X-Webhook-Signature": "AAAA"}, callback.content, [WEBHOOK_KEY])
        await kie.recover(out=tmp_path / "recovered")
        entries = await kie.jobs()
        shown += [repr(entry) for entry in entries]
        shown += [repr(event) for entry in entries for event in await kie.history(entry.id)]
        shown += [repr(one) for one in (await kie.gates(), await kie.balances(), kie.webhook_keys)]
        shown += contents(tmp_path)  # with the journal and the spill file of a living process
    shown += contents(tmp_path)
    async with Kie(schedule=quick, **{**given, "base_url": f"http://127.0.0.1:{free_port()}"}) as kie:
        for call in (kie.credits, lambda: kie.submit("veo3", CAT, wait_timeout=0)):
            with caught(errors):
                await call()
    for settings in ({"api_key": f"{KEY} {KEY}"}, {"webhook_keys": f"{WEBHOOK_KEY}\n{KEY}"}, {"base_url": "ftp://x"}):
        with caught(errors):
            load_settings({**given, **settings}, environ={})
    shown += [json.dumps(load_with_origins(given, environ={}).rows(), default=repr)]

    jobs += [entry.id for entry in entries]
    assert len(errors) > 20
    assert {type(error).__name__ for error in errors} >= {
        *FAULTS_AND_ERRORS.values(),
        "NotSent",
        "ConfigError",
        "JobFailed",
    }
    assert any("callBackUrl" in text for text in heard), "requests were not logged"
    assert any(text.startswith("httpcore") for text in heard)
    assert any(
        callback_token(Secret(KEY), job).encode() in request.content for job in jobs for request in world.requests
    )
    assert_clean(heard, jobs)
    assert_clean([form for error in errors for form in forms(error)], jobs)
    assert_clean(shown, jobs)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


async def test_no_secret_in_what_kie_repeats(raw_server, http_bytes, given, heard, tmp_path):
    """A vendor, or a proxy before it, that answers with all that it was sent: headers, body and address."""

    async def repeat(reader, writer):
        text = raw_server.received[-1].decode()
        body = json.dumps({"code": 500 if text.startswith("POST") else 501, "msg": text, "data": {"echo": text}})
        writer.write(http_bytes(body, headers=""))

    errors, jobs = [], []
    async with raw_server.answering(repeat) as server, Kie(**{**given, "base_url": server.url}) as kie:
        for model in ("gpt-4o-image", "veo3", "suno-v4", "flux-kontext"):
            with caught(errors):
                await kie.submit(model, CAT, wait_timeout=0)
        with caught(errors):
            await kie.credits()
        shown = [*contents(tmp_path), *map(repr, await kie.jobs())]
        jobs = [entry.id for entry in await kie.jobs()]

    assert len(errors) == 5
    assert all(callback_token(Secret(KEY), job) in str(raw_server.received) for job in jobs)
    assert_clean(heard, jobs)
    assert_clean([form for error in errors for form in forms(error)], jobs)
    assert_clean(shown, jobs)


async def test_no_secret_on_the_command_line(world, given, tmp_path):
    """Everything said twice as loud, on both outputs."""
    environment = {**os.environ, **{f"KIE_{name.upper()}": value for name, value in map(_as_text, given.items())}}

    async def run(*arguments):
        command = [sys.executable, "-m", "kie_core", "-vv", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
        return done.stdout, done.stderr

    texts = [*await run("generate", "gpt-4o-image", "prompt=a cat", "--json")]
    world.faults.add("create-html*1")
    texts += await run("generate", "gpt-4o-image", "prompt=a cat")
    async with Kie(**given) as kie:
        jobs = [entry.id for entry in await kie.jobs()]
    for arguments in (["config"], ["config", "--json"], ["jobs"], ["payload", "veo3", "prompt=a cat"], ["credits"]):
        texts += await run(*arguments)
    for job in jobs:
        texts += [*await run("jobs", "show", job), *await run("jobs", "show", job, "--json")]

    assert len(jobs) == 2
    assert any(jobs[0] in text and "callBackUrl" in text for text in texts), "requests were not logged"
    assert all("Traceback" not in text for text in texts)
    assert_clean(texts, jobs)


def _as_text(item):
    name, value = item
    return name, str(value)


@pytest.mark.parametrize("ending", ["", '"', '\\"', "?from=kie", ". ", "/", "&x=1", " and"])
@pytest.mark.parametrize("slash", ["/", "\\/", "\\\\/", "%2F"])
def test_tokens_are_masked_however_an_address_is_written(slash, ending):
    """In a JSON text within a JSON text, or escaped for an address."""
    token = callback_token(Secret(KEY), "job-1")
    text = f"at https:{slash}{slash}bot.example.com{slash}kie{slash}job-1{slash}{token}{ending}"

    assert without_tokens(text.encode()).decode() == text.replace(token, "***")


@pytest.mark.parametrize(
    "text", ["{0}", "/files/{0}/1/picture.png", "https://x.example.com/a/{0}.png", '"taskId": "{0}"']
)
def test_other_words_of_32_digits_are_left_alone(text):
    """Task ids, and the names of files."""
    content = text.format("0123456789abcdef0123456789abcdef").encode()

    assert without_tokens(content) == content


async def test_a_key_that_is_refused_is_not_shown():
    """Not even the half that could be a key."""
    with pytest.raises(ConfigError) as error:
        load_settings({"api_key": f"{KEY}\n{KEY}"}, environ={})

    assert_clean(forms(error.value), [])
