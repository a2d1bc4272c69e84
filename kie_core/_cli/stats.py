"""``kie stats``: what each model cost, how often it succeeded and how long it took."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kie_core._cli.entries import rub
from kie_core._cli.output import as_json, errors_shown, print_json, print_table, say

if TYPE_CHECKING:
    from kie_core._ledger.stats import ModelStats

COLUMNS = (
    "model", "jobs", "succeeded", "failed", "running", "unknown", "success", "median", "95 %", "RUB spent",
    "RUB reserved",
)  # fmt: skip


@click.command()
@click.option("--days", type=click.IntRange(1, 36_500), metavar="N", help="Only jobs that were sent within N days.")
@as_json
@errors_shown
def stats(days: int | None, as_json: bool) -> None:
    """Show what the jobs in the ledger came to, by model, the most bought first.

    Needs no key, asks nobody, buys nothing. Jobs are those that Kie took or may have taken, of all accounts;
    success is the share of those that ended; median and 95 % are durations of successes.
    """
    from kie_core._blocking import KieBlocking

    with KieBlocking() as kie:
        found = kie.stats(days)
    if as_json:
        print_json([summary(one) for one in found])
    else:
        print_table(COLUMNS, map(_row, found))
    if found:
        spent, reserved = sum(one.spent for one in found), sum(one.reserved for one in found)
        jobs = sum(one.bought for one in found)
        say(f"jobs bought: {jobs}; {spent / 100:.2f} RUB spent, {reserved / 100:.2f} RUB reserved")
    elif days is None:
        say("the ledger holds no job that was bought; kie generate MODEL ... buys one")
    else:
        say(f"no job was bought in the last {days} days; without --days all are counted")


def summary(one: ModelStats) -> dict[str, Any]:
    """Return the figures of a model for ``--json``."""
    return {
        "model": one.model,
        "bought": one.bought,
        "succeeded": one.succeeded,
        "failed": one.failed,
        "running": one.running,
        "unknown": one.unknown,
        "success_rate": one.success_rate,
        "median_seconds": one.median_seconds,
        "p95_seconds": one.p95_seconds,
        "spent_rub": rub(one.spent),
        "reserved_rub": rub(one.reserved),
    }


def _row(one: ModelStats) -> tuple[str, ...]:
    counts = (one.bought, one.succeeded, one.failed, one.running, one.unknown)
    return (
        one.model,
        *map(str, counts),
        "" if one.success_rate is None else f"{one.success_rate:.0%}",
        _seconds(one.median_seconds),
        _seconds(one.p95_seconds),
        f"{one.spent / 100:.2f}",
        f"{one.reserved / 100:.2f}",
    )


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f} s"
