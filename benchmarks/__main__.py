"""Ask every question, or some, and write down what came out: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Final

from benchmarks.machine import facts, load
from benchmarks.page import Answer, wrapped
from benchmarks.rounds import Run, say
from benchmarks.targets import reasons, verdict

#: A name to ask for -> the module with the question, in the order of the page.
QUESTIONS: Final = {
    "requests": "benchmarks.requests",
    "waiting": "benchmarks.waiting",
    "polls": "benchmarks.polls",
    "startup": "benchmarks.startup",
    "files": "benchmarks.files",
    "framework": "benchmarks.framework",
}
#: A load above this disturbs what is measured.
_QUIET: Final = 0.5
_INTRODUCTION: Final = """\
# Performance

Written by `python -m benchmarks`, which anybody can run ([CONTRIBUTING.md](../CONTRIBUTING.md)); no figure was typed.

A vendor that only answers runs on one core and the client on another, in a fresh process for each client and round. The
clients take turns in random order within one run, and what is shown are medians. Microseconds say how fast this machine
was at that moment; **ratios**, made round by round, are what to compare."""


def main() -> None:
    """Run the benchmarks."""
    arguments = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="show that it works; the figures mean little")
    arguments.add_argument("--only", action="append", choices=QUESTIONS, metavar="NAME", help=", ".join(QUESTIONS))
    arguments.add_argument("--rounds", type=int, metavar="N", help="how often each case is measured")
    arguments.add_argument("--out", type=Path, metavar="FILE", help="the page to write, such as docs/performance.md")
    given = arguments.parse_args()
    run = Run(quick=given.quick, rounds=given.rounds)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
    before = load()
    if before is not None and before > _QUIET:
        say(f"other processes are at work here (load {before:.1f}): how late and how long will mean little")
    answers: list[Answer] = []
    for name in given.only or QUESTIONS:
        say(f"--- {name}")
        found: Answer = importlib.import_module(QUESTIONS[name]).answer(run)
        answers.append(found)
        sys.stdout.write(f"{found.markdown}\n\n")
        sys.stdout.flush()
    figures = {name: figure for one in answers for name, figure in one.figures.items()}
    targets = "\n".join([f"## Targets\n\n{verdict(figures).markdown}", "", *map(wrapped, reasons(figures))]).rstrip()
    end = [targets, f"## Versions and machine\n\n{_machine(before)}"]
    sys.stdout.write("\n\n".join([*end, ""]))
    if given.out is not None:
        parts = [_INTRODUCTION, *(["**A quick run: the figures mean little.**"] if run.quick else []), end[0]]
        given.out.write_text("\n\n".join([*parts, *(one.markdown for one in answers), end[1]]) + "\n", "utf-8")
        for name, plot in (plot for one in answers for plot in one.plots.items()):
            given.out.with_name(name).write_text(plot, "utf-8")
        say(f"written: {given.out}")


def _machine(before: float | None) -> str:
    known = facts() | ({} if before is None else {"load when the run began": f"{before:.1f}"})
    return "\n".join(wrapped(f"* {what}: {found}") for what, found in known.items())


if __name__ == "__main__":
    main()
