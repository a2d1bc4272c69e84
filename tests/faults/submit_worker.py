"""A process that buys jobs through the client: ``submit_worker.py HOW NAME COUNT CAP``; its settings are the environment's.

Waits for a line on its input, so that all begin together, and says in the end what came of its jobs.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter

from kie_core import Budget, Kie, OverBudget, Schedule

QUICK = Schedule(first=0.05, factor=1.1, longest=0.2)
#: Kopecks: 39.33, 20 and 9 roubles.
MODELS = {"gpt-4o-image": {}, "suno-v4": {}, "flux-kontext": {}}


async def spend(kie, name, count, budget):
    """Buy, settle and be refused at random; look at the sums after each job."""
    said, worst = Counter(), 0

    async def one(number):
        nonlocal worst
        prompt = f"{name} {number}" + random.choice(["", "", " [refuse]"])
        try:
            task = await kie.submit(random.choice(list(MODELS)), {"prompt": prompt}, budget=budget)
        except OverBudget:
            said["over"] += 1
        else:
            said["bought"] += 1
            async for outcome in task.updates():
                said[outcome.state] += 1
        worst = max([worst, *(balance.spent + balance.reserved for balance in await kie.balances() if balance.cap)])

    for number in range(0, count, 4):
        await asyncio.gather(*(one(at) for at in range(number, min(number + 4, count))))
    return {"worst": worst, **said}


async def pace(kie, name, count, budget):
    """Enqueue jobs and drive them."""
    jobs = [await kie.enqueue("gpt-4o-image", {"prompt": f"{name} {number}"}, budget=budget) for number in range(count)]
    faults = await kie.drive(*(job.id for job in jobs))
    return {"faults": len(faults), "bought": count}


async def main(how, name, count, cap):
    budget = Budget(max_total_rub=cap, scope="shared")
    async with Kie(schedule=QUICK) as kie:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        said = await {"spend": spend, "pace": pace}[how](kie, name, int(count), budget)
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
