"""A client that is open while somebody uses it: for the facade, whose objects nobody opens or closes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self
from weakref import WeakKeyDictionary

import attrs

from kie_core._client import Kie
from kie_core._config import Settings
from kie_core._dispatch.dispatcher import load_dispatcher
from kie_core._errors import LedgerError


@attrs.define
class _Open:
    """A client and the number of those who use it at the moment."""

    kie: Kie
    users: int = 0


class OnDemand:
    """Opens a `Kie` for the first user in an event loop, and closes it after the last.

    So nothing is left open when a program ends, and one object serves several event loops.

    Args:
        settings: All settings.
        **arguments: Further arguments of `Kie`.

    Raises:
        ConfigError, RegistryError: As for `Kie`.
    """

    def __init__(self, settings: Settings, **arguments: Any) -> None:
        self._settings = settings
        self._arguments = {"settings": settings, "dispatcher": load_dispatcher(settings), **arguments}
        self._opened: WeakKeyDictionary[asyncio.AbstractEventLoop, _Open] = WeakKeyDictionary()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[Kie]:
        """Lend the open client of the running event loop.

        Raises:
            LedgerError: The ledger would be forgotten after this one use.
        """
        if self._settings.ledger == "memory:" and asyncio.get_running_loop() not in self._opened:
            problem = "it would be forgotten after each call, and with it what was bought and every limit"
            raise LedgerError("memory:", problem, "hold it open with async with, or name a file")
        kie = await self.enter()
        try:
            yield kie
        finally:
            await self.leave()

    async def enter(self) -> Kie:
        """Count one more user, and open the client for the first. Nothing waits here, so no two open one."""
        loop = asyncio.get_running_loop()
        lent = self._opened.get(loop)
        if lent is None:
            lent = self._opened[loop] = _Open(await Kie(**self._arguments).__aenter__())
        lent.users += 1
        return lent.kie

    async def leave(self) -> None:
        """Count one user less, and close the client after the last."""
        loop = asyncio.get_running_loop()
        lent = self._opened[loop]
        lent.users -= 1
        if not lent.users:
            del self._opened[loop]
            await lent.kie.__aexit__(None, None, None)


class Held:
    """What holds its client open for a whole ``async with`` block, and else for each call."""

    _on_demand: OnDemand

    async def __aenter__(self) -> Self:
        await self._on_demand.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._on_demand.leave()
