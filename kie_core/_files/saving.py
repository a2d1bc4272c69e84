"""Put results on disk: streamed, counted, under names of our own, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Event
from typing import Final
from urllib.parse import urljoin, urlsplit

import attrs
import stamina

from kie_core._errors import KieError, ReadFailed, SaveFailed
from kie_core._files.partial import Partial, Source, sha256_of
from kie_core._files.sniff import HEAD, contradicts, extension, is_page, is_text, text_extension
from kie_core._jobs.job import Job
from kie_core._jobs.outcome import Artifact, SavedFile
from kie_core._network.addresses import NotPublic
from kie_core._network.file_client import FileClient

#: Bytes of one result, and of all results of a job, at the most.
LARGEST_FILE: Final = 4 * 1024**3
LARGEST_JOB: Final = 16 * 1024**3
REDIRECTS: Final = 3
#: How often one result is asked for, in all.
ATTEMPTS: Final = 5
#: Letters of one part of a file name.
_LONGEST_NAME: Final = 80
_MOVED: Final = (301, 302, 303, 307, 308)
_GONE: Final = (403, 404, 410)
_GONE_FOR_GOOD: Final = 410
_LATER: Final = (408, 425, 429)

log = logging.getLogger("kie_core")


#: Bytes that come in so many seconds at the least; a slower file is asked for again.
SLOWEST: Final = (64 * 1024, 60.0)


class LinkExpired(Exception):
    """The file host does not know the link, or not any more. Never leaves this package.

    Attributes:
        status: What it answered.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


async def save_all(
    artifacts: Sequence[Artifact],
    *,
    handle: str,
    job: Job,
    folder: Path,
    client: FileClient,
    fresh: Callable[[], Awaitable[Sequence[Artifact]]],
    known: Sequence[SavedFile] = (),
    now: float = 0.0,
) -> list[SavedFile]:
    """Save *artifacts* and return what lies on disk, in their order. Free; one that fails does not stop the others.

    Args:
        artifacts: All of the job, in Kie's order: a file is named for its place.
        handle: Names the task, for messages.
        job: Names the files.
        folder: Made if it is missing.
        client: Fetches.
        fresh: Reads the artifacts once more; called once at the most, when links have expired.
        known: What was saved before: not fetched again where it still lies in *folder*, unchanged.
        now: Seconds since 1970: a link that is refused though it is younger than its time is not given up.

    Raises:
        SaveFailed: Some could not be saved; it names these, and what lies on disk.
    """
    files = _Files(handle, job, folder, client, {file.number: file for file in known}, now)
    expired = await files.save(dict(enumerate(artifacts, 1)))
    if expired:
        try:
            newer = dict(enumerate(await fresh(), 1))
        except KieError as error:
            files.no_fresh(expired, str(error))
            expired = set()
        else:
            again = {number: newer[number] for number in sorted(expired & newer.keys())}
            expired = await files.save(again, ", a fresh one too") | expired - again.keys()
    return files.all(expired)


@attrs.frozen
class _Files:
    """The files of one job, by number: what lies on disk and what could not be saved."""

    handle: str
    job: Job
    folder: Path
    client: FileClient
    known: Mapping[int, SavedFile]
    now: float
    #: Those whose time is over by what Kie says, too: a host that refuses a young link may only be slow.
    gone: set[int] = attrs.field(factory=set)
    saved: dict[int, SavedFile] = attrs.field(factory=dict)
    failed: dict[int, tuple[str, str]] = attrs.field(factory=dict)

    async def save(self, artifacts: Mapping[int, Artifact], remark: str = "") -> set[int]:
        """Save *artifacts* and return the numbers of those whose link has expired."""
        expired = set()
        for number, artifact in artifacts.items():
            self.failed.pop(number, None)
            try:
                self.saved[number] = await self._save(number, artifact)
            except SaveFailed as error:
                self.failed[number] = (error.url, error.reason)
            except LinkExpired as error:
                self.failed[number] = (_shown(artifact), f"its link has expired ({error}){remark}")
                expired.add(number)
                if error.status == _GONE_FOR_GOOD or self._outdated(artifact):
                    self.gone.add(number)
        return expired

    def _outdated(self, artifact: Artifact) -> bool:
        return artifact.expires_at is not None and artifact.expires_at.timestamp() <= self.now

    def no_fresh(self, expired: set[int], why: str) -> None:
        for number in expired:
            url, reason = self.failed[number]
            self.failed[number] = (url, f"{reason}, and Kie gave no fresh one: {why}")

    async def _save(self, number: int, artifact: Artifact) -> SavedFile:
        left = LARGEST_JOB - sum(file.size for file in self.saved.values())
        saver = Saver(
            self.handle, self.job, number, self.folder, self.client, min(LARGEST_FILE, left), self.known.get(number),
            outdated=self._outdated(artifact), texts=artifact.kind in ("text", "data"),
        )  # fmt: skip
        try:
            return await asyncio.to_thread(saver.save, artifact)
        except asyncio.CancelledError:
            saver.stop.set()  # the thread ends at its next chunk
            raise

    def all(self, expired: set[int]) -> list[SavedFile]:
        files = [self.saved[number] for number in sorted(self.saved)]
        if self.failed:
            first, *others = (self.failed[number] for number in sorted(self.failed))
            lost = self.failed.keys() <= expired & self.gone
            raise SaveFailed(self.handle, *first, tuple(files), tuple(others), lost)
        return files


def _shown(artifact: Artifact) -> str:
    return artifact.url or f"the {artifact.kind}"


@attrs.frozen
class Saver:
    """Saves one artifact. Blocks, so it works in a thread; free.

    Attributes:
        handle: Names the task, for messages.
        job: Names the file.
        number: The artifact's place, from 1.
        folder: Made if it is missing.
        client: Fetches; it has no key.
        limit: Bytes at the most.
        known: What was saved before.
        outdated: Its link is older than its time, so a refusal is believed at once.
        texts: It may be a text; a page, such as a host answers with, it may not be.
        stop: Set to give up at the next chunk.
    """

    handle: str
    job: Job
    number: int
    folder: Path
    client: FileClient
    limit: int = LARGEST_FILE
    known: SavedFile | None = None
    outdated: bool = attrs.field(default=False, kw_only=True)
    texts: bool = attrs.field(default=False, kw_only=True)
    stop: Event = attrs.field(factory=Event)

    def save(self, artifact: Artifact) -> SavedFile:
        """Save *artifact*.

        Raises:
            SaveFailed: Nothing new lies under the final name.
            LinkExpired: The same, and a fresh link may help.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if artifact.url is not None:
                return self._unchanged(artifact.url) or self._downloaded(artifact.url)
            if artifact.text is not None:
                return self._written("txt", artifact.text)
            return self._written("json", json.dumps(artifact.data, ensure_ascii=False, indent=1))
        except (OSError, ValueError, ReadFailed, NotPublic, _Broken, _Refused) as error:
            reason = error.reason if isinstance(error, ReadFailed) else str(error)
            raise SaveFailed(self.handle, _shown(artifact), reason) from error

    @property
    def _stem(self) -> str:
        return f"{_safe(self.job.model.id)}-{_safe(self.job.id)}-{self.number}"

    def _path(self, kind: str) -> Path:
        return self.folder / f"{self._stem}.{kind}"

    def _unchanged(self, url: str) -> SavedFile | None:
        known = self.known
        if known is None or known.url is None or known.path.absolute() != self._path(known.kind).absolute():
            return None
        try:
            same = known.path.stat().st_size == known.size and sha256_of(known.path) == known.sha256
        except OSError:
            return None
        return attrs.evolve(known, url=url) if same else None

    def _written(self, kind: str, text: str) -> SavedFile:
        content = text.encode(errors="backslashreplace")
        if len(content) > self.limit:
            raise _Refused(f"it has {len(content)} bytes, more than {self.limit}")
        with Partial(self.folder) as partial:
            partial.write(content)
            return SavedFile(self.number, partial.keep(self._path(kind)), partial.size, partial.sha256, kind)

    def _downloaded(self, url: str) -> SavedFile:
        with Partial(self.folder, self._stem) as partial:
            partial.go_on(_without_query(url))
            try:
                declared = self._fetched(url, partial)
            except (ReadFailed, _Broken, _Interrupted, LinkExpired):
                partial.leave()
                raise
            head = partial.head(HEAD)
            kind = extension(head)
            if self.texts and kind == "bin" and is_text(head):
                kind = text_extension(head, declared)
            elif contradicts(kind, declared):
                log.warning(
                    "job %s: result %d was declared as %r, but it is %r", self.job.id, self.number, declared, kind
                )
            path = partial.keep(self._path(kind))
            return SavedFile(self.number, path, partial.size, partial.sha256, kind, declared, url)

    def _fetched(self, url: str, partial: Partial) -> str | None:
        for attempt in stamina.retry_context(on=self._worth_another, attempts=ATTEMPTS, timeout=None):
            with attempt:
                return self._attempt(url, partial)
        raise AssertionError  # the last attempt returns or raises

    def _worth_another(self, error: Exception) -> bool:
        refused = isinstance(error, LinkExpired) and error.status != _GONE_FOR_GOOD and not self.outdated
        return (refused or isinstance(error, (ReadFailed, _Broken))) and not self.stop.is_set()

    def _attempt(self, url: str, partial: Partial) -> str | None:
        """Fetch the rest of *partial* and return the Content-Type."""
        source = _without_query(url)
        asked = _rest_of(partial)
        for _ in range(REDIRECTS + 1):
            if self.stop.is_set():
                raise _Interrupted("it was interrupted")
            with self.client.open(url, asked) as (status, headers, chunks):
                if status in _MOVED and "location" in headers:
                    url = urljoin(url, headers["location"])
                    continue
                total = _begun(status, headers, partial, source)
                self._stream(chunks, total, partial)
                declared = headers.get("content-type")
                head = partial.head(HEAD)
                unwanted = is_page(head, declared) or (not self.texts and is_text(head))
                if extension(head) == "bin" and unwanted:
                    partial.restart(None)
                    raise _Broken(f"it is a text, not a media file: {head[:60].decode(errors='replace')!r}")
                return declared
        raise _Refused(f"more than {REDIRECTS} redirects")

    def _stream(self, chunks: Iterator[bytes], total: int | None, partial: Partial) -> None:
        if total is not None and total > self.limit:
            raise _Refused(f"it has {total} bytes, more than {self.limit}")
        least, seconds = SLOWEST
        since, then = time.monotonic(), partial.size
        for chunk in chunks:
            if self.stop.is_set():
                raise _Interrupted("it was interrupted")
            if time.monotonic() - since > seconds:
                if partial.size - then < least:
                    raise _Broken(f"it comes too slowly: {partial.size - then} bytes in {seconds:g} s")
                since, then = time.monotonic(), partial.size
            size = partial.size + len(chunk)
            if size > self.limit:
                raise _Refused(f"it has more than {self.limit} bytes")
            if total is not None and size > total:
                partial.restart(None)
                raise _Broken(f"it has more than the {total} bytes that were announced")
            partial.write(chunk)
        if total is not None and partial.size < total:
            raise _Broken(f"{partial.size} bytes came instead of {total}")
        if not partial.size:
            raise _Broken("it is empty")


def check_folder(folder: Path) -> None:
    """Make *folder* and try to write in it: better before a purchase than after.

    Raises:
        OSError: It cannot be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Partial(folder):
        pass


class _Refused(Exception):
    """What lies there is not acceptable, and will not be."""


class _Broken(Exception):
    """What came is not the file; it may come another time."""


class _Interrupted(_Refused):
    """Nobody waits any more."""


def _safe(name: str) -> str:
    """No separators, no leading dots, not too long: whatever a registry or a handle says, it is one name."""
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    if len(safe) <= _LONGEST_NAME:
        return safe
    mark = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe[: _LONGEST_NAME - 9]}-{mark}"


def _without_query(url: str) -> str:
    return urlsplit(url)._replace(query="", fragment="").geturl()


def _rest_of(partial: Partial) -> dict[str, str]:
    """Return the headers that ask for the bytes that are missing, if the file is still the same."""
    if partial.source is None or not partial.size:
        return {}
    return {"Range": f"bytes={partial.size}-", "If-Range": partial.source.validator}


def _begun(status: int, headers: Mapping[str, str], partial: Partial, url: str) -> int | None:
    """Make *partial* fit the answer that begins, and return how many bytes the whole has, if that is said."""
    if status == 200:
        whole = "content-encoding" not in headers
        total = _number(headers.get("content-length", "")) if whole else None
        validator = _validator(headers) if whole else None
        partial.restart(Source(url, validator, total) if validator is not None else None)
        return total
    if status == 206:
        total = _rest_fits(headers, partial)
        if total is not None:
            return total
    if status in (206, 416):
        partial.restart(None)
        raise _Broken("the file host cannot go on where it stopped")
    if status in _GONE:
        raise LinkExpired(status)
    if status in _LATER or status >= 500:
        raise _Broken(f"the file host answered HTTP {status}")
    raise _Refused(f"the file host answered HTTP {status}")


def _rest_fits(headers: Mapping[str, str], partial: Partial) -> int | None:
    """Return the bytes of the whole if the answer goes on exactly where *partial* ends, else None."""
    source = partial.source
    span = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})", headers.get("content-range", "").strip())
    if source is None or span is None or "content-encoding" in headers:
        return None
    start, total = int(span[1]), int(span[2])
    if start != partial.size or total != (source.total or total):
        return None
    said = headers.get("last-modified" if not source.validator.startswith('"') else "etag", source.validator)
    return total if said == source.validator else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _validator(headers: Mapping[str, str]) -> str | None:
    """Return what proves, sent back, that the file is byte for byte the same: a strong ETag, or an old enough date."""
    etag = headers.get("etag", "")
    if etag.startswith('"'):
        return etag
    changed = headers.get("last-modified", "")
    try:
        quiet = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(changed)
    except (TypeError, ValueError):
        return None
    return changed if quiet >= timedelta(seconds=1) else None
