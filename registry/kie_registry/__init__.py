"""The sources of truth: which models there are, what they take, what they cost.

Data and a loader, no behaviour. ``kie_source_of_truth_v4.json`` holds the six
models of the V4 contract, ``kie_models_source_of_truth.json`` the 210 legacy
ids, each joined with the model that serves it today.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

#: The bundled files, in the order in which models are listed.
V4 = "kie_source_of_truth_v4.json"
V3 = "kie_models_source_of_truth.json"
FILES = (V4, V3)


@functools.cache
def read(name: str) -> str:
    """Return the text of the bundled file *name*, read once per process."""
    loader: Any = (
        __spec__.loader
    )  # it may read from an archive; `importlib.resources` does the same, and is slow to load
    content: bytes = loader.get_data(path(name))
    return content.decode()


def path(name: str) -> str:
    """Return where the bundled file *name* lies, for messages."""
    return str(Path(__file__).with_name(name))
