"""What a client has open: connections from the start, the ledger once it is needed. It begins anew after a fork."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from kie_core import __version__
from kie_core._budget import Books, Budget
from kie_core._config import Settings
from kie_core._dispatch.dispatcher import Dispatcher
from kie_core._errors import LedgerError, NoKey
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.place import open_database
from kie_core._ledger.spill import Spill
from kie_core._ledger.transaction import Database
from kie_core._network.http import Http
from kie_core._pace import Pace
from kie_core._running.plan import account_of
from kie_core._running.runner import Runner
from kie_core._running.submit import Buyer
from kie_core._wait import Clock, Schedule

log = logging.getLogger("kie_core")


class Opened:
    """What one client has open, between `enter` and `close`, in the event loop that ran at `enter`.

    Whoever needs the ledger says what for: `with_ledger`, `for_reading` or `for_buying`. All get the same `Runner`,
    until the client is closed or the process is forked.

    Args:
        settings: The client's.
        dispatcher: The client's.
        budgets: The client's.
        transport: A caller's, in place of ours.
        schedule: When to ask for results.
        clock: The clock to go by.

    Attributes:
        settings, dispatcher, clock: The client's.
        runner: What drives jobs while the ledger is open; None: it is not.
        closed: It was open, and is so no more.
    """

    def __init__(
        self,
        settings: Settings,
        dispatcher: Dispatcher,
        budgets: Sequence[Budget],
        *,
        transport: object | None,
        schedule: Schedule | Pace,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.dispatcher = dispatcher
        self.clock = clock
        self.runner: Runner | None = None
        self.closed = False
        self._budgets = budgets
        self._books = Books()
        self._transport = transport
        self._schedule = schedule
        self._http: Http | None = None
        self._opening = asyncio.Lock()
        self._without_ledger: Runner | None = None
        self._beating: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._pid = 0
        self._left_alone: list[object] = []

    def enter(self) -> None:
        """Open the connections, in the event loop that runs.

        Raises:
            RuntimeError: They are open already.
        """
        if self._http is not None:
            raise RuntimeError("the client is open already; make another for another block")
        self._pid, self._http, self.closed = os.getpid(), self._made_http(), False
        self._opening = asyncio.Lock()  # of this event loop

    async def close(self) -> None:
        """Tell those who wait, let every create that is on its way have its answer, leave the ledger, disconnect."""
        with contextlib.suppress(LedgerError):  # of one in memory nothing is left to close
            self._look_for_fork()
        http, self._http = self._http, None  # whoever comes from here on is told so, and opens nothing anew
        self.closed = True
        try:
            await self._leave_ledger()
        finally:
            if http is not None:
                await http.close()

    async def answered(self) -> None:
        """Wait until every create that is on its way has its answer, and begin none any more."""
        if self.runner is not None:
            await self.runner.buyer.answered()

    # --- the network -------------------------------------------------------------------

    def network(self) -> Http:
        """Return the connections, those of this process.

        Raises:
            RuntimeError: The client is not open.
            LedgerError: A ledger in memory did not survive a fork.
        """
        self._look_for_fork()
        if self._http is None:
            raise RuntimeError("the client is not open; use it as: async with Kie() as kie:")
        return self._http

    def connected(self) -> Http:
        """Return the connections, to ask with the key. Raises what `network` raises, and `NoKey`."""
        http = self.network()
        if self.settings.api_key is None:
            raise NoKey
        return http

    def _made_http(self) -> Http:
        return Http(
            self.settings.base_url, self.settings.api_key, version=__version__, transport=self._transport,
            library=self.settings.http_library,
        )  # fmt: skip

    def _look_for_fork(self) -> None:
        """After a fork, connections, files and tasks are the parent's: they are left alone, and made anew."""
        if self._http is None or self._pid == os.getpid():
            return
        if self.runner is not None:
            self.runner.ledger.database.owner()  # complains where the ledger did not survive
        self._left_alone += [self._http, self.runner, self._without_ledger, self._beating, self._background]
        self._without_ledger = None
        self._http, self.runner, self._beating, self._background = self._made_http(), None, None, set()
        self._opening, self._pid = asyncio.Lock(), os.getpid()

    # --- the ledger --------------------------------------------------------------------

    async def with_ledger(self) -> Runner:
        """Return what drives jobs, with the ledger open.

        Raises:
            RuntimeError: The client is not open, or was closed meanwhile.
            LedgerError: The ledger cannot be used.
        """
        self.network()
        async with self._opening:
            self.network()  # it may have been closed meanwhile
            if self.runner is None:
                runner = self._made(*open_database(self.settings.ledger, clock=self.clock.time))
                try:
                    await runner.recovery.take_over()
                    runner.reader.watcher.durations = await runner.ledger.durations()
                except BaseException:
                    await runner.ledger.close()
                    raise
                self.runner = runner
        return self.runner

    async def for_reading(self) -> Runner:
        """Return what reads tasks. What is paid can be read without a ledger too.

        Raises:
            RuntimeError: The client is not open, or was closed meanwhile.
            NoKey: There is no key.
        """
        self.connected()
        try:
            return await self.with_ledger()
        except LedgerError as error:
            log.warning("%s; reading goes on without it", error)
            if self._without_ledger is None:
                self._without_ledger = self._made(*open_database("memory:", clock=self.clock.time))
            return self._without_ledger

    async def for_buying(self) -> Runner:
        """Return what drives jobs, ready to buy: the process gives signs of life, and space for answers is taken.

        Raises:
            RuntimeError: The client is not open, or was closed meanwhile.
            NoKey: There is no key.
            LedgerError: The ledger cannot be used, or there is no room beside it.
        """
        self.connected()
        runner = await self.with_ledger()
        if runner.buyer.spill is not None:
            try:
                runner.buyer.spill.prepare()
            except OSError as error:
                raise LedgerError(
                    runner.ledger.database.place,
                    f"there is no room beside it: {error.strerror}",
                    "make room on the disk",
                    "full",
                ) from error
        async with self._opening:  # several may buy first at the same time, and the client be closed meanwhile
            self.network()
            if self._beating is None or self._beating.done():
                await runner.ledger.beat()  # what this process holds is its own from here on
                self._beating = asyncio.create_task(self._beat(runner))
        for budget in self._budgets:
            await self.follow(runner, budget)
        return runner

    async def follow(self, runner: Runner, budget: Budget) -> None:
        """Have *budget* told what is booked on it, from now on and already."""
        if self._books.knows(budget):
            return
        self._books.open(budget)
        if budget.scope is not None:
            for entry in await runner.ledger.booked(budget.scope):
                self._books.note(entry)

    def look_into_callbacks(self, runner: Runner, job_id: str | None) -> asyncio.Task[None]:
        """Look into the callbacks of one job or of all in the background. Nobody need wait for the task."""
        task = asyncio.create_task(self._look_into_callbacks(runner, job_id))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _look_into_callbacks(self, runner: Runner, job_id: str | None) -> None:
        try:
            await runner.recovery.look_into_callbacks(job_id)
        except Exception as error:  # nobody waits for this; it is done again
            log.warning("callbacks are looked into later: %s", error)

    def _made(self, database: Database, stem: Path | None) -> Runner:
        http = self.network()
        ledger = Ledger(database, self.settings.lease, self._books.note)
        spill = None if stem is None else Spill(stem, ledger.owner)
        buyer = Buyer(ledger, http, spill, self.clock, self.settings.create_timeout)
        return Runner(
            account=account_of(self.settings), settings=self.settings, dispatcher=self.dispatcher, ledger=ledger,
            http=http, buyer=buyer, schedule=self._schedule, clock=self.clock, stem=stem, budgets=self._budgets,
        )  # fmt: skip

    async def _beat(self, runner: Runner) -> None:
        looking: asyncio.Task[None] | None = None
        while True:
            await asyncio.sleep(self.settings.lease / 3)
            try:
                await runner.recovery.take_over()
            except Exception as error:  # without signs of life this process would be taken for dead
                log.warning("a sign of life could not be given: %s", error)
            if self.settings.callback_url is not None and (looking is None or looking.done()):
                looking = self.look_into_callbacks(runner, None)

    async def _leave_ledger(self) -> None:
        async with self._opening:  # what is being opened just now is closed, too
            runner = self.runner
        without, self._without_ledger = self._without_ledger, None
        if without is not None:
            await without.reader.watcher.close()
            await without.ledger.close()
        if runner is None:
            return
        try:
            await runner.reader.watcher.close()
            await runner.buyer.answered()
            others = [*self._background, *([self._beating] if self._beating is not None else [])]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)
            await runner.buyer.write_again()
            await runner.ledger.leave()
            if runner.buyer.spill is not None and not runner.buyer.unwritten:
                runner.buyer.spill.remove()
        except LedgerError as error:
            log.warning("%s", error)
        finally:
            self.runner = self._beating = None
            await runner.ledger.close()
