"""A budget: what one scope may spend at the most, and what was booked on it. The ledger keeps the sums."""

from __future__ import annotations

import re
import secrets
from decimal import ROUND_FLOOR, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakValueDictionary

import attrs

if TYPE_CHECKING:
    from kie_core._ledger.entry import Entry

#: Roubles; every database holds a few times as many kopecks.
_MOST: Final = 10**15
_KOPECK: Final = Decimal("0.01")


def roubles_of(value: Any) -> Decimal | None:
    """Return a limit in roubles, rounded down to kopecks; None: there is none.

    Raises:
        ValueError: It is no amount.
    """
    if value is None:
        return None
    try:
        roubles = Decimal(str(value))
    except InvalidOperation:
        roubles = Decimal("NaN")
    if isinstance(value, bool) or not roubles.is_finite() or not 0 <= roubles <= _MOST:
        raise ValueError(f"a limit is {value!r}; expected roubles, 0 to {_MOST}")
    return roubles.quantize(_KOPECK, ROUND_FLOOR)


def kopecks_of(roubles: Decimal | None) -> int | None:
    """Return roubles in kopecks, as the ledger counts."""
    return None if roubles is None else int(roubles * 100)


def _scope(_budget: object, _attribute: object, value: str | None) -> None:
    if value is not None and not re.fullmatch(r"[^\s\x00-\x1f\ud800-\udfff]{1,100}", value):
        raise ValueError(f"a scope is {value!r}; expected 1 to 100 characters without blanks, such as 'user:7'")


@attrs.frozen
class Budget:
    """What may be spent at the most, in roubles of the price that is reserved.

    Nothing is limited unless a client is given a budget, or one is configured. Many processes may share
    one scope on one ledger: together they never reserve and spend more than the limit.

    Attributes:
        max_price_rub: What one job may cost; None: any.
        max_total_rub: What all jobs of the scope may cost; None: any.
        scope: What the limit is for: ``"user:7"``, ``"batch:may"``; None: all clients that are given this very value.

    Raises:
        ValueError: A limit is no amount, or the scope no word.
    """

    max_price_rub: Decimal | None = attrs.field(default=None, converter=roubles_of)
    max_total_rub: Decimal | None = attrs.field(default=None, converter=roubles_of)
    scope: str | None = attrs.field(default=None, validator=_scope)
    _own: str = attrs.field(factory=lambda: f"own:{secrets.token_hex(8)}", init=False, eq=False, repr=False)
    _booked: dict[str, Entry] = attrs.field(factory=dict, init=False, eq=False, repr=False)

    @property
    def ledger_scope(self) -> str:
        """What the ledger books its jobs on: the scope, else a name that only this value has."""
        return self.scope or self._own

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The jobs booked on it, the oldest first, as far as clients of this process that hold it know.

        They know what the ledger holds of the scope when they first use the budget, and what they change.
        """
        return tuple(sorted(self._booked.copy().values(), key=lambda entry: entry.created_at))

    @property
    def spent(self) -> Decimal:
        """What `entries` cost, in roubles."""
        return Decimal(sum(entry.spent for entry in list(self._booked.values()))) / 100

    @property
    def reserved(self) -> Decimal:
        """What is set aside for `entries` that go on, or of which nobody knows whether they were bought, in roubles."""
        return Decimal(sum(entry.reserved for entry in list(self._booked.values()))) / 100


@attrs.frozen
class Limit:
    """What the ledger checks for one job: the scope that it is booked on, and its limit in kopecks."""

    scope: str
    cap: int | None = None


@attrs.frozen
class Balance:
    """What was booked on one scope, in kopecks.

    Attributes:
        scope: ``account:...`` is kept for every account; others were named by a `Budget`.
        cap: The limit that was last given with it.
        spent: Jobs that ended, since the last reset.
        reserved: Jobs that go on, and those of which nobody knows whether they were bought.
        reset_at: When it was last reset, in seconds since 1970; None: never.
    """

    scope: str
    cap: int | None
    spent: int
    reserved: int
    reset_at: float | None = None

    @property
    def left(self) -> int | None:
        """What may still be reserved; None: there is no limit."""
        return None if self.cap is None else max(0, self.cap - self.spent - self.reserved)


class Books:
    """The budgets that somebody in this process still holds; each is told of the jobs that are booked on it."""

    def __init__(self) -> None:
        self._held: dict[str, WeakValueDictionary[int, Budget]] = {}

    def knows(self, budget: Budget) -> bool:
        """Tell whether *budget* is told already."""
        held = self._held.get(budget.ledger_scope)
        return held is not None and held.get(id(budget)) is budget

    def open(self, budget: Budget) -> None:
        """Tell *budget* of every change from here on, for as long as somebody holds it."""
        self._held.setdefault(budget.ledger_scope, WeakValueDictionary())[id(budget)] = budget

    def note(self, entry: Entry) -> None:
        """Tell the budgets of a job, as it stands now."""
        for limit in entry.plan.limits:
            held = self._held.get(limit.scope)
            if held is None:
                continue
            for budget in list(held.values()):
                known = budget._booked.get(entry.id)
                if known is None or known.revision <= entry.revision:
                    budget._booked[entry.id] = entry
            if not held:  # nobody holds them any more
                del self._held[limit.scope]
