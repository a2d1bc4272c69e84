"""Whatever comes over the wire: it is judged, or refused in our words; nothing else is raised, and garbage proves nothing."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import BadHandle, KieError, Outcome, ReadFailed, Refused
from kie_core._jobs.answer import Accepted, Answer, Unknown, body_of, verdict
from kie_core._jobs.callback import callback_address
from kie_core._jobs.convert import plain
from kie_core._jobs.job import Handle
from kie_core._jobs.outcome import TERMINAL, Artifact, flag_outcome, generic_outcome, jobs_outcome
from kie_core._json import _fast, loads
from kie_core._ledger.entry import Entry, Inputs, Plan
from kie_core._running.echo import proves
from kie_core._secret import Secret
from kie_core.testing import make_job

ADDRESS = callback_address("https://bot.example.com/kie", "job-1", Secret("0123456789abcdef0123456789abcdef"))
#: How it ends, whatever it begins with.
MARK = ADDRESS.removeprefix("https://bot.example.com/kie")
PROMPT = "a cat under a table"
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 6)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["success", "fail", "SUCCESS", "generating", "", " ", "0.5", "[]", "{}", '["https://x/a.png"]'])
    | st.sampled_from(["https://files.example.com/a.png", "2026-11-22 10:00:00", "9" * 40, "null", "nan"])
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4))
#: Names that mean something to us.
NAMES = st.sampled_from([
    "code", "msg", "data", "taskId", "state", "status", "successFlag", "resultJson", "response", "resultUrls", "param",
    "paramJson", "generateParam", "failMsg", "failCode", "errorCode", "errorMessage", "progress", "createTime",
    "completeTime", "creditsConsumed", "resultObject", "firstFrameUrl", "videoInfo", "audio_url", "prompt",
])  # fmt: skip
KNOWN = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6))
CODES = st.sampled_from([200, "200", 422, 429, 500, 501, None, True, 200.0]) | st.integers()
BODIES = st.builds(lambda code, body: {**body, "code": code}, CODES, st.dictionaries(NAMES, KNOWN, max_size=5))
RECORDS = st.builds(
    lambda data: {"code": 200, "msg": "success", "data": data}, st.dictionaries(NAMES, KNOWN, max_size=8)
)
STATUSES = st.sampled_from([200, 201, 204, 301, 400, 401, 402, 404, 413, 422, 429, 500, 502, 504]) | st.integers(
    100, 599
)


def deep(levels, kind=list):
    value = "https://files.example.com/a.png"
    for _ in range(levels):
        value = [value] if kind is list else {"response": value}
    return value


def text_of(body):
    return json.dumps(body).encode()


# --- answers to a create ---------------------------------------------------------------------

CONTENTS = (
    st.binary()
    | st.builds(text_of, JSON)
    | st.builds(text_of, BODIES)
    | st.builds(lambda body, cut: text_of(body)[: cut % (len(text_of(body)) + 1)], BODIES, st.integers(0, 999))
    | st.builds(
        lambda body, at, byte: text_of(body).replace(at, byte),
        BODIES,
        st.binary(min_size=1, max_size=1),
        st.binary(max_size=2),
    )
)


#: What decoders disagree on.
ODD = st.sampled_from([
    b"-0", b"-0.0", b"1e999", b"18446744073709551615", b"18446744073709551616", b"-9223372036854775809", b"9" * 30,
    b"1" * 5000, b'"\\ud800"', b'"\\ud83d\\ude00"', b"NaN", b"-Infinity", b"1e-400", b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", b'"\x7f"',
    b'"\xc0\x80"', b'"\xed\xa0\x80"', b"0." + b"123456789" * 5, b"\0", b"1 2", b"[1,]", b'"\t"', b'"\\u0000"', b"1.", b"01",
    b"4.35e-310", b"9007199254740993.0", b"[" * 60 + b"]" * 60, b"", b" \x0c1", b"tru", b'{"code":200,"data":{"taskId":' + b"7" * 25 + b"}}",
])  # fmt: skip


@given(CONTENTS | ODD | st.builds(lambda odd: b'{"code":200,"data":[' + odd + b"]}", ODD))
def test_answers_are_the_same_with_orjson_and_without(content):
    """Every value and its type, every refusal and its words: who has a faster decoder pays for nothing else."""

    def decoded():
        try:
            return repr(loads(content))
        except (ValueError, RecursionError) as error:
            return repr(error)

    assert _fast() is not None  # the group of the tests brings it
    found = decoded()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kie_core._json._fast", lambda: None)
        assert decoded() == found


@given(STATUSES, CONTENTS, st.lists(st.tuples(st.integers(), st.text()), max_size=2))
def test_every_answer_to_a_create_is_one_of_three(status, content, refused):
    """Accepted with a task id, refused with a code, or unknown; and "accepted" is said by the answer itself."""
    judged = verdict(Answer(status, content), refused)

    assert isinstance(judged, (Accepted, Refused, Unknown))
    if isinstance(judged, Accepted):
        body = json.loads(content.decode("utf-8-sig"))
        assert str(body["data"]["taskId"]) == judged.task_id
        assert 0 < len(judged.task_id) <= 200
        assert judged.task_id.isprintable()
    if isinstance(judged, Refused):
        assert isinstance(judged.code, int)
        assert len(str(judged)) < 2000
    if isinstance(judged, Unknown):
        assert len(judged.answer) <= 2000
        assert judged.reason


@given(STATUSES, st.binary())
def test_bytes_that_are_no_answer_never_buy(status, content):
    """Garbage is no task; below HTTP 500 it may be a refusal of the edge."""
    assert not isinstance(verdict(Answer(status, content)), Accepted)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"code":' + b"9" * 5000 + b"}",
        b'{"code":1e999,"data":{"taskId":"t"}}',
        b'{"code":NaN,"data":{"taskId":"t"}}',
        b'{"code":200,"data":{"taskId":"' + b"t" * 10_000 + b'"}}',
        b'{"code":200,"data":{"taskId":"\\u0000"}}',
        b'{"code":200,"data":{"taskId":"\\ud800"}}',
        b'{"code":true,"data":{"taskId":"t"}}',
        b"\xff\xfe",
    ],
)
def test_answers_that_break_parsers_are_unknown(content):
    """Of a create, nothing else may be thought: its task may be there."""
    assert isinstance(verdict(Answer(200, content)), Unknown)


@given(STATUSES, CONTENTS)
def test_a_body_is_an_object_or_not_readable(status, content):
    """Of the answer to a question."""
    try:
        body = body_of(Answer(status, content))
    except ReadFailed as error:
        assert str(status) in str(error)
    else:
        assert isinstance(body, dict)


# --- records ---------------------------------------------------------------------------------


def outcome_of(read, body):
    """What is read of *body*; None: it says nothing about the task, in words of ours."""
    try:
        outcome = read(body)
    except KieError:
        return None
    assert isinstance(outcome, Outcome)
    assert all(isinstance(artifact, Artifact) for artifact in outcome.artifacts)
    assert all(isinstance(url, str) and url.strip() for url in outcome.urls)
    assert outcome.progress is None or 0 <= outcome.progress <= 1
    assert outcome.seconds is None or outcome.seconds >= 0
    assert (outcome.error is not None) == (outcome.state == "failed")
    return outcome


def read_jobs(body):
    return jobs_outcome(make_job("gpt-4o-image", {"prompt": PROMPT}, wire="jobs"), body)


def read_generic(body):
    return generic_outcome(make_job("veo3", {"prompt": PROMPT}), body)


def read_flag(body):
    return flag_outcome(body, lambda response: [Artifact("data", data=response)] if response else [])


READERS = {"jobs": read_jobs, "generic": read_generic, "flag": read_flag}
#: What a record has to say for a reader to take it for an end.
ENDS = {
    "jobs": {"state": {"success", "fail"}},
    "generic": {
        "state": {"success", "succeeded", "fail", "failed"},
        "status": {"success", "fail", "failed", "succeeded"},
        "successFlag": {"1", "2", "3"},
    },
    "flag": {"successFlag": {"1", "2", "3"}},
}


@pytest.mark.parametrize("name", READERS)
@given(body=BODIES | RECORDS | st.dictionaries(st.text(), JSON))
def test_a_record_is_read_or_says_nothing(name, body):
    """No other error; and only a mark that Kie documents ends a task."""
    outcome = outcome_of(READERS[name], body)

    if outcome is not None and outcome.state in TERMINAL:
        assert body["code"] == 200
        data = body["data"]
        assert any(
            str(data.get(field)).casefold() in marks and not isinstance(data[field], bool)
            for field, marks in ENDS[name].items()
        ), f"{outcome.state} by {data}"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("levels", [50, 70, 900, 100_000])
@pytest.mark.parametrize("field", ["response", "resultJson", "state", "successFlag", "progress", "failMsg"])
def test_no_depth_breaks_a_reader(name, kind, levels, field):
    """The answer itself, or a text in it: what is read can also be written into the ledger."""
    opening, closing = ("[", "]") if kind is list else ('{"resultObject":', "}")
    nested = opening * levels + '"https://files.example.com/a.png"' + closing * levels
    for written in (nested, json.dumps(nested)):
        content = f'{{"code": 200, "data": {{"state": "success", "successFlag": 1, "{field}": {written}}}}}'
        outcome = outcome_of(lambda answer: READERS[name](body_of(answer)), Answer(200, content.encode()))

        assert outcome is None or json.dumps(plain(outcome))


# --- whose record is it ----------------------------------------------------------------------


def entry_of(prompt=PROMPT):
    plan = Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field="callBackUrl", contract=1, credits=None, wire_price=None, unit=None,
        kopecks_per_credit="1", limits=(), seconds=3600.0,
    )  # fmt: skip
    inputs = Inputs(params={"prompt": prompt}, given=("prompt",), body={"prompt": prompt})
    return Entry(id="job-1", account="account-1", plan=plan, inputs=inputs, fingerprint="f" * 64)


@given(BODIES | RECORDS | st.dictionaries(st.text(), JSON), st.sampled_from([(MARK,), ()]))
def test_a_record_that_repeats_nothing_of_ours_proves_nothing(body, marks):
    """Whatever else is in it."""
    assert not proves(entry_of(), body, marks)


@given(RECORDS, st.sampled_from(["param", "paramJson", "generateParam"]), st.integers(0, 3), KNOWN)
def test_our_address_proves_however_it_is_packed(body, field, layers, other):
    """As an object, as JSON text, as JSON text in JSON text."""
    echo = {"callBackUrl": ADDRESS, "input": other}
    for _ in range(layers):
        echo = json.dumps({"inner": echo})
    body["data"][field] = echo

    assert proves(entry_of(), body, [MARK]) is True


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("levels", [50, 400, 900])
def test_no_depth_breaks_the_proof(kind, levels):
    """A record that is too deep proves nothing."""
    nested = deep(levels, kind)

    for echo in (nested, json.dumps(nested)):
        assert proves(entry_of(), {"code": 200, "data": {"param": echo}}, [MARK]) is None


@given(st.text(min_size=32, max_size=32, alphabet="0123456789abcdef"))
def test_the_prompt_does_not_prove_where_another_address_is_named(token):
    """A record of the same prompt that reports to somebody else is somebody else's."""
    echo = {"callBackUrl": f"https://bot.example.com/kie/job-2/{token}", "prompt": PROMPT}

    assert proves(entry_of(), {"code": 200, "data": {"param": json.dumps(echo)}}, [MARK]) is False


@given(st.text(min_size=32, max_size=32, alphabet="0123456789abcdef"))
def test_an_address_of_this_job_by_an_unknown_key_proves_nothing_either_way(token):
    """The key may have been changed since: what a callback says is not thrown away, and not believed."""
    echo = {"callBackUrl": f"https://bot.example.com/kie/job-1/{token}", "prompt": PROMPT}
    body = {"code": 200, "data": {"param": json.dumps(echo)}}

    assert proves(entry_of(), body, [MARK]) is None
    assert proves(entry_of(), body, [MARK, f"/job-1/{token}"]) is True


@pytest.mark.parametrize(("model", "proof"), [("acme/one", True), ("acme/two", False), (None, True)])
def test_the_same_prompt_of_another_model_proves_nothing(model, proof):
    """Where the record names its model, as those of createTask do."""
    entry = entry_of()
    entry = attrs.evolve(
        entry,
        plan=attrs.evolve(entry.plan, query="/api/v1/jobs/recordInfo"),
        inputs=attrs.evolve(entry.inputs, body={"model": "acme/one", "input": {"prompt": PROMPT}}),
    )
    body = {"code": 200, "data": {"model": model, "param": json.dumps({"input": {"prompt": PROMPT}})}}

    assert proves(entry, body, [MARK]) is proof


# --- handles ---------------------------------------------------------------------------------


@given(st.text() | st.builds(lambda parts: ":".join(["kie1", *parts]), st.lists(st.text(max_size=30), max_size=6)))
def test_a_handle_is_read_or_refused(text):
    """And what is read is written the same way again."""
    try:
        handle = Handle.parse(text)
    except BadHandle as error:
        assert error.handle == text
    else:
        assert Handle.parse(handle.text) == handle


PARTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)


@given(
    st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    PARTS,
    PARTS,
    st.none() | st.text("0123456789abcdef-", min_size=1),
)
def test_a_handle_survives_being_written(job, model, wire, task):
    """Whatever a model is called."""
    handle = Handle(job, model, wire, task)

    assert Handle.parse(handle.text) == handle
