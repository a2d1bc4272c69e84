"""Answers to creates: accepted, refused or unknown. What is not clear is unknown."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import JOBS_REFUSED, Maintenance, OutOfCredits, RateLimited, ReadFailed, Refused, Unauthorized
from kie_core._jobs.answer import Accepted, Answer, Unknown, asked_again, body_of, verdict


def judge(body, status=200, refused=()):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return verdict(Answer(status, content), refused)


@pytest.mark.parametrize(
    ("data", "task"),
    [
        ({"taskId": "abc"}, "abc"),
        ({"taskId": 123}, "123"),
        ({"taskId": "1b6952ef-959c", "recordId": "x"}, "1b6952ef-959c"),
    ],
)
def test_code_200_with_a_task_id_is_accepted(data, task):
    """The task id is text; a number becomes text."""
    assert judge({"code": 200, "msg": "success", "data": data}) == Accepted(task)


@pytest.mark.parametrize("code", ["200", 200.0])
def test_a_code_as_text_or_with_a_point_counts(code):
    """Servers are careless with types."""
    assert judge({"code": code, "data": {"taskId": "abc"}}) == Accepted("abc")


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        [],
        "abc",
        {"taskId": None},
        {"taskId": ""},
        {"taskId": " "},
        {"taskId": "x" * 10_000},
        {"taskId": "a\0b"},
        {"taskId": True},
        {"taskid": "a"},
    ],
)
def test_yes_without_a_usable_task_id_is_unknown(data):
    """Something may have been bought, and nobody knows what."""
    assert isinstance(judge({"code": 200, "data": data}), Unknown)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (401, Unauthorized), (402, OutOfCredits), (429, RateLimited), (455, Maintenance),
        (400, Refused), (404, Refused), (422, Refused), (433, Refused), (505, Refused),
    ],
)  # fmt: skip
def test_codes_that_say_that_nothing_was_made(code, kind):
    """These are the vendor's documented refusals."""
    judged = judge({"code": code, "msg": "no", "data": None})

    assert (type(judged), judged.code, judged.message) == (kind, code, "no")


@pytest.mark.parametrize("code", [500, 501, 777, 0, -1, 201, 451, 550])
def test_any_other_code_is_unknown(code):
    """Nobody promised that nothing was made."""
    assert isinstance(judge({"code": code, "msg": "Server exception"}), Unknown)


@pytest.mark.parametrize("code", [True, None, "", "abc", [200], {}, "200" * 50, float("1e300")])
def test_a_code_that_is_none_is_unknown(code):
    """True is not 1, and 1 is not a code."""
    assert isinstance(judge({"code": code, "data": {"taskId": "abc"}}), Unknown)


@pytest.mark.parametrize(
    "msg",
    ["prompt is required", "voiceId cannot be empty", "This interface is temporarily paused", "Credits insufficient"],
)
def test_a_plugin_may_say_that_a_500_is_a_refusal(msg):
    """Kie answers missing inputs and paused models with 500; recorded texts of the jobs API."""
    body = {"code": 500, "msg": msg, "data": None}

    assert isinstance(judge(body), Unknown)
    judged = judge(body, refused=JOBS_REFUSED)
    assert (type(judged), judged.code, judged.message) == (Refused, 500, msg)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 413, 414, 415, 431])
def test_a_page_of_a_gateway_that_let_nothing_through_is_a_refusal(status):
    """HTTP 4xx without an envelope: the request did not get to Kie."""
    assert type(judge(b"<html>no</html>", status)) is Refused


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (429, RateLimited)])
def test_a_gateways_401_and_429_are_the_accounts(status, kind):
    """The same errors, wherever they come from."""
    assert type(judge(b"", status)) is kind


@pytest.mark.parametrize("status", [200, 201, 204, 301, 302, 408, 409, 499, 500, 502, 503, 504, 524])
def test_any_other_page_is_unknown(status):
    """A gateway that gave up may have passed the request on; a redirect is not followed."""
    assert isinstance(judge(b"<html>hello</html>", status), Unknown)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"code": 200, "data": {"taskId": "ab',
        b"\xff\xfe{}",
        b"[]",
        b"null",
        b"3",
        b"NaN",
        b'{"code": NaN}',
        b"[" * 100_000,
        b'{"code":' + b"1" * 5000 + b"}",
    ],
)
def test_what_is_no_json_object_is_unknown(content):
    """Cut, binary, endless: no crash, no verdict."""
    assert isinstance(judge(content), Unknown)


def test_a_byte_order_mark_is_no_reason_to_doubt():
    """UTF-8 with a mark is read."""
    assert judge(b'\xef\xbb\xbf{"code": 200, "data": {"taskId": "abc"}}') == Accepted("abc")


def test_the_body_code_decides_not_the_http_status():
    """Errors come as HTTP 200, and a 500 may carry a refusal."""
    judged = judge({"code": 422, "msg": "size is not supported"}, 500)

    assert (type(judged), judged.code) == (Refused, 422)


@given(
    st.integers(100, 599),
    st.binary(max_size=200)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: st.dictionaries(st.sampled_from(["code", "data", "msg", "taskId"]), x) | st.lists(x),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_no_answer_makes_the_judge_fail(status, content):
    """Whatever comes, there is a verdict; and nothing but a clear yes is taken for one."""
    judged = verdict(Answer(status, content))

    assert isinstance(judged, (Accepted, Refused, Unknown))
    if isinstance(judged, Accepted):
        assert json.loads(content.decode("utf-8-sig"))["code"] in (200, "200", 200.0)


@pytest.mark.parametrize("content", [b"", b"<html>", b"[1]", b'{"a": Infinity}'])
def test_a_question_that_got_no_object_says_what_came(content):
    """The error names the HTTP status."""
    with pytest.raises(ReadFailed, match="HTTP 502"):
        body_of(Answer(502, content))


@pytest.mark.parametrize(
    "content",
    [
        b'{"code": 501, "data": {"taskId": "T-1"}}',
        b'{"code": 200, "data": {"task_id": "T-1"}}',
        b'{"code": 200, "data": {"taskId": "T-1"',
    ],
)
def test_what_looks_like_a_task_id_in_an_unclear_answer_is_kept(content):
    """So that a person, or `kie status`, can look."""
    judged = judge(content)

    assert (judged.task_id, judged.answer) == ("T-1", content.decode())


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b'{"code": 422, "msg": "no", "data": {"taskId": "T-1"}}'),
        (200, b'{"code": 455, "msg": "closed", "data": {"taskId": "T-1"}}'),
        (429, b'{"code": 200, "data": {"taskId": "T-1"'),
        (403, b'{"code": 200, "data": {"taskId": "T-1"'),
    ],
)
def test_a_refusal_that_names_a_task_is_no_refusal(status, content):
    """It contradicts itself; "nothing was bought" would be a guess."""
    judged = verdict(Answer(status, content))

    assert isinstance(judged, Unknown)
    assert judged.task_id == "T-1"


@pytest.mark.parametrize(
    ("content", "task_id"),
    [
        (b'{"code": 501, "msg": "' + b"x" * 5000 + b'", "data": {"taskId": "T-1"}}', "T-1"),
        (b'{"code": 501, "data": {"taskId": 1234567}}', "1234567"),
        (b'{"code": 200, "data": {"taskId": 1234567', "1234567"),
        (b'{"code": 501, "data": {"taskId": "a.b:c"}}', "a.b:c"),
    ],
)
def test_a_task_id_is_found_wherever_it_stands(content, task_id):
    """Late, as a number, with dots and colons."""
    assert judge(content).task_id == task_id


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"code": 200, "msg": "success", "data": {"result": "x"}}, True),
        ({"code": 200, "msg": "success", "data": {"result": False}}, True),
        ({"code": 200, "msg": "success", "data": {"result": ""}}, False),
        ({"code": 200, "msg": "success", "data": {"taskId": "t1"}}, False),
        ({"code": 200, "msg": "success", "data": None}, False),
        ({"code": 200, "msg": "success", "data": []}, False),
    ],
)
def test_an_answer_that_is_the_result_has_to_keep_its_promise(body, kept):
    """Anything else may have been bought all the same."""
    answer = Answer(200, json.dumps(body).encode())

    found = verdict(answer, promises=("result",))

    assert found == Accepted("", json.dumps(body)) if kept else isinstance(found, Unknown)


@pytest.mark.parametrize("code", [400, 401, 402, 404, 422, 429, 455, 505])
def test_a_refusal_is_one_whatever_was_promised(code):
    """Nothing was made."""
    assert isinstance(verdict(Answer(200, b'{"code": %d, "data": null}' % code), promises=("result",)), Refused)


def test_a_code_that_names_an_earlier_task_is_an_acceptance_of_that():
    """Only for calls whose page says so; elsewhere nobody knows what it means."""
    answer = Answer(200, b'{"code": 422, "msg": "already generated", "data": {"taskId": "t1"}}')

    assert verdict(answer, made_before=(422,)) == Accepted("t1")
    assert isinstance(verdict(answer), Unknown)
    assert isinstance(verdict(Answer(200, b'{"code": 422, "data": null}'), made_before=(422,)), Refused)


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b'{"code": 200, "data": {"resultUrl": "https://x.example/1"}}', False),
        (b'{"code": 400, "msg": "being made"}', False),
        (b'{"code": 500}', False),
        (b"<html>", False),
        (b'{"code": 422, "msg": "Record does not exist"}', True),
        (b'{"code": 402}', True),
        (b'{"code": 429}', True),
    ],
)
def test_a_call_that_may_be_asked_again_ends_by_a_clear_refusal_only(content, refused):
    """Whatever else came, the next question tells more."""
    found = asked_again(Answer(200, content), (), "taskId=t1")

    assert isinstance(found, Refused) if refused else found == Accepted("taskId=t1")
