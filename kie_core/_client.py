"""The client: submit a job, wait for it, save what it made."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs
import stamina

from kie_core import __version__
from kie_core._answer import account_refusal, body_of, code_of, message_of
from kie_core._config import Settings, load_settings
from kie_core._dispatch import Dispatcher, load_dispatcher
from kie_core._errors import (
    JobFailed,
    KieError,
    Maintenance,
    NoKey,
    NotSent,
    PluginFailed,
    RateLimited,
    ReadFailed,
    ReadRefused,
    Refused,
    SaveFailed,
)
from kie_core._files import Saver
from kie_core._http import FileClient, Http
from kie_core._job import Job, Request
from kie_core._model import Media, Model
from kie_core._outcome import Outcome
from kie_core._payload import Payload, payload_of
from kie_core._registry import Registry
from kie_core._submit import send_create
from kie_core._wait import WAIT_SECONDS, Clock, Schedule, follow

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger("kie_core")
#: Source: docs.kie.ai/common-api/get-account-credits, read 2026-08-19.
_CREDITS = Request("GET", "/api/v1/chat/credit")


class Kie:
    """The client of Kie.ai. Use it as ``async with Kie() as kie:``.

    It belongs to the event loop in which it is entered and to nothing else: no
    global, no singleton; make as many as you like.

    Args:
        api_key: The key; None: from ``KIE_API_KEY`` or the user's configuration file.
        settings: All settings at once; None: read from environment and files.
        transport: An asynchronous transport of the HTTP library, in place of ours. It stays
            yours: the client does not close it. Unless it reports what it sends, a connection
            that it could not make counts as unknown, not as unsent.
        dispatcher: From `load_dispatcher`, to be shared by many clients; None: one of its own. Its
            preferred wire, callback URL and rates count, not those of this client's settings.
        schedule: When to ask for results.
        clock: For tests.
        **overrides: Any other setting by its name: ``base_url=...``, ``wire="jobs"``.

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
        schedule: Schedule | None = None,
        clock: Clock | None = None,
        **overrides: Any,
    ) -> None:
        if settings is None:
            unknown = [name for name in overrides if name not in attrs.fields_dict(Settings)]
            if unknown:
                raise TypeError(f"unknown setting {unknown[0]!r}; known are {', '.join(attrs.fields_dict(Settings))}")
            settings = load_settings({"api_key": api_key, **overrides})
        elif overrides or api_key is not None:
            raise TypeError("give settings, or single values, not both")
        self.settings = settings
        self._dispatcher = dispatcher or load_dispatcher(settings)
        self._transport = transport
        self._schedule = schedule or Schedule()
        self._clock = clock or Clock()
        self._http: Http | None = None
        self._sent: set[str] = set()

    async def __aenter__(self) -> Self:
        if self._http is not None:
            raise RuntimeError("the client is open already; make another for another block")
        self._http = Http(self.settings.base_url, self.settings.api_key, version=__version__, transport=self._transport)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.close()

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
        """Return the models in which every word occurs; the 210 legacy ids only with *everything*."""
        return self.registry.search(words, everything=everything)

    def job(self, model: str, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None) -> Job:
        """Decide a job: check the inputs, choose the wire, find the price. Sends nothing.

        Args:
            model: A model id.
            inputs: By name; None: left to the model's default, or to Kie.
            wire: ``dedicated``, ``jobs`` or ``v4``; None: ``KIE_WIRE``, else the plugin's first.

        Raises:
            UnknownModel, ModelGone, InvalidJob, UnknownWire, NoPlugin, PluginBroken: The job cannot be made.
        """
        return self._dispatcher.job(model, inputs or {}, job_id=secrets.token_hex(8), wire=wire)

    def payload(self, model: str, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None) -> Payload:
        """Show what a submit would send. Sends nothing. Raises what `job` raises."""
        return payload_of(self._dispatcher, self.job(model, inputs, wire=wire), self.settings.base_url)

    # --- buying ------------------------------------------------------------------------

    async def submit(
        self, model: str | Job, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None
    ) -> Task:
        """Buy a job and return at once. **Costs money.** Sends one create and never repeats it.

        Args:
            model: A model id, or a job made by `job`, which carries its own inputs and wire.
            inputs: As for `job`.
            wire: As for `job`.

        Raises:
            What `job` raises; nothing was sent.
            NoKey: There is no key; nothing was sent.
            NotSent: Nothing left this machine; you may submit again.
            Refused: Kie said no, nothing was bought; `RateLimited` and `Maintenance` may be tried later.
            SubmitUnknown: It may have been bought: do not submit again; look at https://kie.ai/logs.
        """
        if isinstance(model, Job) and (inputs is not None or wire is not None):
            raise TypeError("a job carries its own inputs and wire; make another with kie.job()")
        job = model if isinstance(model, Job) else self.job(model, inputs, wire=wire)
        if job.attached:
            raise ValueError(f"job {job.id} is known from a handle only: it can be read back, not bought")
        request = self._dispatcher.request(job)
        refused = self._dispatcher.refused(job)
        for warning in self._dispatcher.warnings(job):
            log.warning("job %s: %s", job.id, warning)
        http = self._connected()
        if job.id in self._sent:
            raise ValueError(f"job {job.id} was sent before; a job is bought once, make another with kie.job()")
        self._sent.add(job.id)
        try:
            task_id = await send_create(http, job, request, refused=refused, seconds=self.settings.create_timeout)
        except (Refused, NotSent):
            self._sent.discard(job.id)
            raise
        task = Task(self, job, task_id)
        self._dispatcher.plugins.observe("job_accepted", job=job, task_id=task_id)
        return task

    async def generate(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        wait_timeout: float | None = None,
    ) -> Task:
        """Buy a job, wait for it, and return the finished task. **Costs money.**

        Args:
            model: As for `submit`.
            inputs: As for `job`.
            wire: As for `job`.
            wait_timeout: Seconds to wait; None: by the kind of media; ``math.inf``: for ever.

        Raises:
            What `submit` and `Task.wait` raise.
        """
        self._wait_seconds(wait_timeout, "image")  # a bad one is found before anything is bought
        task = await self.submit(model, inputs, wire=wire)
        await task.wait(wait_timeout)
        return task

    # --- reading, free -----------------------------------------------------------------

    def attach(self, handle: str) -> Task:
        """Return the task of a handle, to wait for it or save it. Buys nothing.

        Raises:
            BadHandle: It is not a handle, or names no task.
            UnknownModel, NoPlugin, PluginBroken, UnknownWire: It cannot be read here.
        """
        job, task_id = self._dispatcher.attached(handle)
        return Task(self, job, task_id)

    def _wait_seconds(self, wait_timeout: float | None, media: Media) -> float:
        """Return how long a wait lasts: as said, else as set, else by the kind of *media*.

        Raises:
            ValueError: ``wait_timeout`` is negative or not a number.
        """
        seconds = wait_timeout if wait_timeout is not None else self.settings.wait_timeout
        if seconds is None:
            return WAIT_SECONDS[media]
        if not seconds >= 0:
            raise ValueError(f"wait_timeout is {seconds!r}; expected seconds, 0 or more")
        return seconds

    async def credits(self) -> Decimal:
        """Return the balance in credits; one is 0.005 USD. Free.

        Raises:
            Unauthorized: The key is wrong.
            ReadFailed: No usable answer came, three times.
        """
        body: dict[str, Any] = {}
        later = (ReadFailed, RateLimited, Maintenance)
        async for attempt in stamina.retry_context(on=later, attempts=3, timeout=None):
            with attempt:
                body = await self._ask(_CREDITS)
                balance = body.get("data")
                if code_of(body) != 200 or isinstance(balance, bool) or not isinstance(balance, (int, float)):
                    raise ReadFailed(f"{message_of(body) or 'no message'} (code {body.get('code')!r})")
        return Decimal(str(body["data"]))

    async def _read(self, job: Job, task_id: str) -> Outcome:
        try:
            body = await self._ask(self._dispatcher.query(job, task_id))
            return self._dispatcher.outcome(job, body)
        except (RateLimited, Maintenance) as error:
            raise ReadFailed(f"{error.message or 'no message'} (code {error.code})") from error
        except Refused as error:
            raise ReadRefused(job.handle(task_id), error.code, error.message) from error
        except PluginFailed as error:
            raise attrs.evolve(error, handle=job.handle(task_id)) from error.__cause__
        except (ReadFailed, NoKey):
            raise
        except KieError as error:  # what else a hook raises says nothing about this task
            raise PluginFailed(job.model.category, "parse_result", str(error), job.handle(task_id)) from error

    async def _ask(self, request: Request) -> dict[str, Any]:
        answer = await self._connected().ask(request, seconds=self.settings.request_timeout)
        try:
            body = body_of(answer)
        except ReadFailed:
            refusal = account_refusal(answer.status, f"HTTP {answer.status}")
            if refusal is not None:
                raise refusal from None
            raise
        refusal = account_refusal(code_of(body), message_of(body))
        if refusal is not None:
            raise refusal
        return body

    def _connected(self) -> Http:
        if self._http is None:
            raise RuntimeError("the client is not open; use it as: async with Kie() as kie:")
        if self.settings.api_key is None:
            raise NoKey
        return self._http


class Task:
    """A task at Kie: what became of a job.

    Attributes:
        job: What was bought.
        id: Kie's task id.
        outcome: What was last seen of it; None: nothing yet.
    """

    def __init__(self, kie: Kie, job: Job, task_id: str) -> None:
        self._kie = kie
        self.job = job
        self.id = task_id
        self.outcome: Outcome | None = None

    def __repr__(self) -> str:
        return f"<Task {self.handle} {self.outcome.state if self.outcome else 'not read yet'}>"

    @property
    def handle(self) -> str:
        """The text that resumes this task anywhere: ``kie.attach(handle)``."""
        return self.job.handle(self.id)

    async def status(self) -> Outcome:
        """Ask once. Free.

        Raises:
            RecordMissing: Kie does not know the task: not yet, or not any more.
            ReadFailed: No usable answer; ask again.
            ReadRefused: The account cannot read.
            PluginFailed: The plugin cannot read the answer.
        """
        self._seen(await self._kie._read(self.job, self.id))
        assert self.outcome is not None
        return self.outcome

    async def updates(self, wait_timeout: float | None = None) -> AsyncIterator[Outcome]:
        """Yield each outcome that differs from the one before, until the task ends. Free.

        Args:
            wait_timeout: Seconds; None: the setting, else 15 minutes, for video 30; ``math.inf``: for ever.

        Raises:
            WaitTimeout: The task goes on; attach to its handle later.
            ReadRefused: The account cannot read; the task goes on.
            PluginFailed: The plugin cannot read the answers; the task goes on.
            ValueError: ``wait_timeout`` is negative or not a number.
        """
        kie = self._kie
        seconds = kie._wait_seconds(wait_timeout, self.job.model.media)
        async for outcome in follow(
            lambda: kie._read(self.job, self.id),
            handle=self.handle,
            seconds=seconds,
            schedule=kie._schedule,
            clock=kie._clock,
            at_once=self.job.attached,
        ):
            self._seen(outcome)
            yield outcome

    async def wait(self, wait_timeout: float | None = None) -> Outcome:
        """Wait until the task succeeded and return its outcome. Free. Raises what `updates` raises, and:

        Raises:
            JobFailed: It ended without a result, or waits for a person.
        """
        if not self._settled:
            async for _ in self.updates(wait_timeout):
                pass
        outcome = self.outcome
        assert outcome is not None
        if outcome.state != "succeeded":
            error = outcome.error
            code, message = (error.code, error.message) if error is not None else (None, outcome.remark or "")
            raise JobFailed(self.handle, outcome.state, code, message)
        return outcome

    async def save(self, folder: str | Path | None = None) -> list[Path]:
        """Save every artifact and return the paths, in the order of the artifacts. Waits first if need be. Free.

        Args:
            folder: Made if it is missing; None: the setting ``out``.

        Raises:
            SaveFailed: One could not be saved, or Kie names none; those before it are on disk.
            What `wait` raises.
        """
        outcome = await self.wait()
        kie = self._kie
        if not outcome.artifacts:
            raise SaveFailed(self.handle, "the result", "Kie says that the task succeeded, but names no result yet")
        target = Path(folder) if folder is not None else kie.settings.out
        stop = threading.Event()
        paths = []
        with FileClient(version=__version__, seconds=kie.settings.request_timeout) as client:
            for number, artifact in enumerate(outcome.artifacts, 1):
                saver = Saver(self.handle, self.job, number, target, client, kie.settings.base_url, stop)
                try:
                    paths.append(await asyncio.to_thread(saver.save, artifact))
                except asyncio.CancelledError:
                    stop.set()  # the thread ends at its next chunk
                    raise
        return paths

    @property
    def _settled(self) -> bool:
        """Whether nothing more is to be learnt. What seems gone may come back, and a result may be named later."""
        outcome = self.outcome
        return outcome is not None and (
            outcome.state == "failed" or (outcome.state == "succeeded" and bool(outcome.artifacts))
        )

    def _seen(self, outcome: Outcome) -> None:
        known = self.outcome
        if known == outcome or self._settled:
            return
        self.outcome = outcome
        log.info("job %s: task %s is %s", self.job.id, self.id, outcome.state)
        plugins = self._kie.dispatcher.plugins
        plugins.observe("job_updated", job=self.job, task_id=self.id, outcome=outcome)
        if outcome.finished:
            plugins.observe("job_finished", job=self.job, task_id=self.id, outcome=outcome)
