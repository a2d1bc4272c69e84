"""What holds the creates of an account back: turns, and gates.

All of it is parts of the ledger's transactions.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from kie_core._ledger.entry import Entry
from kie_core._ledger.transaction import Said, Transaction, printable

#: A create may leave so many seconds after its place in the queue came; later, it takes another.
SLOT_SECONDS: Final = 2.0
#: A transaction that waited for others took its time from the clock before they did. Only what lies farther ahead than
#: a wait and this says that the clock went back.
SLACK_SECONDS: Final = 60.0
#: No queue is longer, and no pause; a place beyond that nobody waits for says that the clock went back.
LONGEST_QUEUE: Final = 600.0
#: After so many creates in a row without a clear answer the account's gate closes.
FAULTS: Final = 5
#: Seconds for which a gate that opens by itself stays closed: the first time, and at the most.
GATE_SECONDS: Final = (60.0, 900.0)
#: Seconds for which a 429 holds back every create of the account: the first time, and at the most.
LIMITED_SECONDS: Final = (5.0, 60.0)
#: Seconds after which a job that was put back looks whether a person has opened the gate.
LOOK_SECONDS: Final = 5.0
#: A job that tries whether a gate may open has so many seconds for it.
PROBE_SECONDS: Final = 180.0

#: What the answer to a create says about the account.
Signal: TypeAlias = Literal["answered", "limited", "maintenance", "unauthorized", "credits", "fault"]
#: Gates that open when a person acted; a caller who waits for a job counts as one.
BY_HAND: Final = frozenset({"unauthorized", "credits", "budget"})


@attrs.frozen
class Gate:
    """Why creates are held back.

    Attributes:
        name: What it holds back: an account, or ``budget:<scope>``.
        kind: ``unauthorized``, ``credits``, ``budget``, ``maintenance`` or ``fault``.
        reason: The same in words.
        closed_at: Seconds since 1970.
        opens_at: When one job may try again; None: when a person opens it.
        strikes: How often it closed in a row.
    """

    name: str
    kind: str
    reason: str
    closed_at: float
    opens_at: float | None
    strikes: int = 0


def gate_of(row: Mapping[str, Any]) -> Gate:
    return Gate(row["name"], row["kind"], row["reason"], row["closed_at"], row["opens_at"], row["strikes"])


def turn_of(account: str) -> Transaction[Mapping[str, Any]]:
    """Read the account's place in time; holds everybody else off until this transaction ends."""
    rows = yield (
        (
            "INSERT INTO slot (account, next, not_before, limited, faults) VALUES (:account, 0, 0, 0, 0)"
            " ON CONFLICT (account) DO UPDATE SET account = excluded.account RETURNING *"
        ),
        {"account": account},
    )
    return rows[0]


def held_until(slot: Mapping[str, Any], now: float) -> float:
    """Until when a 429 holds back all creates; a time too far ahead says that the clock went back."""
    return float(slot["not_before"]) if slot["not_before"] - now <= LONGEST_QUEUE + SLACK_SECONDS else 0.0


def closed_gate(entry: Entry, now: float) -> Transaction[Gate | None]:
    """Return the gate that holds *entry* back; lets one job through to try a gate whose time has come."""
    own = f"account:{entry.account}"
    limits = [limit for limit in entry.plan.limits if limit.scope != own or limit.cap is not None]
    names = [entry.account, *(f"budget:{limit.scope}" for limit in limits)]
    rows = yield (
        f"SELECT * FROM gate WHERE name IN ({', '.join(f':n{i}' for i in range(len(names)))})",  # noqa: S608
        {f"n{i}": name for i, name in enumerate(names)},
    )
    due = None
    for row in rows:
        gate = gate_of(row)
        if gate.kind in BY_HAND:
            if gate.kind == "budget" or entry.kept:
                return gate
            continue
        assert gate.opens_at is not None
        if now < gate.opens_at <= now + GATE_SECONDS[1] + SLACK_SECONDS:
            return gate
        tried = row["probe"] is not None and now < row["probe_until"] <= now + PROBE_SECONDS + SLACK_SECONDS
        if tried and row["probe"] != entry.id:
            return gate
        due = None if tried else gate
    if due is not None:  # and no other gate is closed: else this job would only keep the place of one that can try
        yield (
            "UPDATE gate SET probe = :probe, probe_until = :until WHERE name = :name",
            {"probe": entry.id, "until": now + PROBE_SECONDS, "name": due.name},
        )
    return None


def reason_of(gate: Gate) -> str:
    """Say why a job waits, and what a person can do about it."""
    return f"{gate.reason}; kie gate open {gate.name}" if gate.opens_at is None else gate.reason


def look_again_at(gate: Gate, now: float) -> float:
    """When a closed gate may open by itself; a person may open it before that."""
    return now + LOOK_SECONDS if gate.opens_at is None or gate.opens_at <= now else gate.opens_at


def close_gate(
    said: Said, name: str, kind: str, reason: str, now: float, opens_at: float | None, strikes: int = 0
) -> Transaction[None]:
    """Close a gate, or close it anew."""
    yield (
        ("INSERT INTO gate (name, kind, reason, closed_at, opens_at, strikes, probe, probe_until)"
        " VALUES (:name, :kind, :reason, :now, :opens_at, :strikes, NULL, NULL) ON CONFLICT (name) DO UPDATE SET"
        " kind = excluded.kind, reason = excluded.reason, closed_at = excluded.closed_at,"
        " opens_at = excluded.opens_at, strikes = excluded.strikes, probe = NULL, probe_until = NULL"),
        {
            "name": name, "kind": kind, "reason": printable(reason), "now": now, "opens_at": opens_at,
            "strikes": strikes,
        },
    )  # fmt: skip
    said.say(logging.WARNING, f"gate {name} is closed: {reason}")


def heed(
    said: Said, account: str, job_id: str, signal: Signal, reason: str, now: float, *, pause: float | None
) -> Transaction[None]:
    """Draw the consequences of an answer for all jobs of the account."""
    slot = yield from turn_of(account)
    rows = yield "SELECT * FROM gate WHERE name = :account", {"account": account}
    gate = gate_of(rows[0]) if rows else None
    probing = bool(rows) and rows[0]["probe"] == job_id
    if signal == "answered":
        yield "UPDATE slot SET faults = 0, limited = 0 WHERE account = :account", {"account": account}
        if gate is not None:
            yield "DELETE FROM gate WHERE name = :account", {"account": account}
            said.say(logging.WARNING, f"gate {account} is open again: Kie answers")
    elif signal == "limited":
        limited = slot["limited"] + 1
        doubled = min(LIMITED_SECONDS[1], LIMITED_SECONDS[0] * 2.0 ** min(limited - 1, 10))
        until = now + (min(pause, LONGEST_QUEUE) if pause is not None else doubled * random.uniform(0.8, 1.2))
        yield (
            (
                "UPDATE slot SET faults = 0, limited = :limited, not_before = :until, next = CASE WHEN next > :until"
                " THEN next ELSE :until END WHERE account = :account"
            ),
            {"limited": limited, "until": until, "account": account},
        )
    elif signal in BY_HAND:
        yield from close_gate(said, account, signal, reason, now, None)
    elif gate is not None and gate.kind in BY_HAND:
        return  # a person has to act first, whatever else is wrong
    elif signal == "maintenance":
        yield from _close_for_a_while(said, account, signal, reason, now, gate)
    else:
        faults = slot["faults"] + 1
        yield "UPDATE slot SET faults = :faults WHERE account = :account", {"faults": faults, "account": account}
        if probing or (faults >= FAULTS and gate is None):
            yield from _close_for_a_while(
                said, account, signal, f"{faults} creates in a row failed: {reason}", now, gate
            )


def _close_for_a_while(
    said: Said, account: str, kind: str, reason: str, now: float, gate: Gate | None
) -> Transaction[None]:
    strikes = 0 if gate is None else gate.strikes + 1
    seconds = min(GATE_SECONDS[1], GATE_SECONDS[0] * 2.0 ** min(strikes, 10))
    latest = now + GATE_SECONDS[1] + SLACK_SECONDS
    if gate is not None and gate.opens_at is not None and now < gate.opens_at <= latest:
        return  # it is closed already, by the same wave of answers
    yield from close_gate(said, account, kind, reason, now, now + seconds, strikes)
