"""The machine: which core is whose, what a process costs, and what there is to say about it in a table."""

from __future__ import annotations

import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

_STATM = Path("/proc/self/statm")
#: The packages whose versions decide what comes out.
_PACKAGES = (
    "kie-core", "httpx", "httpcore", "anyio", "sniffio", "httpx-aiohttp", "aiohttp", "orjson", "httptools", "uvloop",
    "fal-client", "replicate", "runwayml", "attrs", "cattrs", "pluggy", "click",
)  # fmt: skip
#: The project's own folder: everything is started from here.
ROOT = Path(__file__).resolve().parent.parent


def pin(role: Literal["client", "vendor"]) -> None:
    """Keep this process on one core, the vendor on another one, where the platform and the machine allow it."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(0, {cores[0] if role == "client" else cores[-1]})


def quiet_environment(home: Path | None = None) -> dict[str, str]:
    """Return an environment in which no setting of the user counts; *home* is where the user seems to live."""
    # Of Python's own, one forbids to keep byte code.
    unwanted = ("KIE_", "FAL_", "REPLICATE_", "RUNWAYML_", "XDG_", "PYTHON")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    kept["PYTHONPATH"] = str(ROOT)
    if home is not None:
        kept |= {"HOME": str(home), "KIE_STATE_DIR": str(home)}
    return kept


def memory() -> int:
    """Return the bytes of memory that this process holds; where the platform does not tell, the most it ever held."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def installed(package: str) -> str | None:
    """Return the version of a distribution, None if there is none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load() -> float | None:
    """Return how many processes want a core at the moment, on average of the last minute; None: nobody tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def facts() -> dict[str, str]:
    """Return what a reader has to know of this machine. Its name is not among it."""
    model = platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model n")]
        model = names[0] if names else model
    versions = ", ".join(f"{name} {found}" for name in _PACKAGES if (found := installed(name)) is not None)
    missing = ", ".join(name for name in _PACKAGES if installed(name) is None)
    return {
        "Python": f"{platform.python_implementation()} {platform.python_version()}, {platform.system()}",
        "processor": f"{model}, {os.cpu_count()} cores",
        "packages": versions,
        "not installed": missing or "none",
    }
