"""Uploads to the fake Kie: the three documented calls, what they refuse, and the files that then lie there."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request

import pytest

from kie_sandbox import Request, Sandbox, serve

PNG = b"\x89PNG\r\n\x1a\n\r\n--tricky\r\n" + bytes(range(256))
KEY = {"authorization": "Bearer sandbox", "host": "127.0.0.1:1"}


@pytest.fixture
def world():
    return Sandbox(clock=lambda: 1_790_000_000.123)


def form(fields, file=PNG, name="dot.png"):
    parts = [
        f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{text}\r\n'.encode()
        for key, text in fields.items()
    ]
    if file is not None:
        parts.append(
            f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\nContent-Type: image/png\r\n\r\n'.encode()
            + file
            + b"\r\n"
        )
    return b"".join(parts) + b"--b--\r\n"


def stream(world, content, **headers):
    headers = {**KEY, "content-type": "multipart/form-data; boundary=b", **headers}
    return world.handle(Request("POST", "/api/file-stream-upload", headers, content))


def posted(world, path, body, headers=KEY):
    return world.handle(Request("POST", path, headers, json.dumps(body).encode()))


def body_of(response):
    return json.loads(response.content)


def test_a_streamed_file_is_stored_and_served_as_it_was(world):
    """The answer has the documented fields, and its address has the bytes."""
    body = body_of(stream(world, form({"uploadPath": "images/inbox", "fileName": "dot.png"})))
    data = body.pop("data")
    served = world.handle(Request("GET", data["downloadUrl"].removeprefix("http://127.0.0.1:1")))

    assert body == {"success": True, "code": 200, "msg": "File uploaded successfully"}
    assert data == {
        "success": True, "fileName": "dot.png", "filePath": "kieai/100001/images/inbox/dot.png",
        "downloadUrl": "http://127.0.0.1:1/uploads/kieai/100001/images/inbox/dot.png", "fileSize": len(PNG),
        "mimeType": "image/png", "uploadedAt": "2026-09-21T14:13:20.123Z",
    }  # fmt: skip
    assert (served.content, served.content_type) == (PNG, "image/png")


def test_base64_and_addresses_are_taken_too(world):
    """Plain or as a data: URL; of addresses only those of this fake, which reaches nobody."""
    first = posted(
        world,
        "/api/file-base64-upload",
        {"base64Data": f"data:image/png;base64,{base64.b64encode(PNG).decode()}", "uploadPath": "a"},
    )
    link = body_of(first)["data"]["downloadUrl"]
    posted(world, "/api/file-url-upload", {"fileUrl": link, "uploadPath": "b", "fileName": "two.png"})
    elsewhere = posted(world, "/api/file-url-upload", {"fileUrl": "https://example.com/a.png", "uploadPath": "b"})

    assert body_of(first)["data"]["fileName"].startswith("1790000000123-")
    assert body_of(first)["data"]["fileName"].endswith(".png")
    assert world.uploads.files["kieai/100001/b/two.png"].content == PNG
    assert body_of(elsewhere)["code"] == 500


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (lambda world: stream(world, form({})), 400, "Missing required parameter: uploadPath"),
        (lambda world: stream(world, form({"uploadPath": "/a"})), 400, "Invalid parameter: uploadPath"),
        (lambda world: stream(world, form({"uploadPath": "a/"})), 400, "Invalid parameter: uploadPath"),
        (lambda world: stream(world, form({"uploadPath": "a"}, None)), 400, "Missing required parameter: file"),
        (lambda world: stream(world, form({"uploadPath": "a"})[:-8]), 400, "Unexpected end of form"),
        (lambda world: stream(world, b"", **{"content-type": "text/plain"}), 400, "Expected multipart/form-data"),
        (lambda world: stream(world, form({"uploadPath": "a"}), authorization=""), 401, "Authentication failed: Invalid API Key"),
        (lambda world: posted(world, "/api/file-base64-upload", {"base64Data": "?", "uploadPath": "a"}), 400, "Base64 decoding failed: Invalid Base64 format"),
        (lambda world: posted(world, "/api/file-base64-upload", []), 400, "The request body is not valid JSON"),
        (lambda world: world.handle(Request("GET", "/api/file-stream-upload", KEY)), 405, "Method Not Allowed"),
    ],
)  # fmt: skip
def test_what_is_refused(world, response, code, message):
    """In the envelope of uploads, and nothing is stored."""
    answer = response(world)

    assert body_of(answer) == {"success": False, "code": code, "msg": message}
    assert not world.uploads.files


def test_faults_strike_uploads(world):
    """By their place, and as often as was said."""
    content = form({"uploadPath": "a"})
    world.faults.add(
        "upload-status=503*1", "upload-address*1", "upload-size=7*1", "upload-reset*1", "upload-code=429*1"
    )
    answers = [stream(world, content) for _ in range(6)]

    assert answers[0].status == 503
    assert body_of(answers[1])["data"]["downloadUrl"] == "file:///etc/hosts"
    assert body_of(answers[2])["data"]["fileSize"] == 7
    assert answers[3].delivery.end == "reset"
    assert body_of(answers[4])["code"] == 429
    assert body_of(answers[5])["data"]["fileSize"] == len(PNG)


def test_over_a_real_socket_a_file_may_be_larger_than_other_requests():
    """And it is served without a key, as Kie's file host does."""
    big = PNG + bytes(20 * 1024 * 1024)
    with serve() as url:
        headers = {"Authorization": "Bearer sandbox", "Content-Type": "multipart/form-data; boundary=b"}
        asked = urllib.request.Request(f"{url}/api/file-stream-upload", form({"uploadPath": "a"}, big), headers)
        with urllib.request.urlopen(asked) as answer:
            link = json.load(answer)["data"]["downloadUrl"]
        with urllib.request.urlopen(link) as answer:
            assert answer.read() == big
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{url}/uploads/nothing")
