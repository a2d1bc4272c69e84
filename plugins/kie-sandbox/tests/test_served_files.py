"""The files that the fake Kie serves: each is what it says, and plays."""

from __future__ import annotations

import struct
import zlib
from urllib.parse import urlsplit

import pytest

from kie_sandbox import Request

from .tasks import finished, load, post, send, urls_in


def is_png(content):
    """Read it as a decoder would: the pixels are all there."""
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    at, pixels, names = 8, b"", []
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        assert struct.unpack(">I", content[at + 8 + length : at + 12 + length])[0] == zlib.crc32(name + data)
        names.append(name)
        if name == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", data[:10])
        elif name == b"IDAT":
            pixels += data
        at += 12 + length
    assert (names[0], names[-1]) == (b"IHDR", b"IEND")
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    return len(zlib.decompress(pixels)) == height * (1 + (width * bits + 7) // 8)


def is_jpeg(content):
    return content.startswith(b"\xff\xd8\xff") and content.rstrip(b"\x00").endswith(b"\xff\xd9")


def is_mp4(content):
    """A file type box, an index, and media that are as long as their boxes say."""
    at, names = 0, []
    while at < len(content):
        length, name = struct.unpack(">I4s", content[at : at + 8])
        assert length >= 8
        names.append(name)
        at += length
    return at == len(content) and names[0] == b"ftyp" and {b"moov", b"mdat"} <= set(names)


def is_mp3(content):
    """Perhaps a tag, then a frame that begins with eleven set bits."""
    at = 0
    if content.startswith(b"ID3"):
        a, b, c, d = content[6:10]
        at = 10 + (a << 21 | b << 14 | c << 7 | d)
    return content[at] == 0xFF and content[at + 1] & 0xE0 == 0xE0


REAL = {"image/png": is_png, "image/jpeg": is_jpeg, "video/mp4": is_mp4, "audio/mpeg": is_mp3}


@pytest.mark.parametrize(
    ("family", "types"),
    [
        ("4o-image", {"image/png"}),
        ("veo3", {"video/mp4"}),
        ("runway", {"video/mp4", "image/png"}),
        ("suno", {"audio/mpeg", "image/jpeg"}),
        ("jobs", {"image/png"}),
    ],
)
def test_every_file_of_a_record_is_real(world, clock, family, types):
    """A player can play it, and its type is what it is."""
    files = [load(world, url) for url in urls_in(finished(world, clock, family))]

    assert {file.content_type for file in files} == types
    assert all(file.status == 200 and REAL[file.content_type](file.content) for file in files)


@pytest.mark.parametrize(
    ("family", "changes", "kind"),
    [
        ("flux-kontext", {"outputFormat": "png"}, "image/png"),
        ("flux-kontext", {"outputFormat": "jpeg"}, "image/jpeg"),
        pytest.param("flux-kontext", {}, "image/jpeg", id="flux-kontext-default"),
        ("jobs", {"input": {"prompt": "a cat", "output_format": "png"}}, "image/png"),
        pytest.param("jobs", {"input": {"prompt": "a cat", "output_format": "jpg"}}, "image/jpeg", id="jobs-jpg"),
    ],
)
def test_the_format_that_was_asked_for(world, clock, family, changes, kind):
    """Flux makes jpeg unless told otherwise; nano-banana-pro says jpg."""
    files = [load(world, url) for url in urls_in(finished(world, clock, family, **changes))]

    assert files
    assert all(file.content_type == kind and REAL[kind](file.content) for file in files)


def test_files_need_no_key(world, clock):
    """Anybody with the address can read them."""
    url = finished(world, clock, "4o-image")["response"]["resultUrls"][0]

    assert world.handle(Request("GET", urlsplit(url).path, {})).status == 200


@pytest.mark.parametrize("path", ["/files/", "/files/x/1-none.png", "/files/x/1-server.py", "/files/../world.py"])
def test_other_files_are_not_served(world, path):
    """Only the four that are meant."""
    assert send(world, "GET", path).status == 404


def test_a_download_link_of_an_own_file(world, clock):
    """Bare text, signed, for twenty minutes; the link works."""
    url = finished(world, clock, "4o-image")["response"]["resultUrls"][0]
    answer = post(world, "/api/v1/common/download-url", {"url": url})

    assert answer["code"] == 200
    assert "1200" in urlsplit(answer["data"]).query
    assert is_png(load(world, answer["data"]).content)


@pytest.mark.parametrize("url", ["https://files.example.com/out/lantern.png", "", None, 7])
def test_a_download_link_of_a_foreign_file(world, url):
    """Code 422, as recorded."""
    assert post(world, "/api/v1/common/download-url", {"url": url}) == {
        "code": 422,
        "msg": "url is wrong",
        "data": None,
    }
