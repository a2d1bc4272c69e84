"""The command line, without plugins of ours: usage, typing of inputs, configuration, start-up."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import kie_core
from kie_core._cli.inputs import read_inputs
from kie_core._cli.main import kie
from kie_core._cli.output import exit_code, print_json
from kie_core._errors import (
    BadHandle,
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
    WaitTimeout,
)  # fmt: skip
from kie_core._model import model_from_row
from kie_core._registry import bundled
from kie_core._sandbox import BrokenSandbox, NoSandbox, open_sandbox

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
        "price": {"rub": 1.5, "credits": None, "usd": None, "wire_rub": None},
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
        (NoKey(), 3), (Unauthorized(401, ""), 3), (OutOfCredits(402, ""), 4), (WaitTimeout("h", 1.0, "running"), 5), (SubmitUnknown("h", ""), 6),
        (InvalidJob("m", ()), 2), (UnknownModel("m"), 2), (BadHandle("h", ""), 2), (ConfigError(("x",)), 2),
        (NotSent(""), 1), (RateLimited(429, ""), 1), (JobFailed("h", "failed", None, ""), 1),
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


def test_model_shows_what_it_takes():
    """Every input, its limits, the source page and its day."""
    result = run("model", "veo3")

    assert "duration_seconds\tinteger 1..8\tdefault 8" in result.stdout
    assert "docs.kie.ai/veo3-api/generate-veo-3-video, read 2026-08-19" in result.stdout


def test_a_handle_that_is_none_is_usage(monkeypatch):
    """Exit code 2."""
    monkeypatch.setenv("KIE_API_KEY", KEY)

    assert run("status", "nonsense").exit_code == 2


def modules_after(*words):
    code = "import sys; sys.argv[:] = ['kie', *%r]\nfrom kie_core.__main__ import main\ntry:\n    main()\nexcept SystemExit:\n    pass\nprint('\\n'.join(['MODULES', *sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code % (words,)], capture_output=True, text=True, check=True)
    return set(done.stdout.partition("MODULES\n")[2].split()), done.stdout


HEAVY = {"httpx", "httpcore", "cattrs", "asyncio", "stamina"}


def test_help_loads_neither_the_http_library_nor_a_plugin(install, acme_source):
    """Commands of other distributions are listed from their metadata."""
    folder = install("kie-acme", {"acme": "kie_help_test"}, {"kie_help_test": acme_source})
    install(
        "kie-tool",
        {"tool": "kie_tool_test:tool"},
        {"kie_tool_test": "1 / 0"},
        group="kie_core.commands",
        summary="a tool of an outsider",
    )

    import os

    path = os.pathsep.join(str(item) for item in (folder, folder.parent / "site-1"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        modules, text = modules_after("--help")

    assert "a tool of an outsider" in text
    assert not modules & (HEAVY | {"kie_help_test", "kie_tool_test"})
    assert not {
        name
        for name in modules
        if name.startswith("kie_") and name.partition(".")[0] not in ("kie_core", "kie_registry")
    }


@pytest.mark.parametrize(
    "words", [("models", "--all"), ("model", "veo3"), ("payload", "veo3", "prompt=a"), ("plugins",), ("config",)]
)
def test_looking_loads_no_http_library(words):
    """What needs no network does not load it."""
    modules, _ = modules_after(*words)

    assert not modules & {"httpx", "httpcore", "stamina"}


def test_version_is_answered_before_anything_is_loaded():
    """Not even the library of the command line."""
    modules, text = modules_after("--version")

    assert text.startswith(f"kie-core {kie_core.__version__}\n")
    assert not modules & (HEAVY | {"click", "rich", "rich_click", "attrs", "pluggy"})


def test_importing_the_package_loads_nothing():
    """Names are loaded when they are used."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, kie_core; print(*sys.modules)"], capture_output=True, text=True, check=True
    )

    assert not set(done.stdout.split()) & (HEAVY | {"click", "attrs", "pluggy"})


def test_json_survives_text_that_is_half_a_character(capsys):
    """Kie's texts come from outside."""
    print_json({"message": "\ud800 и \u2603"})

    assert json.loads(capsys.readouterr().out)["message"] in ("\ud800 и \u2603", "\\ud800 и \u2603")


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
