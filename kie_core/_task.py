"""A task at Kie: wait for it, look at it, save what it made."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs

from kie_core._errors import (
    BadHandle,
    ClientClosed,
    JobFailed,
    LedgerError,
    NotSent,
    Refused,
    SubmitUnknown,
    WrongState,
)
from kie_core._jobs.job import Job
from kie_core._jobs.outcome import Outcome
from kie_core._ledger.entry import Entry
from kie_core._opened import Opened
from kie_core._pace import Pace
from kie_core._running.runner import Runner
from kie_core._running.step import still_running
from kie_core._running.submit import Judged
from kie_core._wait import Schedule, wait_seconds

log = logging.getLogger("kie_core")


@contextlib.contextmanager
def named_in_errors(handle: str) -> Iterator[None]:
    """Have whatever is raised name the task, for a caller who was not given it yet: a note where nothing else does."""
    try:
        yield
    except BaseException as error:
        if getattr(error, "handle", None) is None:
            error.add_note(f"the task goes on at Kie and is paid: kie save {handle}")
        raise


class Task:
    """A task at Kie: what became of a job.

    Attributes:
        job: What was bought.
        id: Kie's task id; None: not known yet.
        outcome: What was last seen of it; None: nothing yet.
    """

    def __init__(
        self, opened: Opened, job: Job, entry: Entry | None, task_id: str | None, *, fresh: bool = False
    ) -> None:
        self._opened = opened
        self._entry = entry
        self._fresh = fresh
        self.job = job
        self.id = task_id
        self.outcome: Outcome | None = entry.outcome if entry is not None and entry.ended else None

    def __repr__(self) -> str:
        return f"<Task {self.handle} {self.outcome.state if self.outcome else 'not read yet'}>"

    @property
    def handle(self) -> str:
        """The text that resumes this task anywhere: ``kie.attach(handle)``."""
        return self.job.handle(self.id)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Name this task in what its ledger raises: else that would read as if nothing had been bought."""
        try:
            yield
        except LedgerError as error:
            if self.id is None:
                raise
            raise attrs.evolve(error, handle=self.handle) from error

    async def status(self) -> Outcome:
        """Ask once. Free.

        Raises:
            RecordMissing: Kie does not know the task: not yet, or not any more.
            ReadFailed: No usable answer; ask again.
            ReadRefused: The account cannot read.
            PluginFailed: The plugin cannot read the answer.
            SubmitUnknown: It is unknown whether there is a task.
            JobFailed: It was called off before Kie had it.
            ClientClosed: The client was closed.
            LedgerError: What Kie said could not be written down; the task goes on, and the error names it.
        """
        with self._named():
            runner, entry = await self._found()
            if entry.task_id is None:  # it ended before Kie had it
                if entry.outcome is not None:
                    return entry.outcome
                raise JobFailed(self.handle, entry.state, None, entry.reason)
            return await self._judged(runner, entry, await runner.reader.look(entry))

    async def record(self) -> dict[str, Any]:
        """Ask once and return Kie's whole answer as it came, for what an `Outcome` has no place for. Free.

        The answer counts as one of `status` does. Raises what `status` raises, and:

        Raises:
            WrongState: There is no task: it ended before Kie had it.
        """
        with self._named():
            runner, entry = await self._found()
            if entry.task_id is None:
                raise WrongState(entry.id, entry.state, "Kie has no record of it")
            body = await runner.reader.record(entry, entry.task_id)
            await self._judged(runner, entry, runner.reader.understood(entry, body))
            return body

    async def _judged(self, runner: Runner, entry: Entry, outcome: Outcome) -> Outcome:
        self._entry = entry = await runner.reader.judged(entry, outcome)
        if entry.ended and entry.outcome is not None:
            outcome = entry.outcome  # the first end counts, whatever comes later
        elif not entry.ended:
            outcome = still_running(outcome)
        self._seen(outcome)
        return outcome

    async def updates(
        self, wait_timeout: float | None = None, *, schedule: Schedule | Pace | None = None
    ) -> AsyncIterator[Outcome]:
        """Yield each outcome that differs from the one before, until the task ends. Free.

        Args:
            wait_timeout: Seconds; None: the setting, else 15 minutes, for video 30; ``math.inf``: for ever.
            schedule: When to ask, a `Pace` or a `Schedule`; None: as the client does. Where others wait for the task
                too, the soonest counts.

        Raises:
            WaitTimeout: The task goes on; attach to its handle later.
            ReadRefused: The account cannot read; the task goes on.
            PluginFailed: The plugin cannot read the answers; the task goes on.
            LedgerError: What Kie said could not be written down; the task goes on, and the error names it.
            SubmitUnknown: It is unknown whether there is a task.
            ClientClosed: The client was closed; the task goes on.
            ValueError: ``wait_timeout`` is negative or not a number.
        """
        seconds = wait_seconds(wait_timeout, self._opened.settings.wait_timeout, self.job.model.media)
        with self._named():
            runner, entry = await self._found()
            async for step in runner.reader.follow(entry, seconds, at_once=not self._fresh, schedule=schedule):
                self._entry = step.entry
                if step.outcome is not None:
                    self._seen(step.outcome)
                    yield step.outcome

    async def wait(self, wait_timeout: float | None = None) -> Outcome:
        """Wait until the task succeeded and return its outcome. Free. Raises what `updates` raises, and:

        Raises:
            JobFailed: It ended without a result, or waits for a person.
        """
        if not self._settled:
            async for _ in self.updates(wait_timeout):
                pass
        outcome = self.outcome
        if outcome is None:  # it ended before Kie had it
            assert self._entry is not None
            raise JobFailed(self.handle, self._entry.state, None, self._entry.reason)
        if outcome.state != "succeeded":
            error = outcome.error
            code, message = (error.code, error.message) if error is not None else (None, outcome.remark or "")
            raise JobFailed(self.handle, outcome.state, code, message)
        return outcome

    def remaining(self) -> float | None:
        """Return the seconds in which half of such tasks end that have run as long as this one. Asks nobody.

        Learned from the tasks that the ledger saw end, by model and price; before there were any, a guess.

        Returns:
            None: it has ended, or was not waited for yet, or questions go by a `Schedule`.
        """
        runner, entry = self._opened.runner, self._entry
        if runner is None or entry is None or entry.ended or entry.submitted_at is None:
            return None
        return runner.reader.watcher.remaining(entry.plan, entry.submitted_at)

    async def save(self, folder: str | Path | None = None) -> list[Path]:
        """Save every artifact and return the paths, in the order of the artifacts. Waits first if need be. Free.

        Args:
            folder: Made if it is missing; None: the setting ``out``.

        Raises:
            SaveFailed: One could not be saved, or Kie names none; all others are on disk.
            What `wait` raises.
        """
        await self.wait()
        target = Path(folder) if folder is not None else self._opened.settings.out
        with self._named():
            runner, entry = await self._found()
            self._entry, paths = await runner.save(entry, target)
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
        self._opened.dispatcher.plugins.observe("job_updated", job=self.job, task_id=self.id, outcome=outcome)

    async def _found(self) -> tuple[Runner, Entry]:
        """Return the ledger's entry of this task, or one made of its handle.

        Raises:
            BadHandle: It names no task, and the ledger does not know its job.
            SubmitUnknown: It is unknown whether there is a task.
            WrongState: It was not sent yet.
            ClientClosed: The client was closed.
        """
        try:
            runner = await self._opened.for_reading()
        except RuntimeError:
            if self._opened.closed:  # it may have been bought while that happened
                raise ClientClosed(self.handle) from None
            raise
        entry = self._entry
        if entry is None or entry.revision:
            entry = await runner.ledger.get(self.job.id) or entry
        if entry is not None and entry.state == "unknown":
            await runner.recovery.look_into_callbacks(entry.id)
            entry = await runner.ledger.get(entry.id) or entry
        if entry is None or (entry.task_id is None and self.id is not None):
            if self.id is None:
                problem = "it names no task; add the task id that https://kie.ai/logs shows for this job, after a colon"
                raise BadHandle(self.handle, problem)
            entry = runner.planner.foreign(self.job, self.id, self._opened.clock.time())
        self._entry, self.id = entry, entry.task_id
        if entry.state in ("queued", "leased"):
            raise WrongState(entry.id, entry.state, "nothing was sent yet; `Kie.advance` or `Kie.drive` sends it")
        if entry.task_id is None and not entry.ended:
            raise SubmitUnknown(self.handle, entry.reason or f"it is {entry.state} in the ledger")
        return runner, entry


def task_of(opened: Opened, job: Job, entry: Entry, judged: Judged | None) -> Task:
    """Return the task that a submit made of a job, or raise what it came to.

    Args:
        opened: What the client has open.
        job: What was to be bought.
        entry: The job as it stands in the ledger now.
        judged: What came of the create; None: none was sent by this submit.

    Raises:
        Refused, NotSent: Nothing was bought.
        SubmitUnknown: It may have been.
    """
    if entry.task_id is not None:
        return Task(opened, job, entry, entry.task_id, fresh=judged is not None)
    if isinstance(judged, (Refused, NotSent)):
        raise judged
    if entry.state in ("unknown", "submitting", "leased", "abandoned"):
        hint = getattr(judged, "task_id", None)
        reason = entry.reason if entry.state == "unknown" else f"it is {entry.state} in the ledger"
        raise SubmitUnknown(job.handle(hint), reason, getattr(judged, "answer", ""))
    if entry.outcome is not None and entry.outcome.error is not None:
        code = entry.outcome.error.code or ""
        raise Refused(int(code) if code.isdigit() else 0, entry.outcome.error.message)
    raise NotSent(f"{entry.reason or 'its turn did not come'} ({job.handle()})")


async def task_after_all(opened: Opened, job: Job, job_key: str | None) -> Task:
    """Return the task of a job whose submit was interrupted, or raise what became of it. Raises what `task_of` does."""
    runner = await opened.with_ledger()
    entry = await runner.ledger.get(job.id)
    if entry is None and job_key is not None:
        entry = await runner.ledger.by_key(runner.account, job_key)
    if entry is None:
        raise NotSent("it was interrupted before anything was sent")
    return task_of(opened, job, entry, None)
