"""Ask Kie something that is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import stamina

from kie_core._errors import Maintenance, RateLimited, ReadFailed
from kie_core._jobs.answer import Answer, account_refusal, body_of, code_of, message_of
from kie_core._jobs.job import Request
from kie_core._network.http import Http

T = TypeVar("T")


async def question(http: Http, request: Request, seconds: float) -> dict[str, Any]:
    """Return the JSON object that Kie answers with.

    Raises:
        ReadFailed: No usable answer came.
        Refused: The account may not ask, or not now.
    """
    return answered(await http.ask(request, seconds=seconds))


async def asked(
    connected: Callable[[], Http],
    request: Request,
    read: Callable[[dict[str, Any]], T],
    seconds: float,
    *,
    pause: float = 0.1,
) -> T:
    """Ask up to three times, until *read* can read the answer.

    Args:
        connected: Returns the network, each time anew: the client may be closed meanwhile.
        request: What to ask.
        read: Makes something of the JSON object, or raises `ReadFailed`.
        seconds: For each answer.
        pause: Seconds between the first two times; then it is longer.

    Raises:
        What `question` and *connected* raise.
    """
    later = (ReadFailed, RateLimited, Maintenance)
    async for attempt in stamina.retry_context(on=later, attempts=3, timeout=None, wait_initial=pause):
        with attempt:
            return read(await question(connected(), request, seconds))
    raise AssertionError("the last attempt returns or raises")


def answered(answer: Answer) -> dict[str, Any]:
    """Return the JSON object in an answer. Raises what `question` raises."""
    try:
        body = body_of(answer)
    except ReadFailed:
        refusal = account_refusal(answer.status, f"HTTP {answer.status}", answer.retry_after)
        if refusal is not None:
            raise refusal from None
        raise
    refusal = account_refusal(code_of(body), message_of(body), answer.retry_after)
    if refusal is not None:
        raise refusal
    return body
