"""``kie budget``: what was spent, what is reserved, and what may still be spent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kie_core._cli.entries import COLUMNS, account, clock, moment, row, rub, summary
from kie_core._cli.output import as_json, errors_shown, print_json, print_table, say

if TYPE_CHECKING:
    from kie_core._blocking import KieBlocking
    from kie_core._budget import Balance


def _open() -> KieBlocking:
    from kie_core._blocking import KieBlocking

    return KieBlocking()


@click.group(invoke_without_command=True)
@as_json
@click.pass_context
@errors_shown
def budget(context: click.Context, as_json: bool) -> None:
    """Show what is spent and reserved on each scope, in roubles. Needs no key, asks nobody, buys nothing.

    A scope is an account, what a program named ("user:7"), or a limit of one client. The limit is the one
    that was last given. KIE_MAX_PRICE_RUB and KIE_MAX_TOTAL_BUDGET_RUB limit an account.
    """
    if context.invoked_subcommand is not None:
        return
    with _open() as kie:
        balances = kie.balances()
    if as_json:
        print_json([_summary(balance) for balance in balances])
        return
    print_table(("scope", "limit", "spent", "reserved", "left", "since"), map(_row, balances))
    if not balances:
        say("nothing was bought yet; kie generate MODEL ... buys something")


@budget.command()
@click.argument("scope", required=False)
@as_json
@errors_shown
def entries(scope: str | None, as_json: bool) -> None:
    """List the jobs that count on SCOPE, or on this account, since its last reset."""
    with _open() as kie:
        found = kie.booked(scope or f"account:{account(kie)}")
    if as_json:
        print_json([summary(entry) for entry in found])
        return
    print_table(COLUMNS, map(row, found))
    if not found:
        say("no job counts on it")


@budget.command()
@click.argument("scope", required=False)
@as_json
@errors_shown
def reset(scope: str | None, as_json: bool) -> None:
    """Begin to count SCOPE, or this account, anew. What is reserved stays reserved; jobs keep what they cost."""
    with _open() as kie:
        scope = scope or f"account:{account(kie)}"
        balance = kie.reset_budget(scope)
        known = [one.scope for one in kie.balances()]
    if balance is None:
        raise click.UsageError(f"nothing was booked on {scope!r}; known: {', '.join(known) or 'no scope yet'}")
    if as_json:
        print_json(_summary(balance))
    say(f"{scope} counts anew; {balance.reserved / 100:.2f} RUB stay reserved")


def _row(balance: Balance) -> tuple[str, ...]:
    amounts = (balance.cap, balance.spent, balance.reserved, balance.left)
    since = "" if balance.reset_at is None else clock(balance.reset_at)
    return (balance.scope, *("none" if amount is None else f"{amount / 100:.2f}" for amount in amounts), since)


def _summary(balance: Balance) -> dict[str, Any]:
    return {
        "scope": balance.scope,
        "max_rub": rub(balance.cap),
        "spent_rub": rub(balance.spent),
        "reserved_rub": rub(balance.reserved),
        "left_rub": rub(balance.left),
        "reset_at": moment(balance.reset_at),
    }
