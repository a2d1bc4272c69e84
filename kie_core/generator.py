"""Name of the original system: the generator, which takes any known model and returns one dict."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypedDict

import attrs

from kie_core._budget import Budget
from kie_core._client import Kie, opened_by
from kie_core._config import given_settings, yes_or_no
from kie_core._errors import ConfigError, KieError, UnknownModel, WaitTimeout
from kie_core._files.local import any_source
from kie_core._jobs.job import Job
from kie_core._jobs.outcome import Outcome
from kie_core._messages import error_code, error_text
from kie_core._original.api_client import result_urls
from kie_core._original.on_demand import Held, OnDemand
from kie_core._task import Task, named_in_errors
from kie_core._texts import LANGUAGES, Language, spoken, text
from kie_core.builder import v3_job

__all__ = [
    "MAX_PRICE_RUB",
    "MAX_TOTAL_BUDGET_RUB",
    "Generated",
    "KieGenerator",
    "ProgressCallback",
]

#: What the original allowed its tests to spend, in roubles: on one job, and in all. No limits by themselves: make a
#: `Budget` of them.
MAX_PRICE_RUB: Final = 100
MAX_TOTAL_BUDGET_RUB: Final = 300

#: A progress callback that takes longer is not waited for: the job goes on, and so does its caller.
CALLBACK_SECONDS: Final = 10.0

ProgressCallback: TypeAlias = Callable[[str], Awaitable[None] | None]

log = logging.getLogger("kie_core")


class Generated(TypedDict):
    """What `KieGenerator.generate` returns.

    Attributes:
        success: Whether there is a result.
        message: A sentence for the person who asked, either way.
        result_urls: Where the results lie; save them soon, the addresses expire.
        result_object: A result that is no file: text, or data.
        error_code: A word of `KieGenerator`'s, or Kie's own code of the failure; None: it succeeded.
        error_message: What went wrong; None: nothing.
        task_id: Kie's; None: no task is known.
    """

    success: bool
    message: str
    result_urls: list[str]
    result_object: Any
    error_code: str | None
    error_message: str | None
    task_id: str | None


class KieGenerator(Held):
    """Buys a job of any known model, waits for it, and tells what became of it in a dict. Raises no `KieError`.

    Each call opens what it needs and closes it again; ``async with`` holds it open in between.

    The error codes are ``INVALID_INPUT``, ``UNKNOWN_MODEL``, ``TIMEOUT`` (the task goes on and is paid),
    ``BUDGET_EXCEEDED``, ``NO_CREDITS``, ``UNAUTHORIZED``, ``RATE_LIMITED``, ``PROVIDER_ERROR``, ``NETWORK``,
    ``SUBMIT_UNKNOWN`` (it may have been bought: do not order it again), ``LEDGER`` (the record of purchases
    cannot be used), and Kie's own code where a task failed.

    Args:
        api_key: The key; None: from ``KIE_API_KEY`` or the user's configuration file.
        use_v4: True: the six models of the V4 contract go to their category, every other model to its own plugin.
            False: everything goes through the V3 builder and createTask, where the six are unknown.
            None: as ``KIE_USE_V4`` says when the generator is made; by default True.
        language: ``"en"`` or ``"ru"``; None: as ``KIE_LANG`` says when the generator is made; by default English.
        budget: Limits for all that this generator buys, as for `Kie`.
        transport: As for `Kie`.
        **settings: Any other setting by its name.

    Raises:
        ConfigError: A setting, ``KIE_USE_V4`` or ``KIE_LANG`` is wrong.
        RegistryError: The user's registry file is broken.
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        use_v4: bool | None = None,
        language: Language | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        transport: object | None = None,
        **settings: Any,
    ) -> None:
        self.use_v4 = _use_v4() if use_v4 is None else use_v4
        self.language = _language(os.environ.get("KIE_LANG", "")) if language is None else _language(language)
        said = given_settings(api_key, settings)
        self._on_demand = OnDemand(said, budget=budget, transport=transport)

    async def generate(
        self,
        model_id: str,
        user_inputs: Mapping[str, Any],
        progress_callback: ProgressCallback | None = None,
        timeout: float = 300,  # noqa: ASYNC109  (it bounds our patience, and cuts nothing off)
        *,
        job_key: str | None = None,
        budget: Budget | Sequence[Budget] | None = None,
        allow_unknown_price: bool = False,
    ) -> Generated:
        """Buy a job and wait for its result. **Costs money.** It is sent once, as `Kie.submit` says.

        Args:
            model_id: A model id.
            user_inputs: By name; None: left to the model's default, or to Kie. Files as for `Kie.job`, earlier tasks
                as for `Kie.prepare`.
            progress_callback: Is given short texts, as things go on; may be async, and then has ten seconds for
                each. What it raises is logged.
            timeout: Seconds, in all.
            job_key: Your own name for this purchase, such as that of an order: asking again with the same key and
                the same inputs gives the same job and buys nothing more, even after a crash.
            budget: Limits for this job, such as those of one user, beside those of the generator.
            allow_unknown_price: Buy under a limit although the price is unknown.

        Raises:
            ValueError: *timeout* is negative or not a number, or *job_key* is no 1 to 200 printable characters;
                nothing was sent.
        """
        if not timeout >= 0:
            raise ValueError(f"timeout is {timeout!r}; expected seconds, 0 or more")
        tell = _Teller(progress_callback, self.language)
        task: Task | None = None
        try:
            async with self._on_demand.client() as kie:
                job = await self._decided(kie, model_id, user_inputs)
                await tell("checked", title=job.model.title, price=self._price(job))
                clock = opened_by(kie).clock
                end = clock.now() + timeout
                task = await kie.submit(
                    job, job_key=job_key, budget=budget, allow_unknown_price=allow_unknown_price, wait_timeout=timeout
                )
                with named_in_errors(task.handle):
                    await tell("accepted", task=task.id)
                    async for outcome in task.updates(max(0.0, end - clock.now())):
                        await tell.of(outcome)
                    outcome = await task.wait(max(0.0, end - clock.now()))
        except KieError as error:
            whole = attrs.evolve(error, waited=timeout) if isinstance(error, WaitTimeout) else error
            said = error_text(whole, self.language, handle=None if task is None else task.handle)
            return _generated(said, code=error_code(error), task=task)
        if not outcome.artifacts:
            said = text("no_result", self.language, handle=task.handle)
            return _generated(said, code="PROVIDER_ERROR", task=task)
        return _generated(tell.last, outcome=outcome, task=task)

    async def _decided(self, kie: Kie, model_id: str, inputs: Mapping[str, Any]) -> Job:
        if not isinstance(model_id, str):
            raise UnknownModel(repr(model_id)[:80])
        with spoken(self.language):
            if self.use_v4:
                return await kie.prepare(model_id, inputs)
            job_id = secrets.token_hex(8)
            if not any_source(inputs):
                return v3_job(kie.dispatcher, model_id, inputs, job_id)
            return await asyncio.to_thread(v3_job, kie.dispatcher, model_id, inputs, job_id)

    def _price(self, job: Job) -> str:
        kopecks = job.price.reserve
        if kopecks is None:
            return text("price_unknown", self.language)
        return text("price", self.language, rub=f"{kopecks / 100:.2f}")


def _generated(
    message: str, *, outcome: Outcome | None = None, code: str | None = None, task: Task | None = None
) -> Generated:
    artifacts = () if outcome is None else outcome.artifacts
    objects = [one.data if one.data is not None else one.text for one in artifacts if one.url is None]
    return {
        "success": outcome is not None,
        "message": message,
        "result_urls": [] if outcome is None else result_urls(outcome),
        "result_object": next(iter(objects), None),
        "error_code": code,
        "error_message": None if code is None else message,
        "task_id": None if task is None else task.id,
    }


class _Teller:
    """Tells a bot how things go on; that nobody listens stops no purchase."""

    def __init__(self, callback: ProgressCallback | None, language: Language) -> None:
        self._callback = callback
        self._language: Language = language
        self.last = ""

    async def of(self, outcome: Outcome) -> None:
        """Tell what an outcome means; a failure is told by the result."""
        if outcome.state in ("failed", "expired"):
            return
        key = "running_share" if outcome.state == "running" and outcome.progress is not None else outcome.state
        await self(key, share=outcome.progress, count=len(outcome.artifacts))

    async def __call__(self, key: str, **facts: Any) -> None:
        said = text(key, self._language, **facts)
        if said == self.last:
            return
        self.last = said
        if self._callback is None:
            return
        try:
            waiting = self._callback(said)
            if inspect.isawaitable(waiting):
                async with asyncio.timeout(CALLBACK_SECONDS):
                    await waiting
        except Exception as error:  # the caller's code: a job that is paid goes on all the same
            log.warning("the progress callback failed: %s: %s", type(error).__name__, error)


def _use_v4() -> bool:
    said = os.environ.get("KIE_USE_V4", "").strip()
    try:
        return yes_or_no(said) if said else True
    except ValueError as error:
        raise ConfigError((f"KIE_USE_V4 is {said!r}: {error}",)) from None


def _language(said: str) -> Language:
    found = next((one for one in LANGUAGES if said.strip().lower()[:2] == one), "en" if not said.strip() else None)
    if found is None:
        raise ConfigError((f"KIE_LANG is {said!r}: expected {' or '.join(LANGUAGES)}",))
    return found
