"""What it costs to start: a command, an import."""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.lean import lean_environment
from benchmarks.machine import installed, quiet_environment
from benchmarks.page import Answer, Table, absent, bars
from benchmarks.rounds import Run, least, middle, ratio

EMPTY: Final = "`python -c pass`"
IMPORT: Final = "`import kie_core`"
#: What our users have.
_OURS: Final = (
    "kie-core", "kie-veo3", "kie-suno", "kie-4o-image", "kie-flux-kontext", "kie-runway", "kie-market",
    "kie-legacy-v3", "kie-sandbox",
)  # fmt: skip
#: What is run by Python -> what is installed beside.
_CODE: Final[dict[str, tuple[str, ...]]] = {
    "pass": _OURS,
    "import click": _OURS,
    "import httpx": _OURS,
    "import kie_core": _OURS,
    "from kie_core import Kie": _OURS,
    "import fal_client": ("fal-client",),
    "import replicate": ("replicate",),
    "import runwayml": ("runwayml",),
}
_COMMANDS: Final = {
    "`kie --version`": ("--version",),
    "`kie --help`": ("--help",),
    "`kie models`": ("models",),
    "`kie models --json`": ("models", "--json"),
}
FAL: Final = "`fal --help`"
COMPLETION: Final = "completion of `kie generate g`"
#: Modules that talk HTTP.
_HTTP: Final = "{'httpx', 'httpcore', 'aiohttp', 'requests', 'urllib3', 'http.client', 'urllib.request'}"


def answer(run: Run) -> Answer:
    """Ask the question."""
    missing = {f"`{code}`": [of[0]] for code, of in _CODE.items() if installed(of[0]) is None}
    if shutil.which("fal") is None:
        missing[FAL] = ["fal"]
    cases = [EMPTY, *(f"`{code}`" for code in _CODE if code != "pass"), *_COMMANDS, COMPLETION, FAL]
    present = [case for case in cases if case not in missing]
    # After the first round all byte code is there, and all files are in memory.
    with tempfile.TemporaryDirectory() as folder:
        pythons = {
            packages[0]: str(lean_environment(Path(folder) / packages[0], packages)) for packages in set(_CODE.values())
        }
        found = run.interleaved(__name__, present, run.count(9) + 1, pythons=pythons)
    found = {case: of[1:] for case, of in found.items()}
    least_empty = least(found[EMPTY], "ms") or math.nan
    rows: list[tuple[Any, ...]] = [
        (case, ratio(of, found[EMPTY], "ms"), (least(of, "ms") or math.nan) / least_empty, middle(of, "ms"))
        for case, of in found.items()
    ]
    rows.sort(key=lambda row: row[1])
    ratios = {row[0]: row[1] for row in rows}
    plot = {case: ratios[case] for case in present}
    columns = ("process", "x `pass`", "x `pass`, best rounds", "ms")
    return Answer(
        "Starting",
        "Wall time of a whole process, byte code already compiled, in an environment that holds the package, what it "
        "requires and nothing else: ours with all its plugins. Every command pays this, and so does a script.",
        [Table(columns, [*rows, *absent(missing, columns)])],
        {"performance-startup.svg": bars(plot, unit="times an empty interpreter")},
        {
            "version": ratios.get("`kie --version`"),
            "help": ratios.get("`kie --help`"),
            "models": ratios.get("`kie models`"),
            "completion": ratios.get(COMPLETION),
            "import": ratios[IMPORT] - 1,
            "import http": middle(found[IMPORT], "http"),
        },
    )


def measure(case: str, pythons: dict[str, str]) -> dict[str, float]:
    """Start one process, and take the time until it has ended."""
    with tempfile.TemporaryDirectory() as home:
        environment = quiet_environment(Path(home))
        environment.pop("PYTHONPATH")
        if case == COMPLETION:
            environment |= {"_KIE_COMPLETE": "bash_complete", "COMP_WORDS": "kie generate g", "COMP_CWORD": "2"}
        command = _command(case, pythons)
        started = time.perf_counter()
        _started(command, environment)
        found = {"ms": (time.perf_counter() - started) * 1000}
        if case == IMPORT:
            code = f"import kie_core, sys; print(len({_HTTP} & set(sys.modules)))"
            found["http"] = int(_started([*command[:2], code], environment))
        return found


def _command(case: str, pythons: dict[str, str]) -> list[str]:
    if case == FAL:
        return [str(shutil.which("fal")), "--help"]
    code = "pass" if case == EMPTY else case.strip("`")
    if code in _CODE:
        return [pythons[_CODE[code][0]], "-c", code]
    # What the script says that an installation makes of the entry point.
    main = "import sys; from kie_core.__main__ import main; sys.argv[0] = 'kie'; sys.exit(main())"
    return [pythons[_OURS[0]], "-c", main, *_COMMANDS.get(case, ())]


def _started(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, cwd=environment["HOME"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{command}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout
