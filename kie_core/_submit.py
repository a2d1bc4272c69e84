"""The one place that spends money: the function that sends a create. It repeats nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from kie_core._answer import Accepted, Unknown, Verdict, unknown, verdict
from kie_core._errors import NotSent, Refused, SubmitUnknown
from kie_core._http import Http, SentWithoutAnswer
from kie_core._job import Job, Request

log = logging.getLogger("kie_core")


async def send_create(
    http: Http, job: Job, request: Request, *, refused: Sequence[tuple[int, str]], seconds: float
) -> str:
    """Send the create of *job* once and return Kie's task id. **Costs money.**

    A cancelled caller does not cut the request off: the answer is awaited and logged first,
    because a task whose id nobody read is paid and lost.

    Args:
        http: How to send.
        job: What is bought.
        request: Its create request.
        refused: Pairs of ``(code, message part)`` of the plugin that mean "nothing was made".
        seconds: How long to wait for the answer.

    Raises:
        NotSent: Nothing left this machine.
        Refused: Kie said no.
        SubmitUnknown: Nobody can say; do not send again.
    """
    log.info("job %s: sending %s over wire %s, %s", job.id, job.model.id, job.wire, job.price)
    await asyncio.sleep(0)  # a caller who is cancelled already leaves here, before anything is bought
    sending = asyncio.ensure_future(_judged(http, job, request, refused, seconds))
    cancelled: asyncio.CancelledError | None = None
    while not sending.done():  # some frameworks cancel again and again
        try:
            await asyncio.wait({sending})
        except asyncio.CancelledError as error:
            cancelled = error
    judged = sending.result()
    _log(job, judged)
    if cancelled is not None:
        if isinstance(judged, Unknown):
            cancelled.add_note(str(SubmitUnknown(job.handle(judged.task_id), judged.reason)))
        if isinstance(judged, Accepted):
            note = f"cancelled, but the task goes on at Kie and is paid: {job.handle(judged.task_id)}"
            log.warning("job %s: %s", job.id, note)
            cancelled.add_note(note)
        raise cancelled
    if isinstance(judged, Accepted):
        return judged.task_id
    if isinstance(judged, Unknown):
        raise SubmitUnknown(job.handle(judged.task_id), judged.reason, judged.answer)
    raise judged


async def _judged(
    http: Http, job: Job, request: Request, refused: Sequence[tuple[int, str]], seconds: float
) -> Verdict | NotSent:
    try:
        answer = await http.create(request, seconds=seconds)
    except NotSent as error:
        return error
    except SentWithoutAnswer as error:
        return unknown(str(error), error.received)
    except asyncio.CancelledError:  # the loop itself is ending
        _log(job, Unknown("the event loop ended before Kie answered"))
        raise
    return verdict(answer, refused)


def _log(job: Job, judged: Verdict | NotSent) -> None:
    if isinstance(judged, Accepted):
        log.info("job %s: accepted as task %s", job.id, judged.task_id)
    elif isinstance(judged, Unknown):
        handle = job.handle(judged.task_id)
        log.error("job %s: UNKNOWN whether Kie took it: %s; do not send it again (%s)", job.id, judged.reason, handle)
    else:
        assert isinstance(judged, (Refused, NotSent))
        log.info("job %s: %s", job.id, judged)
