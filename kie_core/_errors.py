"""Every error that kie-core raises.

KieError
├── UnknownModel (ValueError)      no such model id
├── InvalidJob (ValueError)        inputs that Kie would refuse, misread or bill for nothing
├── ModelGone                      the vendor removed the model
├── UnknownWire                    the model's plugin does not speak that wire
├── NoPlugin                       no installed plugin owns the category
├── PluginBroken                   the owner was put in quarantine
├── PluginFailed                   a hook of the owner raised
├── ConfigError                    a setting is wrong
├── NoKey                          there is no key
├── LedgerError                    the ledger cannot be used: nothing was sent, unless it names a task
├── OverBudget                     the job would exceed a limit: nothing was sent
├── JobKeyTaken (ValueError)       the job key belongs to another request
├── UnknownJob (ValueError)        the ledger does not know the job
├── WrongState                     the job is not in a state that allows this
├── NoCatalogue                    no usable catalogue of Kie's is kept on this machine
├── RegistryError                  a registry file or row is wrong
├── BadHandle (ValueError)         not a handle of ours
├── UploadFailed                   a file could not be uploaded: nothing was bought
├── NotSent                        the create did not leave this machine: nothing was bought
├── Refused                        Kie said no: nothing was bought
│   ├── Unauthorized (401)
│   ├── OutOfCredits (402)
│   ├── RateLimited (429)
│   └── Maintenance (455)
├── SubmitUnknown                  the create may have reached Kie: do not send it again
├── ReadFailed                     a question (not a create) got no usable answer
│   └── RecordMissing              Kie does not know the task (yet)
├── ReadRefused                    the account may not read its task now; the task goes on
├── WaitTimeout                    we stopped waiting; the task goes on
├── ClientClosed (RuntimeError)    the client was closed while we waited; the task goes on
├── JobFailed                      the task ended without a result
├── SaveFailed                     a result could not be put on disk
└── WebhookRefused                 a callback was refused (in `kie_core.webhook`)

All of them pickle, none holds a secret, and facts are attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from kie_core._error import KieError as KieError  # noqa: PLC0414  (it is imported from here)

if TYPE_CHECKING:
    from kie_core._jobs.job import Job
    from kie_core._jobs.outcome import SavedFile


def one_of(values: Iterable[Any]) -> str:
    """Render *values* as the tail of "allowed: ..."."""
    return ", ".join(repr(value) for value in values)


@attrs.define
class UnknownModel(KieError, ValueError):
    """No registry holds a model with this id.

    Attributes:
        model: What was asked for.
        suggestions: Ids that look like it.
        moved_to: What the vendor calls that model today; it is not bought by its old name.
    """

    model: str
    suggestions: tuple[str, ...] = ()
    moved_to: str | None = None

    def __str__(self) -> str:
        if self.moved_to is not None:
            return f"{self.model!r} is an old name, the model moved to {self.moved_to!r}; ask for that"
        hint = f"; did you mean {' or '.join(map(repr, self.suggestions))}?" if self.suggestions else ""
        return (
            f"unknown model {self.model!r}{hint or '; `kie models --all` lists every id'}"
            "; raw=True (--raw) sends it to createTask all the same, unchecked and at an unknown price"
        )


@attrs.frozen
class Fault:
    """One thing that is wrong with a job's inputs.

    Attributes:
        field: The input's name.
        problem: What is wrong, with the value and what is allowed.
        unknown: The model has no such input, as far as its row knows.
    """

    field: str
    problem: str
    unknown: bool = attrs.field(default=False, kw_only=True, eq=False, repr=False)

    def __str__(self) -> str:
        return f"{self.field}: {self.problem}"


@attrs.define
class InvalidJob(KieError, ValueError):
    """The inputs do not fit the model; nothing was sent.

    Attributes:
        model: The model's id.
        faults: Every fault that was found, not only the first.
    """

    model: str
    faults: tuple[Fault, ...]

    @classmethod
    def value(cls, job: Job, field: str, *, why: str, allowed: Sequence[Any] = ()) -> InvalidJob:
        """Refuse the value of one input: for rules that a schema cannot express.

        Args:
            job: The job that a plugin was asked to build.
            field: The input's name.
            why: The reason, as the second half of a sentence.
            allowed: The values that would do.
        """
        tail = f" (allowed: {one_of(allowed)})" if allowed else ""
        given = repr(job.params[field]) if field in job.params else "missing"
        return cls(job.model.id, (Fault(field, f"{given}: {why}{tail}"),))

    def __str__(self) -> str:
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        raw = (
            "; raw=True (--raw) sends what its row lacks to createTask, unchecked and at an unknown price"
            if any(fault.unknown for fault in self.faults)
            else ""
        )
        return f"{self.model} cannot take these inputs:{lines}\n`kie model {self.model}` shows what it takes{raw}"


@attrs.define
class ModelGone(KieError):
    """The vendor removed the model; nothing was sent.

    Attributes:
        model: What was asked for.
        note: Why it is gone, as far as that is known.
        kind: A word by which the list finds models for the same use; empty: there is none.
    """

    model: str
    note: str
    kind: str = ""

    def __str__(self) -> str:
        others = f"{self.kind}` lists others for the same use" if self.kind else "--all` lists what is left"
        return f"{self.model!r} is no longer offered by Kie: {self.note}; `kie models {others}"


@attrs.define
class UnknownWire(KieError, ValueError):
    """The model's plugin does not speak the wire that was asked for."""

    wire: str
    model: str
    spoken: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.model} cannot go over wire {self.wire!r}; its plugin speaks {one_of(self.spoken)}"


@attrs.define
class NoPlugin(KieError):
    """No installed plugin owns the model's category."""

    category: str
    installed: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"no installed plugin handles category {self.category!r} "
            f"(installed: {', '.join(self.installed) or 'none'}); "
            f"try: pip install kie-{self.category}"
        )


@attrs.define
class PluginBroken(KieError):
    """The plugin that owns the category was put in quarantine."""

    category: str
    distribution: str
    version: str
    reason: str

    def __str__(self) -> str:
        return (
            f"the plugin for category {self.category!r} cannot be used: {self.reason} "
            f"({self.distribution} {self.version}); `kie plugins` lists all"
        )


@attrs.define
class PluginFailed(KieError):
    """A hook of the owning plugin raised, or answered with something else than it should."""

    category: str
    hook: str
    reason: str
    handle: str | None = None

    def __str__(self) -> str:
        task = f"; the task goes on at Kie and is paid: kie save {self.handle}" if self.handle else ""
        return f"plugin {self.category!r} failed in {self.hook}: {self.reason}; this is a fault of the plugin{task}"


@attrs.define
class ConfigError(KieError):
    """One or more settings are wrong.

    Attributes:
        faults: Every fault, each with its origin, the value (never a key) and what is allowed.
    """

    faults: tuple[str, ...]

    def __str__(self) -> str:
        if len(self.faults) == 1:
            return self.faults[0]
        return "the configuration is wrong:" + "".join(f"\n  {fault}" for fault in self.faults)


@attrs.define
class NoKey(KieError):
    """Something that needs a key was asked for, and there is none. Nothing was sent."""

    def __str__(self) -> str:
        return "there is no key: set KIE_API_KEY (from https://kie.ai/api-key), or try --sandbox, which needs none"


@attrs.define
class LedgerError(KieError):
    """The ledger cannot be used. Without a handle: nothing was sent.

    Attributes:
        place: The file or the server.
        problem: What is wrong.
        remedy: What to do.
        kind: ``busy``, ``full``, ``corrupt``, or empty.
        handle: The task that was bought already, and goes on; None: none was.
    """

    place: str
    problem: str
    remedy: str
    kind: str = ""
    handle: str | None = None

    def __str__(self) -> str:
        task = f"; the task goes on at Kie and is paid: kie save {self.handle}" if self.handle else ""
        return f"the ledger {self.place} cannot be used: {self.problem}; {self.remedy}{task}"


@attrs.define
class OverBudget(KieError):
    """The job would exceed a limit; nothing was sent.

    Attributes:
        model: What was to be bought.
        scope: Whose limit it is; empty: the limit of a single price.
        price: Kopecks; None: unknown, which counts as too much.
        limit, spent, reserved: Kopecks.
    """

    model: str
    scope: str
    price: int | None
    limit: int
    spent: int = 0
    reserved: int = 0

    def __str__(self) -> str:
        limit = f"{self.limit / 100:.2f} RUB"
        if self.price is None:
            return (
                f"the price of {self.model} is unknown and the limit is {limit}; nothing was sent (allow_unknown_price)"
            )
        price = f"{self.model} costs {self.price / 100:.2f} RUB"
        if not self.scope:
            return f"{price}, more than the {limit} that one job may cost; nothing was sent"
        booked = f"{self.spent / 100:.2f} spent and {self.reserved / 100:.2f} reserved"
        whose = "this budget" if self.scope.startswith("own:") else self.scope
        return f"{price}, and of {limit} for {whose} {booked} already; nothing was sent"


@attrs.define
class JobKeyTaken(KieError, ValueError):
    """The job key belongs to another request; nothing was sent."""

    job_key: str
    job: str
    model: str

    def __str__(self) -> str:
        return (
            f"job key {self.job_key!r} does not fit job {self.job} ({self.model}), which was asked for with "
            "other inputs or another key; nothing was sent; take another key, or repeat that very request"
        )


@attrs.define
class UnknownJob(KieError, ValueError):
    """The ledger does not know the job."""

    job: str
    place: str

    def __str__(self) -> str:
        return f"the ledger {self.place} knows no job {self.job[:120]!r}; `kie jobs` lists all"


@attrs.define
class WrongState(KieError):
    """The job is not in a state that allows what was asked for; nothing changed."""

    job: str
    state: str
    problem: str

    def __str__(self) -> str:
        return f"job {self.job} is {self.state}: {self.problem}"


@attrs.define
class NoCatalogue(KieError):
    """No catalogue is kept on this machine, or none that can be used. Nobody was asked.

    Attributes:
        base_url: Whose catalogue.
        place: The file in which it is looked for.
        problem: What is wrong with the file; empty: there is none.
    """

    base_url: str
    place: str
    problem: str = ""

    def __str__(self) -> str:
        if self.problem:
            return (
                f"the kept catalogue {self.place} cannot be used: {self.problem}; `kie catalogue refresh` replaces it"
            )
        return f"no catalogue of {self.base_url} was fetched yet; `kie catalogue refresh` asks for it, free of charge"


@attrs.define
class RegistryError(KieError):
    """A registry file, or a row that a plugin brought, cannot be used."""

    source: str
    problem: str
    line: int | None = None

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}, line {self.line}"
        return f"{place}: {self.problem}"


@attrs.define
class BadHandle(KieError, ValueError):
    """The text is not a handle of ours."""

    handle: str
    problem: str

    def __str__(self) -> str:
        return f"{self.handle[:120]!r} is not a handle: {self.problem} (expected: kie1:JOB:MODEL:WIRE:TASK)"


@attrs.define
class UploadFailed(KieError):
    """A file could not be uploaded; nothing was bought, and trying again is free.

    Attributes:
        file: What was to be uploaded: a base name, or a few words.
        reason: Why it was not, and what is allowed.
        remedy: What to do now.
        code: Kie's, where it refused; None: it said nothing usable.
    """

    file: str
    reason: str
    remedy: str = "try again, it is free"
    code: int | None = None

    def __str__(self) -> str:
        return f"could not upload {self.file}: {self.reason}; nothing was bought; {self.remedy}"


@attrs.define
class NotSent(KieError):
    """The request never left this machine: nothing was bought, and it may be sent again."""

    reason: str

    def __str__(self) -> str:
        return f"nothing was sent, nothing was bought: {self.reason}"


@attrs.define
class Refused(KieError):
    """Kie refused: no task was made, nothing was bought.

    Attributes:
        code: Kie's body code, or the HTTP status where the answer had no body code.
        message: Kie's text.
        retry_after: Seconds that Kie asks to wait; None: it does not say.
    """

    code: int
    message: str
    retry_after: float | None = None

    def __str__(self) -> str:
        return f"Kie refused, nothing was bought: {self.message or 'no reason given'} (code {self.code})"


@attrs.define
class Unauthorized(Refused):
    """The key is missing, wrong or not allowed (401)."""

    def __str__(self) -> str:
        return f"{super().__str__()}; check KIE_API_KEY (https://kie.ai/api-key)"


@attrs.define
class OutOfCredits(Refused):
    """The account has not enough credits (402)."""

    def __str__(self) -> str:
        return f"{super().__str__()}; `kie credits` shows the balance"


@attrs.define
class RateLimited(Refused):
    """Too many calls (429): the same request may be sent again later."""


@attrs.define
class Maintenance(Refused):
    """The service is under maintenance (455): the same request may be sent again later."""


@attrs.define
class SubmitUnknown(KieError):
    """The create may or may not have reached Kie: sending it again may pay twice.

    Attributes:
        handle: Names the job; keep it. It names a task too where the answer held what looks like a task id:
            then `kie status` can tell.
        reason: What came instead of a clear answer.
        answer: What came, cut.
    """

    handle: str
    reason: str
    answer: str = ""

    def __str__(self) -> str:
        return (
            f"it is unknown whether Kie took this job: {self.reason}; do not send it again before "
            f"looking at https://kie.ai/logs ({self.handle})"
        )


@attrs.define
class ReadFailed(KieError):
    """A question about a task or the account got no usable answer; asking again is free."""

    reason: str

    def __str__(self) -> str:
        return f"Kie gave no usable answer: {self.reason}"


@attrs.define
class RecordMissing(ReadFailed):
    """Kie does not know the task: not yet, or not any more."""

    def __str__(self) -> str:
        return (
            f"Kie does not know this task, yet or any more ({self.reason}); check the handle, or ask again in a minute"
        )


@attrs.define
class ReadRefused(KieError):
    """The account may not read its task now (401, 402). The task goes on at Kie and is paid.

    Attributes:
        handle: What resumes it.
        code: Kie's code.
        message: Kie's text.
    """

    handle: str
    code: int
    message: str

    def __str__(self) -> str:
        return (
            f"Kie does not let this key read the task: {self.message or 'no reason given'} (code {self.code}); "
            f"the task goes on and is paid: resume it, do not submit it again: kie save {self.handle}"
        )


@attrs.define
class WaitTimeout(KieError):
    """We stopped waiting. The task goes on at Kie and is paid: resume it, do not submit it again.

    Attributes:
        handle: What resumes it.
        waited: Seconds.
        state: The last state that was seen, or the reason why none was.
    """

    handle: str
    waited: float
    state: str

    def __str__(self) -> str:
        return (
            f"still {self.state} after {self.waited:g} s; the task goes on at Kie and is paid: "
            f"resume it, do not submit it again: kie save {self.handle}"
        )


@attrs.define
class ClientClosed(KieError, RuntimeError):
    """The client was closed while its task was waited for, or before. The task goes on at Kie and is paid.

    Attributes:
        handle: What resumes it, with another client.
    """

    handle: str

    def __str__(self) -> str:
        return (
            "the client was closed; the task goes on at Kie and is paid: "
            f"resume it, do not submit it again: kie save {self.handle}"
        )


@attrs.define
class JobFailed(KieError):
    """The task ended without a result.

    Attributes:
        handle: Names the job.
        state: ``failed``, ``expired`` or ``needs_input``.
        code: Kie's code for the failure, as text, where it gave one.
        message: Kie's text.
    """

    handle: str
    state: str
    code: str | None
    message: str

    def __str__(self) -> str:
        code = f" (code {self.code})" if self.code else ""
        what = {"failed": "the task failed", "expired": "the task is gone"}.get(self.state, f"the task is {self.state}")
        return f"{what}: {self.message or 'no reason given'}{code} ({self.handle})"


@attrs.define
class SaveFailed(KieError):
    """One result or more could not be saved; the task is untouched and its results stay with Kie for a while.

    Attributes:
        handle: Names the task: save it again with it.
        url: What was to be saved, the first that failed.
        reason: Why it was not.
        saved: What lies on disk all the same.
        others: The url and the reason of each further one that failed.
        expired: Only links that have expired, fresh ones too, were in the way.
    """

    handle: str
    url: str
    reason: str
    saved: tuple[SavedFile, ...] = ()
    others: tuple[tuple[str, str], ...] = ()
    expired: bool = False

    def __str__(self) -> str:
        failed = "; ".join(f"could not save {url}: {reason}" for url, reason in ((self.url, self.reason), *self.others))
        saved = f"; saved: {', '.join(file.path.name for file in self.saved)}" if self.saved else ""
        if self.expired:
            where = "the task is paid, nothing must be bought again; look at https://kie.ai/logs"
        else:
            where = "the result is still at Kie" if not self.others else "the results are still at Kie"
        return f"{failed}{saved}; {where}: {self.handle}"
