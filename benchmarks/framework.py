"""What the framework itself costs in a submit: everything between the caller's dictionary and the bytes, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any, Final

from benchmarks.clients import INPUTS, KEY, MODEL
from benchmarks.page import Answer, Table, absent, shown
from benchmarks.rounds import Run
from benchmarks.vendor import kie_record

#: Models of which it is measured, with inputs: one of each kind of plugin.
MODELS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    MODEL: ("kie_market", dict(INPUTS)),
    "gpt-4o-image": ("kie_4o_image", {"prompt": "a fox in the snow"}),
    "suno-v4": ("kie_suno", {"prompt": "a sea shanty"}),
    "veo3_fast": ("kie_veo3", {"prompt": "a fox in the snow"}),
}
UNIT: Final = "decoding one record"
#: The parts that every submit has, by what they do.
PARTS: Final = (
    "check the inputs, find the plugin, the wire and the price",
    "build the request",
    "judge the answer",
    "read a record",
)
PLAN: Final = "beside: what the ledger keeps of it"


def answer(run: Run) -> Answer:
    """Ask the question."""
    missing = {name: [needed] for name, (needed, _) in MODELS.items() if find_spec(needed) is None}
    cases = [name for name in MODELS if name not in missing]
    found = run.interleaved(__name__, cases, run.count(3), seconds=0.05 if run.quick else 0.3)
    rows: list[tuple[Any, ...]] = []
    for case, of in found.items():
        units = {part: median(one[part] / one[UNIT] for one in of) for part in (*PARTS, PLAN)}
        whole = median(sum(one[part] for part in PARTS) / one[UNIT] for one in of)
        us = median(sum(one[part] for part in PARTS) for one in of)
        rows.append((case, whole, us, *(units[part] for part in (*PARTS, PLAN))))
    columns = ("model", "all", "us", *PARTS, PLAN)
    unit = median(one[UNIT] for of in found.values() for one in of) if found else None
    return Answer(
        "The framework's own share of a submit",
        "Everything above the transport, in units of one `json.loads` of a record of 639 bytes, measured in turns with "
        f"it; one is {shown(unit)} us here. Microseconds of all four parts stand beside.",
        [Table(columns, [*rows, *absent(missing, columns)])],
        {},
        {"framework units": max((row[1] for row in rows), default=None)},
        ("Judging the answer and reading a record include their decoding.",),
    )


def measure(case: str, seconds: float) -> dict[str, float]:
    """Measure one model, in this process: every part for so many seconds in all, in short turns."""
    from kie_core import Kie
    from kie_core._jobs.answer import Answer as Received
    from kie_core._jobs.answer import body_of, verdict
    from kie_core._jobs.job import JOBS_QUERY
    from kie_core._running.plan import Planner, account_of

    kie = Kie(KEY, base_url="http://127.0.0.1:9", ledger="memory:")
    dispatcher, inputs = kie.dispatcher, MODELS[case][1]
    job = dispatcher.job(case, inputs, job_id="0123456789abcdef", wire=None)
    planner = Planner(account_of(kie.settings), kie.settings, dispatcher)
    created = Received(200, b'{"code": 200, "msg": "success", "data": {"taskId": "t00000001"}}', None)
    refused = dispatcher.refused(job)
    record = kie_record("t00000001")
    running = Received(200, record if dispatcher.query(job, "t").path == JOBS_QUERY else _dedicated(case), None)
    parts: dict[str, Callable[[], object]] = {
        UNIT: lambda: json.loads(record),
        PARTS[0]: lambda: dispatcher.job(case, inputs, job_id="0123456789abcdef", wire=None),
        PARTS[1]: lambda: dispatcher.request(job),
        PARTS[2]: lambda: verdict(created, refused),
        PARTS[3]: lambda: dispatcher.outcome(job, body_of(running)),
        PLAN: lambda: planner.planned(job),
    }
    spent: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(20):
        for name, part in parts.items():
            spent[name].append(_microseconds(part, seconds / 20))
    return {name: median(times) for name, times in spent.items()}


def _dedicated(case: str) -> bytes:
    """Return a record of a running task, as the model's own page shows it, padded to the same size."""
    from benchmarks.vendor import padded

    data: dict[str, Any] = {"taskId": "t00000001", "paramJson": ""}
    data |= {"status": "PENDING"} if case.startswith("suno") else {"successFlag": 0}
    return padded({"code": 200, "msg": "success", "data": data}, data, "paramJson")


def _microseconds(part: Callable[[], object], seconds: float) -> float:
    count, started, now = 0, time.perf_counter(), 0.0
    while now < seconds:
        for _ in range(20):
            part()
        count += 20
        now = time.perf_counter() - started
    return now / count * 1e6
