"""The files of a client's jobs: each content is uploaded once, however many wait for it, and put into what is sent."""

from __future__ import annotations

import asyncio
import os
from weakref import WeakValueDictionary

import attrs

from kie_core._errors import ConfigError, JobKeyTaken
from kie_core._files.local import Source, replaced
from kie_core._files.upload import Upload
from kie_core._files.uploads import OnProgress, Uploader
from kie_core._files.uploads_file import uploads_path
from kie_core._jobs.job import Job
from kie_core._ledger.entry import Entry
from kie_core._network.addresses import is_own
from kie_core._network.file_client import place_of
from kie_core._network.http import Http
from kie_core._opened import Opened
from kie_core._running.plan import account_of, with_addresses
from kie_core._running.runner import Runner


class SharedUploads:
    """Uploads the files of one client.

    Args:
        opened: What the client has open.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        #: By connections, too: after a fork there are others, and nobody ends here what the parent uploads.
        self._uploading: WeakValueDictionary[tuple[Http, str], asyncio.Lock] = WeakValueDictionary()

    async def upload(self, source: Source, name: str | None, on_progress: OnProgress | None, *, reuse: bool) -> Upload:
        """Upload a file, or return an earlier upload of the same content. Takes and raises what `Kie.upload` does."""
        uploader = self._uploader()
        if not reuse:
            return await uploader.upload(source, name=name, on_progress=on_progress, reuse=False)
        lock = self._uploading.setdefault((self._opened.network(), source.stand_in), asyncio.Lock())
        async with lock:  # a hundred jobs with the same picture wait for one upload
            return await uploader.upload(source, name=name, on_progress=on_progress)

    async def put_into(self, job: Job, entry: Entry, on_upload: OnProgress | None, *, reuse: bool) -> tuple[Job, Entry]:
        """Upload the files of a job, and put their addresses into it. Its fingerprint stays that of their content."""
        if not job.files:
            return job, entry
        uploads = {
            stand_in: await self.upload(source, None, on_upload, reuse=reuse) for stand_in, source in job.files.items()
        }
        urls = {stand_in: upload.url for stand_in, upload in uploads.items()}
        until = min(upload.expires_at for upload in uploads.values()).timestamp()
        sent = attrs.evolve(job, params=replaced(job.params, urls), files={})
        return sent, with_addresses(entry, urls, until)

    def _uploader(self) -> Uploader:
        """Raises `ConfigError` where a fake on this machine would have files, and its key, sent elsewhere."""
        http, settings = self._opened.connected(), self._opened.settings
        assert settings.api_key is not None
        here, there = (place_of(url) for url in (settings.base_url, settings.upload_url))
        if is_own(here, here) and not is_own(there, there):
            problem = f"upload_url is {settings.upload_url!r}, and base_url is on this machine"
            raise ConfigError((f"{problem}: no file leaves it unasked; set KIE_UPLOAD_URL, for a sandbox to the same",))
        return Uploader(
            settings.upload_url, settings.api_key, settings.request_timeout, self._opened.clock,
            uploads_path(settings.upload_url, account_of(settings), os.environ), http.context,
        )  # fmt: skip


async def bought_before(runner: Runner, job: Job, entry: Entry) -> Entry | None:
    """Return the bought job that an entry with files asks for once more: then nothing must be uploaded.

    Raises:
        JobKeyTaken: Its key belongs to another request.
    """
    if not job.files or entry.job_key is None:
        return None
    known = await runner.ledger.by_key(runner.account, entry.job_key)
    if known is not None and known.fingerprint != entry.fingerprint:
        raise JobKeyTaken(entry.job_key, known.id, known.plan.model)
    return known if known is not None and known.bought else None
