"""``kie completion``, and what a shell is told when TAB is pressed: models, inputs, values, jobs.

Nobody is asked over the network, nothing is written, and whatever goes wrong there is nothing to choose from: a shell
has no place for errors. No plugin is imported whose models stand in a file.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import click

from kie_core._cli.output import say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from kie_core._models.field import Field
    from kie_core._models.model import Model
    from kie_core._models.registry import Registry

Choices: TypeAlias = "list[CompletionItem]"
Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], Choices]

#: Shell -> the line, and the file to which it belongs.
LINES: Final = {
    "bash": ('eval "$(_KIE_COMPLETE=bash_source kie)"', "~/.bashrc"),
    "zsh": ('eval "$(_KIE_COMPLETE=zsh_source kie)"', "~/.zshrc"),
    "fish": ("_KIE_COMPLETE=fish_source kie | source", "~/.config/fish/completions/kie.fish"),
}
#: Seconds that a look into the ledger may take.
_SECONDS: Final = 0.3
_MOST_JOBS: Final = 100


@click.command()
@click.argument("shell", type=click.Choice(list(LINES)))
def completion(shell: str) -> None:
    """Print the line that teaches SHELL to complete models, inputs, values and jobs.

    They are completed when TAB is pressed, without a question to Kie.
    """
    line, file = LINES[shell]
    click.echo(line)
    say(f"add this line to {file}")


def prepare() -> None:
    """Have no shell leave a blank behind ``name=``, bash quote a value of two words, fish show a help with commas."""
    from click.shell_completion import BashComplete, FishComplete, ZshComplete, add_completion_class

    class Bash(BashComplete):
        source_template = BashComplete.source_template.replace(
            "COMPREPLY+=($value)",
            'COMPREPLY+=("$(printf %%q "$value")")\n            [[ $value == *= ]] && compopt -o nospace',
        )

    class Zsh(ZshComplete):
        source_template = ZshComplete.source_template.replace(
            '    if [ -n "$completions_with_descriptions" ]',
            "    local -a suffix\n    [[ $completions_with_descriptions[1] == *=:* ]] && suffix=(-S '')\n"
            '    if [ -n "$completions_with_descriptions" ]',
        ).replace("completions_with_descriptions -U", 'completions_with_descriptions -U "${suffix[@]}"')

    class Fish(FishComplete):
        source_template = FishComplete.source_template.replace('string split ","', 'string split -m 1 ","')

    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell, shell.name)


def _silent(find: Callable[[click.Context, str], Iterator[tuple[str, str]]]) -> Completer:
    @functools.wraps(find)
    def complete(context: click.Context, _parameter: click.Parameter, incomplete: str) -> Choices:
        import logging

        from click.shell_completion import CompletionItem

        logging.disable()
        try:
            return [CompletionItem(value, help=text or None) for value, text in find(context, incomplete)]
        except Exception:  # the shell has no place for it
            return []
        finally:
            logging.disable(logging.NOTSET)

    return complete


@_silent
def models(_context: click.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete a model id; the hidden ones only where no other fits."""
    found = [model for model in _everything() if model.id.startswith(incomplete)]
    for model in [one for one in found if not one.hidden and one.status != "gone"] or found:
        yield model.id, model.title


@_silent
def pairs(context: click.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Complete the name of an input, and its value where the row lists some."""
    model = _model(context.params["model_id"])
    given = [str(word) for word in context.params.get("pairs") or ()]
    name, equals, begun = incomplete.partition("=")
    if equals and name:
        yield from ((f"{name}={value}", "") for value in _values(model.input(name)) if value.startswith(begun))
    elif _is_split() and given and model.input(given[-1]) and given[-2:-1] != ["="]:
        yield from ((value, "") for value in _values(model.input(given[-1])))
    elif _is_split() and len(given) > 1 and given[-1] == "=":
        yield from ((value, "") for value in _values(model.input(given[-2])) if value.startswith(incomplete))
    else:
        taken = {word.partition("=")[0] for word in given}
        for field in model.inputs:
            if field.name.startswith(incomplete) and (field.name not in taken or field.type == "array"):
                yield f"{field.name}=", _about(field)


def jobs(*states: str) -> Completer:
    """Complete the id of a job in one of *states*; none: in any."""

    @_silent
    def complete(_context: click.Context, incomplete: str) -> Iterator[tuple[str, str]]:
        import json

        for job_id, state, plan in _jobs(incomplete, states):
            yield job_id, f"{state} {json.loads(plan)['model']}"

    return complete


def _everything() -> Registry:
    from kie_core._config import load_settings
    from kie_core._dispatch.models import load_models

    return load_models(load_settings()).registry


def _model(model_id: str) -> Model:
    from kie_core._models.registry import bundled

    known = bundled()
    return known.get(model_id) if model_id in known else _everything().get(model_id)


def _is_split() -> bool:
    """Whether the shell takes ``=`` for a word of its own; click makes an empty one of it where it is the last."""
    return os.environ.get("_KIE_COMPLETE", "").startswith("bash")


def _values(field: Field | None) -> list[str]:
    if field is None:
        return []
    inner = field.items if field.items is not None else field
    if inner.type == "boolean":
        return ["true", "false"]
    return [str(value) for value in inner.enum or inner.examples]


def _about(field: Field) -> str:
    from kie_core._models.validation import describe

    return describe(field).replace("\n", " ")


def _jobs(begun: str, states: tuple[str, ...]) -> list[Any]:
    """Look into the ledger's file, if there is one; never makes, changes or waits for one."""
    import sqlite3
    from contextlib import closing

    from kie_core._config import default_ledger, load_settings

    said = load_settings().ledger
    if said is not None and ("://" in said or said == "memory:"):
        return []
    path = (Path(said) if said is not None else default_ledger(os.environ)).absolute()
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_SECONDS)) as connection:
        end = time.monotonic() + _SECONDS
        connection.set_progress_handler(lambda: time.monotonic() > end, 1000)
        chosen = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        text = f"SELECT id, state, plan FROM job WHERE substr(id, 1, ?) = ?{chosen} ORDER BY created_at DESC LIMIT ?"  # noqa: S608
        return connection.execute(text, (len(begun), begun, *states, _MOST_JOBS)).fetchall()
