"""Find the sandbox: a distribution of its own, through the entry-point group ``kie_core.sandboxes``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from typing import Final

from kie_core._errors import KieError
from kie_core._registry import Registry, bundled

GROUP: Final = "kie_core.sandboxes"
#: Makes a video of 90 seconds take about two.
SPEED: Final = 40.0


class NoSandbox(KieError):
    """No sandbox is installed."""

    def __str__(self) -> str:
        return "no sandbox is installed; try: pip install kie-sandbox"


def open_sandbox(registry: Registry) -> AbstractContextManager[str]:
    """Return a context manager that serves a fake Kie on this machine and gives its base URL.

    Args:
        registry: Its models that are not bundled are served too.

    Raises:
        NoSandbox: None is installed.
    """
    entry = next(iter(entry_points(group=GROUP)), None)
    if entry is None:
        raise NoSandbox
    known = bundled()
    rows = [
        {"model_id": model.id, "api_endpoint": model.endpoint, "output_type": f"{model.media}/sandbox"}
        for model in registry
        if model.id not in known
    ]
    served: AbstractContextManager[str] = entry.load()(speed=SPEED, models=rows)
    return served
