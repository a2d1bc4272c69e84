"""An environment that holds what one distribution needs, and nothing else, made of links to what is installed here.

Looking for plugins takes longer the more is installed, whatever it is: who compares packages has many.
"""

from __future__ import annotations

import re
import venv
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path


def lean_environment(folder: Path, packages: Iterable[str]) -> Path:
    """Make an environment of *packages*, where they are installed, and all that they require; return its Python."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for found in _closure(packages):
        for name in _top_level(found):
            here = Path(str(found.locate_file(name)))
            if here.exists() and not (site / name).exists():
                (site / name).symlink_to(here)
    return folder / "bin" / "python"


def _closure(packages: Iterable[str]) -> Iterator[Distribution]:
    wanted, known = list(packages), set[str]()
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in known:
            continue
        known.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue  # wanted on other platforms, or not at all
        yield found
        for requirement in found.requires or ():
            what, _, when = requirement.partition(";")
            if "extra" not in when:
                wanted.append(re.split(r"[^\w.-]", what.strip(), maxsplit=1)[0])


def _top_level(found: Distribution) -> set[str]:
    names = {file.parts[0] for file in found.files or ()}
    return names - {"..", "__pycache__"}
