"""Find the sandbox: a distribution of its own, through the entry-point group ``kie_core.sandboxes``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

import attrs

from kie_core._errors import KieError
from kie_core._installed import SANDBOXES, installed
from kie_core._models.registry import Registry, bundled

#: Makes a video of 90 seconds take about two.
SPEED: Final = 40.0


class NoSandbox(KieError):
    """No sandbox is installed."""

    def __str__(self) -> str:
        return "no sandbox is installed; try: pip install kie-sandbox"


@attrs.define
class BrokenSandbox(KieError):
    """The installed sandbox cannot be loaded."""

    entry: str
    reason: str

    def __str__(self) -> str:
        return f"the sandbox {self.entry!r} cannot be loaded: {self.reason}; try: pip install -U kie-sandbox"


def open_sandbox(registry: Registry, group: str = SANDBOXES) -> AbstractContextManager[str]:
    """Return a context manager that serves a fake Kie on this machine and gives its base URL.

    Args:
        registry: Its models that are not bundled are served too.
        group: The entry points among which it is looked for; the first by name is taken.

    Raises:
        NoSandbox, BrokenSandbox: There is none to open.
    """
    entry = next(iter(installed(group)), None)
    if entry is None:
        raise NoSandbox
    known = bundled()
    rows = [
        {
            "model_id": model.id,
            "api_endpoint": model.endpoint,
            "wire_model": model.wire_model,
            "output_type": f"{model.media}/sandbox",
            "title": model.title,
            "vendor": model.vendor,
        }
        for model in registry
        if model.id not in known
    ]
    try:
        serve = entry.load()
    except Exception as error:  # foreign code runs at import
        raise BrokenSandbox(entry.value, f"{type(error).__name__}: {error}") from error
    served: AbstractContextManager[str] = serve(speed=SPEED, models=rows)
    return served
