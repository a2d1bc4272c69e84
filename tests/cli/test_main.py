"""The command line, without plugins of ours: usage, typing of inputs, configuration, start-up."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import click
import pytest
from click.testing import CliRunner

import kie_core
from kie_core._cli.inputs import read_inputs
from kie_core._cli.main import Later, kie
from kie_core._cli.output import exit_code, print_json
from kie_core._dispatch.sandbox import BrokenSandbox, NoSandbox, open_sandbox
from kie_core._errors import (
    BadHandle,
    ClientClosed,
    ConfigError,
    InvalidJob,
    JobFailed,
    NoKey,
    NotSent,
    OutOfCredits,
    RateLimited,
    SubmitUnknown,
    Unauthorized,
    UnknownModel,
    UploadFailed,
    WaitTimeout,
)  # fmt: skip
from kie_core._models.model import model_from_row
from kie_core._models.registry import bundled

KEY = "0123456789abcdef0123456789abcdef"
KINDS = model_from_row(
    {
        "model_id": "kinds",
        "title": "Kinds",
        "api_category": "acme",
        "output_type": "image/png",
        "input_schema": {
            "properties": {
                "text": {"type": "string"},
                "count": {"type": "integer"},
                "weight": {"type": "number"},
                "flag": {"type": "boolean"},
                "urls": {"type": "array", "items": {"type": "string"}},
                "numbers": {"type": "array", "items": {"type": "integer"}},
                "box": {"type": "object"},
                "picture": {"type": "string", "format": "uri"},
                "pictures": {"type": "array", "items": {"type": "string", "format": "uri"}},
                "people": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string"},
                            "faces": {"type": "array", "items": {"type": "string", "format": "uri"}},
                        },
                    },
                },
            }
        },
    }
)


def run(*words, **arguments):
    return CliRunner().invoke(kie, list(words), **arguments)


@pytest.mark.parametrize(
    ("pairs", "inputs"),
    [
        (["text=5"], {"text": "5"}),
        (["text="], {"text": ""}),
        (["text=a=b"], {"text": "a=b"}),
        (["count=5", "weight=0.5"], {"count": 5, "weight": 0.5}),
        (["count=five"], {"count": "five"}),
        (["flag=true"], {"flag": True}),
        (["flag=No"], {"flag": False}),
        (["flag=maybe"], {"flag": "maybe"}),
        (["urls=a"], {"urls": ["a"]}),
        (["urls=a", "urls=b"], {"urls": ["a", "b"]}),
        (['urls=["a","b"]'], {"urls": ["a", "b"]}),
        (["urls=[odd"], {"urls": ["[odd"]}),
        (["numbers=1", "numbers=2"], {"numbers": [1, 2]}),
        (['box={"a": 1}'], {"box": {"a": 1}}),
        (["box=odd"], {"box": "odd"}),
        (["unknown=1"], {"unknown": "1"}),
        (["text=@@home"], {"text": "@home"}),
    ],
)
def test_inputs_are_typed_as_the_model_wants_them(pairs, inputs):
    """What does not fit stays text, for the validation to report."""
    assert read_inputs(KINDS, pairs, None) == inputs


def test_where_a_url_is_expected_a_file_is_the_file_itself():
    """In a list, too, among URLs; the sign at the beginning of an innocent text is written twice."""
    pairs = ["picture=@a.png", "pictures=https://x/a.png", "pictures=@b/c.png", "pictures=@@d"]

    assert read_inputs(KINDS, pairs, None) == {
        "picture": Path("a.png"),
        "pictures": ["https://x/a.png", Path("b/c.png"), "@d"],
    }


def test_files_stand_in_json_that_is_typed_and_in_none_that_is_read(tmp_path):
    """Else a file in an object could not be given at all; what somebody else wrote must not name files of ours."""
    people = '[{"name": "@a.png", "faces": ["@a.png", "https://x/a.png"]}, {"faces": "@b.png"}]'
    (tmp_path / "people.json").write_text(people)

    assert read_inputs(KINDS, [f"people={people}", 'pictures=["@a.png"]'], None) == {
        "people": [
            {"name": "@a.png", "faces": [Path("a.png"), "https://x/a.png"]}, {"faces": [Path("b.png")]},
        ],
        "pictures": [Path("a.png")],
    }  # fmt: skip
    assert read_inputs(KINDS, [f"people=@{tmp_path / 'people.json'}"], None) == {"people": json.loads(people)}


def test_inputs_come_from_files_too(tmp_path):
    """name=@file is a text file without its last line end; --inputs a whole object; a pair wins."""
    (tmp_path / "p.txt").write_text("a fox\n", encoding="utf-8")
    (tmp_path / "i.json").write_text('{"count": 1, "flag": true}')

    assert read_inputs(KINDS, [f"text=@{tmp_path / 'p.txt'}", "count=2"], str(tmp_path / "i.json")) == {
        "count": 2, "flag": True, "text": "a fox",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["text"], "expected name=value"),
        (["=5"], "expected name=value"),
        (["text=a", "text=b"], "text is given twice"),
        (["text=@/nowhere/x"], "cannot read '/nowhere/x'"),
        (["--inputs", "/nowhere/x.json"], "cannot read"),
        (["--inputs", "list.json"], "holds a list; expected an object"),
        (["--inputs", "odd.json"], "is not JSON"),
    ],
)
def test_slips_on_the_command_line_are_usage(acme, words, said, tmp_path, monkeypatch):
    """Exit code 2, and what was expected."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "odd.json").write_text("{")

    result = run("payload", acme, *words)

    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())


def test_payload_as_json_has_the_documented_names(acme):
    """model, category, wire, params, method, url, body, price."""
    result = run("payload", acme, "prompt=cat", "lost=1", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "model": "acme-sketch",
        "category": "acme",
        "wire": "dedicated",
        "params": {"prompt": "cat", "lost": "1"},
        "method": "POST",
        "url": "https://api.kie.ai/acme/create",
        "body": {"text": "cat"},
        "price": {"rub": 1.5, "credits": None, "usd": None, "wire_rub": None, "at_most": False},
    }
    assert "warning: lost is not sent" in result.stderr


def test_all_faults_are_shown_at_once(acme):
    """Exit code 2, everything on stderr, nothing on stdout."""
    result = run("payload", acme, "promt=cat")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'prompt'?" in result.stderr
    assert "prompt: missing" in result.stderr


def test_errors_are_json_too(acme):
    """With --json stdout holds one object, whatever happens."""
    result = run("payload", "acme-skech", "--json")

    assert json.loads(result.stdout)["error"] == "UnknownModel"
    assert "acme-sketch" in json.loads(result.stdout)["message"]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoKey(), 3), (Unauthorized(401, ""), 3), (OutOfCredits(402, ""), 4), (WaitTimeout("h", 1.0, "running"), 5), (ClientClosed("h"), 5), (SubmitUnknown("h", ""), 6),
        (InvalidJob("m", ()), 2), (UnknownModel("m"), 2), (BadHandle("h", ""), 2), (ConfigError(("x",)), 2),
        (NotSent(""), 1), (RateLimited(429, ""), 1), (UploadFailed("f", ""), 1), (UploadFailed("f", "", "", 401), 3), (UploadFailed("f", "", "", 402), 4), (JobFailed("h", "failed", None, ""), 1),
    ],
)  # fmt: skip
def test_exit_codes(error, code):
    """As the help says; scripts depend on them."""
    assert exit_code(error) == code


def test_without_a_key_generate_says_where_to_get_one(acme):
    """Exit code 3."""
    result = run("generate", acme, "prompt=cat")

    assert result.exit_code == 3
    assert "https://kie.ai/api-key" in result.stderr


def test_an_unknown_price_must_be_allowed(acme, tmp_path, monkeypatch):
    """Where nobody can be asked, nothing is bought."""
    row = {
        "model_id": "free-form",
        "title": "x",
        "api_category": "acme",
        "output_type": "image/png",
        "input_schema": {},
    }
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"models": [row]}))
    monkeypatch.setenv("KIE_REGISTRY", str(path))
    monkeypatch.setenv("KIE_API_KEY", KEY)

    result = run("generate", "free-form", "--wire", "v4")

    assert result.exit_code == 2
    assert "--allow-unknown-price" in result.stderr


@pytest.mark.parametrize(
    "words", [("--no-wait", "--sandbox"), ("--no-wait", "--wait", "5"), ("--no-wait", "--out", "x")]
)
def test_options_that_contradict_each_other(acme, words):
    """Usage, before anything is bought."""
    assert run("generate", acme, "prompt=cat", *words).exit_code == 2


def test_config_shows_where_each_value_came_from(monkeypatch):
    """And never the key."""
    monkeypatch.setenv("KIE_API_KEY", KEY)
    monkeypatch.setenv("KIE_WIRE", "jobs")

    rows = {row["name"]: row for row in json.loads(run("config", "--json").stdout)}

    assert (rows["wire"]["value"], rows["wire"]["origin"], rows["wire"]["place"]) == ("jobs", "environment", "KIE_WIRE")
    assert rows["api_key"]["value"] == "***"
    assert KEY not in run("config").stdout


def test_plugins_are_listed_with_what_is_wrong(acme, install):
    """One line each; and the line that installs what is missing."""
    install("kie-broken", {"broken": "no_such_module_here"}, {})

    rows = {row["name"]: row for row in json.loads(run("plugins", "--json").stdout)}

    assert rows["acme"]["condition"] == "ready"
    assert (rows["broken"]["distribution"], rows["broken"]["condition"]) == ("kie-broken", "broken")
    assert "no_such_module_here" in rows["broken"]["reason"]


def test_models_lists_six_and_on_demand_all(monkeypatch):
    """With their prices; words narrow."""
    monkeypatch.setenv("KIE_PLUGINS", "none")

    shown, everything = (json.loads(run("models", *words, "--json").stdout) for words in ((), ("--all",)))

    assert {row["id"]: row["price_rub"] for row in shown} == {
        "veo3": 314.6, "veo3_fast": 157.3, "runway-gen3-turbo": 235.95, "suno-v4": 78.65, "gpt-4o-image": 39.33, "flux-kontext": 47.19,
    }  # fmt: skip
    assert len(everything) == 216
    assert run("models", "veo3_fast").stdout.split("\t")[:3] == ["veo3_fast", "video", "157.30 RUB"]


SHOTS = {
    "model_id": "acme/shots", "title": "Shots", "api_category": "acme", "output_type": "video/mp4",
    "input_schema": {
        "properties": {
            "shots": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["text"],
                    "properties": {"text": {"type": "string", "maxLength": 9}, "box": {"type": "object", "properties": {"top": {"type": "integer"}}}},
                },
            },
            "sound": {"type": "boolean"},
        }
    },
    "rules": [
        {"if": {"shots": {"present": True}}, "require": ["sound"], "limit": {"shots": {"maxItems": 3}}, "why": "they are loud"},
        {"any_of": ["shots", "sound"]},
        {"if": {"sound": False}, "forbid": ["shots"]},
        {"total": {"of": [{"items": "shots", "weight": 2}], "most": 4}},
    ],
}  # fmt: skip


@pytest.fixture
def acme_rows(tmp_path):
    """A registry of one's own; returns the environment that names it, and a way to write it."""
    path = tmp_path / "rows.json"

    def written(*rows):
        path.write_text(json.dumps({"models": rows}))
        return {"KIE_REGISTRY": str(path)}

    return written


def test_a_model_shows_what_its_objects_hold_and_every_rule(acme_rows):
    """Nobody can write an object without knowing its members, nor keep a rule whose reason alone is told."""
    environ = acme_rows(SHOTS)
    lines = run("model", "acme/shots", env=environ).stdout.splitlines()
    told = json.loads(run("model", "acme/shots", "--json", env=environ).stdout)

    assert "shots[].text\ttext of ..9 characters\trequired\t" in lines
    assert "shots[].box.top\tinteger\t\t" in lines
    assert (
        [line.removeprefix("rule: ") for line in lines if line.startswith("rule: ")]
        == told["rules"]
        == [
            "when shots is given: sound needed; shots: list of ..3 items (they are loud)",
            "at least one of shots, sound",
            "when sound is false: without shots",
            "together ..4: shots (2 each)",
        ]
    )
    assert told["inputs"][0]["members"][0]["required"] is True


def test_an_old_id_shows_what_kie_charges_for_the_model_that_serves_it(acme_rows):
    """Of its price table what fits the inputs that the id fixes; and where that was read."""
    prices = [{"credits": 5, "when": {"sound": True}}, {"credits": 3, "when": {"sound": False}}]
    new = {
        **SHOTS,
        "wire_pricing": {"as_of": "2026-01-01", "rows": prices},
        "source": "docs.example.com, read 2026-01-01",
    }
    old = {
        **SHOTS, "model_id": "acme-old", "wire_model": "acme/shots", "fixed_input": {"sound": True}, "rules": [],
        "input_schema": {"properties": {"prompt": {"type": "string"}}},
    }  # fmt: skip
    environ = acme_rows(new, old)
    lines = run("model", "acme-old", env=environ).stdout.splitlines()
    told = json.loads(run("model", "acme-old", "--json", env=environ).stdout)

    assert lines[1:3] == ["Kie charges, as of 2026-01-01:", "5 credits\t0.025 USD\t3.93 RUB\t"]
    assert "source: docs.example.com, read 2026-01-01" in lines
    assert [row["credits"] for row in told["credits"]] == [5]


def test_model_shows_what_it_takes():
    """Every input, its limits, the source page and its day."""
    result = run("model", "veo3")

    assert "duration_seconds\tinteger 1..8\tdefault 8" in result.stdout
    assert "docs.kie.ai/veo3-api/generate-veo-3-video, read 2026-08-19" in result.stdout


def test_for_programs_a_price_says_on_which_wires_it_holds():
    """Else two rows for the same inputs contradict each other."""
    told = json.loads(run("model", "veo3", "--json").stdout)["credits"]

    assert [row["wires"] for row in told if not row["when"]] == [["dedicated", "v4"], ["jobs"]]


def test_a_handle_that_is_none_is_usage(monkeypatch):
    """Exit code 2."""
    monkeypatch.setenv("KIE_API_KEY", KEY)

    assert run("status", "nonsense").exit_code == 2


CODE = """
import sys
before = {*sys.modules}  # whatever starts with the interpreter
sys.argv[:] = ["kie", *%r]
from kie_core.__main__ import main
try:
    main()
except SystemExit:
    pass
print("MODULES", *sys.modules.keys() - before)
"""


def modules_after(*words):
    """Return what is loaded when a command has ended, and what it printed."""
    done = subprocess.run([sys.executable, "-c", CODE % (words,)], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.partition("MODULES ")
    return set(modules.split()), text


#: What talks, waits, keeps or draws: nothing of it is loaded to be told something.
HEAVY = {
    "asyncio", "cattrs", "email", "h11", "httpcore", "httpx", "importlib.metadata", "importlib.resources", "pluggy",
    "rich", "rich_click", "socket", "sqlite3", "ssl", "stamina",
}  # fmt: skip
#: Of our own modules, for those that list: nothing that decides, sends or keeps jobs.
LISTING = {
    "kie_core", "kie_core.__main__", "kie_core._cli", "kie_core._cli.main", "kie_core._cli.models",
    "kie_core._cli.output", "kie_core._cli.stopping", "kie_core._config", "kie_core._dispatch",
    "kie_core._dispatch.models", "kie_core._dispatch.plugins", "kie_core._error", "kie_core._installed",
    "kie_core._models", "kie_core._models.count", "kie_core._models.model", "kie_core._models.price",
    "kie_core._models.registry", "kie_core._models.row", "kie_core._secret", "kie_registry",
}  # fmt: skip


def ours(modules):
    return {name for name in modules if name.startswith("kie_")}


@pytest.fixture
def outsiders(install, monkeypatch):
    """A plugin and a command of outsiders, also for a process of its own; neither may be imported."""
    row = {"model_id": "acme-sketch", "title": "x", "api_category": "acme", "output_type": "image/png"}
    install("kie-acme", {"acme": "kie_help_test"}, {"kie_help_test": "1 / 0"}, models=[row])
    entry, tool = {"tool": "kie_tool_test:tool"}, {"kie_tool_test": "1 / 0"}
    install("kie-tool", entry, tool, group="kie_core.commands", summary="a tool of an outsider")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path[:2]))


def test_help_loads_no_command(outsiders):
    """They are listed from a table, those of other distributions from their metadata."""
    modules, text = modules_after("--help")

    assert "a tool of an outsider" in text
    assert not modules & (HEAVY | {"attrs", "decimal", "json", "logging"})
    assert ours(modules) == {
        "kie_core",
        "kie_core.__main__",
        "kie_core._cli",
        "kie_core._cli.main",
        "kie_core._installed",
    }


@pytest.mark.parametrize("words", [("models",), ("models", "--json"), ("models", "--all", "acme")])
def test_models_loads_nothing_but_what_a_list_takes(outsiders, words):
    """No plugin either: what they bring stands in their files."""
    modules, text = modules_after(*words)

    assert "acme-sketch" in text
    assert not modules & (HEAVY | {"difflib", "platformdirs", "tomllib"})
    assert ours(modules) <= LISTING


def test_the_table_of_commands_says_what_their_help_says():
    """Each is listed by the first sentence of its help, under its own name."""
    for name, listed in kie.commands.items():
        command = listed.load()
        said = " ".join(command.help.split())
        assert command.name == name
        assert said.startswith(listed.short_help)
        assert said[len(listed.short_help) :][:1] in ("", " ")
        assert listed.short_help.endswith(".")


def test_help_of_a_command_is_its_own():
    """Not that of its place in the list."""
    result = run("models", "--help")

    assert result.stdout.startswith("Usage: kie models [OPTIONS] [WORDS]...")
    assert "210 legacy ids" in result.stdout


def test_a_command_that_does_not_exist_is_usage():
    """Exit code 2."""
    assert run("modls").exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("models", "--all"),
        ("model", "veo3"),
        ("catalogue",),
        ("catalogue", "kling"),
        ("payload", "veo3", "prompt=a"),
        ("plugins",),
        ("config",),
    ],
)
def test_looking_loads_no_http_library(words):
    """What needs no network does not load it."""
    modules, _ = modules_after(*words)

    assert not modules & (HEAVY - {"pluggy"})


def test_version_is_answered_before_anything_is_loaded(outsiders):
    """Not even the library of the command line."""
    modules, text = modules_after("--version")

    assert text.startswith(f"kie-core {kie_core.__version__}\n")
    assert {"kie-acme 1.0", "kie-tool 1.0"} <= set(text.splitlines())
    assert not modules & (HEAVY | {"attrs", "click", "typing"})
    assert ours(modules) == {"kie_core", "kie_core.__main__", "kie_core._installed"}


def test_importing_the_package_loads_nothing():
    """Names are loaded when they are used."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; before = {*sys.modules}; import kie_core; print(*sys.modules.keys() - before)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert set(done.stdout.split()) - {"__future__"} == {"kie_core"}


def test_json_survives_text_that_is_half_a_character(capsys):
    """Kie's texts come from outside."""
    print_json({"message": "\ud800 и \u2603"})

    assert json.loads(capsys.readouterr().out)["message"] in ("\ud800 и \u2603", "\\ud800 и \u2603")


def test_a_list_is_printed_with_a_line_for_each(capsys):
    """So that it can be read, and searched by line; one object is spread over lines."""
    print_json(
        [
            {"credits": Decimal("4.50"), "of": MappingProxyType({"a": Path("b")})},
            {"at": datetime(2026, 1, 2, tzinfo=UTC)},
        ]
    )
    listed = capsys.readouterr().out
    print_json({"credits": Decimal(4)})

    assert listed == '[{"credits": 4.5, "of": {"a": "b"}},\n {"at": "2026-01-02T00:00:00+00:00"}]\n'
    assert capsys.readouterr().out == '{\n  "credits": 4\n}\n'


def test_a_misspelt_wire_is_an_error(acme, monkeypatch):
    """Not a silent default."""
    monkeypatch.setenv("KIE_WIRE", "dedcated")

    result = run("payload", acme, "prompt=cat")

    assert result.exit_code == 2
    assert "expected one of dedicated, jobs, v4" in result.stderr


def test_a_broken_command_is_a_message_not_a_traceback(install):
    """Foreign code that cannot be imported."""
    install("kie-odd", {"odd": "kie_odd_test:nothing"}, {"kie_odd_test": "1 / 0"}, group="kie_core.commands")

    result = run("odd")

    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr


def test_a_broken_sandbox_is_an_error_that_says_so(install):
    """And none at all names the line that installs it."""
    install("kie-odd", {"odd": "kie_odd_test:nothing"}, {"kie_odd_test": "1 / 0"}, group="test.sandboxes")

    with pytest.raises(BrokenSandbox, match="ZeroDivisionError"):
        open_sandbox(bundled(), "test.sandboxes")
    with pytest.raises(NoSandbox, match="pip install kie-sandbox"):
        open_sandbox(bundled(), "test.none")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise SystemExit(0)", "the command 'tool' cannot be loaded: SystemExit: 0"),
        ("def tool(): pass", "kie_tool_test:tool of kie-tool 1.0 is no click command"),
    ],
)
def test_a_command_of_another_distribution_that_is_none_says_so(install, source, said):
    """It ends with 1: nothing was done."""
    install("kie-tool", {"tool": "kie_tool_test:tool"}, {"kie_tool_test": source}, group="kie_core.commands")

    result = run("tool")

    assert result.exit_code == 1
    assert said in result.output


@pytest.mark.parametrize("words", [("payload", "acme-sketch", "prompt=cat", "--json"), ("plugins", "--json")])
def test_what_a_plugin_prints_is_no_result(install, acme_source, words):
    """On import and in its hooks: a script that cannot read the result may buy it again."""
    talkative = acme_source.replace("def build_payload(job):", "def build_payload(job):\n    print('building')")
    install("kie-acme", {"acme": "kie_talk_test"}, {"kie_talk_test": f"{talkative}\nprint('hello')\n"})

    result = run(*words)

    assert json.loads(result.stdout)
    assert "hello" in result.stderr
    assert ("building" in result.stderr) == ("payload" in words)


@pytest.mark.parametrize("words", [("payload", "acme-sketch", "prompt=日本 é"), ("model", "acme-sketch")])
@pytest.mark.parametrize("encoding", ["ascii", "koi8-r", "cp1252"])
def test_what_a_terminal_cannot_show_is_escaped(install, acme_source, words, encoding):
    """Whichever its letters are: a title, a prompt, what moves the cursor."""
    titled = acme_source.replace("Acme Sketch", r"Sketch \N{SNOWMAN} \x1b[2J")
    install("kie-acme", {"acme": "kie_letters_test"}, {"kie_letters_test": titled})

    result = CliRunner(charset=encoding).invoke(kie, list(words))

    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.output
    assert ("\\u65e5" if "payload" in words else "\\u2603 \\x1b[2J") in result.output


@pytest.mark.parametrize("word", ["--version", "--help", "models"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_what_cannot_be_printed_is_one_line_and_exit_code_1(word, unbuffered):
    """The reader is gone, as after head; never a traceback."""
    reader, writer = os.pipe()
    os.close(reader)

    result = subprocess.run(
        [sys.executable, "-m", "kie_core", word],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)

    assert (result.returncode, len(result.stderr.splitlines()) <= 1) == (1, True)
    assert "Traceback" not in result.stderr


SAID = re.compile(r"\bkie ((?:[a-z]+ )+)\{")


def test_commands_that_messages_name_take_what_they_are_given():
    """A person types what an error says."""
    told = {
        words.strip()
        for path in Path(kie_core.__file__).parent.rglob("*.py")
        for words in SAID.findall(path.read_text(encoding="utf-8"))
    }
    for words in told:
        command = kie
        for word in words.split():
            command = command.get_command(click.Context(command), word)
            command = command.load() if isinstance(command, Later) else command

        assert [one for one in command.params if isinstance(one, click.Argument)], f"kie {words} takes no argument"
    assert {"save", "model"} <= told
