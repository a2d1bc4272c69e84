"""The catalogue on disk: whole or not there, named when it cannot be used, and never in the way."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import Catalogue, Listing, NoCatalogue
from kie_core._catalogue import catalogue_file as files
from kie_core._catalogue.catalogue_file import FORMAT, catalogue_path, keep, kept

URL = "https://api.kie.ai"
FETCHED = Catalogue(
    (
        Listing("kling/v3", "kling-v3", "Клинг 3", "Kling", ("Image to Video",), "long shots 🦊", "14 credits"),
        Listing("veo", "", "veo", "", (), None, None),
    ),
    datetime(2026, 11, 20, 12, 30, 1, 7, tzinfo=UTC),
    total=3,
    skipped=1,
)  # fmt: skip


@pytest.fixture
def path(tmp_path):
    return catalogue_path(URL, {"KIE_CACHE_DIR": str(tmp_path / "cache")})


@pytest.fixture
def document(path):
    """What is written, to be damaged."""
    keep(path, URL, FETCHED)
    return json.loads(path.read_text(encoding="utf-8"))


def problem(path, url=URL):
    with pytest.raises(NoCatalogue) as caught:
        kept(path, url)
    assert str(path) in str(caught.value) or not caught.value.problem
    assert "kie catalogue refresh" in str(caught.value)
    return caught.value.problem


def test_what_is_kept_comes_back(path):
    """All of it, to the microsecond; nobody else can read the file, and nothing lies beside it."""
    keep(path, URL, FETCHED)

    assert kept(path, URL) == FETCHED
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_base_url_has_a_file_of_its_own(tmp_path):
    """Without KIE_CACHE_DIR it is in the platform's folder; an address that no encoding takes is no fault."""
    environ = {"KIE_CACHE_DIR": str(tmp_path)}
    urls = (URL, "https://gateway.example/kie", "https://gateway.example", "https://gateway.example/\udc80")

    assert len({catalogue_path(url, environ) for url in urls}) == 4
    assert catalogue_path(URL, {}).parent.name in ("kie", "Cache")


def test_nothing_is_kept_at_first(path):
    """The error says how to get one, and nothing of a file."""
    assert problem(path) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kie_catalogue": FORMAT + 1}, f"it has format {FORMAT + 1}, this kie-core knows {FORMAT}"),
        ({"kie_catalogue": "1"}, "written by something else"),
        ({"kie_catalogue": True}, "written by something else"),
        ({"base_url": "https://evil.example"}, "of another base URL: 'https://evil.example'"),
        ({"base_url": None}, "of another base URL"),
        ({"fetched_at": "yesterday"}, "damaged"),
        ({"fetched_at": "2026-11-20T12:30:01"}, "damaged"),
        ({"fetched_at": "0001-01-01T00:00:00+23:00"}, "damaged"),
        ({"fetched_at": 7}, "damaged"),
        ({"answer": None}, "damaged"),
        ({"answer": []}, "damaged"),
        ({"answer": {"code": 200, "data": {"models": []}}}, "damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_replaced(path, document, change, said):
    """Damaged, foreign or newer: the next one takes its place."""
    path.write_text(json.dumps({**document, **change}), encoding="utf-8")

    assert said in problem(path)
    keep(path, URL, FETCHED)
    assert kept(path, URL) == FETCHED


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"7" * 5000, b'{"a": ' * 100_000, b"[" * 1_000_000, b'{"models": []}'],
)
def test_a_file_of_something_else_is_named(path, content):
    """Half a file, another file, bytes, brackets without end."""
    path.parent.mkdir()
    path.write_bytes(content)

    assert problem(path)


@given(at=st.integers(0, 10_000), byte=st.binary(max_size=2))
def test_a_file_with_any_damage_is_read_or_named(tmp_path_factory, at, byte):
    """Nothing else is raised, and what is read is a catalogue."""
    path = tmp_path_factory.mktemp("cache") / "catalogue.json"
    keep(path, URL, FETCHED)
    content = path.read_bytes()
    at %= len(content)
    path.write_bytes(content[:at] + byte + content[at + 1 :])

    try:
        assert isinstance(kept(path, URL), Catalogue)
    except NoCatalogue as error:
        assert error.problem


def test_a_file_that_is_too_large_is_not_read(path, document, monkeypatch):
    """Whoever wrote it; no more than the limit is ever in memory."""
    monkeypatch.setattr(files, "LARGEST", 100)

    assert "larger than 100 bytes" in problem(path)


def test_a_folder_in_its_place_is_named(path):
    """Reading and writing fail with the reason."""
    path.mkdir(parents=True)

    assert "cannot be read" in problem(path)
    with pytest.raises(OSError):
        keep(path, URL, FETCHED)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_what_was_kept_survives_a_write_that_fails(path, monkeypatch, step):
    """And half a file is not left behind."""
    keep(path, URL, FETCHED)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if step == "fsync" else (files.Path, "replace")), full)
        with pytest.raises(OSError, match="No space"):
            keep(path, URL, attrs.evolve(FETCHED, total=9))

    assert kept(path, URL) == FETCHED
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_it_is_on_the_disk_before_it_has_its_name(path, monkeypatch):
    """A power cut leaves the one before, or this one."""
    order = []
    fsync, replace = os.fsync, files.Path.replace
    monkeypatch.setattr(os, "fsync", lambda number: (order.append("fsync"), fsync(number))[1])
    monkeypatch.setattr(files.Path, "replace", lambda one, to: (order.append("replace"), replace(one, to))[1])

    keep(path, URL, FETCHED)

    assert order == ["fsync", "replace"]


def test_a_time_of_another_zone_is_the_same_moment(path):
    """It comes back in UTC."""
    moscow = FETCHED.fetched_at.astimezone(timezone(timedelta(hours=3)))
    keep(path, URL, attrs.evolve(FETCHED, fetched_at=moscow))

    assert kept(path, URL).fetched_at.isoformat() == "2026-11-20T12:30:01.000007+00:00"


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from kie_core import Catalogue, Listing
from kie_core._catalogue.catalogue_file import keep
models = tuple(Listing(f"m{n}", "", sys.argv[2], "", (), "x" * 200, None) for n in range(300))
for _ in range(40):
    keep(Path(sys.argv[1]), "https://api.kie.ai", Catalogue(models, datetime.now(UTC)))
"""


def test_processes_that_write_at_once_leave_a_whole_file(path):
    """A reader in between finds one of theirs, never a mixture."""
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in ("first", "second")]
    seen = set()
    while any(process.poll() is None for process in processes):
        if path.exists():
            found = kept(path, URL)
            assert len(found.models) == 300
            (title,) = {one.title for one in found.models}
            seen.add(title)

    assert [process.returncode for process in processes] == [0, 0]
    assert seen <= {"first", "second"}
    assert [one.name for one in path.parent.iterdir()] == [path.name]
