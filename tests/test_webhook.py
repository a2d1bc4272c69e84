"""Webhooks: what is signed is checked, what is not signed is not believed, and nothing is answered before it is kept."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import KieError
from kie_core._jobs.callback import callback_token, token_fits
from kie_core._secret import Secret
from kie_core.webhook import (
    LARGEST_BODY,
    TOLERANCE,
    Receiver,
    Reply,
    Verified,
    WebhookRefused,
    handle,
    verify,
)

# The worked example of the wire facts (docs.kie.ai/common-api/webhook-verification, read 2026-04-29), not made by this
# code; to be had again with: printf '%s' TASK.TIMESTAMP | openssl dgst -sha256 -hmac KEY -binary | base64
KEY = "example-key-not-real"
TASK = "4f1c0d9e7b2a4c6d8e0f112233445566"
TIMESTAMP = "1790000041"
SIGNATURE = "yJTYJtfTp1RhD5oQ7xpJ0YXB5d53zQV09JgmQraiedQ="
NOW = 1790000041.0

HEADERS = {
    "Content-Type": "application/json",
    "X-Webhook-Timestamp": TIMESTAMP,
    "X-Webhook-Signature": SIGNATURE,
}
UNSIGNED = {"Content-Type": "application/json"}
JOBS_BODY = json.dumps(
    {
        "code": 200,
        "msg": "Playground task completed successfully.",
        "data": {
            "taskId": TASK,
            "model": "nano-banana-pro",
            "state": "success",
            "param": '{"input":"{\\"prompt\\":\\"A paper lantern [[[\\"}","model":"nano-banana-pro"}',
            "resultJson": '{"resultUrls":["https://files.example.com/out/lantern.png"]}',
            "failCode": None,
            "costTime": 41,
            "completeTime": 1790000041200,
            "creditsConsumed": 18.0,
        },
    }
).encode()
SAMPLE_BODY = json.dumps(
    {
        "taskId": TASK,
        "code": 200,
        "msg": "success",
        "data": {"task_id": TASK, "callbackType": "task_completed"},
    }
).encode()

API_KEY = Secret("api-key-of-the-tests-0123456789")
JOB = "4f1c0d9e7b2a4c6d"
TOKEN = callback_token(API_KEY, JOB)
PATH = f"/kie/{JOB}/{TOKEN}"
STATUSES = {200, 400, 401, 404, 405, 408, 413, 415, 503}


class DictInbox:
    """An inbox in a dictionary; *jobs* maps our job ids to the task ids that are known."""

    def __init__(self, jobs=None, webhook_keys=()):
        self.jobs = {JOB: TASK} if jobs is None else jobs
        self.webhook_keys = [Secret(key) for key in webhook_keys]
        self.rows = {}
        self.error = None

    def token_fits(self, job_id, token):
        return token_fits(token, job_id, [API_KEY])

    async def receive(self, *, job_id, task_id, digest):
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        if task_id not in self.jobs.values() and job_id not in self.jobs:
            return "unknown"
        if (task_id, digest) in self.rows:
            return "duplicate"
        self.rows[task_id, digest] = job_id
        return "stored"


def body_of(task_id=TASK, **more):
    return json.dumps({"code": 200, "data": {"taskId": task_id, **more}}).encode()


def signed(task_id=TASK, timestamp=TIMESTAMP, key=KEY):
    message = f"{task_id}.{timestamp}".encode()
    signature = base64.b64encode(hmac.new(key.encode(), message, hashlib.sha256).digest()).decode()
    return HEADERS | {"X-Webhook-Timestamp": timestamp, "X-Webhook-Signature": signature}


def answered(inbox, *, method="POST", path=PATH, headers=UNSIGNED, body=JOBS_BODY, now=NOW):
    return asyncio.run(handle(inbox, method=method, path=path, headers=headers, body=body, now=now))


def refusal(headers=HEADERS, body=JOBS_BODY, keys=(KEY,), now=NOW, **more):
    with pytest.raises(WebhookRefused) as caught:
        verify(headers, body, keys, now=now, **more)
    return caught.value


# --- verify --------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [JOBS_BODY, SAMPLE_BODY], ids=["jobs", "sample of the docs"])
def test_the_worked_example_is_verified(body):
    """Signed by somebody else than us, so that a mistake is not made twice."""
    assert verify(HEADERS, body, [KEY], now=NOW) == Verified(TASK, 1790000041)


@pytest.mark.parametrize(
    "headers",
    [
        {name.lower(): value for name, value in HEADERS.items()},
        {name.upper(): value for name, value in HEADERS.items()},
        list(HEADERS.items()),
        (pair for pair in HEADERS.items()),
        [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()],
    ],
    ids=["lower", "upper", "pairs", "iterator", "bytes"],
)
def test_headers_come_in_any_case_and_form(headers):
    """As frameworks give them."""
    assert verify(headers, JOBS_BODY, [KEY], now=NOW).task_id == TASK


@pytest.mark.parametrize(
    "body",
    [
        b'{"taskId": "%s"}',
        b'{"task_id": "%s"}',
        b'{"data": {"taskId": "%s"}}',
        b'{"data": {"task_id": "%s"}}',
        b'{"taskId": null, "task_id": "", "data": {"task_id": "%s", "data": [{"id": "a"}]}}',
        b'\xef\xbb\xbf{"taskId": "%s"}',
    ],
)
def test_the_task_id_is_found_wherever_kie_puts_it(body):
    """Four places, by category; what is empty there is not one."""
    assert verify(HEADERS, body % TASK.encode(), [KEY], now=NOW).task_id == TASK


@pytest.mark.parametrize(("number", "text"), [("12345", "12345"), ("9" * 30, "9" * 30)])
def test_a_number_as_task_id_is_text(number, text):
    """Digit by digit, also where a floating-point number would round."""
    body = f'{{"taskId": {number}, "data": {{"task_id": "{text}"}}}}'.encode()

    assert verify(signed(text), body, [KEY], now=NOW).task_id == text


@pytest.mark.parametrize("keys", [[KEY, "new"], ["new", KEY], [Secret("new"), Secret(KEY)], ("a", "b", KEY)])
def test_any_of_several_keys_will_do(keys):
    """While a key is changed, both are in use."""
    assert verify(HEADERS, JOBS_BODY, keys, now=NOW).task_id == TASK


@pytest.mark.parametrize("keys", [[], ["other"], ["other", "more"], [KEY[:-1]], [""], [Secret("  ")]])
def test_no_other_key_will_do(keys):
    """And no key at all lets nothing through."""
    assert refusal(keys=keys).status == 401


@pytest.mark.parametrize("key", ["", " "])
def test_an_empty_key_signs_nothing(key):
    """Anybody could sign with it: an unset variable must not open the door."""
    assert refusal(signed(key=key), keys=[key]).status == 401


def test_one_text_is_not_a_sequence_of_keys():
    """Each of its letters would be a key."""
    with pytest.raises(TypeError, match="keys is one text"):
        verify(signed(key="e"), JOBS_BODY, KEY, now=NOW)


@pytest.mark.parametrize(
    "signature",
    [
        "AAAA" + SIGNATURE[4:],
        SIGNATURE[:-1],
        SIGNATURE.swapcase(),
        base64.b64decode(SIGNATURE).hex(),
        base64.b64encode(base64.b64decode(SIGNATURE)[:16]).decode(),
        f"v1,{SIGNATURE}",
        f" {SIGNATURE}\n",
        "!!!!",
        "é",
        "\ud800",
        "A" * 100_000,
    ],
)
def test_a_wrong_signature_is_refused(signature):
    """Forged, cut, in hexadecimal digits, or not even ASCII."""
    assert refusal(HEADERS | {"X-Webhook-Signature": signature}).status == 401


def test_the_signature_of_another_task_is_refused():
    """A body that names another task is not covered."""
    assert refusal(HEADERS, body_of("another")).status == 401


def test_the_signature_of_another_time_is_refused():
    """Or a recorded request could be made young again."""
    assert refusal(HEADERS | {"X-Webhook-Timestamp": "1790000042"}).status == 401


@pytest.mark.parametrize("name", ["X-Webhook-Timestamp", "X-Webhook-Signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_header_is_a_bad_request(name, value):
    """As in the samples of the docs."""
    headers = {**HEADERS, name: value}
    if value is None:
        del headers[name]

    assert refusal(headers).status == 400


@pytest.mark.parametrize(
    "timestamp",
    ["-1790000041", "+1790000041", "1790000041.0", "1_790_000_041", "1790000041\n", " 1790000041", "1" * 13, "0x1", "now",
     "١٧٩٠٠٠٠٠٤١", "１７９０００００４１", "9" * 5000],
)  # fmt: skip
def test_a_timestamp_is_a_few_ascii_digits(timestamp):
    """Python would read most of these as numbers."""
    assert refusal(signed(timestamp=timestamp)).status == 401


def test_a_header_that_is_sent_twice_is_not_chosen_from():
    """Two readers could choose differently."""
    assert refusal([*HEADERS.items(), ("x-webhook-signature", "AAAA")]).status == 401
    assert refusal([("x-webhook-timestamp", "1"), *HEADERS.items()]).status == 401


@pytest.mark.parametrize("skew", [-TOLERANCE, -1, 0, 1, TOLERANCE])
def test_a_few_minutes_of_age_or_skew_are_accepted(skew):
    """Clocks differ, and Kie tries again."""
    assert verify(HEADERS, JOBS_BODY, [KEY], now=NOW + skew)


@pytest.mark.parametrize(("skew", "said"), [(600, "600 seconds old"), (-600, "600 seconds in the future")])
def test_ten_minutes_are_refused_and_the_log_says_why(caplog, skew, said):
    """A replay, or a wrong clock: whoever runs the machine must be able to tell."""
    assert refusal(now=NOW + skew).status == 401
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert said in caplog.text


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -float("inf")])
def test_a_clock_that_is_no_clock_lets_nothing_through(now):
    """Comparisons with NaN are false."""
    assert refusal(now=now).status == 401


def test_a_forged_request_causes_no_skew_warning(caplog):
    """Or anybody could fill the log."""
    refusal(HEADERS | {"X-Webhook-Signature": "AAAA"}, now=NOW + 600)

    assert not caplog.records


def test_the_tolerance_can_be_chosen():
    """In seconds."""
    assert refusal(now=NOW + 11, tolerance=10).status == 401
    assert verify(HEADERS, JOBS_BODY, [KEY], now=NOW + 10_000, tolerance=10_000)


def test_without_now_the_clock_counts():
    """The example is of the year 2026."""
    assert refusal(now=None, tolerance=0).status == 401
    assert verify(HEADERS, JOBS_BODY, [KEY], tolerance=1e10)


BAD_BODIES = {
    "nothing": b"",
    "no JSON": b"<html>",
    "half": JOBS_BODY[:-1],
    "list": b'[{"taskId": "a"}]',
    "text": b'"taskId"',
    "null": b"null",
    "invalid UTF-8": b'{"taskId": "a", "msg": "\xff"}',
    "UTF-16": '{"taskId": "a"}'.encode("utf-16"),
    "NaN": b'{"taskId": "a", "cost": NaN}',
    "Infinity": b'{"taskId": "a", "cost": -Infinity}',
    "infinite number": b'{"taskId": "a", "cost": 1e999}',
    "5,000 digits": b'{"taskId": "a", "cost": %s}' % (b"9" * 5000),
    "50 digits": b'{"taskId": %s}' % (b"9" * 50),
    "twins": b'{"taskId": "a", "taskId": "b"}',
    "twins inside": b'{"data": {"taskId": "a", "x": {"y": 1, "y": 1}}}',
    "100,000 lists": b"[" * 100_000,
    "100,000 objects": b'{"a":' * 40_000,
    "deep in an id": b'{"taskId": %s1%s}' % (b"[" * 1000, b"]" * 1000),
    "open text": b'{"taskId": "' + b'\\"' * 100_000,
    "no id": b'{"code": 200, "data": {"id": "a"}}',
    "empty id": b'{"taskId": "", "data": null}',
    "blank id": b'{"taskId": "  "}',
    "long id": b'{"taskId": "%s"}' % (b"a" * 201),
    "id with a line break": b'{"taskId": "a\\nb"}',
    "id with half a letter": b'{"taskId": "\\ud800"}',
    "true as id": b'{"taskId": true}',
    "fraction as id": b'{"taskId": 1.5}',
    "object as id": b'{"taskId": {"a": 1}}',
    "two ids": b'{"taskId": "a", "data": {"taskId": "b"}}',
    "two spellings": b'{"data": {"taskId": "a", "task_id": "b"}}',
    "an id and a list": b'{"taskId": "a", "data": {"taskId": []}}',
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_without_one_clear_task_id_is_a_bad_request(body):
    """And nothing worse than that: no other exception, no long thought."""
    assert refusal(body=body).status == 400


def test_a_deep_body_is_found_whatever_the_limit_of_python():
    """With a raised recursion limit Python's parser overflows the stack, which ends the process."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        assert refusal(body=b"[" * 200_000).status == 400
    finally:
        sys.setrecursionlimit(limit)


def test_a_program_that_is_deep_itself_gets_a_refusal_too(monkeypatch):
    """Where little is left of the stack, few levels are too many for Python's parser."""

    def overflow(*_, **__):
        raise RecursionError

    monkeypatch.setattr(json, "loads", overflow)

    assert refusal().status == 400


def test_brackets_in_texts_are_not_depth():
    """Kie repeats the prompt."""
    body = json.dumps({"taskId": TASK, "data": {"param": '[{\\"' * 1000}}).encode()

    assert verify(HEADERS, body, [KEY], now=NOW).task_id == TASK


def test_a_callback_with_every_note_of_a_song_is_taken():
    """Several thousand, as suno-midi sends them."""
    notes = [{"pitch": 40, "start": 100.5, "end": 100.92, "velocity": 0.8}] * 10_000
    body = body_of(instruments=[{"name": "Upright Bass", "notes": notes}])

    assert len(body) > 500_000
    assert verify(HEADERS, body, [KEY], now=NOW).task_id == TASK


def test_a_body_may_have_a_mebibyte_and_no_more():
    """The cap is a cap."""
    body = body_of(filler="")
    full = body_of(filler="a" * (LARGEST_BODY - len(body)))

    assert verify(HEADERS, full, [KEY], now=NOW).task_id == TASK
    assert refusal(body=full + b" ").status == 413


def test_a_refusal_gives_neither_key_nor_signature_away(caplog):
    """Not in its text, not in its parts, not in the log."""
    caplog.set_level(logging.DEBUG)
    error = refusal(HEADERS | {"X-Webhook-Signature": "AAAA"}, keys=[KEY, Secret("second-key")])
    refusal(now=NOW + 600)

    for text in (str(error), repr(error), caplog.text):
        assert KEY not in text
        assert "second-key" not in text
        assert SIGNATURE not in text


def test_a_refusal_is_an_error_of_ours_and_pickles():
    """As all of them."""
    error = WebhookRefused(401, "the signature does not fit")
    copy = pickle.loads(pickle.dumps(error))

    assert isinstance(copy, KieError)
    assert (copy.status, copy.reason) == (401, "the signature does not fit")
    assert str(copy) == "the webhook was refused (401): the signature does not fit"


# --- handle --------------------------------------------------------------------------------


def test_a_callback_with_the_token_is_kept_before_it_is_answered():
    """With the job, the task and the hash of the body, and nothing of its content."""
    inbox = DictInbox()

    reply = answered(inbox)

    assert reply == Reply(200, b'{"status": "received"}', "application/json")
    assert inbox.rows == {(TASK, hashlib.sha256(JOBS_BODY).hexdigest()): JOB}


def test_a_signed_callback_needs_no_token():
    """Its address may be one that was set at Kie by hand."""
    inbox = DictInbox(webhook_keys=[KEY])

    assert answered(inbox, path="/hooks/kie", headers=HEADERS).status == 200
    assert list(inbox.rows.values()) == [None]


def test_a_signed_callback_with_a_token_names_the_job():
    """Both are checked."""
    inbox = DictInbox(webhook_keys=[KEY])

    assert answered(inbox, headers=HEADERS).status == 200
    assert list(inbox.rows.values()) == [JOB]


def test_a_callback_for_a_job_without_a_known_task_is_kept():
    """The answer to its create was lost, or is not written down yet: this is the proof that it was accepted."""
    inbox = DictInbox({JOB: None})

    assert answered(inbox).status == 200
    assert list(inbox.rows.values()) == [JOB]


@pytest.mark.parametrize(
    ("inbox", "request_parts", "status"),
    [
        (DictInbox(webhook_keys=[KEY]), {"headers": HEADERS | {"X-Webhook-Signature": "AAAA"}}, 401),
        (DictInbox(webhook_keys=[KEY]), {"headers": signed(key="guessed")}, 401),
        (DictInbox(webhook_keys=[KEY]), {"headers": HEADERS, "body": body_of("another")}, 401),
        (DictInbox(webhook_keys=[KEY]), {"headers": HEADERS, "now": NOW + 600}, 401),
        (DictInbox(webhook_keys=[KEY]), {"headers": HEADERS, "now": NOW - 600}, 401),
        (DictInbox(webhook_keys=[""]), {"headers": signed(key="")}, 401),
        (DictInbox(webhook_keys=[KEY]), {}, 400),
        (DictInbox(webhook_keys=[KEY]), {"path": f"/kie/{JOB}/{'0' * 32}", "headers": HEADERS}, 404),
        (DictInbox(webhook_keys=[KEY]), {"path": "/", "headers": signed("foreign"), "body": body_of("foreign")}, 404),
        (DictInbox(), {"path": f"/kie/{JOB}/{'0' * 32}"}, 404),
        (DictInbox(), {"path": f"/kie/{JOB}/{TOKEN.upper()}"}, 404),
        (DictInbox(), {"path": f"/kie/{JOB}/guessed"}, 404),
        (DictInbox(), {"path": f"/kie/another/{TOKEN}"}, 404),
        (DictInbox(), {"path": "/kie"}, 404),
        (DictInbox(), {"path": "/kie", "headers": HEADERS}, 404),
        (DictInbox({}), {}, 404),
        (DictInbox(), {"body": b'{"code": 200}'}, 400),
        (DictInbox(), {"body": b"[" * 100_000}, 400),
        (DictInbox(), {"body": b" " * (LARGEST_BODY + 1)}, 413),
        (DictInbox(), {"headers": UNSIGNED | {"Content-Length": str(LARGEST_BODY + 1)}}, 413),
        (DictInbox(), {"headers": UNSIGNED | {"Content-Length": "9" * 5000}}, 413),
        (DictInbox(), {"headers": {"Content-Type": "text/plain"}}, 415),
        (DictInbox(), {"headers": {"Content-Type": "application/x-www-form-urlencoded"}}, 415),
        (DictInbox(), {"headers": {"Content-Type": "application/jsonp"}}, 415),
        (DictInbox(), {"headers": [("Content-Type", "application/json"), ("content-type", "text/html")]}, 415),
        (DictInbox(), {"headers": {}}, 415),
        (DictInbox(), {"method": "GET"}, 405),
        (DictInbox(), {"method": "PUT", "headers": {}, "path": "/", "body": b"x" * (LARGEST_BODY + 1)}, 405),
    ],
    ids=["forged signature", "other key", "other task", "replayed", "clock behind", "empty key", "unsigned",
         "signed, wrong token", "signed, unknown task", "wrong token", "capitals", "no token", "token of another job",
         "no address", "signature without key", "unknown job", "no task id", "deep", "large", "declared large",
         "declared enormous", "text", "form", "nearly JSON", "two types", "no type", "GET", "method before all else"],
)  # fmt: skip
def test_what_does_not_concern_us_is_refused_and_not_kept(inbox, request_parts, status):
    """Each rule has its status, and leaves the inbox empty."""
    reply = answered(inbox, **request_parts)

    assert reply.status == status
    assert reply.content_type == "application/json"
    assert json.loads(reply.body)["error"]
    assert inbox.rows == {}


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;a=b"]
)
def test_the_content_type_may_have_capitals_and_parameters(content_type):
    """As HTTP allows."""
    assert answered(DictInbox(), headers={"content-type": content_type}).status == 200


def test_headers_that_can_be_read_once_are_enough():
    """Some frameworks give an iterator."""
    assert answered(DictInbox(webhook_keys=[KEY]), headers=iter(HEADERS.items())).status == 200


def test_a_duplicate_is_answered_like_the_first_and_kept_once():
    """Kie stops trying only when it is told so."""
    inbox = DictInbox()

    assert answered(inbox) == answered(inbox)
    assert len(inbox.rows) == 1


def test_the_order_of_callbacks_does_not_matter():
    """Suno sends several per task; an early one that comes late says "look at this task" like any other."""
    first, last = body_of(callbackType="first"), body_of(callbackType="complete")
    forwards, backwards = DictInbox(), DictInbox()

    for inbox, bodies in ((forwards, (first, last)), (backwards, (last, first))):
        assert [answered(inbox, body=body).status for body in bodies] == [200, 200]

    assert forwards.rows == backwards.rows


def test_a_tampered_body_under_a_valid_signature_reaches_the_inbox_as_a_task_id_only():
    """The signature does not cover it, so its state and its addresses must not be used."""
    inbox = DictInbox(webhook_keys=[KEY])
    body = body_of(state="success", resultJson='{"resultUrls":["https://evil.example/x"]}')

    assert answered(inbox, headers=HEADERS, body=body).status == 200
    assert inbox.rows == {(TASK, hashlib.sha256(body).hexdigest()): JOB}


def test_a_key_can_be_changed_without_losing_a_callback():
    """Old and new one at once, then the new one."""
    old, new = signed(key="old-webhook-key"), signed(key="new-webhook-key")
    both = DictInbox(webhook_keys=["new-webhook-key", "old-webhook-key"])

    assert answered(both, headers=old).status == 200
    assert answered(both, headers=new).status == 200
    assert answered(DictInbox(webhook_keys=["new-webhook-key"]), headers=old).status == 401


class StoreGone(KieError):
    """As a ledger raises it."""


@pytest.mark.parametrize(
    "error", [StoreGone("the ledger is on a disk that is full"), OSError("secret text"), KeyError(), TimeoutError()]
)
def test_while_nothing_can_be_kept_kie_is_asked_to_try_again(error, caplog):
    """A 200 would lose the callback for ever."""
    inbox = DictInbox()
    inbox.error = error

    reply = answered(inbox)

    assert reply.status == 503
    assert json.loads(reply.body)["retry_after"] == 30
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "secret text" not in caplog.text


def test_the_log_says_what_is_wrong_with_the_store(caplog):
    """Our errors by their text, others by their place."""
    inbox = DictInbox()
    inbox.error = StoreGone("the disk is full")
    answered(inbox)
    inbox.error = ZeroDivisionError()
    answered(inbox)

    assert "the disk is full" in caplog.messages[0]
    assert "ZeroDivisionError in receive" in caplog.messages[1]


def test_an_inbox_that_answers_nonsense_has_kept_nothing():
    """Only what is surely kept is answered 200."""

    class Silent(DictInbox):
        async def receive(self, **_):
            return None

    assert answered(Silent()).status == 503


def test_neither_token_nor_body_nor_key_reaches_the_log(caplog):
    """Logs are read by more people than may forge callbacks."""
    caplog.set_level(logging.DEBUG)

    class Talkative(DictInbox):
        def token_fits(self, job_id, token):
            raise StoreGone(f"no row for {token}")

    answered(Talkative())
    answered(DictInbox(webhook_keys=[KEY]), body=body_of(prompt="a private prompt"), headers=signed(key="x"))
    answered(DictInbox(webhook_keys=[KEY]), headers=HEADERS, now=NOW + 600)
    answered(DictInbox(), path=f"/{JOB}/{'a' * 32}", body=b"a private prompt")

    assert len(caplog.records) >= 4
    for secret in (TOKEN, KEY, SIGNATURE, "a private prompt", "a" * 32):
        assert secret not in caplog.text


def test_a_stop_of_the_server_is_not_an_answer():
    """A cancelled request was not kept, and says so to nobody."""

    class Slow(DictInbox):
        async def receive(self, **_):
            await asyncio.sleep(60)

    async def cancelled():
        task = asyncio.ensure_future(handle(Slow(), method="POST", path=PATH, headers=UNSIGNED, body=JOBS_BODY))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())


# --- anything at all -----------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["taskId", "task_id", "data", "code"]) | st.text(), inner)
    ),
    max_leaves=20,
)
bodies = st.binary() | json_values.map(json.dumps).map(str.encode) | st.sampled_from([JOBS_BODY, SAMPLE_BODY])
header_names = st.sampled_from(["content-type", "X-Webhook-Timestamp", "X-Webhook-Signature", "Content-Length"])
header_values = st.text(st.characters()) | st.sampled_from([*HEADERS.values(), "0", "-1"])
header_maps = st.dictionaries(header_names | st.text(), header_values).map(lambda more: HEADERS | more)
paths = st.text(st.characters()) | st.sampled_from([PATH, "/", f"/{JOB}/{'0' * 32}"])


@given(headers=header_maps, body=bodies, keys=st.lists(st.text(st.characters()) | st.just(KEY), max_size=3))
def test_verify_raises_nothing_but_refusals(headers, body, keys):
    """Whatever comes."""
    try:
        verified = verify(headers, body, keys, now=NOW)
    except WebhookRefused as error:
        assert error.status in STATUSES
    else:
        assert verified.task_id
        assert str(verified.timestamp) == headers["X-Webhook-Timestamp"].lstrip("0")


@given(
    method=st.sampled_from(["POST", "POST", "GET"]) | st.text(),
    path=paths,
    headers=header_maps | st.dictionaries(st.text(), st.none() | st.integers() | st.binary()),
    body=bodies,
    keys=st.lists(st.sampled_from([KEY, "other", ""]), max_size=2),
)
def test_handle_answers_everything(method, path, headers, body, keys):
    """With a status of the list, and JSON; and what it refuses, it does not keep."""
    inbox = DictInbox({JOB: None}, webhook_keys=keys)

    reply = answered(inbox, method=method, path=path, headers=headers, body=body)

    assert reply.status in STATUSES
    assert isinstance(json.loads(reply.body), dict)
    assert bool(inbox.rows) == (reply.status == 200)


@given(value=json_values)
def test_every_task_id_that_is_believed_stands_in_the_body(value):
    """Nothing is made up: whatever is kept was one of the four places."""
    inbox = DictInbox({JOB: None})
    body = json.dumps(value).encode()

    if answered(inbox, body=body).status == 200:
        ((task_id, _),) = inbox.rows
        data = value["data"] if isinstance(value.get("data"), dict) else {}
        places = [part.get(name) for part in (value, data) for name in ("taskId", "task_id")]
        assert {str(place) for place in places if place not in (None, "")} == {task_id}


# --- Receiver ------------------------------------------------------------------------------


class Wire:
    """The server's side of one ASGI connection: gives *messages*, then waits for ever."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.given = 0
        self.sent = []

    async def receive(self):
        if self.given == len(self.messages):
            await asyncio.sleep(3600)
        self.given += 1
        return self.messages[self.given - 1]

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return dict(self.sent[0]["headers"])


def chunk(body=JOBS_BODY, more=False):
    return {"type": "http.request", "body": body, "more_body": more}


def served(wire, inbox=None, *, headers=UNSIGNED, method="POST", path=PATH, root_path="", version="1.1", **more):
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": version,
        "method": method,
        "path": path,
        "root_path": root_path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    inbox = DictInbox() if inbox is None else inbox
    receiver = Receiver(inbox, clock=lambda: NOW, **more)
    asyncio.run(receiver(scope, wire.receive, wire.send))
    return inbox


def test_a_callback_over_asgi_is_kept_and_answered():
    """In the two messages of ASGI."""
    wire = Wire(chunk())
    inbox = served(wire)

    assert wire.sent == [
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"22")],
        },
        {"type": "http.response.body", "body": b'{"status": "received"}'},
    ]
    assert len(inbox.rows) == 1


def test_the_clock_and_the_signature_count_over_asgi_too():
    """Headers come as bytes there."""
    wire = Wire(chunk())
    inbox = served(wire, DictInbox(webhook_keys=[KEY]), headers=HEADERS)

    assert wire.status == 200
    assert len(inbox.rows) == 1


def test_a_body_in_pieces_is_put_together():
    """Also from one byte each, with empty ones between."""
    pieces = [chunk(JOBS_BODY[i : i + 1], more=True) for i in range(len(JOBS_BODY))]
    wire = Wire({"type": "http.request", "more_body": True}, *pieces, {"type": "http.request"})
    inbox = served(wire)

    assert wire.status == 200
    assert list(inbox.rows) == [(TASK, hashlib.sha256(JOBS_BODY).hexdigest())]


def test_50_megabytes_without_a_length_are_cut_at_the_cap():
    """They are counted as they come, and the rest is not read."""
    wire = Wire(*[chunk(b" " * 65536, more=True)] * 800)
    inbox = served(wire)

    assert wire.status == 413
    assert wire.given == LARGEST_BODY // 65536 + 1
    assert wire.headers[b"connection"] == b"close"
    assert inbox.rows == {}


def test_a_length_that_lies_is_not_believed():
    """Neither a small one nor nonsense."""
    for length in ("10", "-1", "ten", ""):
        wire = Wire(*[chunk(b" " * 65536, more=True)] * 800)
        served(wire, headers=UNSIGNED | {"Content-Length": length})

        assert wire.status == 413


@pytest.mark.parametrize(
    ("request_parts", "status"),
    [
        ({"headers": UNSIGNED | {"Content-Length": "52428800"}}, 413),
        ({"headers": {"Content-Type": "text/html"}}, 415),
        ({"method": "GET"}, 405),
    ],
)
def test_what_the_head_gives_away_is_refused_without_reading_the_body(request_parts, status):
    """The sender of 50 MB is told before."""
    wire = Wire(chunk())
    served(wire, **request_parts)

    assert wire.status == status
    assert wire.given == 0
    assert wire.headers[b"connection"] == b"close"


def test_connection_is_no_header_of_http_2():
    """There it would be an error of the protocol."""
    wire = Wire(chunk())
    served(wire, method="GET", version="2")

    assert b"connection" not in wire.headers


def test_the_answers_carry_the_headers_that_belong_to_them():
    """What is allowed, and when to come back."""
    refused, later = Wire(), Wire(chunk())
    inbox = DictInbox()
    inbox.error = StoreGone("no")
    served(refused, method="GET")
    served(later, inbox)

    assert refused.headers[b"allow"] == b"POST"
    assert later.status == 503
    assert later.headers[b"retry-after"] == b"30"


def test_a_body_that_does_not_come_in_times_out():
    """Whoever sends slowly holds a connection, not for ever."""
    wire = Wire(chunk(JOBS_BODY[:10], more=True))
    inbox = served(wire, read_seconds=0.02)

    assert wire.status == 408
    assert inbox.rows == {}


def test_a_sender_who_hangs_up_gets_no_answer():
    """Half a body is none."""
    wire = Wire(chunk(JOBS_BODY, more=True), {"type": "http.disconnect"})
    inbox = served(wire)

    assert wire.sent == []
    assert inbox.rows == {}


def test_a_sender_who_does_not_wait_for_the_answer_is_no_error():
    """The callback is kept; servers raise OSError then."""

    class HungUp(Wire):
        async def send(self, message):
            raise BrokenPipeError

    inbox = served(HungUp(chunk()))

    assert len(inbox.rows) == 1


@pytest.mark.parametrize(
    ("path", "root_path"),
    [
        (f"/{JOB}/{TOKEN}", ""),
        (f"/hooks/kie/{JOB}/{TOKEN}", "/hooks/kie"),
        (f"/hooks/kie/{JOB}/{TOKEN}", "/hooks/kie/"),
        (f"/{JOB}/{TOKEN}", "/hooks/kie"),
        (f"/proxied/{JOB}/{TOKEN}", ""),
    ],
)
def test_it_can_be_mounted_anywhere(path, root_path):
    """Servers disagree on whether the path repeats the mount."""
    wire = Wire(chunk())
    inbox = served(wire, path=path, root_path=root_path)

    assert wire.status == 200
    assert list(inbox.rows.values()) == [JOB]


@pytest.mark.parametrize("path", [f"/hooks/{'0' * 32}", f"/hooks/{'0' * 32}/", "/"])
def test_the_mount_itself_is_not_taken_for_a_token(path):
    """Some people mount under a secret path of their own; a signed callback there needs no token of ours."""
    wire = Wire(chunk())
    served(wire, DictInbox(webhook_keys=[KEY]), headers=HEADERS, path=path, root_path=f"/hooks/{'0' * 32}")

    assert wire.status == 200


def test_the_lifespan_of_a_server_is_acknowledged():
    """A receiver that runs alone starts without a warning."""
    wire = Wire({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    asyncio.run(Receiver(DictInbox())({"type": "lifespan"}, wire.receive, wire.send))

    assert [message["type"] for message in wire.sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_a_websocket_is_closed():
    """Before it is accepted: the client sees a 403."""
    wire = Wire({"type": "websocket.connect"})
    asyncio.run(Receiver(DictInbox())({"type": "websocket"}, wire.receive, wire.send))

    assert wire.sent == [{"type": "websocket.close", "code": 1000}]


def test_an_unknown_protocol_is_an_error_of_the_server():
    """As ASGI asks for."""
    with pytest.raises(ValueError, match="does not speak 'smtp'"):
        asyncio.run(Receiver(DictInbox())({"type": "smtp"}, None, None))


def test_importing_it_loads_no_http_library():
    """A receiver may live in a program that buys nothing."""
    code = "import sys, kie_core.webhook; sys.exit(bool({'httpx', 'cattrs', 'pluggy', 'click'} & set(sys.modules)))"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
