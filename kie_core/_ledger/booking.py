"""The money of the ledger: what a job's steps reserve and spend on each scope. Parts of its transactions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kie_core._budget import Balance
from kie_core._errors import OverBudget
from kie_core._ledger.entry import Entry
from kie_core._ledger.gates import close_gate
from kie_core._ledger.transaction import Said, Transaction


def open_scopes(entry: Entry) -> Transaction[None]:
    """Note what was last said of each scope; where nothing was said of a named one, what was said before holds."""
    own = f"account:{entry.account}"
    text = "INSERT INTO budget (scope, cap, spent, reserved) VALUES (:scope, CAST(:cap AS BIGINT), 0, 0)"
    text += " ON CONFLICT (scope) DO UPDATE SET cap = "
    for limit in sorted(entry.plan.limits, key=lambda limit: limit.scope):
        said = "excluded.cap" if limit.scope == own else "coalesce(excluded.cap, budget.cap)"
        yield text + said, {"scope": limit.scope, "cap": limit.cap}
        if limit.scope != own:  # whose jobs say so themselves
            yield (
                "INSERT INTO booking (scope, job_id) VALUES (:scope, :job_id) ON CONFLICT DO NOTHING",
                {"scope": limit.scope, "job_id": entry.id},
            )


def balance_of(row: Mapping[str, Any]) -> Balance:
    """Return what a row says, without what a person has forgiven."""
    return Balance(row["scope"], row["cap"], row["spent"] - row["forgiven"], row["reserved"], row["reset_at"])


def _lower(*caps: int | None) -> int | None:
    """Return what holds for a job that was planned under one limit while another was said of the scope; None: none."""
    return min((cap for cap in caps if cap is not None), default=None)


def _balance(scope: str) -> Transaction[Balance]:
    rows = yield "SELECT * FROM budget WHERE scope = :scope", {"scope": scope}
    return balance_of(rows[0]) if rows else Balance(scope, None, 0, 0)


def reserve(intent: Entry) -> Transaction[None]:
    """Book the price on every scope, each in one conditional update, in one order for all processes."""
    price, own = intent.reserved, f"account:{intent.account}"
    for limit in sorted(intent.plan.limits, key=lambda limit: limit.scope):
        if limit.scope == own and limit.cap is None:  # the settings of this client say nothing
            yield (
                "UPDATE budget SET reserved = reserved + :price WHERE scope = :scope",
                {"price": price, "scope": limit.scope},
            )
            continue
        rows = yield (
            (
                "UPDATE budget SET reserved = reserved + :price WHERE scope = :scope"
                " AND (cap IS NULL OR spent - forgiven + reserved + CAST(:price AS BIGINT) <= cap)"
                " AND (CAST(:cap AS BIGINT) IS NULL"
                " OR spent - forgiven + reserved + CAST(:price AS BIGINT) <= CAST(:cap AS BIGINT)) RETURNING scope"
            ),
            {"price": price, "scope": limit.scope, "cap": limit.cap},
        )
        if not rows:
            balance = yield from _balance(limit.scope)
            cap = _lower(limit.cap, balance.cap)
            raise OverBudget(intent.plan.model, limit.scope, price, cap or 0, balance.spent, balance.reserved)


def affordable(entry: Entry) -> Transaction[None]:
    """Raise `OverBudget` where the price cannot be reserved anyway: else such jobs would take the turns of others."""
    price, own = entry.plan.price or 0, f"account:{entry.account}"
    for limit in entry.plan.limits:
        if limit.scope == own and limit.cap is None:
            continue
        balance = yield from _balance(limit.scope)
        cap = _lower(limit.cap, balance.cap)
        if cap is not None and balance.spent + balance.reserved + price > cap:
            raise OverBudget(entry.plan.model, limit.scope, price, cap, balance.spent, balance.reserved)


def book(said: Said, old: Entry, new: Entry, now: float) -> Transaction[None]:
    """Book what a step changed, whatever the limits say: it is spent. Beyond a limit, the gate closes."""
    for limit in sorted(new.plan.limits, key=lambda limit: limit.scope):
        rows = yield (
            (
                "UPDATE budget SET reserved = reserved + :reserved, spent = spent + :spent,"
                # what was spent before a reset and is taken back was not forgiven either
                " forgiven = CASE WHEN forgiven > spent + CAST(:spent AS BIGINT) THEN spent + CAST(:spent AS BIGINT)"
                " ELSE forgiven END WHERE scope = :scope"
                " RETURNING *"
            ),
            {"reserved": new.reserved - old.reserved, "spent": new.spent - old.spent, "scope": limit.scope},
        )
        cap = rows[0]["cap"] if rows else None  # what was last said of the scope, not when the job was planned
        booked = rows[0]["spent"] - rows[0]["forgiven"] + rows[0]["reserved"] if rows else 0
        if cap is not None and booked > cap:
            reason = f"{limit.scope} is over its limit: {booked / 100:.2f} of {cap / 100:.2f} RUB"
            said.say(logging.ERROR, f"job {new.id}: {reason}; the gate is closed")
            yield from close_gate(said, f"budget:{limit.scope}", "budget", reason, now, None)
