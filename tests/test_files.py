"""Results on disk: whole or not at all, under our own names, from public hosts only."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re

import attrs
import pytest

from kie_core import Artifact, SaveFailed
from kie_core._files import Saver, _Refused, check_address, check_folder, extension
from kie_core._http import FileClient
from kie_core.testing import make_job

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JOB = make_job("gpt-4o-image", {"prompt": "cat"}, job_id="ab12")


CLIENT = FileClient(version="1.0", seconds=5)


def saver(folder, *, number=1, api="https://api.kie.ai", job=JOB):
    return Saver("kie1:ab12:gpt-4o-image:dedicated:t1", job, number, folder, CLIENT, api)


async def save(server, content, folder, path="/a.png"):
    """Save what the server answers with, from a worker thread as the client does."""

    async def behave(reader, writer):
        writer.write(content)
        await writer.drain()
        writer.close()

    async with server.answering(behave):
        artifact = Artifact("image", server.url + path)
        return await asyncio.to_thread(saver(folder, api=server.url).save, artifact)


async def test_a_file_is_saved_under_our_name(raw_server, http_bytes, tmp_path):
    """Model, job, number, and the extension of what it really is; the folder is made."""
    path = await save(raw_server, http_bytes(PNG), tmp_path / "new" / "folder", path="/../../evil.exe")

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
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "HTTP 403"),
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
    path = saver(tmp_path, number=2).save(artifact)

    text = path.read_text(encoding="utf-8")
    assert path.name == name
    assert (json.loads(text) if name.endswith("json") else text) == content


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
async def test_a_saved_file_has_the_usual_permissions(tmp_path):
    """Temporary files are private; results are not."""
    mask = os.umask(0o022)
    try:
        path = saver(tmp_path).save(Artifact("text", text="x"))
    finally:
        os.umask(mask)

    assert path.stat().st_mode & 0o777 == 0o644


PUBLIC = ["https://tempfile.aiquickdraw.com/a.png", "https://93.184.216.34/a", "https://cdn.example.com:443/a?b=c#d"]
PRIVATE = [
    "http://cdn.example.com/a", "file:///etc/passwd", "ftp://cdn.example.com/a", "https:///a", "https://cdn.example.com:22/a",
    "https://user@cdn.example.com/a", "https://user:pass@cdn.example.com/a", "https://localhost/a", "https://printer/a",
    "https://db.internal/a", "https://nas.local/a", "https://x.localhost/a", "https://127.0.0.1/a", "https://127.1/a",
    "https://2130706433/a", "https://0x7f000001/a", "https://0x7f.1/a", "https://0177.0.0.1/a", "https://10.0.0.1/a",
    "https://172.16.0.1/a", "https://192.168.1.1/a", "https://169.254.169.254/latest/meta-data", "https://100.64.0.1/a",
    "https://0.0.0.0/a", "https://[::1]/a", "https://[::ffff:10.0.0.1]/a", "https://[fe80::1]/a", "https://[fc00::1]/a", "https://[::]/a",
    "https://192.0.0.8/a", "https://192.88.99.1/a", "https://224.0.0.1/a", "https://[64:ff9b::a00:1]/a", "https://[2002:a00:1::]/a",
    "https://127.0x0.0.1/a", "https://0177.0.0.0x1/a", "https://10.0x1/a", "https://127\u30020.0.1/a", "https://[::ffff:0:127.0.0.1]/a",
    "https://metadata.internal./a", "https://127.0.0.1./a", "https://a.b:99999/a", "https://[x/a",
    "https://[::10.0.0.1]/a", "https://[fec0::1]/a", "https://[ff02::1]/a", "https://vendor.example\\@127.0.0.1/a",
]  # fmt: skip


@pytest.mark.parametrize("url", PUBLIC)
async def test_public_addresses_are_fetched(url):
    """By classification only; nothing is connected to."""
    check_address(url, "https://api.kie.ai")


@pytest.mark.parametrize("url", PRIVATE)
async def test_private_and_odd_addresses_are_not(url):
    """A URL comes from outside: it must not reach into the caller's network. By classification only."""
    with pytest.raises(_Refused):
        check_address(url, "https://api.kie.ai")


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("http://127.0.0.1:8787/files/a.png", True),
        ("http://127.0.0.1:8788/files/a.png", False),
        ("http://localhost:8787/files/a.png", False),
        ("https://127.0.0.1:8787/files/a.png", False),
    ],
)
async def test_only_the_very_origin_of_a_local_api_is_an_exception(url, fine):
    """The sandbox serves its own files; nothing else on this machine becomes reachable."""
    if fine:
        check_address(url, "http://127.0.0.1:8787/prefix")
    else:
        with pytest.raises(_Refused):
            check_address(url, "http://127.0.0.1:8787/prefix")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (PNG, "png"), (b"\xff\xd8\xff\xe0", "jpg"), (b"GIF89a", "gif"), (b"RIFF\1\2\3\4WEBPVP8", "webp"), (b"RIFF\1\2\3\4WAVE", "wav"),
        (b"\0\0\0\x20ftypisom", "mp4"), (b"\0\0\0\x20ftypM4A ", "m4a"), (b"\0\0\0\x14ftypqt  ", "mov"), (b"\x1aE\xdf\xa3", "webm"),
        (b"ID3\x04", "mp3"), (b"\xff\xfb\x90", "mp3"), (b"\0\0\0\x1cftypavif", "avif"), (b"\0\0\0\x1cftypheic", "heic"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"MThd", "mid"), (b"??", "bin"), (b"", "bin"),
    ],
)  # fmt: skip
async def test_the_extension_follows_the_content(head, name):
    """Not the URL, not the header."""
    assert extension(head) == name


async def test_a_packed_file_is_unpacked(raw_server, http_bytes, tmp_path):
    """We ask for none; a host that packs all the same does no harm."""
    path = await save(raw_server, http_bytes(gzip.compress(PNG), headers="Content-Encoding: gzip\r\n"), tmp_path)

    assert path.read_bytes() == PNG


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


@pytest.mark.parametrize("job_id", ["../../pwned", "..\\..\\pwned", "a/b", ".hidden", "con"])
async def test_a_name_never_leaves_the_folder(tmp_path, job_id):
    """Whatever a handle or a registry calls things."""
    job = attrs.evolve(JOB, id=job_id)

    path = saver(tmp_path / "out", job=job).save(Artifact("text", text="x"))

    assert path.parent == tmp_path / "out"
    assert re.fullmatch(r"[A-Za-z0-9_-]+\.txt", path.name)


async def test_text_that_is_not_utf8_is_saved_all_the_same(tmp_path):
    """Half a surrogate pair in paid lyrics."""
    assert saver(tmp_path).save(Artifact("text", text="la \ud800")).read_text() == "la \\ud800"


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
    with FileClient(version="1", seconds=1) as client:
        one = Saver("kie1:a:b:c:d", JOB, 1, tmp_path, client, "https://api.kie.ai")
        with pytest.raises(SaveFailed) as caught:
            one.save(Artifact("image", "https://cdn.example.com/a.png"))

    assert caught.value.handle == "kie1:a:b:c:d"


async def test_pages_in_other_encodings_are_pages(raw_server, http_bytes, tmp_path):
    """UTF-16, Latin-1."""
    for page in ("<!DOCTYPE html><p>é".encode("utf-16"), "<html>é".encode("latin-1")):
        with pytest.raises(SaveFailed, match="it is a text"):
            await save(raw_server, http_bytes(page), tmp_path)
