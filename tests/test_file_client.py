"""The client for files: connections of its own, kept to a few hosts, and closed under whoever waits."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

from kie_core import Artifact, SaveFailed
from kie_core._files.saving import Saver
from kie_core._network.file_client import FileClient, UploadClient
from kie_core._network.http import Http
from kie_core._secret import Secret
from kie_core.testing import make_job

pytestmark = pytest.mark.anyio
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
JOB = make_job("gpt-4o-image", {"prompt": "cat"}, job_id="ab12")
HANDLE = "kie1:ab12:gpt-4o-image:dedicated:t1"


async def test_files_of_one_host_share_connections(raw_server, http_bytes, tmp_path):
    """Ten results, one after the other, by one client: one connection."""

    async def behave(reader, writer):
        writer.write(http_bytes(PNG))

    async with raw_server.answering(behave):
        with FileClient(version="1", seconds=5, api=raw_server.url) as client:
            for number in range(10):
                one = Saver(HANDLE, JOB, number, tmp_path, client)
                await asyncio.to_thread(one.save, Artifact("image", f"{raw_server.url}/{number}.png"))

    assert len(raw_server.received) == 10
    assert raw_server.connections == 1


def test_one_tls_context_serves_files_uploads_and_questions(monkeypatch):
    """Each takes a tenth of a second to make."""
    made = []
    original = httpx.create_ssl_context
    monkeypatch.setattr(httpx, "create_ssl_context", lambda *given, **named: (made.append(given), original())[1])
    http = Http("https://api.kie.ai", None, version="1")
    files = http.files(5)
    assert http.files(5) is files

    for host in ("a.example.com", "b.example.com", "c.example.com"):
        with files._client_for(("https", host, None, False)):
            pass
    with UploadClient("https://upload.example.com", Secret("k"), version="1", seconds=5, context=http.context):
        pass
    http.context.get("https")
    asyncio.run(http.close())

    assert made == [()]


def test_threads_that_come_at_once_share_the_client_of_a_host():
    """The first makes it, the others wait for that."""
    at_once, found = threading.Barrier(8), []

    def use():
        at_once.wait()
        with files._client_for(("https", "a.example.com", None, False)) as (client, _):
            found.append(client)

    with FileClient(version="1", seconds=5, api="https://api.kie.ai") as files:
        threads = [threading.Thread(target=use) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_connections_are_kept_to_a_few_hosts_and_never_taken_from_a_thread():
    """A client may live for months; of many hosts those stay that were used last, or are in use."""

    def place(number):
        return ("https", f"h{number}.example.com", None, False)

    with FileClient(version="1", seconds=5, api="https://api.kie.ai") as files:
        with files._client_for(place(0)) as (used, _):
            others = []
            for number in range(1, 30):
                with files._client_for(place(number)) as (client, _):
                    others.append(client)
            assert not used.is_closed
            assert [client.is_closed for client in others] == [True] * 22 + [False] * 7
            with files._client_for(place(0)) as (again, _):
                assert again is used
        assert len(files._clients) == 8
    assert all(client.is_closed for client in (used, *others))


def test_a_client_that_is_closed_fetches_nothing(tmp_path):
    """A thread that was given up may still try."""
    files = FileClient(version="1", seconds=5, api="http://127.0.0.1:1")
    files.close()

    with pytest.raises(SaveFailed, match="the client is closed"):
        Saver(HANDLE, JOB, 1, tmp_path, files).save(Artifact("image", "http://127.0.0.1:1/a.png"))


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + PNG, b"HTTP/1.1 200 OK\r\n\r\n" + PNG]
)
async def test_closing_ends_a_thread_that_waits_and_keeps_nothing_of_its_file(raw_server, tmp_path, begun):
    """For an answer, for its rest, or for the end of one without a length: not only when its time is over."""

    async def stall(reader, writer):
        writer.write(begun)
        await reader.read()

    async with raw_server.answering(stall):
        files = FileClient(version="1", seconds=600, api=raw_server.url)
        saving = Saver(HANDLE, JOB, 1, tmp_path, files)
        thread = asyncio.create_task(asyncio.to_thread(saving.save, Artifact("image", f"{raw_server.url}/a.png")))
        on_disk = len(PNG) if begun else 0
        while not raw_server.received or sum(path.stat().st_size for path in tmp_path.iterdir()) < on_disk:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        files.close()
        with pytest.raises(SaveFailed, match="the client is closed"):
            await asyncio.wait_for(thread, 20)

    assert list(tmp_path.iterdir()) == []
