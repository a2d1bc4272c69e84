"""A user's program: ``kie_worker.py '{"settings": {...}, "what": ...}'``. It ends in order when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import sys

from kie_core import Budget, Kie, Schedule

QUICK = Schedule(first=0.05, factor=1.1, longest=0.2)


async def submit(kie, *, prompt, job_key=None):
    await kie.submit("gpt-4o-image", {"prompt": prompt}, job_key=job_key)


async def drive(kie, *, prompts, cap=None):
    """Buy a list, of which each line has its key, and read it to its end."""
    budget = None if cap is None else Budget(max_total_rub=cap, scope="batch:one")
    jobs = [await kie.enqueue("gpt-4o-image", {"prompt": one}, job_key=one, budget=budget) for one in prompts]
    await kie.drive(*(job.id for job in jobs), wait_timeout=110 if cap is None else 3)


async def save(kie, *, folder):
    await kie.save_all(folder)


async def main(settings, what, **arguments):
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)
    with contextlib.suppress(asyncio.CancelledError):
        async with Kie(schedule=QUICK, **settings) as kie:
            await {"submit": submit, "drive": drive, "save": save}[what](kie, **arguments)


if __name__ == "__main__":
    logging.basicConfig(level="DEBUG", stream=sys.stderr)
    asyncio.run(main(**json.loads(sys.argv[1])))
