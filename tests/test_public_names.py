"""What is public is documented, and what is documented is public."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import click
import pytest

import kie_core
from kie_core._cli.main import Later, kie
from kie_core._config import _FIELDS

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT.joinpath("docs", "reference.md").read_text(encoding="utf-8")


def test_every_public_name_is_in_the_reference_and_the_other_way_round():
    """The reference names them in its tables, in the first column."""
    names = REFERENCE.partition("## Settings")[0]
    documented = set(re.findall(r"^\| `([A-Za-z_]+)` \|", names, re.MULTILINE))

    assert documented == set(kie_core.__all__) - {"__version__"}


FACADE = ("router", "builder", "client_v4", "client_v3", "generator")


def test_the_names_of_the_original_system_are_in_the_reference_and_the_other_way_round():
    """In their own section, each with its module."""
    section = REFERENCE.partition("## Names of the original system")[2]
    documented = set(re.findall(r"^\| `([a-z0-9_]+\.[A-Za-z0-9_]+)` \|", section, re.MULTILINE))
    modules = {name: importlib.import_module(f"kie_core.{name}") for name in FACADE}

    assert documented == {f"{name}.{word}" for name, module in modules.items() for word in module.__all__}
    assert all(hasattr(module, word) for module in modules.values() for word in module.__all__)


CONSTANTS = {"JSON", "JobState", "JOBS_REFUSED", "State", "__version__"}


@pytest.mark.parametrize("name", sorted(set(kie_core.__all__) - CONSTANTS))
def test_every_class_and_function_has_a_docstring_of_its_own(name):
    """Written, not made by attrs."""
    text = getattr(kie_core, name).__doc__

    assert text
    assert not text.startswith("Method generated")


def test_a_name_that_does_not_exist_is_an_attribute_error():
    """As from any module."""
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        kie_core.Nothing
    assert "Kie" in dir(kie_core)


def test_every_setting_and_its_variable_is_in_the_reference():
    """`kie config` and the page agree."""
    for name, field in _FIELDS.items():
        assert f"| `{name}` | `{field.metadata['env']}` |" in REFERENCE


def commands_of(group, path):
    """Every command that does something of its own."""
    for name, listed in sorted(group.commands.items()):
        command = listed.load() if isinstance(listed, Later) else listed
        nested = isinstance(command, click.Group)
        if not nested or command.invoke_without_command:
            yield f"{path} {name}"
        if nested:
            yield from commands_of(command, f"{path} {name}")


def test_every_command_is_in_the_reference_and_the_other_way_round():
    """Beside ours the table has the one that the sandbox brings."""
    table = REFERENCE.partition("## Commands")[2].partition("\n## ")[0]
    documented = re.findall(r"^\| `(kie [a-z ]+)` \|", table, re.MULTILINE)

    assert sorted(documented) == sorted([*commands_of(kie, "kie"), "kie sandbox"])


def test_the_version_is_the_same_everywhere():
    """Metadata, package, changelog and every plugin."""
    versions = {kie_core.__version__}
    for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/*/pyproject.toml")):
        versions.add(tomllib.loads(path.read_text())["project"]["version"])
    versions.add(re.search(r"^## (\d[^ ]*)", ROOT.joinpath("CHANGELOG.md").read_text(), re.MULTILINE)[1])

    assert versions == {kie_core.__version__}
