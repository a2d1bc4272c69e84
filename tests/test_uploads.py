"""Files among the inputs: uploaded over real sockets before anything is bought, and not twice."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import os
import sys
import threading
import time
import tracemalloc
from asyncio.subprocess import PIPE
from datetime import timedelta
from pathlib import Path

import attrs
import pytest
import stamina

from kie_core import Clock, ConfigError, InvalidJob, JobKeyTaken, KieBlocking, NoKey, Upload, UploadFailed, WrongState
from kie_core._files.uploads import LIVES, Uploader

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JPG = b"\xff\xd8\xff\xe0" + b"\0" * 100
SHA256 = hashlib.sha256(PNG).hexdigest()


class UploadHost:
    """Takes forms as they come, keeps small ones, and answers as it is told; then rightly."""

    def __init__(self):
        self.answers = []
        self.heads, self.bodies, self.urls = [], [], []
        self.url = ""
        self.slow = False
        self.began = asyncio.Event()
        self._handlers = set()

    @property
    def count(self):
        return len(self.heads)

    async def connection(self, reader, writer):
        self._handlers.add(asyncio.current_task())
        body = bytearray()
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.heads.append(head)
            self.began.set()
            left = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            while left:
                piece = await reader.read(min(left, 65536))
                if not piece:
                    break
                left -= len(piece)
                if len(body) < 1_000_000:
                    body += piece
                if self.slow:
                    await asyncio.sleep(30)
            self.bodies.append(bytes(body))
            if left:
                return
            answer = self.answers.pop(0) if self.answers else self.stored(body, head)
            if answer is None:
                writer.transport.abort()
                return
            if callable(answer):
                await answer(writer)
                return
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def stored(self, body, head, **changes):
        total = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        boundary = head.partition(b"boundary=")[2].split(b"\r\n")[0]
        start = bytes(body).partition(b"filename=")[2].index(b"\r\n\r\n") + 4 + bytes(body).index(b"filename=") + 9
        size = total - start - len(boundary) - 8
        self.urls.append(f"https://files.example.com/{len(self.heads)}.png")
        data = {"downloadUrl": self.urls[-1], "fileSize": size, **changes}
        return said({"success": True, "code": 200, "msg": "File uploaded successfully", "data": data})


def said(body, status="200 OK", headers=""):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n{headers}\r\n".encode() + content


@pytest.fixture
async def host():
    made = UploadHost()
    server = await asyncio.start_server(made.connection, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()
    for handler in made._handlers:
        handler.cancel()
    await asyncio.gather(*made._handlers, return_exceptions=True)


@attrs.define
class Moving(Clock):
    """Its time can be set, and it does not sleep."""

    ahead: float = 0.0
    slept: list = attrs.field(factory=list)

    def time(self):
        return time.time() + self.ahead

    async def sleep(self, seconds):
        self.slept.append(seconds)
        await asyncio.sleep(0)


@pytest.fixture
def picture(fake_vendor, install, acme_source):
    """A plugin whose model takes pictures in every way in which inputs take URLs."""
    source = acme_source.replace(
        '"tags": {"type": "array"}}}',
        '"image": {"type": "string", "format": "uri", "file": {"types": ["image/png"], "megabytes": 1}},'
        '"images": {"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": 3,'
        ' "file": {"extensions": ["png"], "total_megabytes": 0.0002}},'
        '"subjects": {"type": "array", "items": {"type": "object", "properties": {'
        '"name": {"type": "string"}, "url": {"type": "string", "format": "uri"}}}}}}',
    ).replace('{"text": job.params["prompt"]}', '{"text": job.params["prompt"], **job.params}')
    install("kie-acme", {"acme": "kie_acme_test"}, {"kie_acme_test": source})
    return "acme-sketch"


@pytest.fixture
def client(fake_vendor, host, picture):
    return lambda **more: fake_vendor.client(upload_url=host.url, **more)


@pytest.fixture(autouse=True)
def _no_pauses():
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "secret folder" / "My photo.png"
    path.parent.mkdir()
    path.write_bytes(PNG)
    return path


def body_bought(fake_vendor, at=-1):
    creates = [one for one in fake_vendor.server.received if one.startswith(b"POST /acme/create")]
    return json.loads(creates[at].partition(b"\r\n\r\n")[2])


# --- one file -------------------------------------------------------------------------


async def test_a_file_is_uploaded_as_the_vendor_documents_it(client, host, photo):
    """One form with its folder, its name and its bytes, the key in its header; of its path nothing else."""
    async with client() as kie:
        upload = await kie.upload(photo)
    head, body = host.heads[0].decode(), host.bodies[0]

    assert head.startswith("POST /api/file-stream-upload HTTP/1.1\r\n")
    assert "\r\nauthorization: bearer 0123456789abcdef0123456789abcdef\r\n" in head.lower()
    assert body.count(b"Content-Disposition: form-data;") == 3
    assert b'name="uploadPath"\r\n\r\nkie-core/' in body
    assert b'name="fileName"\r\n\r\nMy-photo.png\r\n' in body
    assert b'name="file"; filename="My-photo.png"\r\nContent-Type: image/png\r\n\r\n' + PNG + b"\r\n--" in body
    assert b"secret" not in host.heads[0] + body
    assert (upload.url, upload.size, upload.sha256, upload.kind) == (host.urls[0], len(PNG), SHA256, "png")
    assert isinstance(upload, Upload)


async def test_with_a_name_of_yours_not_even_the_base_name_leaves(client, host, photo):
    """And its ending says what it is."""
    async with client() as kie:
        await kie.upload(photo, name="x")

    assert b'filename="x.png"' in host.bodies[0]
    assert b"photo" not in host.bodies[0]


async def test_64_megabytes_are_never_in_memory(client, host, tmp_path):
    """Hashed, sent and counted in pieces."""
    path = tmp_path / "big.mp4"
    with path.open("wb") as file:
        file.write(b"\0\0\0\x20ftypisom")
        file.truncate(64 * 1024 * 1024)
    seen = []
    async with client() as kie:
        await kie.upload(PNG)  # what is loaded and made once
        tracemalloc.start()
        try:
            upload = await kie.upload(path, on_progress=lambda sent, total: seen.append((sent, total)))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert upload.size == 64 * 1024 * 1024
    assert seen == sorted(seen)
    assert seen[-1] == (upload.size, upload.size)
    assert len(seen) > 100
    assert peak < 16 * 1024 * 1024


async def test_a_progress_callback_that_fails_stops_nothing(client, caplog):
    """It is the caller's code."""
    async with client() as kie:
        await kie.upload(PNG, on_progress=lambda sent, total: 1 / 0)

    assert "on_progress failed: ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (Path("some folder/nowhere.png"), "could not upload nowhere.png: 'some folder/nowhere.png' cannot be read"),
        ("nowhere.png", "could not upload 'nowhere.png': a text is no file; expected Path"),
        (7, "could not upload an object of type int: is int; expected a path"),
        (b"\x7fELF....", "could not upload an object of type bytes: the content is of no kind that is uploaded"),
    ],
)  # fmt: skip
async def test_what_cannot_be_read_is_named(client, host, given, text):
    """And nothing is sent."""
    async with client() as kie:
        with pytest.raises(UploadFailed) as failed:
            await kie.upload(given)

    assert text.replace("/", os.sep) in str(failed.value)
    assert not host.count


async def test_without_a_key_nothing_is_read_or_sent(host, picture, fake_vendor):
    """As for everything else that asks Kie."""
    from kie_core import Kie

    async with Kie(upload_url=host.url, base_url=fake_vendor.server.url) as kie:
        with pytest.raises(NoKey):
            await kie.upload(PNG)
    assert not host.count


@pytest.mark.parametrize(
    "answers",
    [
        [said(b"<html>", "503 Service Unavailable")] * 3,
        [said({"success": False, "code": 500, "msg": "server error"})] * 3,
        [said({"success": False, "code": 429, "msg": "slowly"}), said(b"", "429 Too Many Requests"), None],
        [None, None, None],
        [said(b"<html>hello</html>"), said(b"[" * 100_000), said(b'{"code": 200')],
        [said({"success": True, "code": 200, "data": {"downloadUrl": url}}) for url in ("file:///etc/passwd", "https://a b", 7)],
        [said({"success": True, "code": 200, "data": {"downloadUrl": "https://a/b", "fileSize": 1}}), said({"success": "yes", "code": 200, "data": {}}), said({"success": True, "code": 200, "data": None})],
    ],
)  # fmt: skip
async def test_what_may_go_better_is_tried_again_from_the_start(client, host, answers):
    """Three failures of every kind, and then it is there: a file that was begun is sent whole once more."""
    host.answers = answers
    async with client() as kie:
        upload = await kie.upload(io.BytesIO(PNG))

    assert host.count == 4
    assert all(PNG in body for body in host.bodies)
    assert upload.url == host.urls[-1]


async def test_the_fourth_failure_is_the_last(client, host):
    """And it says that nothing was bought, and what is allowed to do."""
    host.answers = [None] * 9
    async with client() as kie:
        with pytest.raises(UploadFailed) as failed:
            await kie.upload(PNG)

    assert host.count == 4
    assert "could not upload the content" in str(failed.value)
    assert "(4 attempts); nothing was bought; try again, it is free" in str(failed.value)


async def test_a_host_that_says_when_is_waited_for(client, host):
    """A minute at the most."""
    busy = {"success": False, "code": 429, "msg": "slowly"}
    host.answers = [said(busy, headers="Retry-After: 7\r\n"), said(busy, headers="Retry-After: 7000\r\n")]
    clock = Moving()
    async with client(clock=clock) as kie:
        await kie.upload(PNG)

    assert clock.slept == [7.0, 60.0]


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        (said({"success": False, "code": 401, "msg": "Authentication failed: Invalid API Key"}), 401, "look at KIE_API_KEY"),
        (said({"success": False, "code": 400, "msg": "Missing required parameter: uploadPath"}, "400 Bad Request"), 400, "Kie refused it: Missing"),
        (said(b"<html>", "413 Too Large"), 413, "HTTP 413"),
        (said(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:1/elsewhere\r\n"), 307, "the key goes nowhere else"),
    ],
)  # fmt: skip
async def test_a_refusal_is_believed_at_once_and_a_redirect_never_followed(client, host, answer, code, text):
    """The key goes to the configured host only."""
    host.answers = [answer]
    async with client() as kie:
        with pytest.raises(UploadFailed, match=text) as failed:
            await kie.upload(PNG)

    assert host.count == 1
    assert failed.value.code == code
    assert "nothing was bought" in str(failed.value)


async def test_an_echo_of_the_key_is_not_shown(client, host, fake_vendor):
    """Not even in the words of a host."""
    host.answers = [said({"success": False, "code": 400, "msg": f"bad key {fake_vendor.key}"})]
    async with client() as kie:
        with pytest.raises(UploadFailed) as failed:
            await kie.upload(PNG)

    assert fake_vendor.key not in str(failed.value)
    assert "bad key ***" in str(failed.value)


async def test_an_answer_without_an_end_is_cut_off(client, host):
    """Eight megabytes are more than any answer has."""
    host.answers = [said(b" " * 9_000_000)] * 4
    async with client() as kie:
        with pytest.raises(UploadFailed, match="the answer is too large"):
            await kie.upload(PNG)


async def test_an_answer_that_drips_is_given_up(client, host):
    """Else it would hold a thread for as long as the host likes; the file is sent again."""

    async def drip(writer):
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            for _ in range(100):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
            late = {"downloadUrl": "https://files.example.com/late.png", "fileSize": len(PNG)}
            writer.write(b"\r\n" + said({"success": True, "code": 200, "data": late}).partition(b"\r\n")[2])

    host.answers = [drip]
    async with client(request_timeout=1) as kie:
        upload = await kie.upload(PNG)

    assert host.urls == [upload.url]
    assert host.count > 1


async def test_a_file_that_changes_under_our_hands_never_arrives_whole(client, host, photo, monkeypatch):
    """What was hashed and what is sent are one, or the form stays without its end; it is not tried again."""
    attempt = Uploader._attempt

    async def changing(self, *arguments):
        photo.write_bytes(PNG + b"!")
        return await attempt(self, *arguments)

    monkeypatch.setattr(Uploader, "_attempt", changing)
    async with client() as kie:
        with pytest.raises(UploadFailed, match="My photo.png changed while it was read"):
            await kie.upload(photo)

    assert host.count <= 1
    assert not host.urls


@pytest.mark.parametrize("content", [PNG, PNG + bytes(16 * 1024 * 1024)], ids=["it waits", "it sends"])
async def test_a_cancelled_upload_ends_at_once(client, host, content):
    """Also one that waits for the other side: whoever presses Ctrl-C does not wait for a time-out."""
    host.slow = True
    threads = threading.active_count()
    async with client() as kie:
        task = asyncio.create_task(kie.upload(content))
        await host.began.wait()
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        began = time.monotonic()
        await asyncio.to_thread(lambda: None)
        await asyncio.get_running_loop().shutdown_default_executor()

    assert time.monotonic() - began < 3
    assert threading.active_count() <= threads
    assert not host.urls


async def test_a_fake_on_this_machine_gets_no_file_sent_elsewhere(fake_vendor, picture):
    """Whoever sets the one address and forgets the other."""
    async with fake_vendor.client() as kie:
        with pytest.raises(ConfigError, match="no file leaves it unasked; set KIE_UPLOAD_URL"):
            await kie.upload(PNG)
        with pytest.raises(ConfigError):
            await kie.submit(picture, {"prompt": "x", "image": PNG})

    assert not fake_vendor.creates


# --- not twice ------------------------------------------------------------------------


async def test_the_same_content_is_uploaded_once_while_it_lives(client, host, photo):
    """Across clients and processes, whatever it is called; by the same account only."""
    clock = Moving()
    async with client(clock=clock) as kie:
        first = await kie.upload(photo)
    async with client(clock=clock) as kie:
        assert await kie.upload(PNG) == first
        assert host.count == 1
        assert (await kie.upload(PNG, reuse=False)).url == host.urls[1]
        assert (await kie.upload(PNG)).url == host.urls[1]
        clock.ahead = (LIVES - timedelta(hours=4)).total_seconds() + 1
        assert (await kie.upload(PNG)).url == host.urls[2]
    async with client(account="another") as kie:
        assert (await kie.upload(PNG)).url == host.urls[3]


async def test_many_jobs_with_the_same_file_wait_for_one_upload(client, host, fake_vendor, picture):
    """In one client."""
    async with client() as kie:
        await asyncio.gather(*(kie.submit(picture, {"prompt": str(at), "image": PNG}) for at in range(5)))

    assert (host.count, fake_vendor.creates) == (1, 5)


FORKS = """
import asyncio, json, os, sys
from kie_core import Kie

PNG = bytes.fromhex(sys.argv[2])
kie = Kie(**json.loads(sys.argv[1]))
loop = asyncio.new_event_loop()
loop.run_until_complete(kie.__aenter__())
uploading = loop.create_task(kie.upload(PNG))
loop.run_until_complete(asyncio.to_thread(sys.stdin.readline))  # the host has begun to read it
child = os.fork()
if not child:
    other = asyncio.new_event_loop()
    print(other.run_until_complete(asyncio.wait_for(kie.upload(PNG), 20)).url, flush=True)
    os._exit(0)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
async def test_a_forked_client_does_not_wait_for_an_upload_of_its_parent(host):
    """Nobody in the child would ever end that."""
    host.slow = True
    settings = {"api_key": "0123456789abcdef", "base_url": host.url, "upload_url": host.url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", FORKS, json.dumps(settings), PNG.hex(), stdin=PIPE, stdout=PIPE
    )
    await host.began.wait()
    host.slow = False
    out, _ = await process.communicate(b"\n")

    assert process.returncode == 0
    # Whether the parent's thread is told its address first is a matter of luck.
    assert out.decode().strip() in host.urls


async def test_a_text_is_the_same_only_under_the_same_kind_of_name(client, host, tmp_path):
    """Its bytes do not say whether they are subtitles."""
    for name in ("a.txt", "a.srt", "b.srt"):
        (tmp_path / name).write_text("hello")
    async with client() as kie:
        kinds = [(await kie.upload(tmp_path / name)).kind for name in ("a.txt", "a.srt", "b.srt")]

    assert kinds == ["txt", "srt", "srt"]
    assert host.count == 2


async def test_a_damaged_note_is_ignored_and_replaced(client, host):
    """And it holds no key, for its user only."""
    folder = Path(os.environ["KIE_CACHE_DIR"])
    async with client() as kie:
        await kie.upload(PNG)
        (note,) = folder.glob("uploads-*.json")  # noqa: ASYNC240  (a test)
        good = json.loads(note.read_text())
        for damage in (b"", b"{", b"[" * 1000, b"[]", json.dumps({**good, "kie_uploads": 2}).encode(), json.dumps({**good, "uploads": [7, {}, {**good["uploads"][0], "url": "file:///a"}]}).encode()):  # fmt: skip
            note.write_bytes(damage)
            await kie.upload(PNG)
        before = host.count
        await kie.upload(PNG)

    assert host.count == before == 7
    assert kie.settings.api_key.reveal() not in note.read_text()
    assert os.name != "posix" or note.stat().st_mode & 0o077 == 0


async def test_the_note_has_an_end(client, host, monkeypatch):
    """The oldest go."""
    monkeypatch.setattr("kie_core._files.uploads_file.MOST", 2)
    async with client() as kie:
        for number in range(3):
            await kie.upload(PNG + bytes([number]))
        await kie.upload(PNG + bytes([2]))
        await kie.upload(PNG + bytes([1]))
        assert host.count == 3
        await kie.upload(PNG + bytes([0]))

    assert host.count == 4


async def test_a_note_that_cannot_be_written_is_a_warning(client, host, monkeypatch, tmp_path, caplog):
    """The upload is there all the same."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KIE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    async with client() as kie:
        assert (await kie.upload(PNG)).url == host.urls[0]

    assert "uploads cannot be noted" in caplog.text


# --- jobs -----------------------------------------------------------------------------


async def test_files_stand_wherever_a_url_does(client, host, fake_vendor, picture, photo):
    """Alone, in a list, inside an object; the same content is sent once."""
    inputs = {
        "prompt": "a cat",
        "image": photo,
        "images": [PNG, "https://example.com/a.png"],
        "subjects": [{"name": "x", "url": io.BytesIO(JPG)}],
    }
    async with client() as kie:
        task = await kie.submit(picture, inputs)
        entry = await kie.entry(task.job.id)
    first, second = host.urls
    expected = {
        "prompt": "a cat",
        "image": first,
        "images": [first, "https://example.com/a.png"],
        "subjects": [{"name": "x", "url": second}],
    }

    assert host.count == 2
    assert body_bought(fake_vendor) == {"text": "a cat", **expected}
    assert dict(task.job.params) == expected == dict(entry.inputs.params)


async def test_one_file_is_taken_for_a_list_of_one(client, host, fake_vendor, picture):
    """As one URL is; and a data: URL is a file."""
    async with client() as kie:
        await kie.submit(picture, {"prompt": "x", "images": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"})

    assert body_bought(fake_vendor)["images"] == host.urls


async def test_a_failed_upload_buys_nothing(client, host, fake_vendor, picture):
    """It comes before the intent: the ledger knows no job."""
    host.answers = [said({"success": False, "code": 400, "msg": "no"})]
    async with client() as kie:
        with pytest.raises(UploadFailed):
            await kie.submit(picture, {"prompt": "x", "image": PNG}, job_key="k")
        assert await kie.jobs() == []

    assert not fake_vendor.creates


async def test_what_cannot_be_bought_is_not_uploaded(client, host, picture):
    """All faults at once, of files and of everything else; and limits before uploads."""
    from kie_core import Budget, OverBudget

    big = PNG + bytes(300)
    inputs = {"image": JPG, "images": [PNG, big], "subjects": [{"url": "photo.jpg"}], "prompt": Path("a"), "sise": 1}
    async with client() as kie:
        with pytest.raises(InvalidJob) as refused:
            await kie.submit(picture, inputs)
        with pytest.raises(OverBudget):
            await kie.submit(picture, {"prompt": "x", "image": PNG}, budget=Budget(max_price_rub=1))
    faults = {fault.field: fault.problem for fault in refused.value.faults}

    assert "the content is jpg by its first bytes; expected image/png" in faults["image"]
    assert "its files have 516 bytes together; expected up to 0.0002 MB" in faults["images"]
    assert "a file is given as Path(...) in Python, as @... on the command line" in faults["subjects[0].url"]
    assert "expected text" in faults["prompt"]
    assert "sise" in faults
    assert not host.count


async def test_the_same_key_and_the_same_file_are_the_same_job(client, host, fake_vendor, picture, photo):
    """Whatever became of the upload: nothing is uploaded and nothing is bought. Another file is another request."""
    inputs = {"prompt": "x", "image": photo}
    clock = Moving()
    async with client(clock=clock) as kie:
        first = await kie.submit(picture, inputs, job_key="order-1")
        clock.ahead = 9 * 86400.0
        again = await kie.submit(picture, {"prompt": "x", "image": PNG}, job_key="order-1")
        queued = await kie.enqueue(picture, inputs, job_key="order-1")
        with pytest.raises(JobKeyTaken):
            await kie.submit(picture, {"prompt": "x", "image": PNG + b"!"}, job_key="order-1")

    assert first.job.id == again.job.id == queued.id
    assert (host.count, fake_vendor.creates) == (1, 1)


async def test_a_job_that_was_not_bought_is_asked_for_again_with_fresh_addresses(client, host, fake_vendor, picture):
    """An address in the ledger may have expired; the one that is sent is the newest."""
    inputs = {"prompt": "x", "image": PNG}
    async with client() as kie:
        first = await kie.enqueue(picture, inputs, job_key="order-1", reuse=False)
        second = await kie.enqueue(picture, inputs, job_key="order-1", reuse=False)
        await kie.cancel(first.id)
        third = await kie.submit(picture, inputs, job_key="order-1", reuse=False)
        entry = await kie.entry(first.id)

    assert first.id == second.id == third.job.id
    assert second.inputs.body["image"] == host.urls[1]
    assert body_bought(fake_vendor)["image"] == entry.inputs.body["image"] == host.urls[2]


async def test_a_queued_job_whose_uploads_have_expired_is_called_off(client, host, fake_vendor, picture):
    """A picture that is gone would be paid for nothing."""
    clock = Moving()
    async with client(clock=clock) as kie:
        entry = await kie.enqueue(picture, {"prompt": "x", "image": PNG})
        clock.ahead = LIVES.total_seconds() + 60
        step = await kie.advance(entry.id)

    assert step.entry.state == "cancelled"
    assert "its uploads have expired" in step.entry.reason
    assert not fake_vendor.creates


async def test_a_payload_shows_the_file_and_uploads_nothing(client, host, picture, photo):
    """Its name, its size and its hash stand where the address will."""
    async with client() as kie:
        payload = kie.payload(picture, {"prompt": "x", "image": photo, "images": [PNG]})
    shown = f"<upload of My photo.png, 108 bytes, sha256 {SHA256}>"

    assert payload.body["image"] == payload.params["image"]
    assert payload.params["image"] in (shown, shown.replace("My photo.png", "the content"))
    assert not host.count


async def test_a_stand_in_is_never_sent(client, fake_vendor, picture):
    """The last look before a create: a file that was not uploaded stops it."""
    async with client() as kie:
        job = kie.job(picture, {"prompt": "x", "image": PNG})
        with pytest.raises(WrongState, match="its files are not uploaded; nothing was sent"):
            await kie.submit(attrs.evolve(job, files={}))

    assert not fake_vendor.creates


@pytest.mark.usefixtures("in_haste")
async def test_the_blocking_client_and_the_generator_take_files_too(host, fake_vendor, picture, photo):
    """By the same way."""
    from kie_core.generator import KieGenerator

    settings = {"base_url": fake_vendor.server.url, "upload_url": host.url, "creates_per_10_seconds": 10_000}
    seen = []

    def block():
        with KieBlocking(fake_vendor.key, **settings) as kie:
            upload = kie.upload(photo)
            kie.submit(
                picture,
                {"prompt": "x", "image": JPG.replace(b"\xff\xd8\xff\xe0", PNG)},
                on_upload=lambda *it: seen.append(it),
            )
            return upload

    upload = await asyncio.to_thread(block)
    generator = KieGenerator(fake_vendor.key, **settings)
    made = await generator.generate(picture, {"prompt": "y", "image": photo})
    refused = await generator.generate(picture, {"prompt": "y", "image": Path("nowhere.png")})

    assert upload.url == host.urls[0]
    assert seen
    assert made["success"]
    assert body_bought(fake_vendor)["image"] == upload.url
    assert refused["error_code"] == "INVALID_INPUT"
    assert "nowhere.png" in refused["message"]
