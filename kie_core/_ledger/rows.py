"""Entries to rows of the ledger and back."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Final

from kie_core._jobs.convert import plain, structured
from kie_core._jobs.outcome import Outcome, SavedFile
from kie_core._ledger.entry import Entry, Inputs, Plan
from kie_core._ledger.stats import Bought

_COURSE: Final = (
    "attempts", "reason", "outcome", "saved", "missing_since", "missing", "resultless_since", "unreadable",
    "record",
)  # fmt: skip
_PLAIN: Final = (
    "id", "revision", "account", "state", "owner", "job_key", "fingerprint", "task_id", "reserved", "spent",
    "created_at", "submitted_at", "finished_at", "deadline", "slot", "not_before",
)  # fmt: skip
_NAMES: Final = (*_PLAIN, "kept", "unsaved", "plan", "inputs", "course")
INSERT: Final = (
    f"INSERT INTO job ({', '.join(_NAMES)}) VALUES ({', '.join(f':{name}' for name in _NAMES)})"  # noqa: S608
    " ON CONFLICT DO NOTHING RETURNING id"
)
_CHANGING: Final = [name for name in _NAMES if name not in ("id", "inputs", "created_at", "account", "job_key")]
UPDATE: Final = (
    f"UPDATE job SET {', '.join(f'{name} = :{name}' for name in _CHANGING)}"  # noqa: S608
    " WHERE id = :id AND revision = :was RETURNING id"
)
#: For a job that is asked for again with the same files at other addresses.
NEW_INPUTS: Final = "UPDATE job SET inputs = :inputs WHERE id = :id"

#: What a `Bought` is made of, of a row that is one; never the inputs. JSON is read by us and not by the database,
#: which refuses the NaN and Infinity that plugins may leave in it.
BOUGHT: Final = (
    "SELECT id, plan, state, submitted_at, finished_at, spent, reserved,"
    " CASE WHEN state IN ('succeeded', 'expired') THEN course END AS course"
    " FROM job WHERE (task_id IS NOT NULL OR state IN ('submitting', 'unknown', 'abandoned'))"
)


def columns_of(entry: Entry) -> dict[str, Any]:
    return {**changing_of(entry), "inputs": None if entry.inputs is None else _text(plain(entry.inputs))}


def changing_of(entry: Entry) -> dict[str, Any]:
    """Return the columns of *entry* without its inputs, which no step changes."""
    course = {name: getattr(entry, name) for name in _COURSE}
    course["outcome"] = None if entry.outcome is None else plain(entry.outcome)
    course["saved"] = [plain(file) for file in entry.saved]
    return {
        **{name: getattr(entry, name) for name in _PLAIN},
        "kept": int(entry.kept),
        "unsaved": int(entry.unsaved),
        "plan": _text(plain(entry.plan)),
        "course": _text(course),
    }


class BrokenRow(Exception):
    """A row of the ledger that is no job. Never leaves this package."""


def entry_of(row: Mapping[str, Any]) -> Entry:
    """Return the job in a row.

    Raises:
        BrokenRow: It is none: another program wrote there, or a word of Kie's that we had no business to keep.
    """
    try:
        return _entry_of(row)
    except Exception as error:  # whatever stands there
        raise BrokenRow(f"job {row['id']} cannot be read: {type(error).__name__}") from error


def can_be_kept(entry: Entry) -> bool:
    """Tell whether *entry* can be read back from the ledger: what plugins make of Kie's words may not."""
    try:
        _entry_of(columns_of(entry))
    except Exception:  # whatever stands there
        return False
    return True


def _entry_of(row: Mapping[str, Any]) -> Entry:
    course = json.loads(row["course"])
    return Entry(
        **{name: row[name] for name in _PLAIN if name != "deadline"},
        kept=bool(row["kept"]),
        plan=_plan_of(row["plan"]),
        inputs=None if row["inputs"] is None else structured(json.loads(row["inputs"]), Inputs),
        outcome=None if course["outcome"] is None else structured(course["outcome"], Outcome),
        saved=tuple(structured(one, SavedFile) for one in course["saved"]),
        **{name: course[name] for name in _COURSE if name in course and name not in ("outcome", "saved")},
    )


@functools.lru_cache(maxsize=256)
def _plan_of(text: str) -> Plan:
    """Jobs of one batch have the same plan, and share it: it is most of what is kept of a job that waits."""
    plan: Plan = structured(json.loads(text), Plan)
    return plan


def bought_of(row: Mapping[str, Any]) -> Bought:
    """Return what figures need of a row of `BOUGHT`, without making an entry of it.

    Raises:
        BrokenRow: As `entry_of` says.
    """
    try:
        return _bought_of(row)
    except Exception as error:  # whatever stands there
        raise BrokenRow(f"job {row['id']} cannot be read: {type(error).__name__}") from error


def _bought_of(row: Mapping[str, Any]) -> Bought:
    outcome = (None if row["course"] is None else json.loads(row["course"]).get("outcome")) or {}
    faded = row["state"] == "expired" and outcome.get("state") == "succeeded"
    return Bought(
        json.loads(row["plan"])["model"],
        "succeeded" if faded else row["state"],
        row["submitted_at"],
        row["finished_at"],
        outcome.get("seconds"),
        row["spent"],
        row["reserved"],
    )


_text: Final = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode  # no database refuses ASCII
