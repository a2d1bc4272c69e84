"""The client without async: `Kie` on a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, wait
from decimal import Decimal
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kie_core._client import Kie, Task
from kie_core._config import Settings
from kie_core._dispatch import Dispatcher
from kie_core._errors import KieError, SubmitUnknown
from kie_core._job import Job
from kie_core._model import Model
from kie_core._outcome import Outcome
from kie_core._payload import Payload
from kie_core._registry import Registry

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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._buying: set[Future[Task]] = set()

    def __enter__(self) -> Self:
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
        wait(self._buying)  # of other threads: a create that is on its way gets its answer
        for end in (
            _all_others_cancelled,
            lambda: self._kie.__aexit__(None, None, None),
            loop.shutdown_asyncgens,
            loop.shutdown_default_executor,
        ):
            self._run(end)
        self._loop = self._thread = None
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
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

    def job(self, model: str, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None) -> Job:
        """Do what `Kie.job` does."""
        return self._kie.job(model, inputs, wire=wire)

    def payload(self, model: str, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None) -> Payload:
        """Do what `Kie.payload` does."""
        return self._kie.payload(model, inputs, wire=wire)

    def submit(
        self, model: str | Job, inputs: Mapping[str, Any] | None = None, *, wire: str | None = None
    ) -> BlockingTask:
        """Buy a job and return at once. **Costs money.** Raises what `Kie.submit` raises, and:

        Raises:
            Interrupted: Ctrl-C came while the create was on its way; the task is bought and named.
            SubmitUnknown: A second Ctrl-C came before the answer, too.
        """
        if isinstance(model, Job) and (inputs is not None or wire is not None):
            raise TypeError("a job carries its own inputs and wire; make another with kie.job()")
        job = model if isinstance(model, Job) else self.job(model, inputs, wire=wire)
        future = self._start(lambda: self._kie.submit(job))
        try:
            self._buying.add(future)
            return BlockingTask(self, future.result())
        except KeyboardInterrupt as interrupt:
            raise _interrupted(interrupt, job, future)  # noqa: B904  (its cause says what became of the create)
        finally:
            self._buying.discard(future)

    def generate(
        self,
        model: str | Job,
        inputs: Mapping[str, Any] | None = None,
        *,
        wire: str | None = None,
        wait_timeout: float | None = None,
    ) -> BlockingTask:
        """Buy a job, wait for it, return the finished task. **Costs money.** Raises what `Kie.generate` raises, and:

        Raises:
            Interrupted: Ctrl-C came after the create; the task is bought and named.
        """
        self._kie._wait_seconds(wait_timeout, "image")  # a bad one is found before anything is bought
        task = self.submit(model, inputs, wire=wire)
        try:
            task.wait(wait_timeout)
        except KeyboardInterrupt:
            raise Interrupted(task.handle) from None
        return task

    def attach(self, handle: str) -> BlockingTask:
        """Do what `Kie.attach` does."""
        return BlockingTask(self, self._kie.attach(handle))

    def credits(self) -> Decimal:
        """Do what `Kie.credits` does."""
        return self._run(self._kie.credits)

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            raise RuntimeError("the client is not open; use it as: with KieBlocking() as kie:")
        return self._loop

    def _start(self, make: Callable[[], Coroutine[Any, Any, T]]) -> Future[T]:
        loop = self._running()
        return asyncio.run_coroutine_threadsafe(make(), loop)

    def _run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        future = self._start(make)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise


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

    Creates were waited for before; one that a second Ctrl-C gave up is cut here and logged as unknown.
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
    def id(self) -> str:
        """Kie's task id."""
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
        return self._kie._run(self._task.status)

    def updates(self, wait_timeout: float | None = None) -> Iterator[Outcome]:
        """Do what `Task.updates` does."""
        seen: SimpleQueue[Outcome | None] = SimpleQueue()

        async def follow() -> None:
            async for outcome in self._task.updates(wait_timeout):
                seen.put(outcome)

        future = self._kie._start(follow)
        future.add_done_callback(lambda _: seen.put(None))
        try:
            while (outcome := seen.get()) is not None:
                yield outcome
            future.result()
        finally:
            future.cancel()

    def wait(self, wait_timeout: float | None = None) -> Outcome:
        """Do what `Task.wait` does."""
        return self._kie._run(lambda: self._task.wait(wait_timeout))

    def save(self, folder: str | Path | None = None) -> list[Path]:
        """Do what `Task.save` does."""
        return self._kie._run(lambda: self._task.save(folder))
