"""What a file is, by its first bytes."""

from __future__ import annotations

import pytest

from kie_core._files.sniff import contradicts, extension, is_page, is_text, text_extension

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (PNG, "png"), (b"\xff\xd8\xff\xe0", "jpg"), (b"GIF89a", "gif"), (b"RIFF\1\2\3\4WEBPVP8", "webp"), (b"RIFF\1\2\3\4WAVE", "wav"),
        (b"\0\0\0\x20ftypisom", "mp4"), (b"\0\0\0\x20ftypM4A ", "m4a"), (b"\0\0\0\x14ftypqt  ", "mov"), (b"\x1aE\xdf\xa3", "webm"),
        (b"ID3\x04", "mp3"), (b"\xff\xfb\x90", "mp3"), (b"\0\0\0\x1cftypavif", "avif"), (b"\0\0\0\x1cftypheic", "heic"), (b"fLaC", "flac"), (b"OggS", "ogg"), (b"MThd", "mid"), (b"??", "bin"), (b"", "bin"),
    ],
)  # fmt: skip
def test_the_extension_follows_the_content(head, name):
    """Not the URL, not the header."""
    assert extension(head) == name


@pytest.mark.parametrize(
    ("head", "declared", "page"),
    [
        (b"<!DOCTYPE html><p>no", None, True), (b"<svg xmlns='http://www.w3.org/2000/svg'>\xff\xff\xff\xff", None, True),
        ("<svg>".encode("utf-16"), None, True), (b"\0\1\2\xff\xfe\xfd", "image/svg+xml", True),
        (b"\0\1\2\xff\xfe\xfd", "Text/HTML; charset=x", True), (b"Not found", "image/png", False),
        (b"\0\1\2\xff\xfe\xfd", "image/png", False), (b"\0\1\2\xff\xfe\xfd", None, False),
    ],
)  # fmt: skip
def test_pages_and_drawings_are_told_from_media(head, declared, page):
    """Also in UTF-16, and where only the header tells."""
    assert is_page(head, declared) is page


@pytest.mark.parametrize(
    ("head", "text"),
    [
        (b"Not found", True), ("Привет\n".encode(), True), ("я".encode() * 127 + b"\xd1", True), (b"", True),
        (b"\0\1\2\xff\xfe\xfd", False), (b"abc\x01", False),
    ],
)  # fmt: skip
def test_messages_are_told_from_media(head, text):
    """Also where the head ends in the middle of a letter."""
    assert is_text(head) is text


@pytest.mark.parametrize(
    ("head", "declared", "kind"),
    [
        (b'{"a": 1}', None, "json"),
        (b" [ {", "text/plain", "json"),
        (b"[00:01] a", None, "txt"),
        (b"a,b", "application/json", "json"),
        (b"hi", None, "txt"),
    ],
)
def test_a_text_is_json_or_not(head, declared, kind):
    """By what it says, or what is said of it."""
    assert text_extension(head, declared) == kind


@pytest.mark.parametrize(
    ("kind", "declared", "contradiction"),
    [
        ("png", "image/png", False), ("jpg", "IMAGE/JPEG; q=1", False), ("png", None, False), ("png", "application/octet-stream", False),
        ("mp4", "audio/mp4", False), ("bin", "model/gltf-binary", False), ("bin", None, False),
        ("jpg", "image/png", True), ("mp4", "text/html", True), ("bin", "image/png", True),
    ],
)  # fmt: skip
def test_a_header_that_says_something_else_is_noticed(kind, declared, contradiction):
    """What says nothing contradicts nothing."""
    assert contradicts(kind, declared) is contradiction
