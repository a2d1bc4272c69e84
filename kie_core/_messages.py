"""What an error means for a person, in English and Russian, and the word by which a bot can decide."""

from __future__ import annotations

from typing import Any, Final

import attrs

from kie_core._errors import (
    ClientClosed,
    ConfigError,
    InvalidJob,
    JobFailed,
    JobKeyTaken,
    KieError,
    LedgerError,
    ModelGone,
    NoKey,
    NoPlugin,
    NotSent,
    OutOfCredits,
    OverBudget,
    PluginBroken,
    PluginFailed,
    RateLimited,
    ReadFailed,
    ReadRefused,
    Refused,
    RegistryError,
    SaveFailed,
    SubmitUnknown,
    Unauthorized,
    UnknownModel,
    UnknownWire,
    UploadFailed,
    WaitTimeout,
)
from kie_core._texts import Language, text

#: Error -> the word by which a bot can decide what to do, and the key of its text. The first that fits counts.
ERRORS: Final[tuple[tuple[type[KieError], str, str], ...]] = (
    (InvalidJob, "INVALID_INPUT", "invalid_input"),
    (UnknownModel, "UNKNOWN_MODEL", "unknown_model"),
    (ModelGone, "UNKNOWN_MODEL", "model_gone"),
    (NoPlugin, "UNKNOWN_MODEL", "no_plugin"),
    (PluginBroken, "UNKNOWN_MODEL", "plugin_broken"),
    (UnknownWire, "UNKNOWN_MODEL", "unknown_wire"),
    (WaitTimeout, "TIMEOUT", "timeout"),
    (ClientClosed, "TIMEOUT", "closed"),
    (OverBudget, "BUDGET_EXCEEDED", "over_total"),
    (NoKey, "UNAUTHORIZED", "no_key"),
    (OutOfCredits, "NO_CREDITS", "no_credits"),
    (Unauthorized, "UNAUTHORIZED", "unauthorized"),
    (RateLimited, "RATE_LIMITED", "rate_limited"),
    (Refused, "PROVIDER_ERROR", "refused"),
    (ReadRefused, "UNAUTHORIZED", "read_refused"),
    (NotSent, "NETWORK", "not_sent"),
    (UploadFailed, "NETWORK", "upload_failed"),
    (ReadFailed, "NETWORK", "read_failed"),
    (SubmitUnknown, "SUBMIT_UNKNOWN", "submit_unknown"),
    (JobFailed, "PROVIDER_ERROR", "failed"),
    (PluginFailed, "PROVIDER_ERROR", "plugin_failed"),
    (LedgerError, "LEDGER", "ledger"),
    (SaveFailed, "PROVIDER_ERROR", "save_failed"),
    (ConfigError, "INVALID_INPUT", "setup"),
    (RegistryError, "INVALID_INPUT", "setup"),
    (JobKeyTaken, "INVALID_INPUT", "setup"),
    (KieError, "PROVIDER_ERROR", "other"),
)


def error_code(error: KieError) -> str:
    """Return the word for *error* by which a bot can decide what to do; Kie's own where a task failed."""
    if isinstance(error, JobFailed) and error.state == "needs_input":
        return "TIMEOUT"
    if isinstance(error, JobFailed) and error.code:
        return error.code
    if isinstance(error, ReadRefused) and error.code == 402:
        return "NO_CREDITS"
    if isinstance(error, UploadFailed) and error.code is not None and error.code < 500:
        return "UNAUTHORIZED" if error.code == 401 else "PROVIDER_ERROR"
    return next(code for kind, code, _ in ERRORS if isinstance(error, kind))


#: How a task can stand when it is over without a result, and the key of its text.
_LOST: Final = {
    "expired": "expired",
    "needs_input": "waits",
    "cancelled": "called_off",
    "not_submitted": "called_off",
}


def error_text(error: KieError, language: Language, *, handle: str | None = None) -> str:
    """Return what *error* means for a person: what happened, whether it was bought, what to do.

    Args:
        error: What happened.
        language: In which words.
        handle: The task, where Kie has it already, for errors that do not name it.
    """
    key = next(key for kind, _, key in ERRORS if isinstance(error, kind))
    facts: dict[str, Any] = {"error": error}
    if attrs.has(type(error)):
        facts |= attrs.asdict(error, recurse=False)  # type: ignore[arg-type]  # it was asked just now
    if "message" in facts:
        facts["message"] = facts["message"] or text("no_reason", language)
    if isinstance(error, InvalidJob):
        facts["faults"] = "; ".join(map(str, error.faults))
    elif isinstance(error, UnknownModel):
        models = " / ".join(error.suggestions)
        facts["near"] = text("near", language, models=models) if models else ""
    elif isinstance(error, OverBudget):
        key = "over_unknown" if error.price is None else key if error.scope else "over_single"
        facts |= {name: f"{(facts[name] or 0) / 100:.2f}" for name in ("price", "limit", "spent", "reserved")}
    elif isinstance(error, JobFailed):
        key = _LOST.get(error.state, key)
    elif isinstance(error, PluginFailed):
        known = error.handle or handle
        facts["paid"] = text("paid", language, handle=known) if known else text("unpaid", language)
    elif isinstance(error, LedgerError) and (known := error.handle or handle):
        key, facts["paid"] = "ledger_later", text("paid", language, handle=known)
    return text(key, language, **facts)
