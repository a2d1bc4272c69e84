"""From a job to its entry in the ledger, and back to a request or a job. Pure."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlencode

import attrs

from kie_core._budget import Budget, Limit, kopecks_of
from kie_core._config import Settings
from kie_core._dispatch.dispatcher import Dispatcher, asked, encoded
from kie_core._errors import OverBudget, UnknownModel, WrongState
from kie_core._files.local import STAND_IN, replaced
from kie_core._jobs.callback import callback_address, callback_token
from kie_core._jobs.job import Job, Request
from kie_core._ledger.entry import JOB_SECONDS, Entry, Inputs, Plan, fingerprint
from kie_core._models.price import Price

#: A price that rose by more than this share since the job was planned is not paid.
PRICE_TOLERANCE: Final = Decimal("0.05")


@attrs.frozen
class Planner:
    """Knows what a job is made of, for one account.

    Attributes:
        account: Hash of base URL and key.
        settings, dispatcher: The client's.
    """

    account: str
    settings: Settings
    dispatcher: Dispatcher

    def ours(self, entry: Entry) -> Entry:
        """Return a job of this account.

        Raises:
            WrongState: It is another's: Kie would not know its task, and a create would be paid by the wrong one.
        """
        if entry.account != self.account:
            problem = (
                f"it belongs to account {entry.account}, and this key and address to {self.account}; use those that "
                f"it was made with (after a change of the key: KIE_ACCOUNT={entry.account})"
            )
            raise WrongState(entry.id, entry.state, problem)
        return entry

    def planned(
        self,
        job: Job,
        *,
        kept: bool = False,
        job_key: str | None = None,
        budgets: Sequence[Budget] = (),
        folder: Path | None = None,
        allow_unknown_price: bool = False,
    ) -> Entry:
        """Return the ledger's entry for a job; sends and writes nothing.

        Raises:
            InvalidJob, PluginFailed: Its request cannot be made.
            OverBudget: It costs more than one job may, or its price is unknown and a limit is set.
        """
        budgets = (*budgets, self.configured)
        _check_price(job.model.id, job.price.reserve, budgets, any_price=allow_unknown_price)
        endpoint = self.dispatcher.endpoint(job)
        body = self.dispatcher.body(job, endpoint)
        asks = urlencode(asked(body)) if endpoint.kind == "derived" else ""
        rate = Decimal(1) * self.dispatcher.rates.rub_per_usd * self.dispatcher.rates.markup / 2  # 0.005 USD in kopecks
        plan = Plan(
            model=job.model.id,
            category=job.model.category,
            media=job.model.media,
            wire=job.wire,
            create=endpoint.create,
            query=endpoint.query or endpoint.create,
            task_param=endpoint.task_param,
            callback_field=endpoint.callback_field if endpoint.kind == "task" else None,
            contract=job.price.contract,
            credits=None if job.price.credits is None else str(job.price.credits),
            wire_price=job.price.wire,
            unit=job.price.unit,
            kopecks_per_credit=str(rate),
            limits=_limits(budgets, f"account:{self.account}"),
            seconds=self.settings.job_deadline or JOB_SECONDS[job.model.media],
            folder=None if folder is None else str(folder.absolute()),
            kind=endpoint.kind,
            promises=endpoint.promises,
            made_before=endpoint.made_before,
            asks=asks,
            any_price=allow_unknown_price,
            raw=job.raw,
        )
        return Entry(
            id=job.id,
            account=self.account,
            plan=plan,
            inputs=Inputs(params=dict(job.params), given=tuple(sorted(job.given)), body=body),
            fingerprint=fingerprint(plan.model, plan.wire, plan.create, body),
            job_key=job_key,
            kept=kept,
        )

    def limited(self, entry: Entry, budgets: Sequence[Budget]) -> Entry:
        """Return a job that somebody else planned, under the limits of this client, too.

        Raises:
            OverBudget: As for `planned`.
        """
        budgets = (*budgets, self.configured)
        _check_price(entry.plan.model, entry.plan.price, budgets, any_price=entry.plan.any_price)
        caps = {limit.scope: limit.cap for limit in entry.plan.limits}
        for limit in _limits(budgets, f"account:{self.account}"):
            said = [cap for cap in (caps.get(limit.scope), limit.cap) if cap is not None]
            caps[limit.scope] = min(said, default=None)
        limits = tuple(Limit(scope, cap) for scope, cap in caps.items())
        return (
            entry if limits == entry.plan.limits else attrs.evolve(entry, plan=attrs.evolve(entry.plan, limits=limits))
        )

    @cached_property
    def configured(self) -> Budget:
        """The limits of the settings, which hold for the whole account."""
        said = self.settings
        return Budget(said.max_price_rub, said.max_total_budget_rub, scope=f"account:{self.account}")

    def request_of(self, entry: Entry) -> Request:
        """Return the create of an entry.

        Raises:
            WrongState: Its inputs are not in the ledger, or its files are not uploaded.
            InvalidJob: They cannot be sent as JSON.
        """
        if entry.inputs is None:
            problem = "its inputs are not in the ledger (KIE_LEDGER_PROMPTS), so it cannot be sent; submit it again"
            raise WrongState(entry.id, entry.state, problem)
        body = dict(entry.inputs.body)
        if entry.plan.kind == "derived":
            return Request("GET", entry.plan.create, asked(body))
        address = self.address_of(entry)
        if address is not None and entry.plan.callback_field is not None:
            body[entry.plan.callback_field] = address
        content = encoded(entry.plan.model, body)
        if STAND_IN.encode() in content:
            raise WrongState(entry.id, entry.state, "its files are not uploaded; nothing was sent, submit it again")
        return Request("POST", entry.plan.create, content=content)

    def address_of(self, entry: Entry) -> str | None:
        """Return where Kie is to report the job; None: nowhere."""
        if self.settings.callback_url is None or self.settings.api_key is None:
            return None
        return callback_address(self.settings.callback_url, entry.id, self.settings.api_key)

    def marks_of(self, entry: Entry) -> list[str]:
        """Return how the job's callback address ends, wherever the receiver is: one for each key, the present first."""
        return [f"/{entry.id}/{callback_token(key, entry.id)}" for key in self.settings.all_keys]

    def job_of(self, entry: Entry) -> Job:
        """Return the job of an entry; works when registry and plugin are gone."""
        plan, inputs = entry.plan, entry.inputs
        known = self.dispatcher.raw_model_for if plan.raw else self.dispatcher.model_for
        credits = None if plan.credits is None else Decimal(plan.credits)
        return Job(
            entry.id,
            known(plan.model, plan.category, plan.media),
            MappingProxyType({}) if inputs is None else inputs.params,
            frozenset(() if inputs is None else inputs.given),
            plan.wire,
            Price(plan.contract, credits, plan.wire_price, plan.unit),
            attached=inputs is None,
            raw=plan.raw,
        )

    def foreign(self, job: Job, task_id: str, now: float) -> Entry:
        """Return an entry, kept nowhere, for a task that is known from a handle only.

        Raises:
            PluginFailed: Its plugin cannot say where it is read.
        """
        endpoint = self.dispatcher.endpoint(job)
        plan = Plan(
            model=job.model.id, category=job.model.category, media=job.model.media, wire=job.wire,
            create=endpoint.create, query=endpoint.query or endpoint.create, task_param=endpoint.task_param,
            callback_field=None, kind=endpoint.kind,
            contract=job.price.contract, credits=None, wire_price=None, unit=job.price.unit, kopecks_per_credit="0",
            limits=(), seconds=math.inf, raw=job.raw,
        )  # fmt: skip
        return Entry(
            id=job.id, account=self.account, plan=plan, inputs=None, fingerprint="", state="running", task_id=task_id,
            created_at=now, submitted_at=now,
        )  # fmt: skip

    def risen(self, entry: Entry) -> str | None:
        """Say whether the job costs more by now than when it was planned."""
        if entry.inputs is None or entry.plan.credits is None or entry.plan.raw:
            return None
        try:
            model = self.dispatcher.plugins.registry.get(entry.plan.model)
            today = self.dispatcher.price(model, entry.inputs.params, entry.plan.wire).credits
        except UnknownModel:  # here; the process that planned it knew
            return None
        planned = Decimal(entry.plan.credits)
        if today is None or today <= planned * (1 + PRICE_TOLERANCE):
            return None
        return f"its price rose from {planned:f} to {today:f} credits since it was planned; nothing was sent"

    def outlived(self, entry: Entry, now: float) -> str | None:
        """Say whether the uploads of the job have expired while it waited."""
        if entry.plan.uploads_until is None or now < entry.plan.uploads_until:
            return None
        return "its uploads have expired at Kie while it waited; nothing was sent, submit it again with the same files"

    @property
    def keeps_inputs(self) -> bool:
        said = self.settings.ledger_prompts
        return said if said is not None else "://" not in (self.settings.ledger or "")


def _check_price(model: str, price: int | None, budgets: Sequence[Budget], *, any_price: bool) -> None:
    """Raise `OverBudget` where one job may not cost so much, or nobody knows how much it costs and somebody cares."""
    for budget in budgets:
        single, total = kopecks_of(budget.max_price_rub), kopecks_of(budget.max_total_rub)
        limit = single if single is not None else total
        if limit is None or (price is None and any_price):
            continue
        if price is None or (single is not None and price > single):
            raise OverBudget(model, "", price, limit)


def _limits(budgets: Sequence[Budget], account: str) -> tuple[Limit, ...]:
    """One limit per scope, the lowest that was said: a job is booked once on each."""
    caps: dict[str, int | None] = {account: None}
    for budget in budgets:
        scope = budget.ledger_scope
        said = [cap for cap in (caps.get(scope), kopecks_of(budget.max_total_rub)) if cap is not None]
        caps[scope] = min(said, default=None)
    return tuple(Limit(scope, cap) for scope, cap in caps.items())


def with_addresses(entry: Entry, urls: Mapping[str, str], until: float) -> Entry:
    """Return an entry that was planned with stand-ins, with the addresses of its uploads in what is sent and shown.

    Its fingerprint stays: that is made of the content of the files, which is the same wherever they lie.

    Args:
        entry: The job.
        urls: By stand-in.
        until: When the first upload expires, in seconds since 1970.
    """
    assert entry.inputs is not None
    params, body = replaced(entry.inputs.params, urls), replaced(entry.inputs.body, urls)
    return attrs.evolve(
        entry, plan=attrs.evolve(entry.plan, uploads_until=until),
        inputs=attrs.evolve(entry.inputs, params=params, body=body),
    )  # fmt: skip


def account_of(settings: Settings) -> str:
    """Return what the account is called in the ledger: its name, or a hash of base URL and key, which tells neither."""
    if settings.account is not None:
        return settings.account
    key = settings.api_key.reveal() if settings.api_key is not None else ""
    return hashlib.sha256(json.dumps([settings.base_url, key]).encode()).hexdigest()[:16]
