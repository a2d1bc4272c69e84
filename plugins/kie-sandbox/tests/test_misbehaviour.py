"""Every fault of an answer, over real sockets of this machine: the bytes really are wrong."""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from urllib.parse import urlsplit

import attrs
import pytest

from kie_sandbox import FAULTS, Sandbox, serve

CREATE = "/api/v1/jobs/createTask"
RECORD = "/api/v1/jobs/recordInfo"
BODY = json.dumps({"model": "nano-banana-pro", "input": {"prompt": "a cat", "resolution": "1K"}}).encode()
MEGABYTE = 1024 * 1024


@attrs.frozen
class Answer:
    """What a plain socket saw. ``end``: closed, reset, or open when patience or interest ended."""

    raw: bytes
    end: str
    seconds: float

    @property
    def status(self):
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self):
        lines = self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def body(self):
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def length(self):
        return int(self.headers["content-length"])


def exchange(url, method, target, content=b"", headers="", *, patience=5.0, most=float("inf")):
    """Send one request and read until the other side ends, *patience* seconds pass, or *most* bytes have come."""
    parts = urlsplit(url)
    head = f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer sandbox\r\n"
    head += f"Connection: close\r\nContent-Length: {len(content)}\r\n{headers}\r\n"
    began, found = time.monotonic(), bytearray()
    with socket.create_connection((parts.hostname, parts.port), timeout=patience) as plain:
        try:
            plain.sendall(head.encode() + content)
            while len(found) < most and (chunk := plain.recv(65536)):
                found += chunk
            end = "open" if len(found) >= most else "closed"
        except ConnectionError:
            end = "reset"
        except TimeoutError:
            end = "open"
    return Answer(bytes(found), end, time.monotonic() - began)


def create(url, **how):
    return exchange(url, "POST", CREATE, BODY, **how)


def made(world):
    """The last task's id, whatever the client was told."""
    return world.creates[-1].task_id


def read(url, world, **how):
    return exchange(url, "GET", f"{RECORD}?taskId={made(world)}", **how)


def result_urls(answer):
    return json.loads(answer.json["data"]["resultJson"])["resultUrls"]


def load(link, headers="", **how):
    parts = urlsplit(link)
    return exchange(link, "GET", parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers, **how)


def upload(url, **how):
    body = {"base64Data": "iVBORw0KGgo=", "uploadPath": "a", "fileName": "dot.png"}
    return exchange(url, "POST", "/api/file-base64-upload", json.dumps(body).encode(), **how)


def struck(fault, place, **how):
    """Strike a request at *place*, and return the answer with the world that gave it."""
    world = Sandbox(speed=1e6)
    with serve(sandbox=world) as url:
        if place != "create":
            create(url)
        link = result_urls(read(url, world))[0] if place == "file" else ""
        world.faults.add(fault)
        answer = {"create": create, "upload": upload, "query": lambda url, **how: read(url, world, **how)}.get(
            place, lambda _, **how: load(link, **how)
        )(url, **how)
    return answer, world


# --- any answer -----------------------------------------------------------------------


def cannot_be_unpacked(answer):
    try:
        gzip.decompress(answer.body)
    except (OSError, EOFError, zlib.error):
        return answer.headers["content-encoding"] == "gzip" and len(answer.body) == answer.length
    return False


#: Effect -> (value for create, query and file; how the client reads; what it must see).
WIRE = {
    "close": ("", {}, lambda it: (it.raw, it.end) == (b"", "closed")),
    "reset": ("", {}, lambda it: (it.raw, it.end) == (b"", "reset")),
    "half-headers": (
        "",
        {},
        lambda it: it.raw.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" not in it.raw and it.end == "closed",
    ),
    "half-closed": ("", {}, lambda it: (it.raw, it.end) == (b"", "closed")),
    "silent": ("", {"patience": 0.15}, lambda it: (it.raw, it.end) == (b"", "open")),
    "delay": ("=0.2", {}, lambda it: it.seconds >= 0.2 and len(it.body) == it.length > 0),
    "slow": (
        {"create": "=600", "query": "=4000", "file": "=120000", "upload": "=2000"},
        {},
        lambda it: it.seconds >= 0.1 and len(it.body) == it.length,
    ),
    "cut-body": ("", {}, lambda it: len(it.body) == it.length // 2 and it.end == "closed"),
    "longer": ("", {}, lambda it: len(it.body) == it.length + 100),
    "garbage": ("", {}, lambda it: len(it.raw) > 100 and b"HTTP" not in it.raw),
    "huge-header": ("", {}, lambda it: max(map(len, it.headers.values())) == 200_000 and it.status == 200),
    "broken-gzip": ("", {}, cannot_be_unpacked),
    "gzip-bomb": ("=3", {}, lambda it: len(it.body) < 100_000 and len(gzip.decompress(it.body)) > 3 * MEGABYTE),
    "huge": ("=2", {}, lambda it: len(it.body) == it.length > 2 * MEGABYTE),
    "endless": (
        "",
        {"most": 2 * MEGABYTE},
        lambda it: (
            (it.headers["transfer-encoding"], it.end) == ("chunked", "open") and "content-length" not in it.headers
        ),
    ),
    "html": ("", {}, lambda it: it.status == 200 and it.headers["content-type"] == "text/html"),
}


@pytest.mark.parametrize("effect", WIRE)
@pytest.mark.parametrize("place", ["create", "query", "file", "upload"])
def test_an_answer_goes_wrong_on_its_way(place, effect):
    """At every place alike; a create that is struck has made its task all the same."""
    value, how, is_wrong = WIRE[effect]
    answer, world = struck(f"{place}-{effect}{value[place] if isinstance(value, dict) else value}", place, **how)

    assert is_wrong(answer)
    assert (len(world.creates), world.refusals) == (1, 0)


def code_is(check):
    return lambda it: check(it.json["code"])


def cannot_be_decoded(answer):
    try:
        answer.body.decode()
    except UnicodeDecodeError:
        return True
    return False


def cannot_be_read(answer):
    try:
        json.loads(answer.body)
    except ValueError:
        return len(answer.body) == answer.length
    return False


JSON = {
    "cut-json": cannot_be_read,
    "bad-utf8": cannot_be_decoded,
    "bom": lambda it: it.body.startswith(b"\xef\xbb\xbf{") and json.loads(it.body.decode("utf-8-sig"))["code"] == 200,
    "code-text": code_is(lambda code: code == "200"),
    "code-float": lambda it: b'"code": 200.0,' in it.body,
    "code-true": code_is(lambda code: code is True),
    "huge-int": lambda it: b'"code": ' + b"9" * 5000 in it.body,
    "nan": lambda it: b'"code": NaN,' in it.body,
    "overflow": lambda it: b'"code": 1e999,' in it.body,
    "brackets": lambda it: b"[" * 100_000 in it.body,
    "duplicate-keys": lambda it: it.body.count(b'"code":') == 2 and it.json["code"] == 200,
}


@pytest.mark.parametrize("effect", JSON)
@pytest.mark.parametrize("place", ["create", "query", "upload"])
def test_json_is_wrong(place, effect):
    """Though the HTTP around it is right."""
    answer, world = struck(f"{place}-{effect}", place)

    assert (answer.status, answer.length) == (200, len(answer.body))
    assert JSON[effect](answer)
    assert len(world.creates) == 1


@pytest.mark.parametrize("place", ["create", "query", "file", "upload"])
def test_a_page_of_a_gateway(place):
    """With an HTTP status, even one that has no name."""
    answer, _ = struck(f"{place}-status=520", place)

    assert (answer.status, answer.headers["content-type"]) == (520, "text/html")


@pytest.mark.parametrize(
    ("place", "location"),
    [
        ("create", CREATE),
        ("query", f"{RECORD}?taskId="),
        ("file", "http://169.254.169.254/latest/meta-data/"),
        ("upload", "http://169.254.169.254/latest/meta-data/"),
    ],
)
def test_a_redirect(place, location):
    """Without a value to the same path; for a file and an upload, to a private address, which nobody here visits."""
    answer, _ = struck(f"{place}-redirect", place)
    elsewhere, _ = struck(f"{place}-redirect=/elsewhere", place)

    assert answer.status == 307
    assert answer.headers["location"].startswith(location)
    assert elsewhere.headers["location"] == "/elsewhere"


@pytest.mark.parametrize(("fault", "end"), [("connection-close", "closed"), ("connection-reset", "reset")])
def test_a_connection_ends_before_anything_is_read(fault, end):
    """No request arrives, so no task is made; the next connection is served."""
    world = Sandbox(faults=[f"{fault}*1"])
    with serve(sandbox=world) as url:
        parts = urlsplit(url)
        try:  # it may be gone before it is made, from here
            with socket.create_connection((parts.hostname, parts.port), timeout=5) as plain:
                seen = "closed" if plain.recv(1) == b"" else "open"
        except ConnectionError:
            seen = "reset"
        balance = exchange(url, "GET", "/api/v1/chat/credit").json["code"]

    assert (seen, balance, len(world.requests)) == (end, 200, 1)


def test_a_half_closed_connection_still_takes_bytes():
    """The client has its end of file, and what it sends is not reset."""
    with serve(faults=["create-half-closed"]) as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port), timeout=5) as plain:
            head = b"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Length: %d\r\n\r\n"
            plain.sendall(head % (CREATE.encode(), len(BODY)) + BODY)
            ended = plain.recv(1)
            for _ in range(5):
                plain.sendall(b"more")
                time.sleep(0.01)
            plain.setblocking(False)

            assert (ended, plain.recv(1)) == (b"", b"")


def test_a_silence_ends_after_its_seconds():
    """And the connection with it."""
    answer, _ = struck("create-silent=0.1", "create")

    assert (answer.raw, answer.end) == (b"", "closed")
    assert answer.seconds >= 0.1


def test_a_huge_answer_is_never_held():
    """A terabyte begins at once, and its reader may leave."""
    answer, _ = struck("file-huge=1000000", "file", most=MEGABYTE)

    assert answer.length > 10**12
    assert answer.raw.partition(b"\r\n\r\n")[2].startswith(b"\x89PNG")


# --- creates --------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["create-code", *(f"create-code={code}" for code in (455, 402, 401, 422, 505, 777))])
def test_a_refusal_makes_nothing(fault):
    """Its code is in the body, with HTTP 200; no credit is spent."""
    answer, world = struck(fault, "create")

    assert (answer.status, answer.json["code"]) == (200, int(fault.partition("=")[2] or 429))
    assert (world.creates, world.tasks, world.refusals, world.balance) == ([], {}, 1, 10_000)


def test_a_code_that_lies():
    """The answer is an error, and the task is made and paid."""
    answer, world = struck("create-code-made", "create")

    assert (answer.json["code"], answer.json["data"]) == (500, None)
    assert (len(world.creates), world.refusals) == (1, 0)
    assert world.balance < 10_000


@pytest.mark.parametrize(("status", "made"), [(403, 0), (413, 0), (429, 0), (502, 1), (504, 1)])
def test_a_gateway_refuses_below_500_and_loses_the_answer_above(status, made):
    """Only behind the second kind of page there is a task."""
    _, world = struck(f"create-status={status}", "create")

    assert (len(world.creates), world.refusals) == (made, 1 - made)


def test_who_follows_a_redirect_buys_twice():
    """The task of the first request is made already."""
    world = Sandbox(faults=["create-redirect*1"])
    with serve(sandbox=world) as url:
        location = create(url).headers["location"]
        exchange(url, "POST", location, BODY)

    assert world.purchases() == {"a cat": 2}


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("create-data-null", None),
        ("create-task-id-missing", {}),
        ("create-task-id-empty", {"taskId": ""}),
        ("create-task-id-long", {"taskId": "7" * 10_000}),
        ("create-task-id-nul", {"taskId": "4f1c\x00d9e"}),
    ],
)
def test_a_task_id_that_is_none(fault, data):
    """Code 200, a task that is made, and nothing to find it by."""
    answer, world = struck(fault, "create")

    assert (answer.json["code"], answer.json["data"], len(world.creates)) == (200, data, 1)


def test_a_task_id_that_is_a_number():
    """The record is found by its text."""
    world = Sandbox(faults=["create-task-id-number"])
    with serve(sandbox=world) as url:
        task_id = create(url).json["data"]["taskId"]
        record = exchange(url, "GET", f"{RECORD}?taskId={task_id}").json["data"]

    assert isinstance(task_id, int)
    assert record["taskId"] == str(task_id) == made(world)


def test_one_task_id_for_two_jobs():
    """Two tasks are made; the second answer names the first."""
    world = Sandbox(faults=["create-task-id-repeated"])
    with serve(sandbox=world) as url:
        first, second = (create(url).json["data"]["taskId"] for _ in range(2))

    assert first == second
    assert len({bought.task_id for bought in world.creates}) == 2


# --- records --------------------------------------------------------------------------

RECORDS = {
    "query-code=455": lambda it: (it.json["code"], it.json["data"]) == (455, None),
    "query-code=429": lambda it: (it.json["code"], it.json["data"]) == (429, None),
    "query-code=404": lambda it: (it.json["code"], it.json["data"]) == (404, None),
    "query-unknown-task": lambda it: it.json == {"code": 422, "msg": "recordInfo is null", "data": None},
    "query-invisible": lambda it: it.json == {"code": 422, "msg": "recordInfo is null", "data": None},
    "query-record-null": lambda it: (it.json["code"], it.json["data"]) == (200, None),
    "query-unknown-state": lambda it: it.json["data"]["state"] == "pondering",
    "query-unfinished": lambda it: it.json["data"]["state"] == "generating",
    "query-no-result": lambda it: it.json["data"]["state"] == "success" and "resultJson" not in it.json["data"],
    "query-result-empty": lambda it: it.json["data"]["resultJson"] == "{}" and "response" not in it.json["data"],
    "query-result-not-json": lambda it: it.json["data"]["resultJson"] == '{"resultUrls": [',
    "query-result-twice-encoded": lambda it: isinstance(json.loads(it.json["data"]["resultJson"]), str),
    "query-result-url": lambda it: result_urls(it) == ["http://169.254.169.254/latest/meta-data/"],
    "query-result-url=file:///etc/passwd": lambda it: result_urls(it) == ["file:///etc/passwd"],
    "query-success-after-fail": lambda it: it.json["data"]["state"] == "fail",
    "query-credits": lambda it: it.json["data"]["creditsConsumed"] == 1_000_000,
    "query-credits=1e999": lambda it: b'"creditsConsumed": 1e999' in it.body,
}


@pytest.mark.parametrize("fault", RECORDS)
def test_a_record_is_wrong(fault):
    """Read after the task's end."""
    answer, _ = struck(fault, "query")

    assert (answer.status, answer.length) == (200, len(answer.body))
    assert RECORDS[fault](answer)


def states(fault, readings=3):
    world = Sandbox(speed=1e6, faults=[fault])
    with serve(sandbox=world) as url:
        create(url)
        return [read(url, world).json["data"]["state"] for _ in range(readings)]


def test_an_end_is_taken_back():
    """Each reading after the first says otherwise."""
    assert states("query-fail-after-success") == ["success", "fail", "fail"]
    assert states("query-success-after-fail") == ["fail", "success", "success"]
    assert states("query-fail-after-success*1") == ["success", "fail", "success"]


def test_a_record_appears_after_its_seconds():
    """By the sandbox's clock, from the creation on."""
    now = 1_790_000_000.0
    world = Sandbox(faults=["query-invisible=5"], clock=lambda: now)
    with serve(sandbox=world) as url:
        create(url)
        codes = [read(url, world).json["code"]]
        now += 4.9
        codes.append(read(url, world).json["code"])
        now += 0.2
        codes.append(read(url, world).json["code"])

    assert codes == [422, 422, 200]


DEDICATED = {
    "4o-image": ("/api/v1/gpt4o-image/generate", "/api/v1/gpt4o-image/record-info", {"size": "1:1"}),
    "flux-kontext": ("/api/v1/flux/kontext/generate", "/api/v1/flux/kontext/record-info", {}),
    "veo3": ("/api/v1/veo/generate", "/api/v1/veo/record-info", {"model": "veo3_fast"}),
    "runway": (
        "/api/v1/runway/generate",
        "/api/v1/runway/record-detail",
        {"duration": 5, "quality": "720p", "aspectRatio": "16:9"},
    ),
    "suno": (
        "/api/v1/generate",
        "/api/v1/generate/record-info",
        {"customMode": False, "instrumental": False, "model": "V4", "callBackUrl": "https://hooks.example.com/kie"},
    ),
}


def record_of(family, fault):
    path, query, body = DEDICATED[family]
    world = Sandbox(speed=1e6, faults=[fault])
    with serve(sandbox=world) as url:
        exchange(url, "POST", path, json.dumps({"prompt": "a cat", **body}).encode())
        return exchange(url, "GET", f"{query}?taskId={made(world)}").json["data"]


@pytest.mark.parametrize("family", DEDICATED)
def test_records_of_all_families_can_be_wrong(family):
    """Where each keeps its state and its result."""
    result = "videoInfo" if family == "runway" else "response"
    unknown = record_of(family, "query-unknown-state")

    assert record_of(family, "query-no-result")[result] is None
    assert "http" not in json.dumps(record_of(family, "query-result-empty")[result])
    assert record_of(family, "query-result-not-json")[result] == "the result is ready"
    assert isinstance(json.loads(record_of(family, "query-result-twice-encoded")[result]), dict)
    assert "http://10.0.0.1/x" in json.dumps(record_of(family, "query-result-url=http://10.0.0.1/x")[result])
    assert 7 in unknown.values() or {"pondering", "PONDERING"} & {str(value) for value in unknown.values()}
    assert record_of(family, "query-unfinished")[result] is None or family == "suno"


# --- files ----------------------------------------------------------------------------


@pytest.fixture
def world():
    return Sandbox(speed=1e6)


@pytest.fixture
def link(world):
    """The address of a file, on a server that runs."""
    with serve(sandbox=world) as url:
        create(url)
        yield result_urls(read(url, world))[0]


def test_a_part_of_a_file(link):
    """By RFC 9110: the bytes, where they belong, and the same strong ETag as the whole."""
    whole = load(link)
    part = load(link, "Range: bytes=10-19\r\n")
    rest = load(link, f"Range: bytes=10-\r\nIf-Range: {whole.headers['etag']}\r\n")
    last = load(link, "Range: bytes=-5\r\n")

    assert (whole.status, whole.headers["accept-ranges"], whole.headers["etag"][0]) == (200, "bytes", '"')
    assert (part.status, part.body) == (206, whole.body[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.body)}"
    assert part.headers["etag"] == whole.headers["etag"]
    assert (rest.status, rest.body) == (206, whole.body[10:])
    assert (last.status, last.body) == (206, whole.body[-5:])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ('Range: bytes=10-\r\nIf-Range: "other"\r\n', 200),
        ("Range: bytes=5-1\r\n", 200),
        ("Range: bytes=0-1,5-6\r\n", 200),
        ("Range: lines=1-2\r\n", 200),
        ("Range: bytes=-\r\n", 200),
        (f"Range: bytes={'9' * 18}-\r\n", 416),
        (f"Range: bytes={'9' * 5000}-\r\n", 200),
        ("Range: bytes=-0\r\n", 416),
    ],
)
def test_a_part_that_cannot_be_given(link, headers, status):
    """The whole, or HTTP 416."""
    assert load(link, headers).status == status


def test_the_head_of_a_file(link):
    """Its length, and no body."""
    answer = exchange(link, "HEAD", urlsplit(link).path)

    assert (answer.status, answer.body) == (200, b"")
    assert answer.length > 0


def test_a_file_that_was_cut_can_be_resumed(link, world):
    """The first request is cut, the second fetches the rest."""
    world.faults.add("file-cut-body*1")
    first = load(link)
    rest = load(link, f"Range: bytes={len(first.body)}-\r\nIf-Range: {first.headers['etag']}\r\n")

    assert len(first.body) < first.length
    assert rest.status == 206
    assert first.body + rest.body == load(link).body


def test_a_file_that_changes_cannot_be_resumed(link, world):
    """The ETag is another each time, so If-Range gives the whole."""
    world.faults.add("file-etag-changes")
    first = load(link)
    second = load(link, f"Range: bytes=5-\r\nIf-Range: {first.headers['etag']}\r\n")

    assert first.headers["etag"] != second.headers["etag"]
    assert second.status == 200


def test_range_is_ignored_or_answered_with_another(link, world):
    """The whole file with 200, or the wrong part with 206."""
    world.faults.add("file-no-range*1", "file-wrong-range*1")
    whole = load(link, "Range: bytes=5-9\r\n")
    other = load(link, "Range: bytes=5-9\r\n")

    assert (whole.status, len(whole.body)) == (200, whole.length)
    assert (other.status, other.headers["content-range"].partition("/")[0]) == (206, "bytes 6-9")


def test_a_page_in_the_clothes_of_a_picture(link, world):
    """Only its bytes tell."""
    world.faults.add("file-disguised")
    answer = load(link)

    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    assert answer.body.startswith(b"<html>")


def test_the_first_link_is_dead_and_a_fresh_one_works():
    """After the record is read again."""
    world = Sandbox(speed=1e6, faults=["file-first-link-expired"])
    with serve(sandbox=world) as url:
        create(url)
        first, second = result_urls(read(url, world))[0], result_urls(read(url, world))[0]
        answers = [load(first), load(first), load(second)]

    assert first != second
    assert [answer.status for answer in answers] == [403, 403, 200]


def test_a_link_expires_after_its_seconds():
    """Counted from the reading of its record."""
    now = 1_790_000_000.0
    world = Sandbox(faults=["file-expires=60"], clock=lambda: now)
    with serve(sandbox=world) as url:
        create(url)
        now += 3600
        link = result_urls(read(url, world))[0]
        statuses = [load(link).status]
        now += 61
        statuses += [load(link).status, load(result_urls(read(url, world))[0]).status]

    assert statuses == [200, 403, 200]


# --- counting -------------------------------------------------------------------------


def test_a_burst_of_refusals_is_counted():
    """Creates by the prompt that each job has for itself; refusals apart."""
    now = 1_790_000_000.0
    world = Sandbox(faults=["create-code=429*3"], clock=lambda: now)
    with serve(sandbox=world) as url:
        codes = [create(url).json["code"] for _ in range(4)]
        now += 10
        create(url)

    assert codes == [429, 429, 429, 200]
    assert (world.purchases(), world.refusals) == ({"a cat": 2}, 3)
    assert world.purchases(lambda body: body["model"]) == {"nano-banana-pro": 2}
    assert (len(world.create_times), world.busiest_window(), world.busiest_window(20)) == (5, 4, 5)


def test_creates_keep_what_was_asked_for():
    """The body, the callback's address, and the time."""
    now = 1_790_000_000.0
    world = Sandbox(clock=lambda: now)
    body = {**json.loads(BODY), "callBackUrl": "https://hooks.example.com/kie/cb/job-7"}
    with serve(sandbox=world) as url:
        exchange(url, "POST", CREATE, json.dumps(body).encode())
    bought = world.creates[0]

    assert (bought.body, bought.at, bought.path) == (body, now, CREATE)
    assert world.creates_by_callback == {"https://hooks.example.com/kie/cb/job-7": 1}


def test_every_fault_of_an_answer_is_tried_here():
    """A new one needs a test."""
    tried = {
        f"{place}-{effect}"
        for place in ("create", "query", "file", "upload")
        for effect in (*WIRE, "status", "redirect")
    }
    tried |= {f"{place}-{effect}" for place in ("create", "query", "upload") for effect in JSON}
    tried |= {"upload-code", "upload-address", "upload-size"}  # in test_uploads.py
    tried |= {fault.partition("=")[0] for fault in RECORDS} | {"query-fail-after-success"}
    tried |= {"connection-close", "connection-reset", "create-code", "create-code-made", "create-data-null"}
    tried |= {f"create-task-id-{kind}" for kind in ("missing", "empty", "long", "nul", "number", "repeated")}
    tried |= {"file-disguised", "file-first-link-expired", "file-expires", "file-etag-changes"}
    tried |= {"file-no-range", "file-wrong-range"}

    assert {name for name in FAULTS if not name.startswith("callback-")} == tried
