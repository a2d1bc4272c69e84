"""What goes wrong while results are saved. No test connects to anything but this machine. Each of 58 faults has its number."""

from __future__ import annotations

import asyncio
import tracemalloc
from importlib.resources import files

import httpx
import pytest
import stamina

from kie_core import SaveFailed
from kie_core._network.addresses import NotPublic, public_addresses
from kie_core._network.file_client import GuardedTransport

pytestmark = pytest.mark.anyio
MODEL = "gpt-4o-image"
INPUTS = {"prompt": "a cat"}


@pytest.fixture(autouse=True)
def _no_pauses():
    with stamina.set_testing(True, attempts=5):
        yield


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


async def is_not_saved(scene, vendor, folder, words, *, state="succeeded", hours=0):
    """Nothing lies in the folder, the job is what it was, and nothing is bought again. Return how often Kie was asked."""
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS)
        scene.clock.shift = hours * 3600.0
        asked = vendor.asked("record-info")
        with pytest.raises(SaveFailed, match=words):
            await task.save(folder)
        asked = vendor.asked("record-info") - asked

        assert (await kie.entry(task.job.id)).state == state
        assert names(folder) == []
        await kie.drive()
    assert vendor.posts == 1
    return asked


# 50
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://169.254.169.254/latest/meta-data/", "only https"),
        ("https://169.254.169.254/latest/meta-data/", "not a public one"),
        ("https://127.0.0.1/a.png", "not a public one"),
        ("https://127.1/a.png", "not a public one"),
        ("https://2130706433/a.png", "not a public one"),
        ("https://0x7f000001/a.png", "not a public one"),
        ("https://[::1]/a.png", "not a public one"),
        ("https://[::ffff:10.0.0.1]/a.png", "not a public one"),
        ("https://[64:ff9b::a00:1]/a.png", "not a public one"),
        ("https://[2002:7f00:1::]/a.png", "not a public one"),
        ("https://10.0.0.1/a.png", "not a public one"),
        ("https://100.64.0.1/a.png", "not a public one"),
        ("https://localhost/a.png", "not a public one"),
        ("https://printer.local/a.png", "not a public one"),
        ("https://files.example.com:22/a.png", "names port 22"),
        ("https://user@files.example.com/a.png", "carries a user name"),
        ("https://user:password@files.example.com/a.png", "carries a user name"),
        ("https://files.example.com\\@127.0.0.1/a.png", "carries a user name|not a public one"),
    ],
)
async def test_an_address_of_a_private_place_is_not_visited(scene, vendor, folder, url, words):
    """Only that result fails; the job has succeeded."""
    vendor.faults.add(f"query-result-url={url}")

    await is_not_saved(scene, vendor, folder, words)


async def test_a_file_of_this_machine_is_no_result(scene, vendor, folder):  # 50
    """Such an address is not even taken for one."""
    vendor.faults.add("query-result-url=file:///etc/passwd")

    await is_not_saved(scene, vendor, folder, "only https|names no result")


async def test_another_port_of_this_machine_is_not_visited(scene, vendor, folder):  # 50
    """The base URL is on this machine here: exactly its origin is allowed, no other."""
    visits = []
    server = await asyncio.start_server(lambda *_: visits.append(1), "127.0.0.1", 0)
    async with server:
        vendor.faults.add(f"query-result-url=http://127.0.0.1:{server.sockets[0].getsockname()[1]}/a.png")

        await is_not_saved(scene, vendor, folder, "only https")

    assert visits == []


@pytest.mark.parametrize("where", ["http://169.254.169.254/latest/", "https://10.0.0.1/", "file:///etc/passwd"])
async def test_a_redirect_to_a_private_place_is_not_followed(scene, vendor, folder, where):  # 51
    """Each address on the way is looked at."""
    vendor.faults.add(f"file-redirect={where}")

    await is_not_saved(scene, vendor, folder, "only https|not a public one")

    assert vendor.asked("/files/") == 1


async def test_redirects_in_a_circle_end(scene, vendor, folder):  # 51
    """After three."""
    vendor.faults.add(f"file-redirect={vendor.url}/files/1-picture.png")

    await is_not_saved(scene, vendor, folder, "more than 3 redirects")

    assert vendor.asked("/files/") == 4


@pytest.mark.parametrize("private", ["127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "::ffff:192.168.0.1"])
def test_a_name_with_one_private_address_is_not_visited(private):  # 51
    """Even if its first address is a public one."""
    with pytest.raises(NotPublic, match="not a public address"):
        public_addresses("files.example.com", 443, lambda *_: ["93.184.215.14", private])


def test_a_name_that_changes_its_address_is_visited_where_it_was_looked_up():  # 51
    """The name is looked up once, checked, and the connection goes to what was checked."""
    answers = [["93.184.215.14"], ["127.0.0.1"]]
    visited = []

    def inner(request):
        visited.append((request.url.host, request.extensions["sni_hostname"]))
        return httpx.Response(200)

    transport = GuardedTransport(httpx.MockTransport(inner), lambda *_: answers.pop(0))
    with httpx.Client(transport=transport) as client:
        client.get("https://files.example.com/a.png")
        with pytest.raises(NotPublic):
            client.get("https://files.example.com/a.png")

    assert visited == [("93.184.215.14", "files.example.com")]


@pytest.mark.parametrize("name", ["..%2f..%2fx", "CON", "x" * 300, ".bashrc", "a%00b"])
async def test_a_result_gets_a_name_of_our_own(scene, vendor, folder, name):  # 52
    """Whatever its address says."""
    vendor.faults.add(f"query-result-url={vendor.url}/files/{name}-picture.png")
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS)
        (path,) = await task.save(folder)

    assert names(folder) == [f"gpt-4o-image-{task.job.id}-1.png"] == [path.name]


async def test_a_large_file_needs_little_memory(scene, vendor, folder):  # 53
    """It goes to the disk as it comes."""
    vendor.faults.add("file-huge=40")
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS)
        tracemalloc.start()
        try:
            (path,) = await task.save(folder)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert path.stat().st_size > 40 * 1024**2
    assert peak < 6 * 1024**2


@pytest.mark.parametrize("fault", ["file-huge=2", "file-endless", "file-gzip-bomb=2"])
async def test_a_file_without_measure_is_refused(scene, vendor, folder, fault, monkeypatch):  # 53
    """By what it announces, and by what comes."""
    monkeypatch.setattr("kie_core._files.saving.LARGEST_FILE", 1024**2)
    vendor.faults.add(fault)

    await is_not_saved(scene, vendor, folder, "1048576")


@pytest.mark.parametrize("fault", ["cut-body", "close", "reset", "html", "disguised", "status=503", "half-headers"])
async def test_what_is_not_the_whole_file_is_fetched_again(scene, vendor, folder, fault):  # 53
    """Cut, a web page, a web page that calls itself a picture: the whole file is there in the end."""
    vendor.faults.add(f"file-{fault}*2")
    async with scene.client() as kie:
        (path,) = await (await kie.generate(MODEL, INPUTS)).save(folder)

    assert path.read_bytes() == picture()
    assert names(folder) == [path.name]
    assert vendor.posts == 1


def picture():
    return files("kie_sandbox").joinpath("media", "picture.png").read_bytes()


async def test_bytes_beyond_the_announced_length_do_not_get_into_the_file(scene, vendor, folder):  # 53
    """The file ends where it should."""
    vendor.faults.add("file-longer*1")
    async with scene.client() as kie:
        (path,) = await (await kie.generate(MODEL, INPUTS)).save(folder)

    assert path.read_bytes() == picture()


@pytest.mark.parametrize(("fault", "words"), [("cut-body=0", "came instead of|Protocol"), ("html", "not a media file")])
async def test_what_never_is_the_whole_file_is_not_saved(scene, vendor, folder, fault, words):  # 53
    """It stays at Kie."""
    vendor.faults.add(f"file-{fault}")

    await is_not_saved(scene, vendor, folder, words)


async def test_a_link_that_expired_is_asked_for_once_more(scene, vendor, folder):  # 54
    """A fresh one works."""
    vendor.faults.add("file-first-link-expired")
    async with scene.client() as kie:
        task = await kie.generate(MODEL, INPUTS)
        asked = vendor.asked("record-info")
        (path,) = await task.save(folder)

    assert path.read_bytes() == picture()
    assert vendor.asked("record-info") == asked + 1
    assert vendor.posts == 1


@pytest.mark.parametrize(("status", "hours"), [(403, 25), (404, 25), (410, 0)])
async def test_a_result_that_is_gone_is_not_bought_again(scene, vendor, folder, status, hours):  # 54
    """One fresh link is tried; then the job is called expired."""
    vendor.faults.add(f"file-status={status}")

    asked = await is_not_saved(scene, vendor, folder, "its link has expired", state="expired", hours=hours)

    assert asked == 1


@pytest.mark.parametrize("status", [403, 404])
async def test_a_young_link_that_is_refused_is_not_given_up(scene, vendor, folder, status):  # 54
    """A file host may need a moment to know a new file: it is asked again, and later, until the link's time is over."""
    vendor.faults.add(f"file-status={status}")
    await is_not_saved(scene, vendor, folder, "its link has expired")
    vendor.faults.clear()
    vendor.faults.add(f"file-status={status}*2")

    async with scene.client() as kie:
        assert await kie.save_all(folder) == {}

    assert len(names(folder)) == 1
    assert vendor.posts == 1
