"""Uploads: the three calls of Kie's upload host, which here is this machine, and the files that lie there.

Source: docs.kie.ai/file-upload-api (upload-file-stream, upload-file-base-64, upload-file-url), read 2026-10-01, and
recordings of 2026-04. The fake reaches nobody: of addresses, it takes only its own.
"""

from __future__ import annotations

import base64
import binascii
import json
import mimetypes
import re
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, unquote

import attrs

from kie_sandbox.messages import Request, Response

STREAM: Final = "/api/file-stream-upload"
BASE64: Final = "/api/file-base64-upload"
URL: Final = "/api/file-url-upload"
PATHS: Final = (STREAM, BASE64, URL)
#: Where the files lie. Kie's own address begins otherwise, on a third host.
PREFIX: Final = "/uploads/"
ACCOUNT: Final = "100001"
#: Bytes of one request. Ours: Kie's limit of the stream is not documented.
LARGEST: Final = 256 * 1024 * 1024
_FOLDER: Final = re.compile(r"[^/\s][^\s]*(?<!/)")


@attrs.frozen
class Stored:
    """A file that was uploaded.

    Args:
        path: ``kieai/<account>/<folder>/<name>``.
        at: Seconds since 1970.
    """

    path: str
    content: bytes
    kind: str
    at: float


@attrs.define
class Uploads:
    """The files that were uploaded to a sandbox, by their path. One of the same path is overwritten."""

    files: dict[str, Stored] = attrs.field(factory=dict)

    def answer(self, path: str, request: Request, origin: str, now: float) -> Response:
        """Answer one of the three calls."""
        if request.method != "POST":
            return _refused(405, "Method Not Allowed")
        read = {STREAM: _from_form, BASE64: _from_base64, URL: self._from_url}[path]
        try:
            fields, content, kind = read(request, origin)
            return self._stored(fields, content, kind, origin, now)
        except _Refused as error:
            return _refused(error.code, str(error))

    def served(self, target: str) -> Response:
        """Answer the request of a file."""
        found = self.files.get(unquote(target.partition("?")[0].removeprefix(PREFIX)))
        return Response(b"not found", "text/plain", 404) if found is None else Response(found.content, found.kind)

    def _stored(self, fields: Mapping[str, Any], content: bytes, kind: str, origin: str, now: float) -> Response:
        folder, name = fields.get("uploadPath"), fields.get("fileName")
        if not isinstance(folder, str) or not folder:
            raise _Refused("Missing required parameter: uploadPath")
        if not _FOLDER.fullmatch(folder) or ".." in folder:
            raise _Refused("Invalid parameter: uploadPath")
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise _Refused("Invalid parameter: fileName")
        if name is None:
            ending = mimetypes.guess_extension(kind) or ".bin"
            name = f"{int(now * 1000)}-{uuid.uuid4().hex[:6]}{ending}"
        kind = mimetypes.guess_type(name)[0] or kind
        stored = Stored(f"kieai/{ACCOUNT}/{folder}/{name}", content, kind, now)
        self.files[stored.path] = stored
        moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data = {
            "success": True,
            "fileName": name,
            "filePath": stored.path,
            "downloadUrl": f"{origin}{PREFIX}{quote(stored.path)}",
            "fileSize": len(content),
            "mimeType": kind,
            "uploadedAt": moment,
        }
        return _said(True, 200, "File uploaded successfully", data=data)

    def _from_url(self, request: Request, origin: str) -> tuple[Mapping[str, Any], bytes, str]:
        fields = _object(request)
        url = fields.get("fileUrl")
        if not isinstance(url, str) or not url:
            raise _Refused("Missing required parameter: fileUrl")
        found = self.files.get(unquote(url.removeprefix(f"{origin}{PREFIX}")))
        if found is None:
            raise _Refused("File download failed", 500)
        return fields, found.content, found.kind


class _Refused(Exception):
    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


def unauthorized() -> Response:
    """Refuse a request without a key."""
    return _refused(401, "Authentication failed: Invalid API Key")


def with_data(response: Response, **changes: Any) -> Response:
    """Return the answer to an upload that says something else of the file."""
    body = json.loads(response.content)
    if not isinstance(body.get("data"), dict):
        return response
    return attrs.evolve(response, content=json.dumps({**body, "data": {**body["data"], **changes}}).encode())


def _refused(code: int, message: str) -> Response:
    # UNVERIFIED: whether HTTP has the code, too.
    return attrs.evolve(_said(False, code, message), status=code)


def _said(success: bool, code: int, message: str, **more: Any) -> Response:
    return Response(json.dumps({"success": success, "code": code, "msg": message, **more}).encode())


def _object(request: Request) -> Mapping[str, Any]:
    try:
        body = json.loads(request.content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _Refused("The request body is not valid JSON")
    return body


def _from_base64(request: Request, origin: str) -> tuple[Mapping[str, Any], bytes, str]:
    del origin
    fields = _object(request)
    text = fields.get("base64Data")
    if not isinstance(text, str) or not text:
        raise _Refused("Missing required parameter: base64Data")
    declared = re.match(r"data:([^;,]*);base64,", text)
    try:
        content = base64.b64decode(text[declared.end() if declared else 0 :], validate=True)
    except binascii.Error:
        raise _Refused("Base64 decoding failed: Invalid Base64 format") from None
    return fields, content, declared[1] if declared else "application/octet-stream"


def _from_form(request: Request, origin: str) -> tuple[Mapping[str, Any], bytes, str]:
    del origin
    found = re.fullmatch(r'multipart/form-data;\s*boundary="?([^";]{1,70})"?', request.headers.get("content-type", ""))
    if found is None:
        raise _Refused("Expected multipart/form-data")
    mark = b"\r\n--" + found[1].encode("latin-1")
    pieces = (b"\r\n" + request.content).split(mark)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise _Refused("Unexpected end of form")
    fields: dict[str, Any] = {}
    file: tuple[bytes, str] | None = None
    for piece in pieces[1:-1]:
        head, _, content = piece.partition(b"\r\n\r\n")
        said = head.decode("utf-8", "replace")
        name = re.search(r'\bname="([^"]*)"', said)
        kind = re.search(r"content-type:\s*([^\s;]+)", said, re.IGNORECASE)
        if name is None:
            raise _Refused("Malformed part header")
        if name[1] == "file":
            file = content, kind[1] if kind else "application/octet-stream"
        else:
            fields[name[1]] = content.decode("utf-8", "replace")
    if file is None:
        raise _Refused("Missing required parameter: file")
    return fields, *file
