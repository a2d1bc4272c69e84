"""Jobs for tests of the ledger, and the steps that they take there. Time passes by SQL."""

from __future__ import annotations

import itertools

from kie_core._budget import Limit
from kie_core._jobs.outcome import Artifact, Outcome
from kie_core._ledger.entry import Entry, Plan, accepted, unknown
from kie_core._ledger.gates import FAULTS

ACCOUNT = "account-1"
NUMBERS = itertools.count()
#: Every column that holds a time.
TIMES = {
    "job": ("created_at", "submitted_at", "finished_at", "deadline", "slot", "not_before"),
    "slot": ("next", "not_before"),
    "gate": ("closed_at", "opens_at", "probe_until"),
    "process": ("seen_at",),
    "inbox": ("at",),
}


def make_plan(*, price=100, limits=(), seconds=3600.0, **more):
    return Plan(
        model="veo3", category="veo3", media="video", wire="dedicated", create="/create", query="/query",
        task_param="taskId", callback_field="callBackUrl", contract=price, credits=None, wire_price=price, unit="video",
        kopecks_per_credit="100", limits=tuple(Limit(*limit) for limit in limits), seconds=seconds, **more,
    )  # fmt: skip


def make_entry(*, account=ACCOUNT, fingerprint="f" * 64, inputs=None, job_key=None, kept=True, job_id=None, **plan):
    return Entry(
        id=job_id or f"job-{next(NUMBERS)}", account=account, plan=make_plan(**plan), inputs=inputs,
        fingerprint=fingerprint, job_key=job_key, kept=kept,
    )  # fmt: skip


def success(**facts):
    return Outcome("succeeded", (Artifact("video", "https://files.example.com/1.mp4"),), **facts)


async def sql(ledger, text, **values):
    def work(_):
        return (yield text, values)

    return await ledger.database.run(work)


async def pass_time(ledger, seconds):
    """Let *seconds* pass; fewer than 0: the clock goes back."""

    def work(_):
        for table, columns in TIMES.items():
            changes = ", ".join(f"{column} = {column} - CAST(:seconds AS REAL)" for column in columns)
            yield f"UPDATE {table} SET {changes}", {"seconds": float(seconds)}

    await ledger.database.run(work)


async def lease(ledger, entry=None, *, interval=0.0, most=100, **kinds):
    entry = entry or await ledger.add(make_entry(**kinds))
    return await ledger.claim(entry, interval=interval, most=most)


async def submit(ledger, entry=None, **kinds):
    return await ledger.intend(await lease(ledger, entry, **kinds))


async def run_job(ledger, task_id, **kinds):
    entry = await submit(ledger, **kinds)
    return await ledger.change(entry, lambda old, now: accepted(old, task_id, now), signal="answered")


async def fail_creates(ledger, count=FAULTS):
    """So many creates in a row get no clear answer."""
    for _ in range(count):
        entry = await submit(ledger)
        await ledger.change(entry, lambda old, _: unknown(old, "no answer"), signal="fault")


async def booked(ledger, scope):
    return next(((one.spent, one.reserved) for one in await ledger.balances() if one.scope == scope), None)


async def everything(ledger):
    """All rows of all tables."""
    return {
        name: [dict(row) for row in await sql(ledger, f"SELECT * FROM {name}")] for name in (*TIMES, "budget", "event")
    }
