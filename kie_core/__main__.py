"""``kie`` and ``python -m kie_core``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line. ``--version`` is answered before anything else is loaded."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: no reason to fail after a purchase
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  (for the whole process)
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("\n".join([*_versions(), ""]))
        return
    try:
        from kie_core._cli.main import kie

        kie(prog_name="kie")
    except KeyboardInterrupt:
        sys.exit(130)


def _versions() -> list[str]:
    from importlib.metadata import entry_points

    import kie_core

    groups = ("kie_core.plugins", "kie_core.sandboxes", "kie_core.commands")
    found = {entry.dist for group in groups for entry in entry_points(group=group) if entry.dist is not None}
    return [f"kie-core {kie_core.__version__}", *sorted({f"{dist.name} {dist.version}" for dist in found})]


if __name__ == "__main__":
    main()
