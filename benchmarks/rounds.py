"""One run of a question: a fresh process for each case and round, the cases in random order, and medians."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import attrs

from benchmarks.machine import ROOT, pin, quiet_environment

#: Seconds that one process may take; then something is stuck.
_PATIENCE: Final = 300.0


@attrs.frozen
class Run:
    """How one run is made.

    Attributes:
        quick: Show that everything works, in two minutes; the figures mean little.
        rounds: How often each case is measured; None: as the question wants it.
        random: Says in what order.
    """

    quick: bool = False
    rounds: int | None = None
    random: random.Random = attrs.field(factory=random.Random)

    def count(self, full: int) -> int:
        """Return the number of rounds of a question that wants *full* of them."""
        return self.rounds or (1 if self.quick else full)

    def interleaved(
        self, module: str, cases: Sequence[str], rounds: int, **how: Any
    ) -> dict[str, list[dict[str, Any]]]:
        """Have ``measure(case, **how)`` of *module* called in a process of its own, *rounds* times for each case.

        Returns:
            For each case what every round gave. The lists belong together: round for round, all ran side by side.
        """
        found: dict[str, list[dict[str, Any]]] = {case: [] for case in cases}
        for number in range(rounds):
            for case in self.random.sample(cases, len(cases)):
                started = time.monotonic()
                found[case].append(_in_a_process(module, case, how))
                seconds = time.monotonic() - started
                say(f"{module.rpartition('.')[2]}: round {number + 1} of {rounds}, {case}: {seconds:.1f} s")
        return found


def _in_a_process(module: str, case: str, how: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, "-m", "benchmarks.rounds", module, case, json.dumps(how)]
        done = subprocess.run(
            command, cwd=ROOT, env=quiet_environment(Path(home)), capture_output=True, text=True, timeout=_PATIENCE,
            check=False,
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{module}, {case}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def middle(rounds: Iterable[dict[str, Any]], name: str) -> float | None:
    """Return the median of one figure, None where it was not measured."""
    values = [figures[name] for figures in rounds if figures.get(name) is not None]
    return median(values) if values else None


def least(rounds: Iterable[dict[str, Any]], name: str) -> float | None:
    """Return the least of one figure: for what other work on the machine can only make larger, by any amount."""
    return min((figures[name] for figures in rounds if figures.get(name) is not None), default=None)


def ratio(rounds: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]], name: str) -> float | None:
    """Return the median of the ratios, round by round, of one figure to that of another case."""
    pairs = [(mine.get(name), its.get(name)) for mine, its in zip(rounds, base, strict=True)]
    values = [mine / its for mine, its in pairs if mine is not None and its]
    return median(values) if values else None


if __name__ == "__main__":
    pin("client")
    print(json.dumps(importlib.import_module(sys.argv[1]).measure(sys.argv[2], **json.loads(sys.argv[3]))))
