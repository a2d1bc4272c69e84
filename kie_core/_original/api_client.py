"""The API clients of the original system, over this one: dicts in, dicts out, nothing to open or to close."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kie_core._budget import Budget
from kie_core._client import Kie
from kie_core._config import given_settings
from kie_core._errors import KieError, Refused, SubmitUnknown, WaitTimeout
from kie_core._jobs.job import Job
from kie_core._jobs.outcome import Outcome, State
from kie_core._messages import error_code, error_text
from kie_core._original.on_demand import Held, OnDemand
from kie_core._task import Task
from kie_core._wait import Schedule

#: A create that Kie does not take now is tried again for so many seconds at the most.
TAKING_SECONDS: Final = 60.0
#: Our states by the names of createTask's records.
_STATES: Final[dict[State, str]] = {
    "queued": "waiting",
    "running": "generating",
    "partial": "generating",
    "needs_input": "generating",
    "succeeded": "success",
    "failed": "fail",
    "expired": "fail",
}


class ApiClient(Held, ABC):
    """What both clients do.

    Each call opens what it needs and closes it again; ``async with`` holds it open in between.

    Args:
        api_key: The key; None: from ``KIE_API_KEY`` or the user's configuration file.
        base_url: Where the API is; None: the setting.
        budget: Limits for all that this client buys, as for `Kie`.
        transport: As for `Kie`.
        **settings: Any other setting by its name.

    Raises:
        ConfigError: A setting is wrong.
        RegistryError: The user's registry file is broken.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        budget: Budget | Sequence[Budget] | None = None,
        transport: object | None = None,
        **settings: Any,
    ) -> None:
        said = given_settings(api_key, {"base_url": base_url, **settings})
        self._on_demand = OnDemand(said, budget=budget, transport=transport)

    async def create_task(
        self, model_id: str, payload: Mapping[str, Any], *, allow_unknown_price: bool = False
    ) -> dict[str, Any]:
        """Buy a job. **Costs money.** It is sent once, as `Kie.submit` says.

        Args:
            model_id: The model.
            payload: What the builder of this client's models made of the inputs.
            allow_unknown_price: Buy under a limit although the price is unknown.

        Returns:
            ``{"code": 200, "msg": "success", "data": {"taskId": str}}``; or, where no task is known to exist,
            ``{"state": "fail", "error": str, "code": int | str}``: Kie's code where it refused, else one of those of
            `KieGenerator`. With code ``SUBMIT_UNKNOWN`` it may have been bought: do not create it again;
            ``"handle"`` names it.

        Raises:
            UnknownModel, InvalidJob, UnknownWire: The model is none of this client's, or the payload does not fit:
                a `ValueError`.
        """
        try:
            async with self._on_demand.client() as kie:
                job = self._decided(kie, model_id, payload)
                task = await kie.submit(job, allow_unknown_price=allow_unknown_price, wait_timeout=TAKING_SECONDS)
        except ValueError:
            raise
        except KieError as error:
            code = error.code if isinstance(error, Refused) else error_code(error)
            handle = {"handle": error.handle} if isinstance(error, SubmitUnknown) else {}
            return {"state": "fail", "error": error_text(error, "en"), "code": code, **handle}
        return {"code": 200, "msg": "success", "data": {"taskId": task.id}}

    async def get_record_info(self, task_id: str, *, model_id: str | None = None) -> dict[str, Any]:
        """Ask once what became of a task. Free.

        Args:
            task_id: Kie's; which model and wire it belongs to is known from the ledger.
            model_id: Its model, for a task that this ledger never saw.

        Returns:
            ``{"taskId", "state", "resultUrls", "failCode", "failMsg", "raw"}``: the state is one of ``waiting``,
            ``generating``, ``success`` and ``fail``, ``raw`` is Kie's whole answer. What tells nothing about the
            task, such as a broken connection, is never ``fail``: the state is the last one known, ``raw`` is None,
            and ``error`` and ``code`` say why.

        Raises:
            UnknownJob: The ledger never saw the task, and *model_id* does not say what it is: a `ValueError`.
            BadHandle, UnknownModel: It is no task id, or no model: a `ValueError`.
        """
        try:
            async with self._on_demand.client() as kie:
                return await _asked(await self._found(kie, task_id, model_id))
        except ValueError:
            raise
        except KieError as error:
            return _unread(task_id, None, error)

    async def poll_task_until_complete(
        self,
        task_id: str,
        max_wait_seconds: float = 300,
        poll_interval: float = 3.0,
        *,
        model_id: str | None = None,
    ) -> dict[str, Any]:
        """Wait until a task has ended and return its record. Free.

        Args:
            task_id: As for `get_record_info`.
            max_wait_seconds: How long to wait.
            poll_interval: Seconds between two questions.
            model_id: As for `get_record_info`.

        Returns:
            The final record, as `get_record_info` returns it; or, when we stopped waiting,
            ``{"state": "timeout", "taskId": str, "error": str}``: the task goes on, is paid, and must not be
            created again. That is also what comes where it cannot be read, or Kie waits for a person.

        Raises:
            UnknownJob, BadHandle, UnknownModel: As for `get_record_info`.
            ValueError: A time is negative or no number.
        """
        if not (poll_interval > 0 and math.isfinite(poll_interval)):
            raise ValueError(f"poll_interval is {poll_interval!r}; expected seconds above 0")
        steady = Schedule(first=poll_interval, factor=1.0, longest=poll_interval)
        try:
            async with self._on_demand.client() as kie:
                task = await self._found(kie, task_id, model_id)
                async for _ in task.updates(max_wait_seconds, schedule=steady):
                    pass
                if task.outcome is not None and not task.outcome.finished:
                    return _gave_up(task_id, "Kie waits for a person")
                return await _asked(task)
        except ValueError:
            raise
        except WaitTimeout as error:
            return _gave_up(task_id, f"still {error.state} after {max_wait_seconds:g} s")
        except KieError as error:
            return _gave_up(task_id, str(error))

    @abstractmethod
    def _decided(self, kie: Kie, model_id: str, payload: Mapping[str, Any]) -> Job:
        """Return the job that a payload of this client's dialect asks for."""

    async def _found(self, kie: Kie, task_id: str, model_id: str | None) -> Task:
        return await kie.find(task_id, model=model_id)


def result_urls(outcome: Outcome) -> list[str]:
    """Return where the results themselves lie; covers and frames stand in Kie's record."""
    return [one.url for one in outcome.artifacts if one.url is not None and one.role == "result"]


async def _asked(task: Task) -> dict[str, Any]:
    assert task.id is not None
    try:
        raw = await task.record()
    except KieError as error:
        return _unread(task.id, task.outcome, error)
    return _record(task.id, task.outcome, raw)


def _gave_up(task_id: str, why: str) -> dict[str, Any]:
    error = f"{why}; the task goes on at Kie and is paid: ask for it again, do not create it again"
    return {"state": "timeout", "taskId": task_id, "error": error}


def _unread(task_id: str, outcome: Outcome | None, error: KieError) -> dict[str, Any]:
    return {**_record(task_id, outcome, None), "error": str(error), "code": error_code(error)}


def _record(task_id: str, outcome: Outcome | None, raw: dict[str, Any] | None) -> dict[str, Any]:
    lost = outcome is not None and outcome.state in ("failed", "expired")
    failure = outcome.error if outcome is not None and lost else None
    remark = outcome.remark if outcome is not None and lost else None
    return {
        "taskId": task_id,
        "state": "generating" if outcome is None else _STATES[outcome.state],
        "resultUrls": [] if outcome is None else result_urls(outcome),
        "failCode": None if failure is None else failure.code,
        "failMsg": remark if failure is None else failure.message,
        "raw": raw,
    }
