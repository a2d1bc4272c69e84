"""Callbacks: when they are due and what they say as pure values, and how they arrive over real sockets."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time
from collections import Counter

import attrs
import pytest

from kie_sandbox import FAULTS, Callback, Request, Sandbox, serve
from kie_sandbox.callbacks import sign
from kie_sandbox.posting import WAITS, address_of, post

HOOK = "https://hooks.example.com/kie/cb/job-7"
FAMILIES = {
    "4o-image": ("/api/v1/gpt4o-image/generate", {"size": "1:1"}),
    "flux-kontext": ("/api/v1/flux/kontext/generate", {}),
    "veo3": ("/api/v1/veo/generate", {"model": "veo3_fast"}),
    "runway": ("/api/v1/runway/generate", {"duration": 5, "quality": "720p", "aspectRatio": "16:9"}),
    "suno": ("/api/v1/generate", {"customMode": False, "instrumental": False, "model": "V4"}),
    "jobs": ("/api/v1/jobs/createTask", {"model": "nano-banana-pro"}),
}


class Clock:
    def __init__(self):
        self.now = 1_790_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def buy(world, family="jobs", hook=HOOK, prompt="a cat"):
    """Make a task and return its id."""
    path, body = FAMILIES[family]
    body = {**body, "input": {"prompt": prompt}} if family == "jobs" else {**body, "prompt": prompt}
    content = json.dumps({**body, "callBackUrl": hook}).encode()
    world.handle(Request("POST", path, {"authorization": "Bearer k", "host": "kie.test"}, content))
    return world.creates[-1].task_id


def ended(clock, *faults, family="jobs", prompt="a cat", **arguments):
    """Everything that is due an hour after one create, with the task's id."""
    world = Sandbox(clock=clock, faults=faults, **arguments)
    task_id = buy(world, family, prompt=prompt)
    clock.now += 3600
    return world.due_callbacks(), task_id


def said(callback):
    return json.loads(callback.content)


# --- what is due ----------------------------------------------------------------------


def test_a_callback_is_due_when_its_task_ends(clock):
    """Not before, and once."""
    world = Sandbox(clock=clock, speed=2)
    task_id = buy(world)
    before = world.due_callbacks()
    due_at = world.next_callback_at
    clock.now += 20.001
    found = [callback.task_id for callback in world.due_callbacks()]

    assert (before, due_at, found) == ([], clock.now - 0.001, [task_id])
    assert (world.due_callbacks(), world.next_callback_at) == ([], None)


@pytest.mark.parametrize(
    "hook", [None, "", 7, ["https://a.example"], "ftp://a.example/", "http://", "http://[", "nothing"]
)
def test_without_an_address_on_the_web_there_is_no_callback(clock, hook):
    """Whatever stands in the field."""
    world = Sandbox(clock=clock)
    buy(world, "jobs", hook)

    assert world.next_callback_at is None


def test_the_callback_of_a_job(clock):
    """Source: docs.kie.ai, callback sections of the market pages, 2026-10."""
    (callback,), task_id = ended(clock)
    body = said(callback)
    (failed,), _ = ended(clock, prompt="[refuse]")

    assert (callback.url, callback.headers) == (HOOK, (("Content-Type", "application/json"),))
    assert (body["code"], body["msg"]) == (200, "Playground task completed successfully.")
    assert " ".join(body["data"]) == (
        "taskId model state param resultJson failCode failMsg costTime completeTime createTime creditsConsumed updateTime"
    )
    assert (body["data"]["taskId"], body["data"]["state"]) == (task_id, "success")
    assert json.loads(body["data"]["param"])["callBackUrl"] == HOOK
    assert json.loads(body["data"]["resultJson"])["resultUrls"]
    assert (said(failed)["code"], said(failed)["data"]["state"], said(failed)["data"]["resultJson"]) == (
        501,
        "fail",
        None,
    )


@pytest.mark.parametrize(
    ("family", "id_name", "made", "failed"),
    [
        ("4o-image", "taskId", {"info": {"result_urls": ["1-picture.png"]}}, {"info": None}),
        (
            "flux-kontext",
            "taskId",
            {"info": {"originImageUrl": "2-picture.jpg", "resultImageUrl": "1-picture.jpg"}},
            {"info": {"originImageUrl": "", "resultImageUrl": ""}},
        ),
        ("runway", "task_id", None, {"video_id": "", "video_url": "", "image_url": ""}),
        ("veo3", "taskId", None, {"fallbackFlag": False}),
    ],
)
def test_the_callbacks_of_the_families(clock, family, id_name, made, failed):
    """Source: the callback pages of the families, 2026-04-29."""
    (callback,), task_id = ended(clock, family=family)
    body = said(callback)
    (other,), failed_id = ended(clock, family=family, prompt="[refuse]")

    assert (body["code"], body["data"][id_name]) == (200, task_id)
    assert "/files/" in json.dumps(body["data"])
    if made is not None:
        shown = json.dumps(body["data"]).replace(f"http://kie.test/files/{task_id}/", "")
        assert json.loads(shown) == {id_name: task_id, **made}
    assert said(other)["code"] in (400, 501)
    assert said(other)["data"] == {id_name: failed_id, **failed}


def test_suno_tells_of_three_stages(clock):
    """The words, the first track, and both."""
    found, task_id = ended(clock, family="suno")
    data = [said(callback)["data"] for callback in found]

    assert [(stage["callbackType"], len(stage["data"])) for stage in data] == [
        ("text", 1),
        ("first", 1),
        ("complete", 2),
    ]
    assert [bool(stage["data"][0]["audio_url"]) for stage in data] == [False, True, True]
    assert {stage["task_id"] for stage in data} == {task_id}


def test_suno_tells_of_a_failure_once(clock):
    """With code 400 and no tracks."""
    (callback,), task_id = ended(clock, family="suno", prompt="[refuse]")

    assert said(callback)["data"] == {"callbackType": "error", "task_id": task_id, "data": None}
    assert said(callback)["code"] == 400


def test_the_signature_of_the_documented_vector():
    """Base64 of HMAC-SHA256 over the id, a dot, and the time; computed by hand, not by the vendor."""
    signature = sign("example-key-not-real", "4f1c0d9e7b2a4c6d8e0f112233445566", "1790000041")

    assert signature == "yJTYJtfTp1RhD5oQ7xpJ0YXB5d53zQV09JgmQraiedQ="


# --- faults ---------------------------------------------------------------------------

KEY = "a key of the sandbox"


def is_signed(callback, task_id):
    headers = dict(callback.headers)
    message = f"{task_id}.{headers['X-Webhook-Timestamp']}".encode()
    expected = base64.b64encode(hmac.new(KEY.encode(), message, hashlib.sha256).digest()).decode()
    return headers["X-Webhook-Signature"] == expected


def age(callback, clock):
    return clock.now - int(dict(callback.headers)["X-Webhook-Timestamp"])


def state(callback):
    return said(callback)["data"]["state"]


#: Fault -> what is wrong with what is due for one task that succeeded: (callbacks, its id, the clock) -> bool.
FAULTY = {
    "callback-never": lambda found, *_: found == [],
    "callback-twice": lambda found, *_: len(found) == 2 and found[0] == found[1],
    "callback-out-of-order": lambda found, *_: [state(it) for it in found] == ["success", "generating"],
    "callback-unsigned": lambda found, *_: [name for name, _ in found[0].headers] == ["Content-Type"],
    "callback-bad-signature": lambda found, task_id, _: len(found[0].headers) == 3 and not is_signed(found[0], task_id),
    "callback-old": lambda found, task_id, clock: age(found[0], clock) == 600 and is_signed(found[0], task_id),
    "callback-old=-600": lambda found, task_id, clock: age(found[0], clock) == -600 and is_signed(found[0], task_id),
    "callback-forged": lambda found, task_id, _: "somebody-else" in found[0].content.decode() and is_signed(found[0], task_id),
    "callback-forged-failure": lambda found, task_id, _: state(found[0]) == "fail" and is_signed(found[0], task_id),
    "callback-unknown-task": lambda found, task_id, _: task_id not in found[0].content.decode()
    and is_signed(found[0], said(found[0])["data"]["taskId"]),
    "callback-garbage": lambda found, task_id, _: b"not JSON" in found[0].content and is_signed(found[0], task_id),
    "callback-brackets": lambda found, *_: found[0].content == b"[" * 100_000 + b"]" * 100_000,
    "callback-huge": lambda found, *_: found[0].padding == 50 * 1024 * 1024 and state(found[0]) == "success",
    "callback-chunked": lambda found, *_: found[0].chunked,
    "callback-content-type": lambda found, *_: found[0].headers[0] == ("Content-Type", "text/plain"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTY)
def test_a_callback_is_wrong(clock, fault):
    """In this, and in nothing that the fault does not say."""
    found, task_id = ended(clock, fault, webhook_key=KEY)

    assert FAULTY[fault](found, task_id, clock)


def test_a_callback_without_faults_is_signed(clock):
    """With the key of the sandbox and the time of sending."""
    (callback,), task_id = ended(clock, webhook_key=KEY)

    assert is_signed(callback, task_id)
    assert age(callback, clock) == 0


def test_a_late_callback(clock):
    """So many seconds after the task's end, by the sandbox's clock; a count counts it once."""
    world = Sandbox(clock=clock, faults=["callback-late=100*1"])
    buy(world)
    clock.now += 139
    before = world.due_callbacks()
    clock.now += 2

    assert (before, len(world.due_callbacks()), len(world.faults)) == ([], 1, 0)


def test_faults_of_callbacks_come_together(clock):
    """Each strikes."""
    found, _ = ended(clock, "callback-twice", "callback-unsigned", "callback-chunked", webhook_key=KEY)

    assert [(len(callback.headers), callback.chunked) for callback in found] == [(1, True), (1, True)]


def test_a_callback_before_the_answer(clock):
    """It is due at once, and the task has ended; the answer to the create waits."""
    world = Sandbox(clock=clock, faults=["callback-before-answer=3"])
    content = json.dumps({"model": "nano-banana-pro", "input": {"prompt": "a"}, "callBackUrl": HOOK}).encode()
    answer = world.handle(Request("POST", FAMILIES["jobs"][0], {"authorization": "Bearer k"}, content))
    (callback,) = world.due_callbacks()

    assert (answer.delivery.delay, state(callback)) == (3.0, "success")
    assert said(callback)["data"]["taskId"] == json.loads(answer.content)["data"]["taskId"]


def test_every_fault_of_a_callback_is_tried_here():
    """A new one needs a test."""
    tried = {fault.partition("=")[0] for fault in FAULTY} | {"callback-late", "callback-before-answer"}

    assert {name for name in FAULTS if name.startswith("callback-")} == tried


# --- over sockets ---------------------------------------------------------------------


class Receiver:
    """A server that takes callbacks, and answers with these statuses in turn; the last one for ever."""

    def __init__(self):
        self.statuses = [200]
        self.received = []
        self.arrived = threading.Condition()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                receiver.take(self)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/kie/cb/job-7?token=t"

    def take(self, request):
        if "Content-Length" in request.headers:
            left, content = int(request.headers["Content-Length"]), bytearray()
            while left > len(content):
                content += request.rfile.read(min(65536, left - len(content)))
        else:
            content = bytearray()
            while size := int(request.rfile.readline(), 16):
                content += request.rfile.read(size)
                request.rfile.readline()
            request.rfile.readline()
        with self.arrived:
            self.received.append((request.path, request.headers, bytes(content), time.monotonic()))
            status = self.statuses[0] if len(self.statuses) == 1 else self.statuses.pop(0)
            self.arrived.notify_all()
        request.send_response(status)
        request.end_headers()

    def wait_for(self, number):
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= number, timeout=5)
        return self.received


@pytest.fixture
def receiver():
    found = Receiver()
    thread = threading.Thread(target=found.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def create(url, hook):
    """Buy over the socket and return the answer."""
    import urllib.request

    body = json.dumps({"model": "nano-banana-pro", "input": {"prompt": "a cat"}, "callBackUrl": hook}).encode()
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/api/v1/jobs/createTask", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())["data"]["taskId"]


def until(check):
    """Wait until *check* is true, for at most five seconds."""
    end = time.monotonic() + 5
    while not check():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_callback_arrives(receiver):
    """At the path and query that were given, signed, as JSON."""
    world = Sandbox(speed=1e4, webhook_key=KEY)
    with serve(sandbox=world) as url:
        task_id = create(url, receiver.url)
        ((path, headers, content, _),) = receiver.wait_for(1)
        until(lambda: world.sent)

    assert path == "/kie/cb/job-7?token=t"
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Webhook-Signature"] == sign(KEY, task_id, headers["X-Webhook-Timestamp"])
    assert json.loads(content)["data"]["taskId"] == task_id
    assert [(sent.callback.task_id, sent.status) for sent in world.sent] == [(task_id, 200)]


def test_a_receiver_that_fails_is_asked_three_times(receiver):
    """With growing waits; then never again."""
    receiver.statuses = [503]
    world = Sandbox(speed=250)
    with serve(sandbox=world) as url:
        create(url, receiver.url)
        until(lambda: len(world.sent) == 3)

    assert [sent.status for sent in world.sent] == [503, 503, 503]
    assert list(WAITS) == sorted(set(WAITS))
    assert len(WAITS) == 2


def test_a_receiver_that_recovers_is_asked_no_more(receiver):
    """The second try is taken."""
    receiver.statuses = [500, 200]
    world = Sandbox(speed=1e4)
    with serve(sandbox=world) as url:
        create(url, receiver.url)
        until(lambda: len(world.sent) == 2)

    assert [sent.status for sent in world.sent] == [500, 200]


def test_nobody_listens():
    """Three tries without an answer, and the sandbox goes on."""
    world = Sandbox(speed=1e6)
    with serve(sandbox=world) as url:
        create(url, "http://127.0.0.1:9/")
        until(lambda: len(world.sent) == 3)

    assert {sent.status for sent in world.sent} == {None}


def test_a_callback_arrives_before_the_answer(receiver):
    """The client does not know the task yet."""
    with serve(faults=["callback-before-answer=0.3"]) as url:
        task_id = create(url, receiver.url)
        answered = time.monotonic()
        ((_, _, content, arrived),) = receiver.wait_for(1)

    assert arrived < answered
    assert json.loads(content)["data"]["taskId"] == task_id


def test_a_chunked_callback_arrives_without_a_length(receiver):
    """And whole."""
    with serve(speed=1e6, faults=["callback-chunked", "callback-huge=1"]) as url:
        create(url, receiver.url)
        ((_, headers, content, _),) = receiver.wait_for(1)

    assert "Content-Length" not in headers
    assert len(content) > 1024 * 1024
    assert json.loads(content)["code"] == 200


@pytest.mark.parametrize(
    ("faults", "check"),
    [
        (["callback-huge=2"], lambda got: len(got[0][2]) == int(got[0][1]["Content-Length"]) > 2 * 1024 * 1024),
        (["callback-twice"], lambda got: len(got) == 2 and got[0][2] == got[1][2]),
        (["callback-content-type=text/html"], lambda got: got[0][1]["Content-Type"] == "text/html"),
        (["callback-garbage"], lambda got: b"not JSON" in got[0][2]),
        (["callback-brackets"], lambda got: got[0][2].startswith(b"[" * 100_000)),
        (["callback-unsigned"], lambda got: got[0][1]["X-Webhook-Signature"] is None),
        (["callback-bad-signature"], lambda got: got[0][1]["X-Webhook-Signature"] is not None),
        (["callback-old"], lambda got: int(got[0][1]["X-Webhook-Timestamp"]) < time.time() - 590),
        (["callback-forged"], lambda got: b"somebody-else" in got[0][2]),
        (["callback-forged-failure"], lambda got: json.loads(got[0][2])["data"]["state"] == "fail"),
        (["callback-out-of-order"], lambda got: Counter(json.loads(it[2])["data"]["state"] for it in got) == {"success": 1, "generating": 1}),
        (["callback-never*1"], lambda got: b"second" in got[0][2]),
        (["callback-unknown-task"], lambda got: len(json.loads(got[0][2])["data"]["taskId"]) == 32),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)  # fmt: skip
def test_a_wrong_callback_arrives(receiver, faults, check):
    """As it is meant to be wrong; two of them where one is dropped or doubled."""
    name = faults[0].partition("=")[0].partition("*")[0]
    number = 2 if name in ("callback-twice", "callback-out-of-order") else 1
    with serve(speed=1e6, faults=faults, webhook_key=KEY) as url:
        create(url, receiver.url)
        if name == "callback-never":
            time.sleep(0.05)
            create(url, receiver.url + "&second")
        got = list(receiver.wait_for(number))

    assert check(got)


def test_a_late_callback_arrives_late(receiver):
    """After the answer to the create, by the seconds that were said."""
    with serve(speed=1e6, faults=["callback-late=0.2"]) as url:
        create(url, receiver.url)
        answered = time.monotonic()
        ((*_, arrived),) = receiver.wait_for(1)

    assert arrived - answered > 0.1


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/",
        "http://192.0.2.1/",
        "http://hooks.example.com/",
        "http://127.0.0.1@hooks.example.com/",
        "http://localhost.example.com/",
        "http://0.0.0.0/",
        "http://127.0.0.1:99999/",
        "file:///etc/passwd",
        "http://[",
    ],
)
def test_nothing_is_sent_elsewhere(url):
    """Only plain HTTP to this machine; the try is noted without a status."""
    heard = []
    asyncio.run(post(Callback("t", url, (), b"{}"), lambda callback, status: heard.append(status)))

    assert heard == [None]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://127.0.0.1:8000/kie", ("127.0.0.1", 8000)),
        ("http://localhost/kie", ("127.0.0.1", 80)),
        ("http://[::1]:81/", ("::1", 81)),
    ],
)
def test_this_machine_has_three_names(url, address):
    """A name is not looked up: localhost is 127.0.0.1."""
    assert address_of(url) == address


def test_a_receiver_that_refuses_early_is_heard():
    """It answers 413 before it has read the body, and hangs up."""

    async def refuse(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()

    async def try_it():
        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        async with server:
            callback = Callback(
                "t", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", (), b"{}", 50 * 1024 * 1024
            )
            await post(callback, lambda _, status: heard.append(status), waits=())
            await asyncio.sleep(0.1)

    heard = []
    asyncio.run(try_it())

    assert heard == [413]


def test_values_are_frozen(clock):
    """Who looks at a callback cannot change it for others."""
    (callback,), _ = ended(clock)

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        callback.url = "http://elsewhere.example/"
