"""A file that is not finished: taken over only by one, only where it is trusted, and never through a link."""

from __future__ import annotations

import hashlib
import json
import os
import stat

import pytest

from kie_core._files.partial import Partial, Source, sha256_of

SOURCE = Source("https://cdn.example.com/a", '"v1"', 10)


def left(folder, content=b"12345", source=SOURCE):
    """Leave *content* behind as a process does that gives up."""
    with Partial(folder, "a-1") as partial:
        partial.restart(source)
        partial.write(content)
        partial.leave()


def gone_on(folder, url=SOURCE.url):
    """Return how many bytes are taken over, and the hash with what follows."""
    with Partial(folder, "a-1") as partial:
        partial.go_on(url)
        size = partial.size
        partial.write(b"x")
        return size, partial.sha256


def test_what_was_left_is_taken_over_and_hashed_again(tmp_path):
    """The hash is of all bytes."""
    left(tmp_path)

    assert gone_on(tmp_path) == (5, hashlib.sha256(b"12345x").hexdigest())


def test_a_whole_file_that_was_not_kept_lacks_one_byte(tmp_path):
    """So that the host still has a say."""
    left(tmp_path, b"1234567890")

    assert gone_on(tmp_path) == (9, hashlib.sha256(b"123456789x").hexdigest())


@pytest.mark.parametrize(
    "note",
    ["", "[]", "{", "null", '{"url": "https://cdn.example.com/b", "validator": "x", "total": 10}',
     '{"url": "https://cdn.example.com/a", "validator": 5, "total": 10}',
     '{"url": "https://cdn.example.com/a", "validator": "x", "total": "10"}',
     '{"url": "https://cdn.example.com/a", "validator": "x", "total": 3}', '{"url": "https://cdn.example.com/a"}', "[" * 100000],
)  # fmt: skip
def test_what_is_not_known_to_belong_to_it_is_thrown_away(tmp_path, note):
    """Another address, more bytes than there are, or no sense at all."""
    left(tmp_path)
    tmp_path.joinpath(".kie-a-1.part.json").write_text(note)

    assert gone_on(tmp_path) == (0, hashlib.sha256(b"x").hexdigest())


def test_bytes_without_a_note_are_thrown_away(tmp_path):
    """Nobody knows what they belong to."""
    tmp_path.joinpath(".kie-a-1.part").write_bytes(b"12345")

    assert gone_on(tmp_path)[0] == 0


@pytest.mark.parametrize("source", [None, Source("https://cdn.example.com/a", '"v1"', None)])
def test_only_what_can_be_gone_on_with_is_left(tmp_path, source):
    """Where the host gives no proof of sameness, bytes are of no use later."""
    left(tmp_path, source=source)

    assert bool(list(tmp_path.iterdir())) is (source is not None)


def test_the_second_gets_a_file_of_its_own(tmp_path):
    """And takes nothing away from the first."""
    with Partial(tmp_path, "a-1") as first, Partial(tmp_path, "a-1") as second:
        first.write(b"first")
        second.go_on(SOURCE.url)
        second.restart(SOURCE)
        second.write(b"second")
        second.leave()

        assert first.keep(tmp_path / "one").read_bytes() == b"first"

    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_file_that_was_renamed_before_it_was_locked_is_not_written_to(tmp_path, monkeypatch):
    """It carries its final name by then."""
    import kie_core._files.partial as module

    first = Partial(tmp_path, "a-1")
    first.write(b"first")
    lock = module._lock

    def late(file):
        first.keep(tmp_path / "one")
        lock(file)

    monkeypatch.setattr(module, "_lock", late)
    with Partial(tmp_path, "a-1") as second:
        second.write(b"second")

    assert (tmp_path / "one").read_bytes() == b"first"


def test_a_file_system_without_locks_gives_random_names(tmp_path, monkeypatch):
    """Nothing can be taken over there, and nothing is disturbed."""
    import kie_core._files.partial as module

    def refuse(file):
        raise OSError("no locks available")

    monkeypatch.setattr(module, "_lock", refuse)
    with Partial(tmp_path, "a-1") as partial:
        partial.write(b"x")
        partial.keep(tmp_path / "one")

    assert (tmp_path / "one").read_bytes() == b"x"


@pytest.mark.skipif(os.name != "posix", reason="links of POSIX")
@pytest.mark.parametrize("name", [".kie-a-1.part", ".kie-a-1.part.json"])
def test_no_link_is_followed(tmp_path, name):
    """In a folder that others may write to."""
    target = tmp_path / "precious"
    target.write_text("precious")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).symlink_to(target)

    with Partial(folder, "a-1") as partial:
        partial.go_on(SOURCE.url)
        partial.restart(SOURCE)
        partial.write(b"x")
        partial.keep(folder / "one")

    assert target.read_text() == "precious"


def test_a_file_that_takes_less_than_it_is_given_gets_the_rest(tmp_path):
    """A disk that is nearly full does so."""

    class Slow:
        def __init__(self, file):
            self.file = file

        def write(self, chunk):
            return self.file.write(chunk[:3])

        def __getattr__(self, name):
            return getattr(self.file, name)

    with Partial(tmp_path) as partial:
        partial._file = Slow(partial._file)
        partial.write(b"1234567890")
        partial.keep(tmp_path / "one")

    assert (tmp_path / "one").read_bytes() == b"1234567890"
    assert sha256_of(tmp_path / "one") == hashlib.sha256(b"1234567890").hexdigest()


@pytest.mark.skipif(os.name != "posix", reason="folders of POSIX")
def test_the_file_is_on_disk_before_its_name_and_the_name_before_we_go_on(tmp_path, monkeypatch):
    """A power cut leaves the whole file or none."""
    done = []
    sync = os.fsync

    def fsync(number):
        done.append("folder" if stat.S_ISDIR(os.fstat(number).st_mode) else "file")
        done.append((tmp_path / "one").exists())
        sync(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with Partial(tmp_path) as partial:
        partial.write(b"x")
        partial.keep(tmp_path / "one")

    assert done == ["file", False, "folder", True]


def test_the_note_holds_no_query(tmp_path):
    """Signatures are nobody's business; the note says what the bytes belong to."""
    left(tmp_path)

    note = json.loads((tmp_path / ".kie-a-1.part.json").read_text())
    assert note == {"url": "https://cdn.example.com/a", "validator": '"v1"', "total": 10}
