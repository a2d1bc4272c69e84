"""Ask Kie something that is free."""

from __future__ import annotations

from typing import Any

from kie_core._answer import Answer, account_refusal, body_of, code_of, message_of
from kie_core._errors import ReadFailed
from kie_core._http import Http
from kie_core._job import Request


async def question(http: Http, request: Request, seconds: float) -> dict[str, Any]:
    """Return the JSON object that Kie answers with.

    Raises:
        ReadFailed: No usable answer came.
        Refused: The account may not ask, or not now.
    """
    return answered(await http.ask(request, seconds=seconds))


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
