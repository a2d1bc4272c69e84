"""What stands in place of a URL: looked at, hashed and checked before anything leaves, and never held in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core._files.local import (
    LARGEST_DATA,
    PIECE,
    Unusable,
    clean_name,
    is_source,
    name_on_the_wire,
    replaced,
    source_of,
)
from kie_core._files.upload_kinds import KINDS, kind_of
from kie_core._models.file_limits import FileLimits

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
PNG_URL = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
SHA256 = hashlib.sha256(PNG).hexdigest()
posix = pytest.mark.skipif(os.name != "posix", reason="pipes and devices of POSIX")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "My photo.png"
    path.write_bytes(PNG)
    return path


class Pipe(io.RawIOBase):
    """Can be read once, and not be asked where it stands."""

    def __init__(self, content):
        self._rest = io.BytesIO(content)

    def readable(self):
        return True

    def readinto(self, buffer):
        return self._rest.readinto(buffer)


class Once(Pipe):
    """The same, of a file."""

    def __init__(self, file):
        self._rest = file


def open_at(content, start):
    file = io.BytesIO(content)
    file.seek(start)
    return file


@pytest.mark.parametrize(
    "given",
    [PNG, bytearray(PNG), memoryview(PNG), io.BytesIO(PNG), open_at(b"before" + PNG, 6), Pipe(PNG), PNG_URL, PNG_URL.replace("+", "%2B")],
    ids=["bytes", "bytearray", "memoryview", "file", "file from where it stands", "pipe", "data URL", "escaped data URL"],
)  # fmt: skip
def test_the_same_content_is_the_same_source(given):
    """However it is given; and it can be read again from its beginning."""
    source = source_of(given)

    assert (source.size, source.sha256, source.kind) == (len(PNG), SHA256, "png")
    assert b"".join(source.pieces()) == b"".join(source.pieces()) == PNG
    assert source.stand_in == f"https://upload.invalid/{SHA256}.png"


def test_a_path_is_named_by_its_last_part_only(photo):
    """Cleaned for the wire, and as it is for the person."""
    source = source_of(photo)

    assert (source.shown, source.name) == ("My photo.png", "My-photo.png")
    assert str(source) == f"<upload of My photo.png, 108 bytes, sha256 {SHA256}>"


@pytest.mark.parametrize(
    ("name", "kind", "sent"),
    [
        ("a.png", "png", "a.png"), ("a.PNG", "png", "a.png"), ("a.jpeg", "jpg", "a.jpeg"), ("a.png", "jpg", "a.png.jpg"),
        ("", "mp4", "file.mp4"), ("../../etc/passwd", "txt", "passwd.txt"), ("C:\\Users\\me\\a.png", "png", "a.png"),
        ('x"\r\nEvil: 1.png', "png", "x-Evil-1.png"), (".png", "png", "png.png"), ("кот.png", "png", "png.png"),
    ],
)  # fmt: skip
def test_a_name_on_the_wire_is_harmless_and_ends_as_its_kind(name, kind, sent):
    """Nothing of the folder, nothing that ends a header."""
    assert name_on_the_wire(name, kind) == sent


@given(st.text(max_size=300))
def test_no_name_breaks_out_of_its_header(name):
    """Whatever somebody calls a file."""
    sent = name_on_the_wire(name, "png")

    assert sent.isascii()
    assert sent.endswith(".png")
    assert not set(sent) & set('"\r\n/\\ ')
    assert len(clean_name(name)) <= 80


@pytest.mark.parametrize(
    ("head", "name", "kind"),
    [
        (b"BM" + b"\1\0\0\0" + b"\0" * 20, "", "bmp"), (b"II*\0....", "", "tiff"), (b"\xff\xf1P\x80", "", "aac"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "", "wma"), (b"RIFF\1\2\3\4AVI LIST", "", "avi"), (b"%PDF-1.7", "", "pdf"),
        (b"\0\0\0\x1cftypmif1", "", "heic"), (b"\xff\xfb\x90", "", "mp3"), (b"hello", "a.txt", "txt"), (b"hello", "a.SRT", "srt"),
        (b"PK\x03\x04", "a.docx", "docx"),
        # what is not uploaded
        (b"hello", "", None), (b"hello", "id_rsa", None), (b"KEY=1", ".env", None), (b"<html>", "a.txt", None), (b"<svg>", "a.svg", None),
        (b"\x7fELF", "a.txt", None), (b"MZ\x90\0", "a.png", None), (b"PK\x03\x04", "a.zip", None),
    ],
)  # fmt: skip
def test_what_a_file_is_decides_its_content_and_not_its_name(head, name, kind):
    """Only texts and packed documents, which do not say it, are believed their names."""
    assert kind_of(head, name) == kind
    assert kind is None or kind in KINDS


@pytest.mark.parametrize(
    ("given", "limits", "problem"),
    [
        (b"", None, "is empty"),
        (b"\x7fELF" + b"\0" * 60, None, "is of no kind that is uploaded; allowed: png, jpg"),
        (PNG, FileLimits(types=("image/jpeg", "image/webp")), "is png by its first bytes; expected image/jpeg, image/webp"),
        (PNG, FileLimits(extensions=("jpg", "jpeg")), "is png by its first bytes; expected jpg, jpeg"),
        (PNG, FileLimits(megabytes=0.0001), r"has 108 bytes; expected up to 104 \(0.0001 MB\)"),
        (Pipe(PNG), FileLimits(megabytes=0.0001), "has 108 bytes; expected up to 104"),
        (io.StringIO("text"), None, "is open as text; open it with mode 'rb'"),
        (Path("nowhere.png"), None, "'nowhere.png' cannot be read: No such file"),
        (Path(), None, "is a folder; expected a regular file"),
        (Path("a\0b"), None, "cannot be read"),
        ("data:image/png;base64,!!!!", None, "is not base64"),
        ("data:image/png;base64", None, "has no comma"),
        ("data:image/png;base64," + "A" * (LARGEST_DATA * 4 // 3 + 400), None, "more than 10 MB are given as a file"),
        (7, None, "is int; expected a path, bytes, an open binary file or a data: URL"),
    ],
)  # fmt: skip
def test_what_cannot_be_uploaded_is_refused_with_what_is_allowed(given, limits, problem):
    """Before a byte leaves."""
    with pytest.raises(Unusable, match=problem):
        source_of(given, limits)


def test_limits_that_a_file_keeps_do_not_refuse_it():
    """By either way in which vendors name kinds."""
    assert source_of(PNG, FileLimits(types=("image/jpeg", "IMAGE/PNG"), megabytes=1)).kind == "png"
    assert source_of(PNG, FileLimits(extensions=("PNG",))).kind == "png"


@posix
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(tmp_path):
    """A link to a regular file is fine: somebody named it."""
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    link, other = tmp_path / "link.png", tmp_path / "device.png"
    other.symlink_to("/dev/zero")
    (tmp_path / "real.png").write_bytes(PNG)
    link.symlink_to(tmp_path / "real.png")

    assert source_of(link).sha256 == SHA256
    with pytest.raises(Unusable, match="is a pipe; expected a regular file"):
        source_of(pipe)
    with pytest.raises(Unusable, match="is no regular file; expected a regular file"):
        source_of(other)


class Endless(io.RawIOBase):
    """What cannot be read twice, and never ends."""

    read_from = 0

    def readable(self):
        return True

    def readinto(self, buffer):
        self.read_from += len(buffer)
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def test_of_an_endless_stream_no_more_is_copied_than_tells_its_kind():
    """It would fill the disk until the largest size that may be uploaded."""
    stream = Endless()

    with pytest.raises(Unusable, match="is of no kind that is uploaded"):
        source_of(stream)
    assert stream.read_from <= PIECE


@pytest.mark.parametrize("content", [PNG + b"more", PNG[:-1], PNG[:-1] + b"!"], ids=["longer", "shorter", "other"])
def test_a_file_that_changed_since_it_was_looked_at_is_not_sent_whole(photo, content):
    """Its last piece is never handed out, so no host takes it for whole."""
    source = source_of(photo)
    photo.write_bytes(content)
    sent = []

    with pytest.raises(Unusable, match="changed while it was read"):
        sent.extend(source.pieces())


def test_a_large_file_is_never_in_memory(tmp_path):
    """64 MB pass in pieces; those of what can be read once, by way of the disk."""
    path = tmp_path / "big.png"
    with path.open("wb") as file:
        file.write(PNG)
        file.truncate(64 * 1024 * 1024)
    seen = []
    with path.open("rb") as file, path.open("rb", buffering=0) as other:
        tracemalloc.start()
        try:
            for given in (path, file, io.BufferedReader(Once(other))):
                source = source_of(given)
                seen.append(sum(map(len, source.pieces())))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert seen == [64 * 1024 * 1024] * 3
    assert peak < 8 * 1024 * 1024


def test_a_stand_in_is_replaced_wherever_it_stands():
    """Inside texts, lists and objects; whatever else is there stays as it is."""
    source = source_of(PNG)
    value = {"a": [source.stand_in, 1, None], "b": {"c": f"[{source.stand_in}]"}, "d": "https://example.com"}

    assert replaced(value, {source.stand_in: "https://k/1.png"}) == {
        "a": ["https://k/1.png", 1, None],
        "b": {"c": "[https://k/1.png]"},
        "d": "https://example.com",
    }


def test_a_plain_text_is_no_file():
    """It is a prompt, or a URL, or a mistake."""
    assert not is_source("photo.jpg")
    assert is_source("DATA:image/png;base64,AAAA")
