"""Take up what callbacks, dead processes and spill files tell about jobs. Buys nothing."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import attrs

from kie_core._errors import KieError, NoKey, PluginFailed, ReadFailed, ReadRefused
from kie_core._jobs.outcome import record
from kie_core._ledger.entry import KEPT_SECONDS, Entry
from kie_core._ledger.ledger import Callback, Ledger
from kie_core._ledger.spill import left_behind
from kie_core._running.echo import proves
from kie_core._running.reader import Reader
from kie_core._running.submit import HINT, Buyer, adopt

log = logging.getLogger("kie_core")


@attrs.define
class Recovery:
    """Finds the tasks of jobs whose own answer did not tell.

    Attributes:
        ledger: Where the jobs are.
        reader: Asks Kie.
        buyer: What it could not write is tried again.
        stem: The path beside which spill files lie; None: none.
    """

    ledger: Ledger
    reader: Reader
    buyer: Buyer
    stem: Path | None
    _strangers: set[str] = attrs.field(factory=set)

    async def look_into_callbacks(self, job_id: str | None = None) -> None:
        """Look into the callbacks that wait, of one job or of all, and take up again what may simply be asked again."""
        for lost in await self._askable(job_id):
            await adopt(self.ledger, lost, lost.plan.asks, "its call is asked again")
        for callback in await self.ledger.callbacks(self.reader.planner.account, job_id):
            entry = await self.ledger.get(callback.job_id)
            if entry is None or (entry.state == "submitting" and callback.digest != HINT):
                continue  # its own answer is on the way, and names the task
            try:
                await self._look_into(entry, callback)
            except (ReadFailed, ReadRefused, PluginFailed, NoKey) as error:
                log.warning("job %s: a callback is looked into later: %s", callback.job_id, error)

    async def _askable(self, job_id: str | None) -> list[Entry]:
        """Return the ``derived`` jobs that were sent, and of whose answer nobody knows."""
        if job_id is None:
            found = await self.ledger.find("unknown", account=self.reader.planner.account)
        else:
            one = await self.ledger.get(job_id)
            found = [] if one is None else [one]
        return [entry for entry in found if entry.state == "unknown" and entry.plan.kind == "derived"]

    async def is_ours(self, entry: Entry, task_id: str, *, hinted: bool) -> bool:
        """Tell whether a task was made by this job, by Kie's own record of it. Free.

        Args:
            entry: The job.
            task_id: Of the task that somebody says is the job's.
            hinted: A record that does not tell whose it is suffices: the id stood in the answer to this very
                create, or a person read it in Kie's logs.

        Raises:
            ReadFailed, ReadRefused: It cannot be told now.
        """
        body = await self.reader.record(entry, task_id)
        record(body)
        ours = proves(entry, body, self.reader.planner.marks_of(entry))
        if ours is None and not hinted:
            raise ReadFailed(f"the record of task {task_id} does not tell whose it is")
        return ours is not False

    async def _look_into(self, entry: Entry, callback: Callback) -> None:
        note = ""
        if entry.task_id is None:
            if await self.is_ours(entry, callback.task_id, hinted=callback.digest == HINT):
                entry = await adopt(self.ledger, entry, callback.task_id, "a callback named its task")
                if entry.task_id == callback.task_id:
                    self.reader.observe("job_accepted", entry)
                elif entry.task_id is None:
                    note = f"a callback named task {callback.task_id}, which another job has"
            else:
                note = f"a callback named task {callback.task_id}, whose record is not of this job"
        elif entry.task_id != callback.task_id:
            note = f"a callback named a second task: {callback.task_id}"
        if note:
            log.critical("job %s: %s", entry.id, note)
        if entry.task_id == callback.task_id:
            await self.reader.ask(entry)
        await self.ledger.handled(self.reader.planner.account, callback, note)
        self.reader.watcher.tell(entry.id)

    async def look_once_more(self) -> None:
        """Ask about jobs that nobody asks about any more, as long as Kie keeps what it made."""
        for entry in await self.ledger.find("expired", account=self.reader.planner.account):
            recent = self.reader.clock.time() - (entry.finished_at or 0.0) < KEPT_SECONDS
            if entry.may_return and recent:
                try:
                    await self.reader.ask(entry)
                except KieError as error:
                    log.warning("job %s: it is looked at later: %s", entry.id, error)

    async def take_over(self) -> None:
        """Give a sign of life, take over from dead processes, and read what they could not write."""
        await self.ledger.beat()
        await self.buyer.write_again()
        if self.stem is None:
            return
        for path, spilt in left_behind(self.stem):
            strangers = False
            for one in spilt:
                entry = await self.ledger.get(one.job_id)
                if entry is None:
                    strangers = True
                    if one.job_id not in self._strangers:
                        self._strangers.add(one.job_id)
                        problem = "job %s, which the ledger does not know, is task %s: %s"
                        log.critical(problem, one.job_id, one.task_id, path)
                elif entry.task_id != one.task_id:
                    log.warning("job %s: its task id was in %s", one.job_id, path.name)
                    await adopt(self.ledger, entry, one.task_id, "from the spill file", record=one.record)
            if not strangers and path.name.rpartition("-")[2] not in await self.ledger.living():
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
