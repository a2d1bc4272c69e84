"""What a fault makes of an answer that was right: its bytes, its framing, its JSON."""

from __future__ import annotations

import functools
import gzip
import json
import random
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from kie_sandbox.faults import Fault
from kie_sandbox.messages import Delivery, Response

MEGABYTE: Final = 1024 * 1024
Effect = Callable[[Response, Fault], Response]


def _delivered(**how: Any) -> Effect:
    return lambda response, _: _by(response, **how)


def _by(response: Response, **how: Any) -> Response:
    return Response(response.content, response.content_type, response.status, response.headers, Delivery(**how))


def page(status: int) -> Response:
    """Return the web page of a gateway."""
    text = f"<html><head><title>{status}</title></head><body><center><h1>{status}</h1></center></body></html>"
    return Response(text.encode(), "text/html", status)


def redirected(location: str) -> Response:
    return Response(b"", "text/html", 307, (("Location", location),))


# --- JSON -----------------------------------------------------------------------------


def with_code(response: Response, written: str) -> Response:
    """Return the answer with another code, in JSON that no encoder would write."""
    body = json.loads(response.content)
    if not isinstance(body, dict):
        return response
    rest = json.dumps({name: value for name, value in body.items() if name != "code"})
    return Response(f'{{"code": {written}, {rest[1:]}'.encode())


def _coded(written: str) -> Effect:
    return lambda response, _: with_code(response, written)


def _said(response: Response, fault: Fault) -> Response:
    del response
    return Response.said(int(fault.number), f"the sandbox was told to answer with {int(fault.number)}", data=None)


def _task_id(value: str) -> Effect:
    return lambda response, _: with_task_id(response, value)


def with_task_id(response: Response, value: str | int | None) -> Response:
    """Return the answer to a create with another task id, and without the second one that createTask gives."""
    body = json.loads(response.content)
    if isinstance(body.get("data"), dict):
        body["data"] = {} if value is None else {"taskId": value}
    return Response(json.dumps(body).encode())


def _as_number(response: Response, _: Fault) -> Response:
    data = json.loads(response.content).get("data")
    return response if data is None else with_task_id(response, int(data["taskId"]))


def _twice(response: Response, _: Fault) -> Response:
    return Response(b'{"code": 500, "data": null, ' + response.content[1:])


# --- packed ---------------------------------------------------------------------------

_GZIP: Final = (("Content-Encoding", "gzip"),)


def _broken_gzip(response: Response, _: Fault) -> Response:
    whole = gzip.compress(response.content, mtime=0)
    broken = whole[:10] + bytes(byte ^ 0xFF for byte in whole[10:])
    return Response(broken, response.content_type, response.status, _GZIP)


def _bomb(response: Response, fault: Fault) -> Response:
    packed = _packed_with_blanks(response.content, int(fault.number * MEGABYTE))
    return Response(packed, response.content_type, response.status, _GZIP)


@functools.lru_cache(maxsize=4)
def _packed_with_blanks(content: bytes, blanks: int) -> bytes:
    """Pack *content* and so many blanks, without ever holding them."""
    block = b" " * MEGABYTE
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bytearray(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff")
    checked = 0
    for piece in (content, *[block] * (blanks // MEGABYTE), b" " * (blanks % MEGABYTE)):
        packed += packer.compress(piece)
        checked = zlib.crc32(piece, checked)
    packed += packer.flush() + struct.pack("<II", checked, (len(content) + blanks) & 0xFFFFFFFF)
    return bytes(packed)


# --- the table ------------------------------------------------------------------------

#: What is no HTTP, the same in every run: bytes that begin like nothing known.
_NOISE: Final = b"\x00\xff" + random.Random(1).randbytes(510)

EFFECTS: Final[Mapping[str, Effect]] = {
    "close": _delivered(head=0, body=0, end="close"),
    "reset": _delivered(head=0, body=0, end="reset"),
    "half-headers": _delivered(head=0.5, body=0, end="close"),
    "half-closed": _delivered(head=0, body=0, half_close=True, hold=float("inf"), end="close"),
    "silent": lambda response, fault: _by(response, head=0, body=0, hold=fault.number, end="close"),
    "delay": lambda response, fault: _by(response, delay=fault.number),
    "slow": lambda response, fault: _by(response, rate=fault.number),
    "cut-body": lambda response, fault: _by(response, body=fault.number, end="close"),
    "longer": lambda response, fault: _by(response, excess=int(fault.number), end="close"),
    "garbage": _delivered(raw=_NOISE, end="close"),
    "huge-header": lambda response, fault: Response(
        response.content,
        response.content_type,
        response.status,
        (*response.headers, ("X-Filler", "x" * int(fault.number))),
    ),
    "broken-gzip": _broken_gzip,
    "gzip-bomb": _bomb,
    "huge": lambda response, fault: _by(response, padding=int(fault.number * MEGABYTE)),
    "endless": _delivered(padding=float("inf"), chunked=True),
    "html": lambda *_: page(200),
    "status": lambda _, fault: page(int(fault.number)),
    "code": _said,
    "code-made": _said,
    "cut-json": lambda response, _: Response(response.content[: len(response.content) // 2]),
    "bad-utf8": lambda response, _: Response(response.content[:-1] + b', "note": "caf\xe9"}'),
    "bom": lambda response, _: Response(b"\xef\xbb\xbf" + response.content),
    "data-null": lambda *_: Response.ok(None),
    "record-null": lambda *_: Response.ok(None),
    "code-text": _coded('"200"'),
    "code-float": _coded("200.0"),
    "code-true": _coded("true"),
    "huge-int": _coded("9" * 5000),
    "nan": _coded("NaN"),
    "overflow": _coded("1e999"),
    "brackets": _coded("[" * 100_000 + "]" * 100_000),
    "duplicate-keys": _twice,
    "task-id-missing": lambda response, _: with_task_id(response, None),
    "task-id-number": _as_number,
    "task-id-empty": _task_id(""),
    "task-id-long": _task_id("7" * 10_000),
    "task-id-nul": _task_id("4f1c\x00d9e"),
}


def about_answers(fault: Fault) -> bool:
    """Tell whether *fault* needs nothing but an answer to break."""
    return fault.effect == "redirect" or fault.effect in EFFECTS


def broken(response: Response, fault: Fault, target: str) -> Response:
    """Return what *fault* makes of *response* to a request of *target*, if it is about answers at all."""
    if fault.effect == "redirect":
        return redirected(fault.text or target)
    effect = EFFECTS.get(fault.effect)
    return response if effect is None else effect(response, fault)
