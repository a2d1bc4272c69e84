"""The files that tasks made: whole or in part, as RFC 9110 says, and with links that may expire."""

from __future__ import annotations

import functools
import hashlib
import re
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs

import attrs

from kie_sandbox.broken_answers import page
from kie_sandbox.faults import Fault, Faults
from kie_sandbox.messages import Request, Response

TYPES: Final = {".png": "image/png", ".jpg": "image/jpeg", ".mp4": "video/mp4", ".mp3": "audio/mpeg"}
NAMES: Final = ("picture.png", "picture.jpg", "clip.mp4", "song.mp3")
_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


@functools.cache
def media_file(name: str) -> bytes:
    return files("kie_sandbox").joinpath("media", name).read_bytes()


def link_mark(faults: Faults, reading: int, now: float) -> str:
    """Return what a link carries so that it can expire; empty while no fault makes links expire."""
    marks = []
    if "file-first-link-expired" in faults:
        marks.append(f"reading={reading}")
    if "file-expires" in faults:
        marks.append(f"read-at={now:.3f}")
    return f"?{'&'.join(marks)}" if marks else ""


def fits(fault: Fault, request: Request, now: float) -> bool:
    """Tell whether *fault* makes a difference for that request of a file."""
    query = {name: values[0] for name, values in parse_qs(request.target.partition("?")[2]).items()}
    match fault.name:
        case "file-first-link-expired":
            return query.get("reading") == "1"
        case "file-expires":
            try:
                return now - float(query["read-at"]) > fault.number
            except (KeyError, ValueError):
                return False
        case "file-no-range" | "file-wrong-range":
            return "range" in request.headers
        case _:
            return True


def served(request: Request, fault: Fault | None, number: int) -> Response:
    """Answer the *number*-th request of a file; other than by its bytes only *fault* changes the answer here."""
    name = request.target.partition("?")[0].rpartition("-")[2]
    if name not in NAMES:
        return Response(b"not found", "text/plain", 404)
    content, kind = media_file(name), TYPES["." + name.rpartition(".")[2]]
    effect = "" if fault is None else fault.effect
    if effect in ("first-link-expired", "expires"):
        return attrs.evolve(
            page(403), content_type="application/xml", content=b"<Error><Code>AccessDenied</Code></Error>"
        )
    if effect == "disguised":
        return attrs.evolve(page(200), content_type=kind)
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}{f"-{number}" if effect == "etag-changes" else ""}"'
    whole = Response(content, kind, headers=(("ETag", tag), ("Accept-Ranges", "bytes")))
    part = None if effect == "no-range" else _part(request, tag, len(content))
    if part is None:
        return whole
    if effect == "wrong-range":
        part = part[1:]
    if not part:
        headers = (*whole.headers, ("Content-Range", f"bytes */{len(content)}"))
        return Response(b"", kind, 416, headers)
    headers = (*whole.headers, ("Content-Range", f"bytes {part.start}-{part.stop - 1}/{len(content)}"))
    return Response(content[part.start : part.stop], kind, 206, headers)


def _part(request: Request, tag: str, size: int) -> range | None:
    """Return the bytes that are asked for; None: all, empty: none that exist."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if request.method != "GET" or found is None or not any(found.groups()):
        return None
    if request.headers.get("if-range", tag) != tag:
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size) if int(last) else range(0)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
