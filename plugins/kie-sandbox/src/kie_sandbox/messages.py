"""What comes in, what goes out, and how the bytes of an answer go astray."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import attrs


@attrs.frozen
class Request:
    """What came in. Header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str] = attrs.field(factory=dict)
    content: bytes = b""


@attrs.frozen
class Delivery:
    """How an answer reaches the client; the server carries it out. Without arguments: as it should.

    Args:
        delay: Seconds before the first byte.
        raw: Bytes instead of an HTTP answer.
        head: The share of the head that is sent.
        body: The share of the body that is sent.
        rate: Bytes of the body per second; None: as fast as it goes.
        padding: Bytes of blanks after the content, which belong to the body; inf: without an end.
        chunked: In chunks, without Content-Length.
        excess: Bytes after the body, beyond Content-Length.
        hold: Seconds for which the connection is then kept open; it ends earlier when the client hangs up.
        half_close: Close the sending side before that.
        end: What happens to the connection then.
    """

    delay: float = 0.0
    raw: bytes | None = None
    head: float = 1.0
    body: float = 1.0
    rate: float | None = None
    padding: float = 0
    chunked: bool = False
    excess: int = 0
    hold: float = 0.0
    half_close: bool = False
    end: Literal["keep", "close", "reset"] = "keep"


@attrs.frozen
class Response:
    """What goes out. ``headers`` come on top of Content-Type and Content-Length."""

    content: bytes
    content_type: str = "application/json;charset=UTF-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    delivery: Delivery = Delivery()

    @classmethod
    def said(cls, code: int, msg: str, **more: Any) -> Response:
        """Answer as Kie does: HTTP 200, and the outcome in the body."""
        return cls(json.dumps({"code": code, "msg": msg, **more}).encode())

    @classmethod
    def ok(cls, data: Any) -> Response:
        return cls.said(200, "success", data=data)
