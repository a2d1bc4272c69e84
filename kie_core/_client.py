"""The client: submit a job, wait for it, save what it made."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

from kie_core._budget import Balance, Budget
from kie_core._catalogue.catalogue import LIST, PAUSE, Catalogue, catalogue_of
from kie_core._catalogue.catalogue_file import catalogue_path, keep, kept
from kie_core._config import Settings, given_settings
from kie_core._dispatch.dispatcher import V4, Dispatcher, load_dispatcher
from kie_core._dispatch.reference import resolved, unresolved
from kie_core._errors import (
    BadHandle,
    KieError,
    ReadFailed,
    UnknownJob,
    UploadFailed,
)
from kie_core._files.local import FileLike, Unusable, any_source, decided, shown_of, source_of
from kie_core._files.upload import Upload
from kie_core._files.uploads import OnProgress
from kie_core._jobs.answer import code_of, message_of
from kie_core._jobs.callback import token_fits
from kie_core._jobs.job import Handle, Job, Request
from kie_core._ledger.entry import Entry, JobState
from kie_core._ledger.gates import Gate
from kie_core._ledger.ledger import Event
from kie_core._ledger.stats import ModelStats, stats_of
from kie_core._models.model import Media, Model
from kie_core._models.registry import Registry
from kie_core._network.download_link import link_in, link_request
from kie_core._network.question import asked
from kie_core._opened import Opened
from kie_core._pace import Pace
from kie_core._payload import Payload, payload_of
from kie_core._running.decisions import adopted, called_off, settled
from kie_core._running.drive import drive
from kie_core._running.runner import Runner
from kie_core._running.step import Step
from kie_core._running.submit import Judged
from kie_core._secret import Secret
from kie_core._shared_uploads import SharedUploads, bought_before
from kie_core._task import Task, named_in_errors, task_of
from kie_core._wait import Clock, Schedule, wait_seconds

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")
log = logging.getLogger("kie_core")
#: Source: docs.kie.ai/common-api/get-account-credits, read 2026-08-19.
_CREDITS = Request("GET", "/api/v1/chat/credit")
#: How many jobs are saved at once: a file host that drips does not hold up the others.
_SAVERS: Final = 4
#: The longest job key.
_LONGEST_KEY: Final = 200


class Kie:
    """The client of Kie.ai. Use it as ``async with Kie() as kie:``.

    It belongs to the event loop in which it is entered and to nothing else: no
    global, no singleton; make as many as you like. What it buys is written into the
    ledger first, which all clients of a user share unless ``ledger`` says otherwise.

    Args:
        api_key: The key; None: from ``KIE_API_KEY`` or the user's configuration file.
        settings: All settings at once; None: read from environment and files.
        transport: An asynchronous transport of the HTTP library, in place of ours. It stays
            yours: the client does not close it. Unless it reports what it sends, a connection
            that it could not make counts as unknown, not as unsent.
        dispatcher: From `load_dispatcher`, to be shared by many clients; None: one of its own. Its
            preferred wire, callback URL and rates count, not those of this client's settings.
        budget: Limits for all that this client buys, one or several, beside those of the settings.
        schedule: When to ask for results; None: ``Pace()``, by how long such jobs take.
        clock: For tests.
        **overrides: Any other setting by its name: ``base_url=...``, ``wire="jobs"``, ``ledger="memory:"``.

    Raises:
        ConfigError: A setting is wrong; all faults at once.
        RegistryError: The user's registry file is broken.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        settings: Settings | None = None,
        transport: object | None = None,
        dispatcher: Dispatcher | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        schedule: Schedule | Pace | None = None,
        clock: Clock | None = None,
        **overrides: Any,
    ) -> None:
        if settings is None:
            settings = given_settings(api_key, overrides)
        elif overrides or api_key is not None:
            raise TypeError("give settings, or single values, not both")
        self.settings = settings
        self._dispatcher = dispatcher or load_dispatcher(settings)
        self._clock = clock or Clock()
        self._opened = Opened(
            settings, self._dispatcher, _budgets(budget), transport=transport, schedule=schedule or Pace(),
            clock=self._clock,
        )  # fmt: skip
        self._uploads = SharedUploads(self._opened)

    async def __aenter__(self) -> Self:
        self._opened.enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.close()

    # --- looking, free and without network --------------------------------------------

    @property
    def registry(self) -> Registry:
        """All models that this client knows."""
        return self._dispatcher.plugins.registry

    @property
    def dispatcher(self) -> Dispatcher:
        """What decides about jobs: plugins, prices, wires."""
        return self._dispatcher

    def models(self, *words: str, everything: bool = False) -> list[Model]:
        """Return the models in which every word occurs; the legacy ids and what is gone only with *everything*."""
        return self.registry.search(words, everything=everything)

    def model(self, model_id: str) -> Model:
        """Return what is known of a model: its inputs with defaults and limits, its rules, its prices, its source.

        Raises:
            UnknownModel: With the nearest ids, or with the new one of a model that the vendor renamed.
        """
        return self.registry.get(model_id)

    def job(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
    ) -> Job:
        """Decide a job: check the inputs, choose the wire, find the price. Sends nothing.

        Args:
            model: A model id.
            inputs: By name; None: left to the model's default, or to Kie. Where an input takes a URL, a
                ``Path``, bytes, a file that is open in binary or a ``data:`` URL may stand in its place: it is
                read now, and uploaded when the job is submitted.
            wire: ``dedicated``, ``jobs`` or ``v4``; None: ``KIE_WIRE``, else the plugin's first.
            raw: Send ``{"model": model, "input": inputs}`` to createTask exactly as given, whatever the registry
                knows: nothing is checked, converted, renamed or added, and None is sent as null. For a model or an
                input that Kie has and the registry lacks. What Kie does not know it drops or refuses, and may bill.
            price_credits: With *raw*: the credits that you expect, reserved as such; None: the price is unknown.

        Raises:
            UnknownModel, ModelGone, InvalidJob, UnknownWire, NoPlugin, PluginBroken: The job cannot be made.
        """
        job_id = secrets.token_hex(8)
        if raw:
            return self._dispatcher.raw_job(
                model, {} if inputs is None else inputs, job_id=job_id, wire=wire, price_credits=price_credits
            )
        if price_credits is not None:
            raise TypeError("price_credits goes with raw=True; elsewhere the registry knows the price")
        return decided(self._dispatcher, model, inputs or {}, job_id=job_id, wire=wire)

    async def prepare(self, model: str, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None) -> Job:
        """Decide a job as `job` does; one that builds on an earlier task reads that first. Buys nothing.

        An input of format ``task`` may be a handle, a job of the ledger, or Kie's task id; what else the request
        needs of it, such as the id of a track, is taken from its record. `submit` does the same.

        Args:
            model: As for `job`.
            inputs: As for `job`.
            wire: As for `job`.

        Raises:
            What `job` raises; `InvalidJob` too where the earlier task is not finished, not known, or does not fit.
            ReadFailed, ReadRefused, NoKey, PluginFailed: The earlier task cannot be read now.
        """
        model_row, found = self.registry.get(model), inputs or {}
        if unresolved(model_row, found):
            self._dispatcher.wire_for(model_row, wire)
            self._opened.connected()
            found = await resolved(await self._opened.with_ledger(), model_row, found)
        if any_source(found):  # files are read: not in the event loop
            return await asyncio.to_thread(self.job, model, found, wire=wire)
        return self.job(model, found, wire=wire)

    def payload(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
    ) -> Payload:
        """Show what a submit would send. Sends nothing, uploads nothing. Takes and raises what `job` does."""
        job = self.job(model, inputs, wire=wire, raw=raw, price_credits=price_credits)
        return payload_of(self._dispatcher, job, self.settings.base_url)

    # --- files, free -------------------------------------------------------------------

    async def upload(
        self, source: FileLike, *, name: str | None = None, on_progress: OnProgress | None = None, reuse: bool = True
    ) -> Upload:
        """Upload a file to Kie, and return where it lies. Free.

        Inputs that take a URL take a file itself, too: this is for a file that many jobs share.

        Args:
            source: A ``Path``, bytes, a file that is open in binary (read from where it stands), or a ``data:`` URL.
            name: What to call it there; None: its own base name. Nothing else of its path leaves this machine.
            on_progress: Is told how many bytes were sent, and of how many; after a failure it begins anew.
            reuse: Return an earlier upload of the same content, while that lives.

        Raises:
            NoKey: There is no key.
            ConfigError: ``base_url`` is on this machine, and ``upload_url`` is not.
            UploadFailed: It cannot be read, is of no kind that is uploaded, or could not be sent, four times.
        """
        self._opened.connected()
        try:
            found = await asyncio.to_thread(source_of, source)
        except Unusable as error:
            raise UploadFailed(shown_of(source), str(error), "look at the file and try again") from None
        return await self._uploads.upload(found, name, on_progress, reuse=reuse)

    # --- buying ------------------------------------------------------------------------

    async def submit(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
        job_key: str | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        allow_unknown_price: bool = False,
        wait_timeout: float | None = None,
        on_upload: OnProgress | None = None,
        reuse: bool = True,
    ) -> Task:
        """Buy a job and return its task. **Costs money.**

        Files among its inputs are uploaded first, which is free: a failed upload buys nothing. Then the job and
        its reserved price are in the ledger before anything of it is sent. A create is sent again only
        if nothing left this machine, or if Kie refused it for now (429, 455); never if that is in doubt.

        Args:
            model: A model id, or a job made by `job`, which carries its own inputs and wire.
            inputs: As for `job`.
            wire: As for `job`.
            raw: As for `job`.
            price_credits: As for `job`.
            job_key: Your own name for this purchase: asking again with the same key and the same inputs gives
                the same job and buys nothing more, even after a crash.
            budget: Limits for this job, beside those of the client.
            allow_unknown_price: Buy under a limit although the price is unknown.
            wait_timeout: Seconds in which a create that was not taken is tried again; None: as for `generate`;
                0: it is sent once at the most, and only if its turn is there.
            on_upload: Is told how many bytes of a file were sent, and of how many.
            reuse: Take earlier uploads of the same content, while they live.

        Raises:
            What `job` raises; nothing was sent.
            NoKey: There is no key; nothing was sent.
            UploadFailed: A file could not be uploaded; nothing was bought.
            JobKeyTaken: The key belongs to another request; nothing was sent.
            OverBudget: A limit would be exceeded; nothing was sent.
            LedgerError: The ledger cannot be written; nothing was sent.
            NotSent: Nothing left this machine; you may submit again.
            Refused: Kie said no, nothing was bought; `RateLimited` and `Maintenance` may be tried later.
            SubmitUnknown: It may have been bought: do not submit again; look at https://kie.ai/logs.
        """
        job = await self._prepared(model, inputs, wire, raw=raw, price_credits=price_credits)
        seconds = wait_seconds(wait_timeout, self.settings.wait_timeout, job.model.media)
        runner = await self._opened.for_buying()
        entry = await self._planned(
            runner, job, job_key=job_key, budget=budget, allow_unknown_price=allow_unknown_price, kept=False
        )
        same = await bought_before(runner, job, entry)
        if same is not None:
            return task_of(self._opened, runner.planner.job_of(same), same, None)
        job, entry = await self._uploads.put_into(job, entry, on_upload, reuse=reuse)
        added = await runner.add(entry)
        if added.id == job.id and (added.bought or added.ended) and job_key is None:
            raise ValueError(f"job {job.id} was sent before; a job is bought once, make another with kie.job()")
        judged: Judged | None = None
        if added.state in ("queued", "leased", "submitting"):
            added, judged = await runner.submit(added, seconds)
        return task_of(self._opened, job if added.id == job.id else runner.planner.job_of(added), added, judged)

    async def generate(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
        job_key: str | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        allow_unknown_price: bool = False,
        wait_timeout: float | None = None,
        on_upload: OnProgress | None = None,
        reuse: bool = True,
    ) -> Task:
        """Buy a job, wait for it, and return the finished task. **Costs money.**

        Args:
            model: As for `submit`.
            inputs: As for `job`.
            wire: As for `job`.
            raw: As for `job`.
            price_credits: As for `job`.
            job_key: As for `submit`.
            budget: As for `submit`.
            allow_unknown_price: As for `submit`.
            wait_timeout: Seconds to wait in all; None: by the kind of media; ``math.inf``: for ever.
            on_upload: As for `submit`.
            reuse: As for `submit`.

        Raises:
            What `submit` and `Task.wait` raise. Whatever comes after the purchase names the task: in ``handle``, or,
            as where the caller is cancelled, in a note.
        """
        job = await self._prepared(model, inputs, wire, raw=raw, price_credits=price_credits)
        seconds = wait_seconds(wait_timeout, self.settings.wait_timeout, job.model.media)
        started = self._clock.now()
        task = await self.submit(
            job, job_key=job_key, budget=budget, allow_unknown_price=allow_unknown_price, wait_timeout=seconds,
            on_upload=on_upload, reuse=reuse,
        )  # fmt: skip
        with named_in_errors(task.handle):
            await task.wait(max(0.0, seconds - (self._clock.now() - started)))
        return task

    async def enqueue(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
        job_key: str | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        allow_unknown_price: bool = False,
        out: str | Path | None = None,
        on_upload: OnProgress | None = None,
        reuse: bool = True,
    ) -> Entry:
        """Put a job into the ledger without sending it; `advance` or `drive` buys it. Free by itself.

        It stays queued until it is bought, whatever happens to this process, and while Kie refuses the
        account; one whose uploads have expired meanwhile is called off. Other processes can send it only if its
        inputs are in the ledger, as the setting ``ledger_prompts`` has it. Takes and raises what `submit` does,
        of the network only what uploads are about.

        Args:
            model: As for `submit`.
            inputs: As for `job`.
            wire: As for `job`.
            raw: As for `job`.
            price_credits: As for `job`.
            job_key: As for `submit`.
            budget: As for `submit`.
            allow_unknown_price: As for `submit`.
            out: The folder in which `advance` saves its results; None: it saves none.
            on_upload: As for `submit`.
            reuse: As for `submit`.
        """
        runner = await self._opened.for_buying()
        job = await self._prepared(model, inputs, wire, raw=raw, price_credits=price_credits)
        folder = None if out is None else Path(out)
        entry = await self._planned(
            runner,
            job,
            job_key=job_key,
            budget=budget,
            allow_unknown_price=allow_unknown_price,
            kept=True,
            folder=folder,
        )
        same = await bought_before(runner, job, entry)
        if same is not None:
            return same
        _, entry = await self._uploads.put_into(job, entry, on_upload, reuse=reuse)
        return await runner.add(entry)

    async def advance(self, job: str) -> Step:
        """Do the next step of a job: submit it, ask about it, or save it. **May cost money**: it buys queued jobs.

        Safe to call any number of times, from any process of any machine that shares the ledger: one create
        is sent, whoever calls. Call it again after ``wait`` seconds, until that is None.

        Args:
            job: A job id, or a handle.

        Raises:
            UnknownJob: The ledger does not know the job.
            LedgerError, NoKey, WrongState: Nothing was done.
            OverBudget: There is no room for it at the moment; it stays queued.
            ReadRefused, PluginFailed, SaveFailed: The step failed; the job stays as it was.
        """
        runner = await self._opened.for_buying()
        return await runner.advance(_job_id(job))

    async def drive(self, *jobs: str, wait_timeout: float = math.inf) -> dict[str, KieError]:
        """Step jobs until there is nothing more to do with them. **Costs money**: it buys queued jobs.

        Cancelled, it begins nothing new; creates that are on their way get their answer first.

        Args:
            *jobs: Job ids; none: every job of this account that waits in the ledger or runs.
            wait_timeout: Seconds, in all; what has not been sent by then stays queued.

        Returns:
            The jobs whose last step failed, or of which a person has to go on, with the reason.

        Raises:
            ValueError: ``wait_timeout`` is negative or not a number; nothing was sent.
            NoKey, LedgerError: Nothing was sent.
            RuntimeError: The client was closed meanwhile; creates that were on their way got their answer.
        """
        seconds = wait_seconds(wait_timeout, self.settings.wait_timeout, "image")
        runner = await self._opened.for_buying()
        ids = [_job_id(job) for job in jobs]
        if not ids:
            waiting = await runner.ledger.find("queued", "leased", account=runner.account, kept=True)
            running = await runner.ledger.find("submitting", "running", account=runner.account)
            ids = [entry.id for entry in sorted((*waiting, *running), key=lambda entry: entry.created_at)]
        advance = functools.partial(runner.advance, end=self._clock.now() + seconds)
        return await self._driven(runner, advance, ids, seconds)

    async def _driven(
        self, runner: Runner, advance: Callable[[str], Awaitable[Step]], job_ids: Sequence[str], seconds: float
    ) -> dict[str, KieError]:
        running = functools.partial(runner.ledger.running, runner.account)
        return await drive(
            runner.reader.watcher, advance, running, job_ids, self._clock, seconds=seconds,
            per_second=self.settings.polls_per_second,
        )  # fmt: skip

    async def _prepared(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None,
        wire: str | None,
        *,
        raw: bool,
        price_credits: float | Decimal | None,
    ) -> Job:
        if isinstance(model, Job):
            return as_decided(model, inputs, wire, raw=raw, price_credits=price_credits)
        if raw or price_credits is not None:
            return self.job(model, inputs, wire=wire, raw=raw, price_credits=price_credits)
        return await self.prepare(model, inputs, wire=wire)

    async def _planned(
        self, runner: Runner, job: Job, *, job_key: str | None, budget: Budget | Sequence[Budget] | None, **more: Any
    ) -> Entry:
        if job_key is not None and not (0 < len(job_key) <= _LONGEST_KEY and job_key.isprintable()):
            raise ValueError(f"job_key is {job_key[:80]!r}; expected 1 to {_LONGEST_KEY} printable characters")
        budgets = (*runner.budgets, *_budgets(budget))
        entry = runner.planner.planned(job, job_key=job_key, budgets=budgets, **more)
        for one in _budgets(budget):
            await self._opened.follow(runner, one)
        for warning in self._dispatcher.warnings(job):
            log.warning("job %s: %s", job.id, warning)
        return entry

    # --- reading, free -----------------------------------------------------------------

    def attach(self, handle: str) -> Task:
        """Return the task of a handle, to wait for it or save it. Buys nothing.

        The ledger wins where it knows the job; elsewhere the task id in the handle suffices. What went over the
        wire ``jobs`` is read whether or not its model is known here.

        Raises:
            BadHandle: It is not a handle.
            UnknownModel, NoPlugin, PluginBroken, UnknownWire: It cannot be read here.
        """
        job, parts = self._dispatcher.readable(handle)
        return Task(self._opened, job, None, parts.task)

    async def task(self, job: str) -> Task:
        """Return the task of a job that the ledger knows. Buys nothing.

        Args:
            job: A job id, or a handle.

        Raises:
            UnknownJob: The ledger does not know it.
        """
        entry = await self.entry(job)
        return Task(self._opened, (await self._opened.with_ledger()).planner.job_of(entry), entry, entry.task_id)

    async def find(self, task_id: str, *, model: str | None = None, universal: bool = False) -> Task:
        """Return a task by Kie's own id. Buys nothing.

        The ledger knows which model and wire the tasks of this account belong to.

        Args:
            task_id: Kie's.
            model: What it is a task of, for one that the ledger never saw.
            universal: One that the ledger never saw was made by createTask, of whatever model.

        Raises:
            UnknownJob: The ledger never saw it, and nothing was said of it.
            BadHandle: It cannot be a task id.
            UnknownModel, NoPlugin, PluginBroken: It cannot be read here.
        """
        if not isinstance(task_id, str):  # a bot without types gives what it found
            raise BadHandle(repr(task_id)[:80], "a task id is text")
        runner = await self._opened.for_reading()
        entry = await runner.ledger.by_task(runner.account, task_id)
        if entry is not None:
            return Task(self._opened, runner.planner.job_of(entry), entry, task_id)
        job_id = secrets.token_hex(8)
        if model is not None:
            wire = self._dispatcher.wire_for(self.registry.get(model), None)
            return self.attach(Handle(job_id, model, wire, task_id).text)
        if not universal:
            raise UnknownJob(task_id, runner.ledger.database.place)
        Handle.parse(Handle(job_id, "unknown", V4, task_id).text)  # complains where it cannot be a task id
        return Task(self._opened, self._dispatcher.unknown_job(job_id), None, task_id)

    async def credits(self) -> Decimal:
        """Return the balance in credits; one is 0.005 USD. Free.

        Raises:
            Unauthorized: The key is wrong.
            ReadFailed: No usable answer came, three times.
        """
        return await asked(self._opened.connected, _CREDITS, _balance_in, self.settings.request_timeout)

    async def download_link(self, url: str) -> str:
        """Return a link to a file of Kie's that anybody can open for 20 minutes, without a key.

        For a browser or a messenger that does not get the file's own address. To save a result it is not needed.
        Free: no page of Kie's names a price for it.

        Args:
            url: Of a result.

        Raises:
            ValueError: It is no address; nobody was asked.
            NoKey: There is no key.
            Refused: Kie does not know the file: it is not of this service, or was deleted.
            Unauthorized, OutOfCredits, RateLimited, Maintenance: The account may not ask, or not now.
            ReadFailed: No usable answer came, three times.
        """
        return await asked(self._opened.connected, link_request(url), link_in, self.settings.request_timeout)

    async def catalogue(self, *, refresh: bool = False) -> Catalogue:
        """Return the models that Kie itself lists, as they were when that was last asked. Free.

        Every client of a user keeps it in the same file, one for each base URL; it never grows old by itself.

        Args:
            refresh: Ask Kie, and keep what it says. Else nobody is asked, and no key is needed.

        Raises:
            NoCatalogue: Without *refresh*: none is kept, or none that can be used.
            NoKey: With *refresh*: there is no key.
            Unauthorized, OutOfCredits, RateLimited, Maintenance: With *refresh*: the account may not ask, or not now.
            ReadFailed: With *refresh*: no usable answer came, three times; what was kept before is still there.
        """
        base_url = self.settings.base_url
        path = catalogue_path(base_url, os.environ)
        if not refresh:
            return await asyncio.to_thread(kept, path, base_url)

        def read(body: dict[str, Any]) -> Catalogue:
            return catalogue_of(body, datetime.fromtimestamp(self._clock.time(), UTC))

        fetched = await asked(self._opened.connected, LIST, read, self.settings.request_timeout, pause=PAUSE)
        try:
            await asyncio.to_thread(keep, path, base_url, fetched)
        except OSError as error:
            log.warning("the catalogue cannot be kept in %s: %s", path, error.strerror or error)
        return fetched

    async def schemas(self, *models: str) -> dict[str, str]:
        """Ask Kie what models take, and keep it: the local overlay, which counts for clients that are made later. Free.

        One question a second, at most two for a model. What Kie has no schema for, or none that can be read, is left
        as it is. The overlay is one file for each base URL, beside the catalogue.

        Args:
            *models: As Kie's list calls them; none: every one of the kept catalogue that was not asked about today.

        Returns:
            The models of which nothing could be kept, with the reason.

        Raises:
            NoCatalogue: Without *models*: no catalogue is kept.
            NoKey: There is no key.
            Unauthorized, OutOfCredits, RateLimited, Maintenance: The account may not ask, or not now.
            OSError: The overlay cannot be written.
        """
        from kie_core._live_schemas import fetched_schemas  # loaded where it is used

        return await fetched_schemas(self._opened, models)

    async def recover(self, *, out: str | Path | None = None, wait_timeout: float | None = None) -> dict[str, KieError]:
        """Bring what was bought to its end: take over from dead processes, wait for what runs, save. Never buys.

        Args:
            out: The folder for results that are not saved yet; None: results are read, not saved.
            wait_timeout: Seconds, in all; None: by the kind of media; 0: everything is asked about once.

        Returns:
            The jobs of which something failed, or which wait for a person, with the reason. Unknown jobs that no
            evidence resolves stay listed: ``await kie.jobs("unknown")``.
        """
        runner = await self._opened.with_ledger()
        await runner.recovery.take_over()
        await runner.recovery.look_into_callbacks()
        await runner.recovery.look_once_more()
        running = await runner.ledger.find("running", account=runner.account)
        media: Media = "video" if any(entry.plan.media == "video" for entry in running) else "image"
        seconds = wait_seconds(wait_timeout, self.settings.wait_timeout, media)
        faults = await self._driven(runner, runner.read_on, [entry.id for entry in reversed(running)], seconds)
        if out is not None:
            faults |= await self.save_all(out)
        return faults

    async def save_all(self, out: str | Path) -> dict[str, KieError]:
        """Save the results of every job of this account that are not saved yet. Free.

        Returns:
            The jobs whose results could not be saved, with the reason.
        """
        runner = await self._opened.with_ledger()
        faults: dict[str, KieError] = {}
        crew = asyncio.Semaphore(_SAVERS)

        async def save(entry: Entry) -> None:
            try:
                async with crew:
                    await runner.save(entry, Path(out))
            except KieError as error:
                faults[entry.id] = error

        unsaved = await runner.ledger.find("succeeded", account=runner.account, unsaved=True)
        await asyncio.gather(*(save(entry) for entry in reversed(unsaved)))
        return faults

    # --- the ledger --------------------------------------------------------------------

    async def jobs(self, *states: JobState, unsaved: bool = False, limit: int | None = None) -> list[Entry]:
        """Return the jobs in the ledger, of all accounts, the newest first.

        Args:
            *states: ``"running"``, ``"unknown"`` ...; none: all.
            unsaved: Only those that have results which do not lie on this machine.
            limit: How many at the most.
        """
        runner = await self._opened.with_ledger()
        return await runner.ledger.find(*states, unsaved=unsaved, limit=limit)

    async def counts(self) -> dict[JobState, int]:
        """Return how many jobs of the ledger are in each state; states without jobs are left out."""
        return await (await self._opened.with_ledger()).ledger.counts()

    async def stats(self, days: float | None = None, *, account: str | None = None) -> tuple[ModelStats, ...]:
        """Return what the jobs of each model came to, the most bought first. Needs no key, asks nobody, buys nothing.

        Args:
            days: Only jobs that were sent within so many days; None: all.
            account: As `Entry.account` has it; None: of all accounts.

        Raises:
            ValueError: ``days`` is no number above 0.
        """
        if days is not None and not days > 0:
            raise ValueError(f"days is {days!r}; expected a number above 0")
        seconds = None if days is None else days * 86400
        return stats_of(await (await self._opened.with_ledger()).ledger.bought(account=account, seconds=seconds))

    async def entry(self, job: str) -> Entry:
        """Return one job of the ledger.

        Args:
            job: A job id, or a handle.

        Raises:
            UnknownJob: The ledger does not know it.
        """
        runner = await self._opened.with_ledger()
        entry = await runner.ledger.get(_job_id(job))
        if entry is None:
            raise UnknownJob(job, runner.ledger.database.place)
        return entry

    async def history(self, job: str) -> list[Event]:
        """Return every change of a job, the first first. Raises `UnknownJob`."""
        entry = await self.entry(job)
        return await (await self._opened.with_ledger()).ledger.events(entry.id)

    async def resolve(
        self, job: str, *, adopt_task: str | None = None, not_sent: bool = False, abandon: bool = False
    ) -> Entry:
        """Decide what became of a job of which nobody knows; exactly one of the three.

        Look at https://kie.ai/logs first: it lists what Kie took.

        Args:
            job: A job id, or a handle.
            adopt_task: Kie's task id, from its logs; the job goes on as that task.
            not_sent: Kie never saw it: its price is released.
            abandon: It is given up: its price counts as spent.

        Raises:
            UnknownJob: The ledger does not know it.
            WrongState: It is not unknown, Kie does not know the task, or that belongs to another job.
            ReadFailed, ReadRefused, NoKey: Kie cannot be asked about the task now; nothing was changed.
        """
        if (adopt_task is not None) + not_sent + abandon != 1:
            raise TypeError("say one of adopt_task, not_sent and abandon")
        runner, entry = await self._opened.with_ledger(), await self.entry(job)
        if adopt_task is not None:
            return await adopted(runner, entry, adopt_task)
        return await settled(runner, entry, sent=abandon)

    async def cancel(self, job: str) -> Entry:
        """Call off a job that was not sent yet.

        Raises:
            UnknownJob: The ledger does not know it.
            WrongState: It was sent: Kie has no way to cancel it, and it is paid.
        """
        runner, entry = await self._opened.with_ledger(), await self.entry(job)
        return await called_off(runner, entry)

    async def forget(self, job: str) -> None:
        """Remove a job's inputs from the ledger; its price, state and results stay. Raises `UnknownJob`."""
        runner, entry = await self._opened.with_ledger(), await self.entry(job)
        await runner.ledger.forget(entry.id)

    async def gates(self) -> list[Gate]:
        """Return what holds creates back at the moment."""
        return await (await self._opened.with_ledger()).ledger.gates()

    async def open_gate(self, name: str | None = None) -> bool:
        """Let creates through again; tell whether they were held back.

        Args:
            name: From `gates`; None: this account's.
        """
        runner = await self._opened.with_ledger()
        return await runner.ledger.open_gate(name or runner.account)

    async def balances(self) -> list[Balance]:
        """Return what is spent and reserved on each scope."""
        return await (await self._opened.with_ledger()).ledger.balances()

    async def booked(self, scope: str | None = None) -> list[Entry]:
        """Return the jobs that count on a scope since its last reset, the newest first.

        Args:
            scope: From `balances`; None: this account's.
        """
        runner = await self._opened.with_ledger()
        return await runner.ledger.booked(scope or f"account:{runner.account}")

    async def reset_budget(self, scope: str | None = None) -> Balance | None:
        """Begin to count a scope's spending anew: what was spent on it counts against no limit any more.

        What is reserved stays reserved. Opens the gate that the scope had closed.

        Args:
            scope: From `balances`; None: this account's, which the limits of the settings count on.

        Returns:
            The scope as it stands now; None: nothing was ever booked on it.
        """
        runner = await self._opened.with_ledger()
        return await runner.ledger.reset(scope or f"account:{runner.account}")

    # --- callbacks, see `kie_core.webhook` ---------------------------------------------

    @property
    def webhook_keys(self) -> Sequence[Secret]:
        """The keys by which Kie signs."""
        return self.settings.webhook_keys

    def token_fits(self, job_id: str, token: str) -> bool:
        """Tell whether a callback address was made by us."""
        return token_fits(token, job_id, self.settings.all_keys)

    async def receive(
        self, *, job_id: str | None, task_id: str, digest: str
    ) -> Literal["stored", "duplicate", "unknown"]:
        """Note a callback, durably, and look into it in the background.

        Raises:
            LedgerError: It could not be noted; Kie should try again.
        """
        runner = await self._opened.with_ledger()
        runner.reader.watcher.called = True
        noted = await runner.ledger.receive(runner.account, job_id, task_id, digest)
        if job_id is None:
            known = await runner.ledger.by_task(runner.account, task_id)
            job_id = None if known is None else known.id
        if noted != "unknown":
            self._opened.look_into_callbacks(runner, job_id)
        return noted


def as_decided(
    job: Job, inputs: object | None, wire: str | None, *, raw: bool, price_credits: float | Decimal | None
) -> Job:
    """Return a job that is to be bought as it was decided.

    Raises:
        TypeError: Something was said beside it that a job carries itself.
        ValueError: It is known from a handle only.
    """
    if inputs is not None or wire is not None or raw or price_credits is not None:
        raise TypeError("a job carries its own inputs, wire and price; make another with kie.job()")
    if job.attached:
        raise ValueError(f"job {job.id} is known from a handle only: it can be read back, not bought")
    return job


def opened_by(kie: Kie) -> Opened:
    """Return what *kie* has open, for what goes by the same clock, or closes it in an order of its own."""
    return kie._opened


def _balance_in(body: dict[str, Any]) -> Decimal:
    balance = body.get("data")
    if code_of(body) != 200 or isinstance(balance, bool) or not isinstance(balance, (int, float)):
        raise ReadFailed(f"{message_of(body) or 'no message'} (code {body.get('code')!r})")
    return Decimal(str(balance))


def _budgets(budget: Budget | Sequence[Budget] | None) -> tuple[Budget, ...]:
    if budget is None:
        return ()
    return (budget,) if isinstance(budget, Budget) else tuple(budget)


def _job_id(text: str) -> str:
    """Return the job id of a handle, or the text itself."""
    return Handle.parse(text).job if text.startswith("kie1:") else text
