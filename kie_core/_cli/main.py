"""The ``kie`` command."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import rich_click as click

from kie_core._cli.generate import generate
from kie_core._cli.installation import config, plugins
from kie_core._cli.models import model, models
from kie_core._cli.payload import payload
from kie_core._cli.tasks import credits, save, status

COMMANDS = "kie_core.commands"


class _Installed(click.RichCommand):
    """A command of another distribution; its code is imported when it is run, not when it is listed."""

    def __init__(self, entry: EntryPoint, summary: str) -> None:
        super().__init__(name=entry.name, help=summary)
        self._entry = entry

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.RichContext:
        try:
            command = self._entry.load()
        except Exception as error:  # foreign code runs at import
            text = f"the command {self._entry.name!r} cannot be loaded: {type(error).__name__}: {error}"
            raise click.ClickException(text) from error
        context: click.RichContext = command.make_context(info_name, args, parent, **extra)
        return context


def _others() -> Iterator[tuple[EntryPoint, str]]:
    """Yield the commands of other distributions, each with its summary; imports none of them."""
    for entry in sorted(entry_points(group=COMMANDS), key=lambda entry: entry.name):
        yield entry, (entry.dist.metadata["Summary"] or "" if entry.dist is not None else "")


class _Group(click.RichGroup):
    """Our commands, and those that other distributions bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(entry.name for entry, _ in _others())})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        return next((_Installed(entry, summary) for entry, summary in _others() if entry.name == cmd_name), None)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Say what happens; twice: everything, with requests and answers.")
@click.version_option(package_name="kie-core", message="%(package)s %(version)s")
def kie(verbose: int) -> None:
    """Buy pictures, songs and videos from Kie.ai, once.

    Exit codes: 0 done, 1 failed or refused, 2 usage, 3 key, 4 credits, 5 timed out (the task goes on),
    6 unknown whether it was bought (do not retry), 130 interrupted.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("kie_core").setLevel(level)
    logging.getLogger("stamina").setLevel(logging.ERROR)  # that a question was repeated is in our own log


for command in (generate, models, model, payload, status, save, credits, plugins, config):
    kie.add_command(command)
