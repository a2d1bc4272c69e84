"""A process that drives the jobs of the ledger to their end; its settings stand in the environment."""

from __future__ import annotations

import asyncio
import sys

from kie_core import Kie, Schedule


async def main():
    async with Kie(schedule=Schedule(first=0.1, factor=1.1, longest=0.3)) as kie:
        sys.stdout.write(f"{await kie.drive()}\n")


if __name__ == "__main__":
    asyncio.run(main())
