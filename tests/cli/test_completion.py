"""What a shell is told when TAB is pressed: quickly, without network, without a trace, and never an error."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import attrs
import pytest
from click.testing import CliRunner

from kie_core import Kie, KieBlocking, UnknownModel, load_settings
from kie_core._cli.main import kie
from kie_core._ledger.ledger import Ledger
from kie_core._ledger.sqlite import SqliteDatabase
from kie_core._running.plan import Planner

KEY = "0123456789abcdef0123456789abcdef"
HEAVY = {
    "asyncio", "cattrs", "httpcore", "httpx", "importlib.metadata", "kie_core._dispatch.dispatcher", "pluggy", "rich",
    "rich_click", "socket", "sqlite3", "ssl", "stamina",
}  # fmt: skip


def told(*words, **environ):
    """Return what zsh or fish would be told: the last word is the one at the cursor."""
    line = {"_KIE_COMPLETE": "fish_complete", "COMP_WORDS": " ".join(["kie", *words]), "COMP_CWORD": words[-1]}
    result = CliRunner().invoke(kie, [], prog_name="kie", env={**line, **environ})
    assert result.stderr == ""
    return [row.partition(",")[2].partition("\t")[0] for row in result.stdout.splitlines() if row]


def told_in_bash(*words, **environ):
    line = {"_KIE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(["kie", *words]), "COMP_CWORD": str(len(words))}
    result = CliRunner().invoke(kie, [], prog_name="kie", env={**line, **environ})
    return [row.partition(",")[2] for row in result.stdout.splitlines() if row]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.setenv("KIE_PLUGINS", "none")


@pytest.mark.parametrize("command", ["generate", "model", "payload"])
def test_models_are_completed(command):
    """By how they begin."""
    assert told(command, "veo3") == ["veo3", "veo3_fast"]


def test_hidden_models_are_completed_where_no_other_fits():
    """The 210 legacy ids would bury the others."""
    assert "gpt-4o-image" in told("generate", "g")
    assert all(name.startswith("midjourney") for name in told("generate", "midjourney"))
    assert len(told("generate", "midjourney")) > 1
    assert told("generate", "no-such-thing") == []


def test_models_of_plugins_are_completed(acme, monkeypatch):
    """They are loaded, quietly, because nothing else knows them."""
    monkeypatch.setenv("KIE_PLUGINS", "acme")

    assert told("generate", "acme") == ["acme-sketch"]
    assert told("generate", "acme-sketch", "pro") == ["prompt="]


def test_names_of_inputs_are_completed():
    """Those that are given already are left out."""
    assert told("generate", "veo3", "pro") == ["prompt="]
    assert "prompt=" not in told("generate", "veo3", "prompt=x", "--json", "p")
    assert told("generate", "no-such-model", "p") == []


def test_listed_values_are_completed():
    """With the name where a shell takes both for one word; bash takes them for three."""
    values = ["16:9", "9:16"]

    assert told("generate", "veo3", "aspect_ratio=")[:2] == [f"aspect_ratio={value}" for value in values]
    assert told("generate", "veo3", "aspect_ratio=9") == ["aspect_ratio=9:16"]
    assert told_in_bash("generate", "veo3", "aspect_ratio", "=")[:2] == values
    assert told_in_bash("generate", "veo3", "aspect_ratio", "=", "9") == ["9:16"]
    assert told("generate", "veo3", "prompt=") == told("generate", "veo3", "nothing=") == []


@pytest.fixture
def ledger(tmp_path):
    """A ledger with a job that waits and one that ended."""
    path = tmp_path / "ledger.sqlite"
    settings = load_settings({"api_key": KEY, "plugins": "none", "ledger": str(path)})
    client = Kie(settings=settings)
    planner = Planner("a", settings, client.dispatcher)

    async def fill():
        opened = Ledger(SqliteDatabase(str(path)))
        for job_id in ("aaaa1", "abbb2"):
            job = attrs.evolve(client.job("m", {}, raw=True), id=job_id)
            await opened.add(attrs.evolve(planner.planned(job, kept=True), state="queued"))
        await opened.close()

    asyncio.run(fill())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE job SET state = 'running', task_id = 't' WHERE id = 'abbb2'")
    connection.close()
    return path


def test_jobs_are_completed_from_the_ledger(ledger):
    """Those for which the command is meant; nothing in the file changes."""
    before = ledger.read_bytes()
    environ = {"KIE_LEDGER": str(ledger)}

    assert sorted(told("status", "a", **environ)) == ["aaaa1", "abbb2"]
    assert told("save", "ab", **environ) == told("jobs", "show", "ab", **environ) == ["abbb2"]
    assert told("cancel", "a", **environ) == ["aaaa1"]
    assert told("jobs", "resolve", "a", **environ) == []
    assert ledger.read_bytes() == before


@pytest.mark.parametrize("place", ["none.sqlite", "memory:", "postgresql://nobody@127.0.0.1:1/x", "odd"])
def test_without_a_ledger_none_is_made(place, tmp_path, monkeypatch):
    """Nor waited for; a file that is none is no fault."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd").write_bytes(b"no database" * 100)
    started = time.monotonic()

    assert told("status", "a", KIE_LEDGER=place) == []
    assert [one.name for one in tmp_path.iterdir()] == ["odd"]
    assert time.monotonic() - started < 3


def test_a_locked_ledger_is_not_waited_for(ledger):
    """Somebody writes: there is nothing to choose from."""
    holder = sqlite3.connect(ledger, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    started = time.monotonic()

    assert told("status", "a", KIE_LEDGER=str(ledger)) == []
    assert time.monotonic() - started < 3
    holder.close()


def test_a_broken_setting_is_no_traceback():
    """The shell has no place for it."""
    assert told("generate", "veo3", KIE_REGISTRY="/nowhere/x.json") == []
    assert told("status", "a", KIE_LEASE="much") == []


#: Whom TAB needs of the modules of commands, beside what all share.
SHARED = {"completion", "main", "output", "stopping"}
NEEDED = {
    ("generate", "ve"): {"generate", "inputs"},
    ("generate", "veo3", "pro"): {"generate", "inputs"},
    ("model", ""): {"model", "models"},
    ("status", "a"): {"tasks", "entries", "gates", "generate", "inputs"},
    ("gen",): set(),
}


@pytest.mark.parametrize("words", NEEDED)
def test_completing_loads_no_http_library(words, install, monkeypatch):
    """Nor a plugin, whose models stand in its file; nor the commands that are not meant."""
    row = {"model_id": "vendor-sketch", "title": "x", "api_category": "acme", "output_type": "image/png"}
    folder = install("kie-acme", {"acme": "kie_tab_test"}, {"kie_tab_test": "1 / 0"}, models=[row])
    code = "import sys\nbefore = {*sys.modules}\nfrom kie_core.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n    pass\nprint('MODULES', *sys.modules.keys() - before)"
    environ = {"_KIE_COMPLETE": "fish_complete", "COMP_WORDS": " ".join(["kie", *words]), "COMP_CWORD": words[-1]}
    full = {**os.environ, **environ, "PYTHONPATH": str(folder)}
    full.pop("KIE_PLUGINS")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=full)
    modules = set(done.stdout.partition("MODULES ")[2].split())
    commands = {name.removeprefix("kie_core._cli.") for name in modules if name.startswith("kie_core._cli.")}

    assert not modules & (HEAVY if words[0] != "status" else HEAVY - {"sqlite3"})
    assert commands - SHARED == NEEDED[words]
    assert {name.partition(".")[0] for name in modules if name.startswith("kie_")} <= {"kie_core", "kie_registry"}
    assert ("vendor-sketch" in done.stdout) == (words in {("generate", "ve"), ("model", "")})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_line_for_the_shell_is_printed(shell):
    """The line alone on stdout, where it belongs on stderr; and what it runs is a script for that shell."""
    shown = CliRunner().invoke(kie, ["completion", shell])

    assert (shown.exit_code, shown.stdout.count("\n")) == (0, 1)
    assert f"_KIE_COMPLETE={shell}_source kie" in shown.stdout
    assert "add this line to ~/." in shown.stderr
    assert CliRunner().invoke(kie, ["completion", "tcsh"]).exit_code == 2


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_script():
    """And leaves no blank behind the name of an input."""
    environ = {**os.environ, "_KIE_COMPLETE": "bash_source"}
    made = subprocess.run([sys.executable, "-m", "kie_core"], capture_output=True, text=True, env=environ, check=True)
    taken = subprocess.run(
        ["bash", "-c", f"{made.stdout}\ncomplete -p kie"], capture_output=True, text=True, check=True
    )

    assert "compopt -o nospace" in made.stdout
    assert "_kie_completion" in taken.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_is_given_a_value_of_two_words_as_one(tmp_path):
    """Else the command that was completed would be refused, or mean another thing."""
    row = {
        "model_id": "acme/stems", "title": "Stems", "api_category": "acme", "output_type": "audio/mp3",
        "input_schema": {"properties": {"stem": {"type": "string", "enum": ["Lead Vocal", "Lead (dry)", "Lead"]}}},
    }  # fmt: skip
    tmp_path.joinpath("rows.json").write_text(json.dumps({"models": [row]}))
    environ = {**os.environ, "KIE_REGISTRY": str(tmp_path / "rows.json")}
    made = subprocess.run(
        [sys.executable, "-m", "kie_core"], capture_output=True, text=True, check=True,
        env={**environ, "_KIE_COMPLETE": "bash_source"},
    )  # fmt: skip
    line = "COMP_WORDS=(kie generate acme/stems stem = Le); COMP_CWORD=5"
    command = f"$'{sys.executable}\\n-m\\nkie_core'"
    taken = subprocess.run(
        ["bash", "-c", f'{made.stdout}\n{line}; _kie_completion {command}; eval "printf {{%s}} ${{COMPREPLY[*]}}"'],
        capture_output=True, text=True, check=True, env=environ,
    )  # fmt: skip

    assert taken.stdout == "{Lead Vocal}{Lead (dry)}{Lead}"


@pytest.fixture
def typed_program(tmp_path):
    """An environment in which ``kie`` is a program, whatever is installed."""
    program = tmp_path / "programs" / "kie"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kie_core "$@"\n')
    program.chmod(0o755)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
@pytest.mark.parametrize(("word", "blank"), [("aspect", False), ("--no-s", True)])
def test_zsh_leaves_no_blank_behind_the_name_of_an_input(word, blank, typed_program):
    """What follows is its value; behind an option there is one, as always."""
    told = "compdef() {}; _describe() { print -rl -- ${(P)3}; (( $@[(I)-S] )) && print no blank }"
    line = f"words=(kie generate veo3 {word}); CURRENT=4; _kie_completion"
    script = f'{told}\neval "$(_KIE_COMPLETE=zsh_source kie)"\n{line}'
    taken = subprocess.run(["zsh", "-f", "-c", script], capture_output=True, text=True, check=True, env=typed_program)
    first, *rest = taken.stdout.splitlines()

    assert first.startswith("--no-save:" if blank else "aspect_ratio=:")
    assert rest == ([] if blank else ["no blank"])


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_shows_the_whole_of_what_an_input_takes(typed_program):
    """Not only up to the first comma."""
    script = '_KIE_COMPLETE=fish_source kie | source; complete -C "kie generate veo3 asp"'
    taken = subprocess.run(
        ["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True, env=typed_program
    )

    assert taken.stdout == "aspect_ratio=\tone of '16:9', '9:16', '1:1'\n"


def test_a_model_is_a_value_for_programs():
    """Both clients; frozen; with its inputs."""
    client = Kie(KEY)
    with KieBlocking(KEY) as blocking:
        found = blocking.model("veo3")

    assert found is client.model("veo3")
    assert found.input("prompt").required
    assert "aspect_ratio" in [field.name for field in found.inputs]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found.title = "x"
    with pytest.raises(UnknownModel, match="veo3"):
        client.model("veo4")
