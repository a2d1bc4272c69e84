"""The ``kie`` command: a table of the commands, each of which is imported when it is run."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import click

from kie_core._installed import COMMANDS, Installed, installed

#: Our commands: name -> the module that has it, and the first sentence of its help.
_OURS: Final = {
    "budget": ("budget", "Show what is spent and reserved on each scope, in roubles."),
    "cancel": ("jobs", "Call off JOB before it is sent."),
    "catalogue": ("catalogue", "Show the models that Kie itself lists; alone or with WORDS it does what show does."),
    "completion": ("completion", "Print the line that teaches SHELL to complete models, inputs, values and jobs."),
    "config": ("installation", "Show every setting and where its value came from."),
    "credits": ("tasks", "Show the balance; one credit is 0.005 USD."),
    "gate": ("gates", "Look at what holds purchases back, and let them through again."),
    "generate": ("generate", "Buy one job of MODEL, wait for it and save what it made."),
    "jobs": ("jobs", "List the jobs in the ledger, the newest first."),
    "link": ("link", "Print a link to each URL of a result that anybody can open for 20 minutes."),
    "model": ("model", "Show what MODEL takes, makes and costs."),
    "models": ("models", "List the models with their prices; WORDS narrow the list."),
    "payload": ("payload", "Show what generate would send."),
    "plugins": ("installation", "List the installed plugins, and what is wrong with those that cannot be used."),
    "resume": ("recovery", "Take up what was bought: wait for every task that runs, and save every result."),
    "save": ("recovery", "Wait for the task of HANDLE or JOB if need be, and save what it made."),
    "stats": ("stats", "Show what the jobs in the ledger came to, by model, the most bought first."),
    "status": ("tasks", "Ask once how far a task is; without HANDLE or JOB, show what needs a person."),
    "upload": ("upload", "Upload each FILE to Kie and print its URL; - reads stdin."),
}  # fmt: skip


class Later(click.Command):
    """A command that is listed by its summary, and imported when it is run or completed."""

    def __init__(self, name: str, summary: str, load: Callable[[], click.Command]) -> None:
        super().__init__(name=name, short_help=summary)
        self.load = load

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        return self.load().make_context(info_name, args, parent, **extra)


def _ours(name: str, module: str, summary: str) -> Later:
    def load() -> click.Command:
        command: click.Command = getattr(importlib.import_module(f"kie_core._cli.{module}"), name)
        return command

    return Later(name, summary, load)


def _theirs(entry: Installed) -> Later:
    def load() -> click.Command:
        try:
            command = entry.load()
        except (Exception, SystemExit) as error:  # foreign code runs at import
            text = f"the command {entry.name!r} cannot be loaded: {type(error).__name__}: {error}"
            raise click.ClickException(text) from error
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{entry.value} of {entry.label} is no click command, but {command!r}")
        return command

    return Later(entry.name, entry.summary, load)


class _Group(click.Group):
    """Our commands, and those that other distributions bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(entry.name for entry in installed(COMMANDS))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        return next((_theirs(entry) for entry in installed(COMMANDS) if entry.name == cmd_name), None)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Say what happens; twice: everything, with requests and answers.")
@click.version_option(package_name="kie-core", message="%(package)s %(version)s")
def kie(verbose: int) -> None:
    """Buy pictures, songs and videos from Kie.ai, once.

    Exit codes: 0 done, 1 failed or refused, 2 usage, 3 key, 4 credits, 5 timed out (the task goes on),
    6 unknown whether it was bought (do not retry), 7 over budget, 130 interrupted, 143 terminated.
    A job that the ledger does not know and a job key of another request are usage; a job in the wrong
    state and a ledger that cannot be used are failures; while a task goes on, such a ledger is 5.
    """
    import logging

    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    logging.getLogger("kie_core").setLevel(level)
    logging.getLogger("stamina").setLevel(logging.ERROR)  # that a question was repeated is in our own log


for command, (module, summary) in _OURS.items():
    kie.add_command(_ours(command, module, summary))
