"""Results on disk: whole or not at all, under our own names, from public hosts only."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import os
import re
import sys
import tracemalloc
from datetime import UTC, datetime, timedelta
from io import FileIO

import attrs
import pytest
import stamina

from kie_core import Artifact, ReadFailed, SaveFailed
from kie_core._files import saving as files
from kie_core._files.saving import ATTEMPTS, LinkExpired, SavedFile, Saver, check_folder, save_all
from kie_core._jobs.convert import plain, structured
from kie_core._network.file_client import FileClient
from kie_core.testing import make_job

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 10, 1, tzinfo=UTC)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JOB = make_job("gpt-4o-image", {"prompt": "cat"}, job_id="ab12")
HANDLE = "kie1:ab12:gpt-4o-image:dedicated:t1"


CLIENTS = []


@pytest.fixture(autouse=True)
def _without_pauses_and_leaks():
    with stamina.set_testing(True, attempts=5, cap=True):
        yield
    while CLIENTS:
        CLIENTS.pop().__exit__()


def saver(folder, *, number=1, api="https://api.kie.ai", job=JOB, seconds=5, **settings):
    CLIENTS.append(FileClient(version="1.0", seconds=seconds, api=api))
    return Saver(HANDLE, job, number, folder, CLIENTS[-1], **settings)


def answering(*contents):
    """Behave: give one answer after the other, the last one again and again, and hang up after each."""
    left = list(contents)

    async def behave(reader, writer):
        content = left.pop(0) if len(left) > 1 else left[0]
        if content.startswith(b"HTTP/"):  # else the next request may meet the connection while it is closed
            content = content.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
        writer.write(content)
        await writer.drain()
        writer.close()

    return behave


async def save(server, content, folder, path="/a.png", kind="image", **settings):
    """Save what the server answers with, from a worker thread as the client does."""
    behave = content if callable(content) else answering(content)
    async with server.answering(behave):
        artifact = Artifact(kind, server.url + path)
        one = saver(folder, api=server.url, texts=kind in ("text", "data"), **settings)
        return await asyncio.to_thread(one.save, artifact)


async def test_a_file_is_saved_under_our_name(raw_server, http_bytes, tmp_path):
    """Model, job, number, and the extension of what it really is; the folder is made."""
    path = (await save(raw_server, http_bytes(PNG), tmp_path / "new" / "folder", path="/../../evil.exe")).path

    assert path == tmp_path / "new" / "folder" / "gpt-4o-image-ab12-1.png"
    assert path.read_bytes() == PNG


async def test_no_key_goes_to_the_file_host(raw_server, http_bytes, tmp_path):
    """Results lie on hosts that are not Kie's API."""
    await save(raw_server, http_bytes(PNG), tmp_path)

    assert b"authorization" not in raw_server.received[0].lower()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + PNG, "could not save"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "it is empty"),
        (b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", "HTTP 418"),
        (b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n6c\r\n"
            + PNG
            + b"\r\n0\r\n\r\n",
            "could not save",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\nContent-Length: 5\r\n\r\n<svg>", "it is a text"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<!DOCTYPE html><p>no", "it is a text"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 34\r\n\r\n{"code": 404, "msg": "expired \xd1\x8f"}', "it is a text"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n\xef\xbb\xbfNot found", "it is a text"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://[x/\r\nContent-Length: 0\r\n\r\n", "could not save"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://a.b:99999/\r\nContent-Length: 0\r\n\r\n", "could not save"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n", "more than"),
        (
            b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/a.png\r\nContent-Length: 0\r\n\r\n",
            "only https is fetched",
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", "redirects"),
        (b"garbage", "could not save"),
    ],
)
async def test_what_is_not_the_file_leaves_nothing_behind(raw_server, tmp_path, content, said):
    """No partial file, no web page under a picture's name; the result is still at Kie."""
    with pytest.raises(SaveFailed, match=said):
        await save(raw_server, content, tmp_path)

    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_cannot_be_made_says_so(tmp_path):
    """A file is in the way."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(SaveFailed, match="the result is still at Kie"):
        saver(tmp_path / "file").save(Artifact("text", text="la"))


@pytest.mark.parametrize(
    ("artifact", "name", "content"),
    [
        (Artifact("text", text="la la\nü"), "gpt-4o-image-ab12-2.txt", "la la\nü"),
        (Artifact("data", data={"a": [1, "ü"]}), "gpt-4o-image-ab12-2.json", {"a": [1, "ü"]}),
    ],
)
async def test_texts_and_tables_become_files_too(tmp_path, artifact, name, content):
    """A result is not always a URL."""
    path = saver(tmp_path, number=2).save(artifact).path

    text = path.read_text(encoding="utf-8")
    assert path.name == name
    assert (json.loads(text) if name.endswith("json") else text) == content


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
async def test_a_saved_file_has_the_usual_permissions(tmp_path):
    """Temporary files are private; results are not."""
    mask = os.umask(0o022)
    try:
        path = saver(tmp_path).save(Artifact("text", text="x")).path
    finally:
        os.umask(mask)

    assert path.stat().st_mode & 0o777 == 0o644


async def test_a_packed_file_is_unpacked(raw_server, http_bytes, tmp_path):
    """We ask for none; a host that packs all the same does no harm."""
    saved = await save(raw_server, http_bytes(gzip.compress(PNG), headers="Content-Encoding: gzip\r\n"), tmp_path)

    assert saved.path.read_bytes() == PNG


async def test_a_file_packed_in_parts_is_unpacked_whole(raw_server, http_bytes, tmp_path):
    """Each part has an end of its own."""
    packed = gzip.compress(PNG) + gzip.compress(b"and the rest")
    saved = await save(raw_server, http_bytes(packed, headers="Content-Encoding: gzip\r\n"), tmp_path)

    assert saved.path.read_bytes() == PNG + b"and the rest"


async def test_what_comes_after_a_packed_file_is_an_error_at_once(raw_server, tmp_path):
    """It would fill the memory, for it is no byte of the file, whose size is limited."""

    async def behave(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(PNG))
        while not writer.is_closing():  # without end
            writer.write(b"x" * 65536)
            await writer.drain()

    with pytest.raises(SaveFailed, match="incorrect header"):
        await asyncio.wait_for(save(raw_server, behave, tmp_path), 20)

    assert list(tmp_path.iterdir()) == []


async def test_an_interrupted_download_ends_at_its_next_chunk(raw_server, tmp_path):
    """The thread does not go on when nobody waits any more."""

    async def endless(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        while True:
            writer.write(PNG)
            await writer.drain()
            await asyncio.sleep(0.01)

    async with raw_server.answering(endless):
        one = saver(tmp_path, api=raw_server.url)
        saving = asyncio.ensure_future(asyncio.to_thread(one.save, Artifact("image", raw_server.url + "/a")))
        await asyncio.sleep(0.1)
        one.stop.set()
        with pytest.raises(SaveFailed, match="interrupted"):
            await saving

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("job_id", ["../../pwned", "..\\..\\pwned", "a/b", ".hidden", "con", "a" * 300])
async def test_a_name_never_leaves_the_folder(tmp_path, job_id):
    """Whatever a handle or a registry calls things."""
    job = attrs.evolve(JOB, id=job_id)

    path = saver(tmp_path / "out", job=job).save(Artifact("text", text="x")).path

    assert path.parent == tmp_path / "out"
    assert re.fullmatch(r"gpt-4o-image-[A-Za-z0-9_-]{1,80}-1\.txt", path.name)


async def test_text_that_is_not_utf8_is_saved_all_the_same(tmp_path):
    """Half a surrogate pair in paid lyrics."""
    assert saver(tmp_path).save(Artifact("text", text="la \ud800")).path.read_text() == "la \\ud800"


async def test_a_folder_is_probed_before_a_purchase(tmp_path):
    """It is made; nothing stays in it."""
    check_folder(tmp_path / "a" / "b")
    (tmp_path / "file").write_text("x")

    assert list((tmp_path / "a" / "b").iterdir()) == []
    with pytest.raises(OSError):
        check_folder(tmp_path / "file")


async def test_a_packed_file_that_was_cut_is_not_saved(raw_server, http_bytes, tmp_path):
    """Half a picture is no picture."""
    packed = gzip.compress(os.urandom(5000))
    with pytest.raises(SaveFailed, match="cut"):
        await save(raw_server, http_bytes(packed[:2000], headers="Content-Encoding: gzip\r\n"), tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "/nonexistent.pem"), ("HTTPS_PROXY", "foo://x"), ("ALL_PROXY", "socks5://x")]
)
async def test_an_environment_that_allows_no_connection_fails_with_the_handle(monkeypatch, tmp_path, name, value):
    """After the purchase, so no traceback: the task is named."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SaveFailed, match="as the environment says") as caught:
        saver(tmp_path).save(Artifact("image", "https://cdn.example.com/a.png"))

    assert caught.value.handle == HANDLE


async def test_pages_in_other_encodings_are_pages(raw_server, http_bytes, tmp_path):
    """UTF-16, Latin-1."""
    for page in ("<!DOCTYPE html><p>é".encode("utf-16"), "<html>é".encode("latin-1")):
        with pytest.raises(SaveFailed, match="it is a text"):
            await save(raw_server, http_bytes(page), tmp_path)


# --- what is known of a saved file ----------------------------------------------------


async def test_a_saved_file_is_counted_hashed_and_told_apart(raw_server, http_bytes, tmp_path):
    """Size and hash are of what was written; the kind is of the content, beside what the host said."""
    saved = await save(raw_server, http_bytes(PNG, headers="Content-Type: image/png\r\n"), tmp_path)

    assert saved == SavedFile(
        1,
        tmp_path / "gpt-4o-image-ab12-1.png",
        len(PNG),
        hashlib.sha256(PNG).hexdigest(),
        "png",
        "image/png",
        raw_server.url + "/a.png",
    )
    assert structured(json.loads(json.dumps(plain(saved))), SavedFile) == saved


async def test_a_false_content_type_is_kept_and_logged(raw_server, http_bytes, tmp_path, caplog):
    """The content decides."""
    saved = await save(raw_server, http_bytes(PNG, headers="Content-Type: video/mp4\r\n"), tmp_path)

    assert (saved.kind, saved.declared) == ("png", "video/mp4")
    assert "declared as 'video/mp4'" in caplog.text


async def test_two_long_names_that_begin_alike_stay_two(tmp_path):
    """What is cut off is told apart by a hash."""
    paths = {
        saver(tmp_path, job=attrs.evolve(JOB, id="x" * 300 + tail)).save(Artifact("text", text="x")).path
        for tail in "ab"
    }

    assert len(paths) == 2


async def test_a_big_file_needs_no_memory(raw_server, tmp_path):
    """64 MiB pass through; never more than a few are held."""
    block = PNG.ljust(65536, b"\0")

    async def big(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1024 * len(block)))
        for _ in range(1024):
            writer.write(block)
            await writer.drain()

    tracemalloc.start()
    try:
        saved = await save(raw_server, big, tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert saved.size == saved.path.stat().st_size == 64 * 1024**2
    assert peak < 4 * 1024**2


async def test_no_key_goes_along_with_a_redirect(raw_server, http_bytes, tmp_path):
    """Nor anything else that names the user."""
    moved = http_bytes("", status="302 Found", headers="Location: /b\r\n")
    await save(raw_server, answering(moved, http_bytes(PNG)), tmp_path)

    assert [head.split()[1] for head in raw_server.received] == [b"/a.png", b"/b"]
    for head in raw_server.received:
        names = {line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:] if line}
        assert names <= {b"host", b"accept", b"accept-encoding", b"connection", b"user-agent"}


# --- going on where it stopped --------------------------------------------------------

FILE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
FIRST = b'HTTP/1.1 200 OK\r\nETag: "v1"\r\nContent-Length: %d\r\n\r\n' % len(FILE)


def rest(start, *, content=FILE, etag=b'"v1"', total=None):
    """Return an answer with the bytes from *start*."""
    span = b"bytes %d-%d/%d" % (start, len(content) - 1, len(content) if total is None else total)
    head = b"HTTP/1.1 206 Partial\r\nETag: %s\r\nContent-Range: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (etag, span, len(content) - start) + content[start:]


async def test_a_broken_download_goes_on_where_it_stopped(raw_server, tmp_path):
    """With the range that is missing, and only if the file is the same; the hash is of the whole."""
    saved = await save(raw_server, answering(FIRST + FILE[:1000], rest(1000)), tmp_path)

    assert saved.path.read_bytes() == FILE
    assert saved.sha256 == hashlib.sha256(FILE).hexdigest()
    assert b'range: bytes=1000-\r\nif-range: "v1"\r\n' in raw_server.received[1].lower()


@pytest.mark.parametrize(
    "headers",
    [b'ETag: W/"v1"', b"X: y", b"Last-Modified: Sun, 22 Nov 2026 10:00:00 GMT", b"Last-Modified: x\r\nDate: y",
     b"Last-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT"],
)  # fmt: skip
async def test_without_proof_that_it_is_the_same_file_it_begins_anew(raw_server, tmp_path, headers):
    """A weak tag is no proof, a date of this very second neither."""
    first = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n" % (headers, len(FILE))
    saved = await save(raw_server, answering(first + FILE[:1000], first + FILE), tmp_path)

    assert saved.path.read_bytes() == FILE
    assert b"range" not in raw_server.received[1].lower()


async def test_an_old_date_is_proof_enough(raw_server, tmp_path):
    """Where a host sends no tag."""
    dates = b"Last-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\nDate: Sun, 22 Nov 2026 10:05:00 GMT"
    first = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: %d\r\n\r\n" % (dates, len(FILE))
    saved = await save(raw_server, answering(first + FILE[:1000], rest(1000)), tmp_path)

    assert saved.path.read_bytes() == FILE
    assert b"if-range: sun, 22 nov 2026 10:00:00 gmt" in raw_server.received[1].lower()


OTHER = FILE[::-1].replace(FILE[::-1][:8], FILE[:8], 1) + b"longer"
SECOND = b'HTTP/1.1 200 OK\r\nETag: "v2"\r\nContent-Length: %d\r\n\r\n' % len(OTHER) + OTHER


@pytest.mark.parametrize(
    "answers",
    [
        [SECOND],
        [rest(1000, etag=b'"v2"'), SECOND],
        [rest(900), SECOND],
        [rest(1000, total=99), SECOND],
        [b"HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\n12345", SECOND],
        [b"HTTP/1.1 416 No\r\nContent-Length: 0\r\n\r\n", SECOND],
    ],
)
async def test_a_file_that_changed_is_fetched_from_its_beginning(raw_server, tmp_path, answers):
    """Bytes of two files are never mixed."""
    saved = await save(raw_server, answering(FIRST + FILE[:1000], *answers), tmp_path)

    assert saved.path.read_bytes() == OTHER
    assert saved.sha256 == hashlib.sha256(OTHER).hexdigest()


async def test_a_page_in_place_of_the_picture_is_asked_past(raw_server, http_bytes, tmp_path):
    """What an edge says in a bad moment is not the result."""
    saved = await save(raw_server, answering(http_bytes("<html>busy"), http_bytes(PNG)), tmp_path)

    assert saved.path.read_bytes() == PNG


async def test_attempts_are_bounded_and_what_came_is_left_for_later(raw_server, tmp_path):
    """Nothing lies under the final name; a later save goes on, also with another signature in the link."""

    async def thousand(reader, writer):
        start = re.search(rb"bytes=([0-9]+)-", raw_server.received[-1])
        answer = rest(int(start[1])) if start else FIRST + FILE
        end = None if b"signature=2" in raw_server.received[-1] else answer.index(b"\r\n\r\n") + 4 + 1000
        writer.write(answer[:end])
        await writer.drain()
        writer.close()

    async with raw_server.answering(thousand):
        one, two = (Artifact("image", f"{raw_server.url}/a.png?signature={number}") for number in (1, 2))
        with pytest.raises(SaveFailed):
            await asyncio.to_thread(saver(tmp_path, api=raw_server.url).save, one)
        asked = len(raw_server.received)
        left = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
        saved = await asyncio.to_thread(saver(tmp_path, api=raw_server.url).save, two)

    assert asked == files.ATTEMPTS == 5
    assert left.keys() == {".kie-gpt-4o-image-ab12-1.part", ".kie-gpt-4o-image-ab12-1.part.json"}
    assert left[".kie-gpt-4o-image-ab12-1.part"] == 5000
    assert saved.path.read_bytes() == FILE
    assert saved.sha256 == hashlib.sha256(FILE).hexdigest()
    assert list(tmp_path.iterdir()) == [saved.path]


KILLED = """
import sys
from pathlib import Path
from kie_core import Artifact
from kie_core._files.saving import Saver
from kie_core._network.file_client import FileClient
from kie_core.testing import make_job

url, folder = sys.argv[1:]
job = make_job("gpt-4o-image", {"prompt": "cat"}, job_id="ab12")
Saver("h", job, 1, Path(folder), FileClient(version="1", seconds=30, api=url)).save(Artifact("image", url + "/a.png"))
"""


async def test_a_killed_download_leaves_no_result_and_goes_on_in_the_next_process(raw_server, tmp_path):
    """kill -9 in the middle: nothing under the final name, and no byte is fetched twice."""
    sent = asyncio.Event()

    async def behave(reader, writer):
        if sent.is_set():
            writer.write(rest(1000))
            return
        writer.write(FIRST + FILE[:1000])
        await writer.drain()
        sent.set()
        await asyncio.sleep(60)

    part = tmp_path / ".kie-gpt-4o-image-ab12-1.part"
    async with raw_server.answering(behave):
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, raw_server.url, str(tmp_path))
        async with asyncio.timeout(30):
            await sent.wait()
            while not (part.exists() and part.stat().st_size == 1000):  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        child.kill()
        await child.wait()
        left = sorted(path.suffix for path in tmp_path.iterdir())
        artifact = Artifact("image", raw_server.url + "/a.png")
        saved = await asyncio.to_thread(saver(tmp_path, api=raw_server.url).save, artifact)

    assert left == [".json", ".part"]
    assert saved.path.read_bytes() == FILE
    assert b"range: bytes=1000-" in raw_server.received[-1].lower()


async def test_two_that_save_the_same_do_not_disturb_each_other(raw_server, tmp_path):
    """The second cannot have the partial file of the first, so it takes one of its own."""
    both = asyncio.Event()

    async def behave(reader, writer):
        writer.write(FIRST + FILE[:5000])
        await writer.drain()
        if len(raw_server.received) == 2:
            both.set()
        await both.wait()
        writer.write(FILE[5000:])

    async with raw_server.answering(behave):
        artifact = Artifact("image", raw_server.url + "/a.png")
        one, two = (saver(tmp_path, api=raw_server.url) for _ in range(2))
        saved = await asyncio.gather(asyncio.to_thread(one.save, artifact), asyncio.to_thread(two.save, artifact))

    assert saved[0] == saved[1]
    assert saved[0].path.read_bytes() == FILE
    assert list(tmp_path.iterdir()) == [saved[0].path]


async def test_an_interrupted_download_is_not_asked_for_again(raw_server, tmp_path):
    """It goes on when it is saved the next time."""
    stopped = saver(tmp_path)

    async def behave(reader, writer):
        stopped.stop.set()
        writer.write(FIRST + FILE[:1000])
        await writer.drain()
        writer.close()

    with pytest.raises(SaveFailed, match="interrupted"):
        await save(raw_server, behave, tmp_path, stop=stopped.stop)

    assert len(raw_server.received) == 1


# --- all results of a job -------------------------------------------------------------


def told(server, job=JOB):
    """Return a behaviour that answers by path, and a list of the paths that were asked for."""
    asked = []

    async def behave(reader, writer):
        path = server.received[-1].split()[1].decode()
        asked.append(path)
        if path.startswith("/gone"):
            writer.write(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")
        elif path.startswith("/slow") and asked.count(path) < 3:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        elif path.startswith("/never"):
            writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        elif path.startswith("/tea"):
            writer.write(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG)

    return behave, asked


async def save_paths(server, folder, *paths, fresh=(), known=(), expires_at=None):
    """Save an artifact for each path; return what was saved, or the error, and what was asked for."""
    behave, asked = told(server)
    calls = 0

    async def again():
        nonlocal calls
        calls += 1
        if isinstance(fresh, Exception):
            raise fresh
        return [Artifact("image", server.url + path) for path in fresh]

    async with server.answering(behave):
        with FileClient(version="1", seconds=5, api=server.url) as client:
            artifacts = [Artifact("image", server.url + path, expires_at=expires_at) for path in paths]
            try:
                result = await save_all(
                    artifacts, handle=HANDLE, job=JOB, folder=folder, client=client, fresh=again, known=known,
                    now=NOW.timestamp(),
                )  # fmt: skip
            except SaveFailed as error:
                result = error
    return result, asked, calls


async def test_all_results_are_saved_in_their_order(raw_server, tmp_path):
    """And nobody is asked for fresh links where none has expired."""
    saved, _, calls = await save_paths(raw_server, tmp_path, "/1", "/2")

    assert [file.path.name for file in saved] == ["gpt-4o-image-ab12-1.png", "gpt-4o-image-ab12-2.png"]
    assert calls == 0


async def test_expired_links_are_renewed_once_for_the_whole_job(raw_server, tmp_path):
    """One question for two links; what was saved is not fetched again."""
    saved, asked, calls = await save_paths(
        raw_server, tmp_path, "/gone1", "/2", "/gone3", fresh=("/new1", "/new2", "/new3")
    )

    assert [file.number for file in saved] == [1, 2, 3]
    assert asked == ["/gone1", "/2", "/gone3", "/new1", "/new3"]
    assert calls == 1


async def test_a_fresh_link_that_has_expired_too_is_the_end(raw_server, tmp_path):
    """The error says so, and that nothing must be bought again; the others are on disk."""
    error, asked, calls = await save_paths(raw_server, tmp_path, "/1", "/gone2", fresh=("/1", "/gone2?new"))

    assert error.expired
    assert re.search("link has expired .HTTP 410., a fresh one too.*nothing must be bought again", str(error))
    assert [file.path.name for file in error.saved] == ["gpt-4o-image-ab12-1.png"]
    assert asked == ["/1", "/gone2", "/gone2?new"]
    assert calls == 1


async def test_a_young_link_that_is_refused_is_asked_for_again(raw_server, tmp_path):
    """A file host may learn of a new file a little later; no fresh link is needed then."""
    saved, asked, calls = await save_paths(raw_server, tmp_path, "/slow")

    assert len(saved) == 1
    assert asked == ["/slow"] * 3
    assert calls == 0


@pytest.mark.parametrize(("hours", "lost"), [(None, False), (1, False), (-1, True)])
async def test_a_refusal_is_the_end_only_when_the_links_time_is_over(raw_server, tmp_path, hours, lost):
    """A younger one stays to be saved later. An old one is believed to be gone at once, a fresh one is not."""
    until = None if hours is None else NOW + timedelta(hours=hours)
    error, asked, calls = await save_paths(raw_server, tmp_path, "/never", fresh=["/never2"], expires_at=until)

    assert error.expired is lost
    assert asked.count("/never") == (1 if lost else ATTEMPTS)
    assert asked.count("/never2") == ATTEMPTS
    assert calls == 1


async def test_a_file_that_drips_is_given_up_and_asked_for_again(raw_server, tmp_path, monkeypatch):
    """Else one host could hold up everything that waits behind it; a read at a time comes in time."""
    monkeypatch.setattr("kie_core._files.saving.SLOWEST", (1024, 0.05))

    async def drip(reader, writer):
        if len(raw_server.received) > 1:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)

    saved = await save(raw_server, drip, tmp_path)

    assert saved.path.read_bytes() == PNG
    assert len(raw_server.received) == 2


WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(PNG) + PNG
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(PNG) + PNG + b"\r\n"


@pytest.mark.parametrize(
    ("begins", "drop", "ends"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x", b"\r\n" + WHOLE.partition(b"\r\n")[2]),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", WHOLE),
        (CHUNKED + b"1;", b"x", b"\r\n\0\r\n0\r\n\r\n"),
        (CHUNKED + b"0\r\nX: ", b"x", b"\r\n\r\n"),
    ],
    ids=["head", "interim", "chunk", "trailer"],
)
async def test_what_drips_around_a_file_is_given_up_too(raw_server, tmp_path, begins, drop, ends):
    """Where none of the file comes, each read in time: it would hold a thread for as long as the host likes."""

    async def drip(reader, writer):
        if len(raw_server.received) > 1:
            writer.write(WHOLE)
            return
        writer.write(begins)
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.write(ends)

    saved = await save(raw_server, drip, tmp_path, seconds=1)

    assert saved.path.read_bytes() == PNG
    assert len(raw_server.received) > 1


async def test_an_answer_too_many_is_not_taken_for_the_next_file(raw_server, http_bytes, tmp_path):
    """It comes along with the first one; the next file is asked for again, on another connection."""

    async def behave(reader, writer):
        name = raw_server.received[-1].split()[1][1:2]
        writer.write(http_bytes(PNG + name) + (http_bytes(PNG + b"surplus") if name == b"1" else b""))

    async with raw_server.answering(behave):
        with FileClient(version="1", seconds=5, api=raw_server.url) as client:
            files = []
            for number in (1, 2):
                one = Saver(HANDLE, JOB, number, tmp_path, client)
                files.append(await asyncio.to_thread(one.save, Artifact("image", f"{raw_server.url}/{number}.png")))

    assert [file.path.read_bytes() for file in files] == [PNG + b"1", PNG + b"2"]
    assert raw_server.connections == 2


@pytest.mark.parametrize(
    ("content", "kind", "name"),
    [(b"[00:01] hello", "text", "txt"), (b'{"segments": []}', "data", "json"), (PNG, "data", "png")],
)
async def test_a_text_is_saved_where_one_was_promised(raw_server, http_bytes, tmp_path, content, kind, name):
    """As a file that says what it is; a page is none."""

    async def behave(reader, writer):
        writer.write(http_bytes(content))

    saved = await save(raw_server, behave, tmp_path, kind=kind)
    assert saved.kind == name
    assert saved.path.read_bytes() == content

    async def page(reader, writer):
        writer.write(http_bytes(b"<!DOCTYPE html><p>gone"))

    with pytest.raises(SaveFailed, match="not a media file"):
        await save(raw_server, page, tmp_path / "b", kind=kind)


async def test_one_that_fails_does_not_stop_the_others(raw_server, tmp_path):
    """The error names all that failed and all that lie on disk."""
    error, _, _ = await save_paths(raw_server, tmp_path, "/tea1", "/2", "/tea3")

    assert (error.url, [url for url, _ in error.others]) == (raw_server.url + "/tea1", [raw_server.url + "/tea3"])
    assert "saved: gpt-4o-image-ab12-2.png; the results are still at Kie" in str(error)
    assert not error.expired


@pytest.mark.parametrize("fresh", [ReadFailed("no answer"), ()])
async def test_without_fresh_links_the_first_fault_stands(raw_server, tmp_path, fresh):
    """Kie does not answer, or names no result any more."""
    error, _, calls = await save_paths(raw_server, tmp_path, "/gone1", fresh=fresh)

    assert "its link has expired (HTTP 410)" in str(error)
    assert ("no answer" in str(error)) is bool(fresh)
    assert error.expired is not bool(fresh)
    assert calls == 1


async def test_what_lies_there_unchanged_is_not_fetched_again(raw_server, tmp_path):
    """By size and hash; what was changed or belongs to another folder is."""
    saved, _, _ = await save_paths(raw_server, tmp_path, "/1", "/2", "/3")
    saved[1].path.write_bytes(PNG[:-1] + b"x")
    saved[2].path.unlink()
    known = [*saved]

    again, asked, _ = await save_paths(raw_server, tmp_path, "/1", "/2", "/3", known=known)
    _, elsewhere, _ = await save_paths(raw_server, tmp_path / "b", "/1", "/2", "/3", known=known)

    assert [file.sha256 for file in again] == [file.sha256 for file in saved]
    assert asked == ["/2", "/3"]
    assert elsewhere == ["/1", "/2", "/3"]


async def test_a_job_has_a_limit_of_its_own(raw_server, tmp_path, monkeypatch):
    """What exceeds it is not saved."""
    monkeypatch.setattr(files, "LARGEST_JOB", len(PNG) + 10)

    error, _, _ = await save_paths(raw_server, tmp_path, "/1", "/2")

    assert f"it has {len(PNG)} bytes, more than 10" in str(error)
    assert [file.number for file in error.saved] == [1]


async def test_a_cancelled_save_stops_its_thread(raw_server, tmp_path):
    """Soon, and without a result."""
    begun = asyncio.Event()

    async def endless(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        while True:
            writer.write(PNG)
            await writer.drain()
            begun.set()
            await asyncio.sleep(0.01)

    async with raw_server.answering(endless):
        with FileClient(version="1", seconds=5, api=raw_server.url) as client:
            saving = asyncio.ensure_future(
                save_all(
                    [Artifact("image", raw_server.url + "/a")],
                    handle=HANDLE, job=JOB, folder=tmp_path, client=client, fresh=None,
                )
            )  # fmt: skip
            await begun.wait()
            saving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await saving
        async with asyncio.timeout(10):
            while list(tmp_path.iterdir()):  # noqa: ASYNC110 - a thread that nobody waits for removes it
                await asyncio.sleep(0.01)


async def test_an_expired_link_is_told_from_other_faults(raw_server, http_bytes, tmp_path):
    """For these a fresh link helps."""
    for status in ("403 Forbidden", "404 Not Found", "410 Gone"):
        with pytest.raises(LinkExpired, match=status[:3]):
            await save(raw_server, http_bytes("", status=status), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_each_chunk_is_on_the_disk_before_the_next_is_asked_for(tmp_path, monkeypatch):
    """As it came, by one call, with no buffer between."""
    writes, block = [], PNG.ljust(64 * 1024, b"\0")

    class Counting(FileIO):
        def write(self, content):
            writes.append(len(content))
            return super().write(content)

    class Files:
        @contextlib.contextmanager
        def open(self, url, headers=None):
            yield 200, {"content-length": str(20 * len(block))}, self.chunks()

        def chunks(self):
            for number in range(20):
                (partial,) = tmp_path.glob(".kie-*.part")
                assert partial.stat().st_size == number * len(block)
                yield block

    monkeypatch.setattr("kie_core._files.partial.FileIO", Counting)

    saved = Saver(HANDLE, JOB, 1, tmp_path, Files()).save(Artifact("image", "https://files.example.com/a.png"))

    assert writes == [len(block)] * 20
    assert saved.sha256 == hashlib.sha256(block * 20).hexdigest()
