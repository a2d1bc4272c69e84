"""One process of many on one ledger: ``ledger_worker.py WHAT PLACE ARGUMENTS``. Says one line of JSON for each thing."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

from kie_core._budget import Limit
from kie_core._errors import OverBudget
from kie_core._jobs.outcome import Artifact, Failure, Outcome
from kie_core._ledger.entry import Entry, Plan, accepted, read, refused, unknown, waiting
from kie_core._ledger.ledger import Ledger, Superseded

ACCOUNT = "account-1"
SCOPES = ("batch:1", "user:7")


def say(**facts):
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def heard():
    """The next word of the test."""
    return sys.stdin.readline().strip()


def open_ledger(place, lease=60.0):
    if "://" in place:
        from kie_core._ledger.postgres import PostgresDatabase

        return Ledger(PostgresDatabase(place), lease)
    from kie_core._ledger.sqlite import SqliteDatabase

    return Ledger(SqliteDatabase(place), lease)


def make_entry(owner, number, *, price=100, limits=(), kept=True):
    plan = Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field=None, contract=price, credits=None, wire_price=None, unit=None,
        kopecks_per_credit="1", limits=limits, seconds=3600.0,
    )  # fmt: skip
    return Entry(
        id=f"job-{owner}-{number}", account=ACCOUNT, plan=plan, inputs=None, fingerprint="f" * 64, kept=kept
    )  # fmt: skip


async def end(ledger, entry):
    """Let a create end in one of the ways that there are."""
    what = random.randrange(6)
    if what < 3:
        await ledger.change(entry, lambda old, _: waiting(old, "Kie is busy"))
    elif what == 3:
        await ledger.change(entry, lambda old, now: refused(old, Failure("no"), now))
    elif what == 4:
        await ledger.change(entry, lambda old, _: unknown(old, "no answer"))
    else:
        entry = await ledger.change(entry, lambda old, now: accepted(old, f"task-{old.id}", now))
        done = Outcome("succeeded", (Artifact("text", text="la"),), credits=random.randrange(entry.reserved + 1))
        await ledger.change(entry, lambda old, now: read(old, done, now))


async def spend(ledger, rounds, cap):
    """Reserve, settle and release at random; look at the sums after each step."""
    cap, over, worst = int(cap), 0, 0
    limits = tuple(Limit(scope, cap) for scope in SCOPES)
    going = []

    async def look():
        nonlocal worst
        worst = max([worst, *(one.spent + one.reserved for one in await ledger.balances())])

    for number in range(int(rounds)):
        price = random.randrange(1, cap // 10)
        entry = await ledger.add(make_entry(ledger.owner, number, price=price, limits=limits))
        try:
            while entry.state == "queued":
                entry = await ledger.claim(entry, interval=0.0, most=100_000)
            entry = await ledger.intend(entry)
        except OverBudget:
            over += 1
            await ledger.change(entry, lambda old, _: waiting(old, "over the limit"))
        else:
            if entry.state == "submitting":
                going.append(entry)
        await look()
        if going and random.random() < 0.8:
            await end(ledger, going.pop(random.randrange(len(going))))
            await look()
    say(over=over, worst=worst)


async def queue(ledger, seconds, interval):
    """Take places in the queue and send at them; say when each create left."""
    until = time.monotonic() + float(seconds)
    number = 0
    await ledger.beat()
    while time.monotonic() < until:
        entry = await ledger.add(make_entry(ledger.owner, number))
        number += 1
        entry = await ledger.claim(entry, interval=float(interval), most=100_000)
        await asyncio.sleep(max(0.0, entry.slot - time.time()))
        entry = await ledger.intend(entry)
        if entry.state == "submitting":
            say(slot=entry.slot, sent=time.time())
            await ledger.change(entry, lambda old, now: accepted(old, f"task-{old.id}", now), signal="answered")


async def hold(ledger):
    """Hold one job of each kind; go on with the first when told, and say what came of it."""
    await ledger.beat()
    entries = [await ledger.add(make_entry(ledger.owner, number, kept=number != 1)) for number in range(3)]
    entries = [await ledger.claim(entry, interval=0.0, most=100) for entry in entries]
    sent = await ledger.intend(entries[2])
    say(kept=entries[0].id, direct=entries[1].id, sent=sent.id)
    await asyncio.to_thread(heard)
    try:
        entry = await ledger.intend(entries[0])
    except Superseded:
        say(came="superseded")
    else:
        say(came=entry.state)


async def main(what, place, *arguments):
    lease = float(arguments[0]) if what is hold else 60.0
    ledger = open_ledger(place, lease)
    await ledger.gates()
    say(ready=ledger.owner)
    if what is not hold:
        await asyncio.to_thread(heard)  # all start together
        await what(ledger, *arguments)
    else:
        await hold(ledger)
    await ledger.close()


if __name__ == "__main__":
    asyncio.run(main({"spend": spend, "queue": queue, "hold": hold}[sys.argv[1]], *sys.argv[2:]))
