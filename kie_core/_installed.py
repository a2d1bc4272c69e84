"""What other distributions bring: plugins, commands, the sandbox. Found in one look-up per process, imported when used.

``importlib.metadata`` knows the same, but to load it takes longer than ``kie --version`` may take altogether. So the
folders of the path are read here, and it is asked where distributions may lie elsewhere.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib.machinery import PathFinder

TYPE_CHECKING = False  # `typing` takes its time, too
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, TypeAlias

    #: Reads one file of a distribution's metadata; None: there is none.
    Read: TypeAlias = Callable[[str], str | None]

PLUGINS: Final = "kie_core.plugins"
COMMANDS: Final = "kie_core.commands"
SANDBOXES: Final = "kie_core.sandboxes"


class Installed:
    """An entry point: a name, what it stands for, and the distribution that says so."""

    def __init__(self, group: str, name: str, value: str, read: Read) -> None:
        self.group = group
        self.name = name
        #: ``module`` or ``module:attribute``.
        self.value = value
        self._read = read

    @property
    def module(self) -> str:
        return self.value.partition(":")[0]

    @property
    def origin(self) -> tuple[str, str]:
        """Name and version of the distribution; what is left of one that is half removed is "unknown"."""
        return (self._head.get("Name", "unknown"), self._head.get("Version", ""))

    @property
    def label(self) -> str:
        """The same in one text."""
        return " ".join(self.origin).strip()

    @property
    def summary(self) -> str:
        """What the distribution says of itself in one line."""
        return self._head.get("Summary", "")

    @functools.cached_property
    def _head(self) -> dict[str, str]:
        text = self._read("METADATA") or self._read("PKG-INFO") or ""
        lines = text.partition("\n\n")[0].splitlines()
        return {name: value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}

    def load(self) -> Any:
        """Import the module, which runs foreign code, and return what the entry point stands for."""
        from importlib import import_module

        loaded = import_module(self.module)
        for attribute in filter(None, self.value.partition(":")[2].split(".")):
            loaded = getattr(loaded, attribute)
        return loaded


def installed(group: str) -> list[Installed]:
    """Return the entry points of *group*, sorted by name."""
    return sorted((one for one in _look(tuple(sys.path)) if one.group == group), key=lambda one: (one.name, one.label))


@functools.lru_cache(maxsize=1)
def _look(path: tuple[str, ...]) -> list[Installed]:
    """Look once; again only where the path is another one, and so what is installed."""
    return [
        Installed(group, name, value, read)
        for read in (_told() if _is_special(path) else _found(path))
        for group, name, value in _entry_points(read("entry_points.txt") or "")
    ]


def _is_special(path: tuple[str, ...]) -> bool:
    """Tell whether there may be distributions in an archive, or where a finder of somebody's looks."""
    return any(map(os.path.isfile, path)) or any(
        hasattr(finder, "find_distributions") for finder in sys.meta_path if finder is not PathFinder
    )


def _found(path: tuple[str, ...]) -> Iterator[Read]:
    """Find the distributions of the folders of *path*; of two with one name the first counts."""
    seen = set()
    for folder in path:
        try:
            names = sorted(os.listdir(folder or os.curdir))
        except OSError:
            continue
        for name in names:
            stem, dot, kind = name.rpartition(".")
            distribution = _normalised(stem.partition("-")[0])
            if dot and kind in ("dist-info", "egg-info") and distribution not in seen:
                seen.add(distribution)
                yield functools.partial(_text, os.path.join(folder, name))


def _normalised(name: str) -> str:
    return name.replace("_", "-").replace(".", "-").lower()


def _text(folder: str, name: str) -> str | None:
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return None


def _told() -> Iterator[Read]:
    from importlib.metadata import distributions

    seen = set()
    for one in distributions():
        name = _normalised(str(one.metadata["Name"]))
        if name not in seen:
            seen.add(name)
            yield one.read_text


def _entry_points(text: str) -> Iterator[tuple[str, str, str]]:
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            group = line.strip("[]").strip()
        elif group and "=" in line and not line.startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield group, name.strip(), value.partition("[")[0].replace(" ", "")  # extras mean nothing here
