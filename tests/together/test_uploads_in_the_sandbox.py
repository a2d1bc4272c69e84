"""Files against the upload host of the sandbox, over real sockets: in Python, on the command line, and when it fails."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from importlib.resources import files

import pytest
import stamina
from click.testing import CliRunner

from kie_core import Kie, KieBlocking, Schedule, UploadFailed
from kie_core._cli.main import kie
from kie_core.generator import KieGenerator
from kie_sandbox import FAULTS, Sandbox, serve

pytestmark = pytest.mark.usefixtures("in_haste")
KEY = "0123456789abcdef0123456789abcdef"
PICTURE = files("kie_sandbox").joinpath("media", "picture.png").read_bytes()
SHA256 = hashlib.sha256(PICTURE).hexdigest()
QUICK = Schedule(first=0.01, factor=1.1, longest=0.05)
INPUTS = {"prompt": "it begins to rain"}


@pytest.fixture(autouse=True)
def _no_pauses():
    with stamina.set_testing(True, attempts=4, cap=True):
        yield


@pytest.fixture
def world():
    return Sandbox(speed=1000)


@pytest.fixture
def url(world, monkeypatch):
    with serve(sandbox=world) as url:
        for name, value in (("BASE_URL", url), ("UPLOAD_URL", url), ("API_KEY", KEY)):
            monkeypatch.setenv(f"KIE_{name}", value)
        yield url


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(PICTURE)
    return path


def run(*words, **arguments):
    return CliRunner().invoke(kie, list(words), **arguments)


def test_a_file_becomes_an_address_that_serves_it(world, url, photo):
    """The sandbox keeps what the client sent, byte for byte, and its create names it."""
    with KieBlocking(schedule=QUICK) as client:
        task = client.generate("runway-gen3-turbo", {**INPUTS, "image_url": photo})
    (stored,) = world.uploads.files.values()
    (create,) = world.creates
    with urllib.request.urlopen(create.body["imageUrl"]) as answer:
        served = answer.read()

    assert task.outcome.state == "succeeded"
    assert stored.content == served == PICTURE
    assert stored.path.endswith("/photo.png")
    assert stored.path.startswith("kieai/100001/kie-core/")


@pytest.mark.anyio
async def test_the_market_takes_lists_of_files_and_keeps_its_limits(world, url, photo):
    """Each model by what the vendor says of its files."""
    async with Kie(schedule=QUICK) as client:
        task = await client.submit("google/nano-banana-edit", {"prompt": "x", "image_urls": [photo, PICTURE]})

    assert len(world.uploads.files) == 1
    assert task.job.params["image_urls"] == [world.creates[0].body["input"]["image_urls"][0]] * 2


@pytest.mark.anyio
async def test_the_generator_of_the_original_takes_files(world, url, photo):
    """For V4 models and for old ids alike."""
    made = await KieGenerator(use_v4=True).generate("runway-gen3-turbo", {**INPUTS, "image_url": photo})

    assert made["success"], made
    assert world.creates[0].body["imageUrl"].endswith("/photo.png")


WHOLE = sorted(name for name, kind in FAULTS.items() if kind.place == "upload")
VALUES = {"upload-silent": "=3", "upload-delay": "=0.2", "upload-gzip-bomb": "=9", "upload-huge": "=9"}


@pytest.mark.parametrize("times", ["*1", ""])
@pytest.mark.parametrize("fault", WHOLE)
def test_whatever_befalls_an_upload_a_job_is_bought_with_its_file_or_not_at_all(world, url, photo, fault, times):
    """One failure is made good; what always fails buys nothing."""
    world.faults.add(f"{fault}{VALUES.get(fault, '')}{times}")
    failed = False
    with KieBlocking(request_timeout=0.3, schedule=QUICK) as client:
        try:
            client.submit("runway-gen3-turbo", {**INPUTS, "image_url": photo})
        except UploadFailed as error:
            failed = True
            assert "nothing was bought" in str(error)
            assert KEY not in str(error)
    stored = {f"{url}/uploads/{path}" for path in world.uploads.files}

    assert len(world.creates) == (0 if failed else 1)
    assert all(create.body["imageUrl"] in stored for create in world.creates)
    assert times == "" or not failed or fault == "upload-redirect"


# --- the command line -----------------------------------------------------------------


def test_upload_prints_the_addresses(world, url, photo):
    """One a line, on stdout alone; as JSON with what is known of each."""
    plain = run("upload", str(photo))
    both = run("upload", "--json", str(photo), "-", input=PICTURE + b"!")
    anew = run("upload", "--no-reuse", "--name", "x", str(photo))

    assert plain.exit_code == both.exit_code == anew.exit_code == 0, plain.output + both.output + anew.output
    assert plain.stderr == f"uploading {len(PICTURE)} bytes\n"
    assert [(one["url"] == plain.stdout.strip(), one["size"], one["kind"]) for one in json.loads(both.stdout)] == [
        (True, len(PICTURE), "png"),
        (False, len(PICTURE) + 1, "png"),
    ]
    assert json.loads(both.stdout)[0]["sha256"] == SHA256
    assert anew.stdout.strip().endswith("/x.png")
    assert len(world.uploads.files) == 3


def test_upload_says_what_is_wrong(world, url, tmp_path):
    """A missing file, a program, one name for two files, and a key that Kie refuses."""
    (tmp_path / "program.png").write_bytes(b"\x7fELF" + b"\0" * 100)
    missing = run("upload", "nowhere.png")
    program = run("upload", "--json", str(tmp_path / "program.png"))
    named = run("upload", "--name", "x", "a", "b")
    world.faults.add("upload-code=401*1")
    (tmp_path / "a.png").write_bytes(PICTURE)
    refused = run("upload", str(tmp_path / "a.png"))

    assert (missing.exit_code, program.exit_code, named.exit_code, refused.exit_code) == (1, 1, 2, 3)
    assert "'nowhere.png' cannot be read: No such file" in missing.stderr
    assert json.loads(program.stdout)["error"] == "UploadFailed"
    assert "look at KIE_API_KEY" in refused.stderr


def test_generate_uploads_what_stands_for_a_url(world, url, photo, tmp_path):
    """And says so; the file that it saves is another."""
    done = run("generate", "runway-gen3-turbo", f"image_url=@{photo}", "prompt=rain", "--out", str(tmp_path / "out"))

    assert done.exit_code == 0, done.stderr
    assert f"uploading {len(PICTURE)} bytes" in done.stderr
    assert world.creates[0].body["imageUrl"].endswith("/photo.png")


def test_generate_in_the_sandbox_of_the_command_takes_files(photo):
    """Without a key and without network; nothing of a fake that is gone is used again."""
    words = ("generate", "runway-gen3-turbo", f"image_url=@{photo}", "prompt=rain", "--sandbox", "--no-save")
    first, second = run(*words), run(*words)

    assert (first.exit_code, second.exit_code) == (0, 0), first.stderr + second.stderr
    assert "uploading" in second.stderr


def test_payload_shows_a_file_and_uploads_nothing(world, url, photo):
    """Needs no key; what does not fit is said before anything leaves."""
    shown = run("payload", "runway-gen3-turbo", f"image_url=@{photo}", "prompt=rain", "--json")
    missing = run("payload", "runway-gen3-turbo", "image_url=@nowhere.png", "prompt=rain")
    plain = run("payload", "runway-gen3-turbo", "image_url=photo.png", "prompt=rain")

    body = json.loads(shown.stdout)["body"]
    assert body["imageUrl"] == f"<upload of photo.png, {len(PICTURE)} bytes, sha256 {SHA256}>"
    assert (missing.exit_code, plain.exit_code) == (2, 2)
    assert "image_url: 'nowhere.png' cannot be read" in missing.stderr
    assert "on the command line" in plain.stderr
    assert not world.uploads.files
