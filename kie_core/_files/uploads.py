"""Upload files: streamed, hashed, tried again where that is safe, and not sent twice while they live. Free."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeAlias

import attrs
import stamina

from kie_core import __version__
from kie_core._errors import ReadFailed, UploadFailed
from kie_core._files.local import Source, Unusable, name_on_the_wire
from kie_core._files.upload import Upload
from kie_core._files.upload_kinds import KINDS
from kie_core._files.uploads_file import is_address, known_upload, note_upload
from kie_core._jobs.answer import Answer, body_of, code_of, message_of
from kie_core._network.file_client import Cut, UploadClient
from kie_core._network.transport import Context
from kie_core._secret import Secret
from kie_core._wait import Clock

#: Is told how many bytes were sent, and of how many.
OnProgress: TypeAlias = Callable[[int, int], object]

log = logging.getLogger("kie_core")

#: Source: docs.kie.ai/file-upload-api/upload-file-stream, read 2026-10-01.
STREAM: Final = "/api/file-stream-upload"
#: How long an upload lives: the docs say three days, the vendor's own tools 24 hours. UNVERIFIED: the shorter counts.
LIVES: Final = timedelta(hours=24)
#: How often one file is sent, in all.
ATTEMPTS: Final = 4
#: Seconds for which a host that says "later" is waited for, at the most.
_LONGEST_PAUSE: Final = 60.0
_LATER: Final = (408, 425, 429)


class _Broken(Exception):
    """It did not arrive, or nobody knows; it may another time. Never leaves this package."""

    def __init__(self, reason: str, pause: float | None = None, code: int | None = None) -> None:
        super().__init__(reason)
        self.pause = pause
        self.code = code


@attrs.frozen
class Uploader:
    """Sends files to one host, for one account.

    Attributes:
        url: The upload host.
        key: The key.
        seconds: To wait for the next bytes, either way.
        clock: Tells how old an upload is.
        noted: Where uploads are noted, to be used again.
        context: For TLS.
    """

    url: str
    key: Secret
    seconds: float
    clock: Clock
    noted: Path
    context: Context = attrs.field(factory=Context)

    async def upload(
        self, source: Source, *, name: str | None = None, on_progress: OnProgress | None = None, reuse: bool = True
    ) -> Upload:
        """Upload a file, or return the upload of the same content that lives already.

        Raises:
            UploadFailed: It is not there.
        """
        if reuse:
            known = await asyncio.to_thread(known_upload, self.noted, source, self._now())
            if known is not None:
                log.info("%s was uploaded before, until %s: %s", source.shown, known.expires_at, known.url)
                return known
        upload = await self._sent(source, name, _reporter(on_progress))
        try:
            await asyncio.to_thread(note_upload, self.noted, upload, self._now())
        except OSError as error:
            log.warning("uploads cannot be noted in %s: %s", self.noted, error.strerror or error)
        return upload

    async def _sent(self, source: Source, name: str | None, report: Callable[[int, int], None]) -> Upload:
        form = _form(name_on_the_wire(source.name if name is None else name, source.kind), source)
        try:
            async for attempt in stamina.retry_context(on=_Broken, attempts=ATTEMPTS, timeout=None, wait_initial=0.5):
                with attempt:
                    try:
                        return await self._attempt(source, form, report)
                    except _Broken as error:
                        log.info("%s: attempt %d to upload it failed: %s", source.shown, attempt.num, error)
                        if error.pause is not None and attempt.num < ATTEMPTS:
                            await self.clock.sleep(min(error.pause, _LONGEST_PAUSE))
                        raise
        except _Broken as error:
            raise UploadFailed(source.shown, f"{error} ({ATTEMPTS} attempts)", code=error.code) from error
        except Unusable as error:
            raise UploadFailed(source.shown, str(error), "look at the file and try again") from None
        except OSError as error:
            remedy = "look at the proxy and the certificates of this machine"
            raise UploadFailed(source.shown, str(error), remedy) from error
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, source: Source, form: _Form, report: Callable[[int, int], None]) -> Upload:
        cut, began = Cut(self.seconds), self._now()

        def send() -> Answer:
            with UploadClient(
                self.url, self.key, version=__version__, seconds=self.seconds, context=self.context
            ) as client:
                pieces = form.pieces(report, cut)
                return client.post(STREAM, pieces, content_type=form.content_type, size=form.size, cut=cut)

        try:
            answer = await asyncio.to_thread(send)
        except asyncio.CancelledError:
            cut.cut()  # the thread ends at once, wherever it waits
            raise
        except ReadFailed as error:
            raise _Broken(error.reason) from None
        url = _address_in(answer, source, self.url)
        log.info("%s is uploaded: %s", source.shown, url)
        return Upload(url, source.size, source.sha256, began + LIVES, source.kind)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.time(), UTC)


@attrs.frozen
class _Form:
    """A multipart form with one file in it. Its size is known before, so no host must understand chunks.

    Source: docs.kie.ai/file-upload-api/upload-file-stream, read 2026-10-01.
    """

    source: Source
    boundary: str
    head: bytes
    tail: bytes

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    @property
    def size(self) -> int:
        return len(self.head) + self.source.size + len(self.tail)

    def pieces(self, report: Callable[[int, int], None], cut: Cut) -> Iterator[bytes]:
        sent = 0
        yield self.head
        for piece in self.source.pieces():
            if cut.is_cut:
                raise Unusable("it was interrupted")
            yield piece
            sent += len(piece)
            report(sent, self.source.size)
        yield self.tail


def _form(name: str, source: Source) -> _Form:
    # An existing name would be overwritten, and its old content may stay cached: so each upload has its own folder.
    boundary = secrets.token_hex(16)
    fields = {"uploadPath": f"kie-core/{secrets.token_hex(8)}", "fileName": name}
    texts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'
        for field, text in fields.items()
    )
    file = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: {KINDS[source.kind].type}\r\n\r\n"
    )
    return _Form(source, boundary, (texts + file).encode("ascii"), f"\r\n--{boundary}--\r\n".encode("ascii"))


def _address_in(answer: Answer, source: Source, host: str) -> str:
    """Return the address of the file.

    Raises:
        _Broken: The answer says nothing usable, or that it may work another time.
        UploadFailed: The host refused.
    """
    status = answer.status
    if 300 <= status < 400:
        problem = f"{host} answered with a redirect (HTTP {status}), and the key goes nowhere else"
        raise UploadFailed(source.shown, problem, "set upload_url to where it leads, if you trust that", status)
    if status >= 500 or status in _LATER:
        raise _Broken(f"the upload host answered HTTP {status}", answer.retry_after, status)
    try:
        body = body_of(answer)
    except ReadFailed as error:
        if status >= 400:
            raise UploadFailed(source.shown, f"the upload host answered HTTP {status}", code=status) from None
        raise _Broken(error.reason) from None
    code = code_of(body)
    message = message_of(body) or "no message"
    if code is not None and (code >= 500 or code in _LATER):
        raise _Broken(f"Kie answered code {code}: {message}", answer.retry_after, code)
    if status >= 400 or (code is not None and code != 200):
        said = status if code is None or code == 200 else code
        remedy = "look at KIE_API_KEY" if said == 401 else "look at what is allowed and try again, it is free"
        raise UploadFailed(source.shown, f"Kie refused it: {message} (code {said})", remedy, said)
    return _stored(body, code, source)


def _stored(body: dict[str, Any], code: int | None, source: Source) -> str:
    # Source: docs.kie.ai/file-upload-api/upload-file-stream, read 2026-10-01: success is true and code is 200.
    data = body.get("data")
    if body.get("success") is not True or code != 200 or not isinstance(data, dict) or data.get("success") is False:
        raise _Broken(f"Kie did not say that it was stored: {message_of(body) or 'no message'}")
    url, size = data.get("downloadUrl"), data.get("fileSize")
    if not is_address(url):
        raise _Broken(f"Kie named {str(url)[:80]!r} as its address; expected one that begins with http:// or https://")
    if type(size) is int and size != source.size:
        raise _Broken(f"Kie stored {size} bytes of {source.size}")
    return str(url)


def _reporter(on_progress: OnProgress | None) -> Callable[[int, int], None]:
    """Return what a worker thread calls: it tells *on_progress* in the event loop, in order."""
    loop = asyncio.get_running_loop()

    def tell(sent: int, total: int) -> None:
        assert on_progress is not None
        try:
            on_progress(sent, total)
        except Exception as error:  # the caller's code: the upload goes on all the same
            log.warning("on_progress failed: %s: %s", type(error).__name__, error)

    def report(sent: int, total: int) -> None:
        if on_progress is not None:
            loop.call_soon_threadsafe(tell, sent, total)

    return report
