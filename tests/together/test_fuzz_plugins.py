"""Records as no vendor should send them, to every plugin: read, or refused in our words, and never an end by accident."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kie_core import Artifact, KieError, Outcome, load_dispatcher, load_settings
from kie_core._jobs.outcome import TERMINAL
from kie_core.testing import example_inputs
from kie_sandbox import Request, Sandbox

DISPATCHER = load_dispatcher(load_settings(environ={}))
#: One job for each model and wire; of the legacy ids, which are read alike, some.
MODELS = [model for model in DISPATCHER.plugins.registry if model.status != "gone"]
CHOSEN = [*(model for model in MODELS if not model.hidden), *[model for model in MODELS if model.hidden][::20]]
WIRES = [(model.id, wire) for model in CHOSEN for wire in DISPATCHER.wires(model)]
#: What the pages show of the operations of the families.
PAGES = {
    model: page
    for path in (Path(__file__).parents[2] / "plugins").glob("*/tests/operations.json")
    for model, page in json.loads(path.read_text(encoding="utf-8"))["operations"].items()
}
KEY = {"authorization": "Bearer 0123456789abcdef", "host": "127.0.0.1:8787"}
#: What says that a task has ended, in the records of all families.
END_WORDS = {
    "success", "fail", "SUCCESS", "CREATE_TASK_FAILED", "GENERATE_AUDIO_FAILED", "SENSITIVE_WORD_ERROR",
    "CALLBACK_EXCEPTION", "GENERATE_LYRICS_FAILED", "GENERATE_WAV_FAILED", "GENERATE_MP4_FAILED",
    "processing_validate_fail",
}  # fmt: skip

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-1, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(
        ["success", "fail", "generating", "SUCCESS", "PENDING", "CALLBACK_EXCEPTION", "", " ", "0.4", "{}"]
    )
    | st.sampled_from(["https://files.example.com/a.png", '["https://files.example.com/a.png"]', "[1, null]", "null"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


@functools.cache
def job_of(model_id, wire):
    model = DISPATCHER.plugins.registry.get(model_id)
    inputs = {**example_inputs(model), **({"prompt": "a cat"} if model.input("prompt") else {})}
    return DISPATCHER.job(model_id, inputs, job_id="job1", wire=wire)


@functools.cache
def true_records(model_id, wire):
    """What the sandbox says of a job while it runs, when it ended, and when it failed; or what its page shows."""
    if model_id in PAGES:
        page = PAGES[model_id]
        shown = [body for name, body in page["create"]["examples"].items() if "request" not in name]
        return [*page["query"]["examples"].values()] if page["query"] else [page["create"]["answer"], *shown]
    now = [1_700_000_000.0]
    model = DISPATCHER.plugins.registry.get(model_id)
    row = {"model_id": model_id, "output_type": f"{model.media}/x", "api_endpoint": model.endpoint}
    world = Sandbox(credits=1e6, creates_per_10_seconds=None, models=[row], clock=lambda: now[0])
    job = job_of(model_id, wire)
    request = DISPATCHER.request(job)
    body = json.loads(request.content)
    place = body["input"] if isinstance(body.get("input"), dict) else body
    found = []
    for prompt in (place.get("prompt"), "[refuse]"):
        if prompt is not None:
            place["prompt"] = prompt
        made = json.loads(world.handle(Request("POST", request.path, KEY, json.dumps(body).encode())).content)
        query = DISPATCHER.query(job, made["data"]["taskId"])
        target = f"{query.path}?" + "&".join(f"{name}={value}" for name, value in query.query.items())
        for seconds in (1, 50, 100):
            now[0] += seconds
            found.append(json.loads(world.handle(Request("GET", target, KEY, b"")).content))
    return found


def places(value, path=()):
    """Every place in a JSON value, also in the JSON that its texts hold."""
    yield path
    if isinstance(value, dict):
        for name, one in value.items():
            yield from places(one, (*path, name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from places(one, (*path, number))
    elif isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            yield from places(json.loads(value), (*path, json))


def changed(value, path, new):
    """Put *new* at a place; `KeyError` stands for "take it away"."""
    if not path:
        return new
    first, *rest = path
    if first is json:
        return json.dumps(changed(json.loads(value), rest, new))
    value = copy.copy(value)
    if not rest and new is KeyError:
        del value[first]
    else:
        value[first] = changed(value[first], rest, new)
    return value


def outcome_of(model_id, wire, body):
    """What is read of *body*; None: it says nothing about the task, in words of ours."""
    before = copy.deepcopy(body)
    try:
        outcome = DISPATCHER.outcome(job_of(model_id, wire), body)
    except KieError as error:
        assert type(error).__name__ in ("RecordMissing", "ReadFailed"), f"{error!r}, caused by {error.__cause__!r}"
        return None
    assert body == before, "a plugin changed what it was given"
    assert isinstance(outcome, Outcome)
    assert all(isinstance(artifact, Artifact) for artifact in outcome.artifacts)
    assert all(isinstance(url, str) and url.strip() for url in outcome.urls)
    assert outcome.progress is None or 0 <= outcome.progress <= 1
    assert outcome.seconds is None or outcome.seconds >= 0
    assert (outcome.error is not None) == (outcome.state == "failed")
    if outcome.state in TERMINAL:
        assert ended(model_id, body), f"{outcome.state} by {body}"
    return outcome


def ended(model_id, body):
    data = body.get("data")
    if model_id == "veo-1080p":
        return body.get("code") in (200, 422) and bool(data["resultUrl"])
    if model_id == "suno-recovery":
        return body.get("code") == 200 and bool(data)
    if model_id in PAGES and PAGES[model_id]["query"] is None:
        return body.get("code") == 200 and bool(data)
    aleph = model_id == "runway-gen4-aleph" and isinstance(data, dict) and data.get("errorCode")
    if aleph and data.get("successFlag") == 0:
        return True
    words = data.get("successFlag") if isinstance(data, dict) else None
    if isinstance(words, str) and words in END_WORDS | {"GENERATE_COVER_FAILED"}:
        return body.get("code") == 200
    if isinstance(data, dict) and data.get("expireFlag") == 1:
        return body.get("code") == 200
    if body.get("code") != 200 or not isinstance(data, dict):
        return False
    flag = data.get("successFlag")
    words = {data[name] for name in ("state", "status") if isinstance(data.get(name), str)}
    return bool(words & END_WORDS) or (isinstance(flag, int) and not isinstance(flag, bool) and flag in (1, 2, 3))


@pytest.mark.parametrize(("model_id", "wire"), [pair for pair in WIRES if pair[0] not in PAGES])
def test_true_records_are_read(model_id, wire):
    """So that the others start from what is true."""
    states = [outcome_of(model_id, wire, body).state for body in true_records(model_id, wire)]

    assert states[0] in ("queued", "running")
    assert states[2] == "succeeded"
    assert states[-1] in ("failed", "succeeded")  # a job without a prompt is not refused for its content


@settings(max_examples=3 * settings.default.max_examples, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(WIRES), st.data())
def test_a_record_in_which_some_places_changed(which, data):
    """Another value, another type, nothing: at one place, or at three."""
    body = data.draw(st.sampled_from(true_records(*which)))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([path for path in places(body) if path and path[-1] is not json]))
        body = changed(body, path, data.draw(JSON | st.just(KeyError)))

    outcome_of(*which, body)


@settings(max_examples=3 * settings.default.max_examples)
@given(st.sampled_from(WIRES), st.dictionaries(st.sampled_from(["code", "msg", "data"]) | st.text(), JSON))
def test_any_object(which, body):
    """It is hardly ever a record."""
    outcome_of(*which, body)


@settings(max_examples=3 * settings.default.max_examples)
@given(
    st.sampled_from(WIRES),
    st.dictionaries(
        st.sampled_from(
            ["state", "status", "successFlag", "response", "resultJson", "videoInfo", "progress", "errorMessage"]
        ),
        JSON,
    ),
)
def test_any_record(which, record):
    """With the names that plugins look for."""
    outcome_of(*which, {"code": 200, "msg": "success", "data": record})
