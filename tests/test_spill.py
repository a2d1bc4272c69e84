"""Where task ids go when the ledger cannot be written."""

from __future__ import annotations

import contextlib
import os
import resource
import stat
import subprocess

import pytest

from kie_core._ledger.spill import SIZE, Spill, Spilt, left_behind

ODD = 'ta\0sk-\ud800-🦊\n-"quoted"'


@pytest.fixture
def stem(tmp_path):
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def spill(stem):
    made = Spill(stem, "owner-1")
    yield made
    made.remove()


def notes(stem):
    return [spilt for _, found in left_behind(stem) for spilt in found]


def test_what_was_noted_is_found(spill, stem):
    """In its order, whatever it is made of."""
    spilt = [Spilt("account-1", "job-1", "task-1"), Spilt("account-1", "job-2", ODD)]
    spill.prepare()

    assert [spill.note(one) for one in spilt] == [True, True]
    assert notes(stem) == spilt


def test_without_its_space_nothing_is_noted(spill, stem):
    """It says so, and makes no file."""
    assert spill.note(Spilt("a", "j", "t")) is False
    assert not stem.parent.exists()


def test_the_space_is_taken_once(spill, stem):
    """Preparing again keeps what is there."""
    spill.prepare()
    spill.note(Spilt("a", "j", "t"))
    spill.prepare()

    [(path, found)] = left_behind(stem)
    assert (path.stat().st_size, len(found)) == (SIZE, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_file_takes_no_more(spill, stem):
    """It never grows; what fits is there."""
    spill.prepare()
    written = 0
    while spill.note(Spilt("account-1", f"job-{written}", "x" * 1000)):
        written += 1

    assert 50 < written == len(notes(stem))
    assert next(left_behind(stem))[0].stat().st_size == SIZE


def test_a_removed_file_is_gone(spill, stem):
    """And removing it twice is no fault."""
    spill.prepare()
    spill.remove()
    spill.remove()

    assert list(left_behind(stem)) == []


def test_every_process_has_its_own(stem):
    """All are found, and nothing else that lies there."""
    spills = [Spill(stem, f"owner-{number}") for number in range(3)]
    for number, spill in enumerate(spills):
        spill.prepare()
        spill.note(Spilt("a", f"job-{number}", "t"))
    stem.with_name("other.sqlite.spill-x").write_text('{"account": "a", "job_id": "j", "task_id": "t"}\n')

    assert [spilt.job_id for spilt in notes(stem)] == ["job-0", "job-1", "job-2"]
    for spill in spills:
        spill.remove()


def test_a_name_with_brackets_is_a_name(tmp_path):
    """Not a pattern: the notes of ``ledger[1].sqlite`` are found."""
    stem = tmp_path / "ledger[1]*.sqlite"
    spill = Spill(stem, "owner-1")
    spill.prepare()
    spill.note(Spilt("a", "j", "t"))

    assert notes(stem) == [Spilt("a", "j", "t")]
    spill.remove()


@pytest.mark.parametrize("tail", [b'{"account": "a", "jo', b"\xff\xfe\n", b"5\n", b'{"account": "a"}\n', b"null\n[]\n"])
def test_half_a_line_does_not_hide_the_others(spill, stem, tail):
    """The process may have ended in the middle of it."""
    spill.prepare()
    spill.note(Spilt("a", "j", "t"))
    [(path, _)] = left_behind(stem)
    content = path.read_bytes().rstrip(b"\n")
    path.write_bytes(content + b"\n" + tail)

    assert notes(stem) == [Spilt("a", "j", "t")]


@pytest.mark.skipif(os.name != "posix", reason="needs a limit of the system")
def test_a_file_without_room_is_not_prepared(spill, stem):
    """Half its space is none: the error comes before anything is bought, and no file stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE // 2, hard))
    try:
        with pytest.raises(OSError):
            spill.prepare()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert list(left_behind(stem)) == []


def test_on_a_full_disk_the_space_is_still_there(tmp_path):
    """That is what it was taken for."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "kie-test", folder]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small disk here")
    spill = Spill(folder / "ledger.sqlite", "owner-1")
    try:
        spill.prepare()
        with contextlib.suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
            while True:
                rest.write(b"x" * 4096)
        with pytest.raises(OSError):
            Spill(folder / "ledger.sqlite", "owner-2").prepare()

        assert spill.note(Spilt("a", "j", "t")) is True
        assert notes(folder / "ledger.sqlite") == [Spilt("a", "j", "t")]
    finally:
        spill.remove()
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(spill, stem, caplog):
    """Who empties what was read must not lose what was not."""
    spill.prepare()
    stem.with_name(stem.name + ".spill-folder").mkdir()

    assert len(list(left_behind(stem))) == 1
    assert "cannot be read" in caplog.text


def test_a_record_goes_beyond_the_space_that_was_taken(tmp_path):
    """A result that came at once has no other place; it is read back whole, and a note after it too."""
    spill = Spill(tmp_path / "ledger", "p1")
    spill.prepare()
    large = Spilt("a", "j1", "j1", "x" * 2 * SIZE)

    assert spill.note(large)
    assert [one for _, found in left_behind(tmp_path / "ledger") for one in found] == [large]
