"""The hooks of kie-core.

A category plugin is a module, found through the entry-point group
``kie_core.plugins`` whose entry is named like the category::

    [project.entry-points."kie_core.plugins"]
    acme = "kie_acme"

Its models stand in ``kie_acme/kie_models.json``; then it is imported when its category is first used. A plugin that
wraps or observes hooks has no such file, and is imported at once.

Hooks are pure: values in, values out; no network, no clock, no environment.
They never see the key or the client, and the core calls the three required ones
only on the plugin that owns the model's category.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import pluggy

from kie_core._jobs.job import Endpoint, Job
from kie_core._jobs.outcome import Outcome
from kie_core._models.model import JSON

#: The version of these hooks. A module may say ``KIE_HOOKS = 1``; a plugin that asks for more
#: than the core has is put in quarantine with that reason.
HOOKS_VERSION: Final = 1

hookspec = pluggy.HookspecMarker("kie_core")
hookimpl = pluggy.HookimplMarker("kie_core")


class CategoryPlugin(Protocol):
    """What a category plugin implements. A plain module satisfies this."""

    @property
    def ENDPOINTS(self) -> Mapping[str, Endpoint]:
        """The wires that the plugin speaks, its default first. The wire ``v4`` is the core's own."""

    @hookspec(firstresult=True)
    def endpoint_for(self, job: Job) -> Endpoint:
        """Return where *job* goes on its wire; the core never asks for wire ``v4``.

        A job that was attached from a handle has no params: look them up with ``get``.
        """

    @hookspec(firstresult=True)
    def build_payload(self, job: Job) -> dict[str, JSON]:
        """Turn *job* into the JSON body that Kie expects; for a ``derived`` endpoint, into the query of its call.

        Called once per job, before anything is sent or reserved.

        Args:
            job: Its params already satisfy the model. For a file that is not uploaded yet an address under
                ``upload.invalid`` stands in them: pass it on as any URL, it is replaced before the body is sent.

        Returns:
            A JSON object without the callback URL, which the core adds.

        Raises:
            InvalidJob: A rule that the registry cannot express is broken.
        """

    @hookspec(firstresult=True)
    def parse_result(self, job: Job, body: dict[str, Any]) -> Outcome:
        """Say what the answer to a query means.

        Args:
            job: The job that the task was made for; without params if it was
                attached from a handle.
            body: The whole answer (of a ``sync`` endpoint the answer to the create, of a ``derived`` one that of the
                call itself) with any ``code``, except the account's codes
                401, 402, 429 and 455, which the core answers. Use `kie_core.record`
                to get at its data.

        Raises:
            RecordMissing: Kie does not know the task. The core is patient for a while.
            ReadFailed: The answer says nothing about the task. The core asks again.
        """


class OptionalHooks(Protocol):
    """What any plugin may add: rows, tables, observers."""

    @hookspec
    def register_models(self) -> Iterable[Mapping[str, Any]]:
        """Return rows for the registry, in the format of the bundled files (``docs/registry.md``).

        For rows that are computed; those that are written down belong into ``kie_models.json``, and nobody brings both.
        Called once per process.
        """

    @hookspec(firstresult=True)
    def refused(self) -> Sequence[tuple[int, str]]:
        """Return ``(code, part of the message)`` pairs by which Kie says that no task was made.

        For codes that the core must take for "unknown" otherwise, such as 500. The part is
        compared without case; an empty part stands for every message.
        """

    @hookspec
    def job_accepted(self, job: Job, task_id: str) -> None:
        """Learn that Kie made a task of *job*."""

    @hookspec
    def job_updated(self, job: Job, task_id: str, outcome: Outcome) -> None:
        """Learn that a task moved on."""

    @hookspec
    def job_finished(self, job: Job, task_id: str, outcome: Outcome) -> None:
        """Learn that a task ended: its outcome does not change any more."""
