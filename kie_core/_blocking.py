"""The client without async: `Kie` on a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import CancelledError, Future, wait
from decimal import Decimal
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kie_core._budget import Balance
from kie_core._catalogue.catalogue import Catalogue
from kie_core._client import Kie, as_decided, opened_by
from kie_core._config import Settings
from kie_core._dispatch.dispatcher import Dispatcher
from kie_core._dispatch.reference import unresolved
from kie_core._errors import ClientClosed, KieError, SubmitUnknown
from kie_core._files.local import FileLike
from kie_core._files.upload import Upload
from kie_core._jobs.job import Job
from kie_core._jobs.outcome import Outcome
from kie_core._ledger.entry import Entry, JobState
from kie_core._ledger.gates import Gate
from kie_core._ledger.ledger import Event
from kie_core._ledger.stats import ModelStats
from kie_core._models.model import Model
from kie_core._models.registry import Registry
from kie_core._opened import Opened
from kie_core._pace import Pace
from kie_core._payload import Payload
from kie_core._running.step import Step
from kie_core._task import Task, named_in_errors, task_after_all
from kie_core._wait import Schedule, wait_seconds

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came after a create was sent. Its answer was awaited: ``handle`` names the paid task."""

    def __init__(self, handle: str) -> None:
        super().__init__(handle)
        self.handle = handle


class KieBlocking:
    """`Kie` for code without async; works inside a running event loop too. Use it as ``with KieBlocking() as kie:``.

    Takes the arguments of `Kie`; methods do and raise what theirs do. Safe to call from several threads.
    """

    def __init__(self, api_key: str | None = None, **arguments: Any) -> None:
        self._kie = Kie(api_key, **arguments)
        self._opened = opened_by(self._kie)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._buying: dict[Future[Task], _Purchase] = {}
        self._calls: set[Future[Any]] = set()
        self._pid = os.getpid()
        self._closed = False

    def __enter__(self) -> Self:
        self._pid, self._closed = os.getpid(), False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="kie", daemon=True)
        self._thread.start()
        self._run(self._kie.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop, thread = self._running(), self._thread
        assert thread is not None
        self._closed = True
        for purchase in list(self._buying.values()):  # of other threads: they try no more
            loop.call_soon_threadsafe(purchase.stop)
        for call in self._calls - self._buying.keys():
            call.cancel()
        wait(self._buying)  # a create that is on its way gets its answer
        for end in (
            self._opened.answered,
            _all_others_cancelled,
            lambda: self._kie.__aexit__(None, None, None),
            loop.shutdown_asyncgens,
            loop.shutdown_default_executor,
        ):
            self._run(end)
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for call in tuple(self._calls):  # it came too late to be begun, and would be waited for without end
            call.cancel()
        loop.close()

    @property
    def settings(self) -> Settings:
        """All settings of this client."""
        return self._kie.settings

    @property
    def registry(self) -> Registry:
        """All models that this client knows."""
        return self._kie.registry

    @property
    def dispatcher(self) -> Dispatcher:
        """What decides about jobs: plugins, prices, wires."""
        return self._kie.dispatcher

    def models(self, *words: str, everything: bool = False) -> list[Model]:
        """Do what `Kie.models` does."""
        return self._kie.models(*words, everything=everything)

    def model(self, model_id: str) -> Model:
        """Do what `Kie.model` does."""
        return self._kie.model(model_id)

    def job(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
    ) -> Job:
        """Do what `Kie.job` does."""
        return self._kie.job(model, inputs, wire=wire, raw=raw, price_credits=price_credits)

    def prepare(self, model: str, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None) -> Job:
        """Do what `Kie.prepare` does."""
        return self._prepared(model, inputs, wire, raw=False, price_credits=None)

    def _prepared(
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
        asks = not raw and unresolved(self.registry.get(model), inputs or {})
        if asks and price_credits is None:
            return self._run(lambda: self._kie.prepare(model, inputs, wire=wire))
        return self._kie.job(model, inputs, wire=wire, raw=raw, price_credits=price_credits)  # nobody is asked

    def payload(
        self,
        model: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
    ) -> Payload:
        """Do what `Kie.payload` does."""
        return self._kie.payload(model, inputs, wire=wire, raw=raw, price_credits=price_credits)

    def upload(self, source: FileLike, **how: Any) -> Upload:
        """Do what `Kie.upload` does."""
        return self._run(lambda: self._kie.upload(source, **how))

    def submit(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
        **how: Any,
    ) -> BlockingTask:
        """Buy a job and return its task. **Costs money.** Takes and raises what `Kie.submit` does, and:

        Raises:
            Interrupted: Ctrl-C came while the create was on its way; the task is bought and named.
            SubmitUnknown: A second Ctrl-C came before the answer, too.
        """
        job = self._prepared(model, inputs, wire, raw=raw, price_credits=price_credits)
        buying = _Purchase(self._kie, self._opened, job, how)
        future = self._start(buying.run)
        try:
            self._buying[future] = buying
            return BlockingTask(self, future.result())
        except KeyboardInterrupt as interrupt:
            self._running().call_soon_threadsafe(buying.stop)
            raise _interrupted(interrupt, job, future)  # noqa: B904  (its cause says what became of the create)
        finally:
            self._buying.pop(future, None)

    def generate(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        raw: bool = False,
        price_credits: float | Decimal | None = None,
        wait_timeout: float | None = None,
        **how: Any,
    ) -> BlockingTask:
        """Buy a job, wait for it, return the finished task. **Costs money.** Takes what `Kie.generate` does.

        Raises:
            What `Kie.generate` raises, and:
            Interrupted: Ctrl-C came after the create; the task is bought and named.
        """
        job = self._prepared(model, inputs, wire, raw=raw, price_credits=price_credits)
        seconds = wait_seconds(wait_timeout, self.settings.wait_timeout, job.model.media)
        started = time.monotonic()
        task = self.submit(job, wait_timeout=seconds, **how)
        with named_in_errors(task.handle):
            try:
                task.wait(max(0.0, seconds - (time.monotonic() - started)))
            except KeyboardInterrupt:
                raise Interrupted(task.handle) from None
        return task

    def enqueue(self, model: str | Job, inputs: Mapping[str, Any] | None = None, **how: Any) -> Entry:
        """Do what `Kie.enqueue` does."""
        return self._run(lambda: self._kie.enqueue(model, inputs, **how))

    def advance(self, job: str) -> Step:
        """Do what `Kie.advance` does. **May cost money.**"""
        return self._run(lambda: self._kie.advance(job))

    def drive(self, *jobs: str, wait_timeout: float = math.inf) -> dict[str, KieError]:
        """Do what `Kie.drive` does. **Costs money.**"""
        return self._run(lambda: self._kie.drive(*jobs, wait_timeout=wait_timeout))

    def recover(self, *, out: str | Path | None = None, wait_timeout: float | None = None) -> dict[str, KieError]:
        """Do what `Kie.recover` does."""
        return self._run(lambda: self._kie.recover(out=out, wait_timeout=wait_timeout))

    def save_all(self, out: str | Path) -> dict[str, KieError]:
        """Do what `Kie.save_all` does."""
        return self._run(lambda: self._kie.save_all(out))

    def task(self, job: str) -> BlockingTask:
        """Do what `Kie.task` does."""
        return BlockingTask(self, self._run(lambda: self._kie.task(job)))

    def find(self, task_id: str, *, model: str | None = None, universal: bool = False) -> BlockingTask:
        """Do what `Kie.find` does."""
        return BlockingTask(self, self._run(lambda: self._kie.find(task_id, model=model, universal=universal)))

    def jobs(self, *states: JobState, unsaved: bool = False, limit: int | None = None) -> list[Entry]:
        """Do what `Kie.jobs` does."""
        return self._run(lambda: self._kie.jobs(*states, unsaved=unsaved, limit=limit))

    def counts(self) -> dict[JobState, int]:
        """Do what `Kie.counts` does."""
        return self._run(self._kie.counts)

    def stats(self, days: float | None = None, *, account: str | None = None) -> tuple[ModelStats, ...]:
        """Do what `Kie.stats` does."""
        return self._run(lambda: self._kie.stats(days, account=account))

    def entry(self, job: str) -> Entry:
        """Do what `Kie.entry` does."""
        return self._run(lambda: self._kie.entry(job))

    def history(self, job: str) -> list[Event]:
        """Do what `Kie.history` does."""
        return self._run(lambda: self._kie.history(job))

    def resolve(
        self, job: str, *, adopt_task: str | None = None, not_sent: bool = False, abandon: bool = False
    ) -> Entry:
        """Do what `Kie.resolve` does."""
        return self._run(lambda: self._kie.resolve(job, adopt_task=adopt_task, not_sent=not_sent, abandon=abandon))

    def cancel(self, job: str) -> Entry:
        """Do what `Kie.cancel` does."""
        return self._run(lambda: self._kie.cancel(job))

    def forget(self, job: str) -> None:
        """Do what `Kie.forget` does."""
        self._run(lambda: self._kie.forget(job))

    def gates(self) -> list[Gate]:
        """Do what `Kie.gates` does."""
        return self._run(self._kie.gates)

    def open_gate(self, name: str | None = None) -> bool:
        """Do what `Kie.open_gate` does."""
        return self._run(lambda: self._kie.open_gate(name))

    def balances(self) -> list[Balance]:
        """Do what `Kie.balances` does."""
        return self._run(self._kie.balances)

    def booked(self, scope: str | None = None) -> list[Entry]:
        """Do what `Kie.booked` does."""
        return self._run(lambda: self._kie.booked(scope))

    def reset_budget(self, scope: str | None = None) -> Balance | None:
        """Do what `Kie.reset_budget` does."""
        return self._run(lambda: self._kie.reset_budget(scope))

    def attach(self, handle: str) -> BlockingTask:
        """Do what `Kie.attach` does."""
        return BlockingTask(self, self._kie.attach(handle))

    def credits(self) -> Decimal:
        """Do what `Kie.credits` does."""
        return self._run(self._kie.credits)

    def download_link(self, url: str) -> str:
        """Do what `Kie.download_link` does."""
        return self._run(lambda: self._kie.download_link(url))

    def catalogue(self, *, refresh: bool = False) -> Catalogue:
        """Do what `Kie.catalogue` does."""
        return self._run(lambda: self._kie.catalogue(refresh=refresh))

    def schemas(self, *models: str) -> dict[str, str]:
        """Do what `Kie.schemas` does."""
        return self._run(lambda: self._kie.schemas(*models))

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the client is not open; use it as: with KieBlocking() as kie:")
        if self._pid != os.getpid():
            raise RuntimeError("the client was opened by another process; open one of its own after a fork")
        return self._loop

    def _start(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        loop = self._running()
        future = asyncio.run_coroutine_threadsafe(make(), loop)
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        return future

    def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        future = self._start(make)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


class _Purchase:
    """A submit that can be told to stop: it then tries no more, but a create on its way gets its answer."""

    def __init__(self, kie: Kie, opened: Opened, job: Job, how: dict[str, Any]) -> None:
        self._kie = kie
        self._opened = opened
        self._job = job
        self._how = how
        self._task: asyncio.Task[Task] | None = None
        self._stopped = False

    async def run(self) -> Task:
        self._task = asyncio.ensure_future(self._kie.submit(self._job, **self._how))
        if self._stopped:
            self._task.cancel()
        try:
            return await self._task
        except asyncio.CancelledError:
            if not self._stopped:
                raise
            return await task_after_all(self._opened, self._job, self._how.get("job_key"))

    def stop(self) -> None:
        self._stopped = True
        if self._task is not None:
            self._task.cancel()


def _interrupted(interrupt: KeyboardInterrupt, job: Job, future: Future[Task]) -> BaseException:
    """Say what Ctrl-C interrupted: await the answer, because money may have been spent."""
    try:
        return Interrupted(future.result().handle)
    except KieError as error:
        interrupt.__cause__ = error
        return error if isinstance(error, SubmitUnknown) else interrupt
    except KeyboardInterrupt:
        return SubmitUnknown(job.handle(), "it was interrupted twice before Kie answered")


async def _all_others_cancelled() -> None:
    """Cancel what is left in the loop and wait until it is over.

    Creates that were on their way have their answers by now.
    """
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class BlockingTask:
    """`Task` for code without async; the same attributes, the same methods, the same errors."""

    def __init__(self, kie: KieBlocking, task: Task) -> None:
        self._kie = kie
        self._task = task

    def __repr__(self) -> str:
        return repr(self._task)

    @property
    def job(self) -> Job:
        """What was bought."""
        return self._task.job

    @property
    def id(self) -> str | None:
        """Kie's task id; None: not known yet."""
        return self._task.id

    @property
    def handle(self) -> str:
        """The text that resumes this task anywhere."""
        return self._task.handle

    @property
    def outcome(self) -> Outcome | None:
        """What was last seen of it; None: nothing yet."""
        return self._task.outcome

    def status(self) -> Outcome:
        """Do what `Task.status` does."""
        return self._run(self._task.status)

    def record(self) -> dict[str, Any]:
        """Do what `Task.record` does."""
        return self._run(self._task.record)

    def updates(
        self, wait_timeout: float | None = None, *, schedule: Schedule | Pace | None = None
    ) -> Iterator[Outcome]:
        """Do what `Task.updates` does."""
        seen: SimpleQueue[Outcome | None] = SimpleQueue()

        async def follow() -> None:
            async for outcome in self._task.updates(wait_timeout, schedule=schedule):
                seen.put(outcome)

        with self._told_when_closed():
            future = self._kie._start(follow)
        future.add_done_callback(lambda _: seen.put(None))
        try:
            while (outcome := seen.get()) is not None:
                yield outcome
            with self._told_when_closed():
                future.result()
        finally:
            future.cancel()

    def remaining(self) -> float | None:
        """Do what `Task.remaining` does."""
        return self._task.remaining()

    def wait(self, wait_timeout: float | None = None) -> Outcome:
        """Do what `Task.wait` does."""
        return self._run(lambda: self._task.wait(wait_timeout))

    def save(self, folder: str | Path | None = None) -> list[Path]:
        """Do what `Task.save` does."""
        return self._run(lambda: self._task.save(folder))

    def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        with self._told_when_closed():
            return self._kie._run(make)

    @contextlib.contextmanager
    def _told_when_closed(self) -> Iterator[None]:
        try:
            yield
        except (CancelledError, RuntimeError) as error:
            if not self._kie._closed or isinstance(error, KieError):
                raise
            raise ClientClosed(self.handle) from error
