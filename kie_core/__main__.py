"""``kie`` and ``python -m kie_core``."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line. ``--version`` is answered before anything else is loaded."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: no reason to fail after a purchase
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115  (for the whole process)
    gc.set_threshold(100_000)  # a command makes less garbage than it takes to look for it
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # of a version or a page of help; commands see to it themselves
        sys.exit(f"error: the result could not be printed: {error}")
    finally:
        _leave_unprinted()
        gc.freeze()  # nor is it looked for at the end


def _leave_unprinted() -> None:
    """What could not be printed is not tried again at the very end, which would be another exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run() -> None:
    if sys.argv[1:] == ["--version"]:
        sys.stdout.write("\n".join([*_versions(), ""]))
        sys.stdout.flush()
        return
    from kie_core._cli.main import kie

    if os.environ.get("_KIE_COMPLETE"):
        from kie_core._cli.completion import prepare

        prepare()

    kie(prog_name="kie")


def _versions() -> list[str]:
    import kie_core
    from kie_core._installed import COMMANDS, PLUGINS, SANDBOXES, installed

    found = {entry.label for group in (PLUGINS, COMMANDS, SANDBOXES) for entry in installed(group)}
    return [f"kie-core {kie_core.__version__}", *sorted(found)]


if __name__ == "__main__":
    main()
