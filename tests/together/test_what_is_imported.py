"""With every plugin installed: one is imported when its category is used, and none to tell what there is."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kie_core import load_dispatcher, load_settings
from kie_core._installed import PLUGINS, installed

CODE = """
import sys
from kie_core.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
finally:
    print("MODULES", *sys.modules)
"""
MODULES = {entry.module for entry in installed(PLUGINS)}


def imported(*words, **environ):
    """Return the plugins that a command imported, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, check=True, env={**os.environ, **environ}
    )
    text, _, modules = done.stdout.partition("MODULES ")
    return MODULES & set(modules.split()), text


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("models",), ("models", "--all", "--json")])
def test_lists_import_no_plugin(words):
    """Nor do they need to."""
    assert imported(*words)[0] == set()


def test_all_models_of_plugins_are_listed_and_completed_without_them():
    """Those that only a plugin brings."""
    found, text = imported("models")
    done, names = imported(_KIE_COMPLETE="fish_complete", COMP_WORDS="kie generate bytedance/", COMP_CWORD="bytedance/")

    assert {"bytedance/seedance-2", "suno-extend", "veo-extend", "runway-extend"} <= {
        line.partition("\t")[0] for line in text.splitlines()
    }
    assert "bytedance/seedance-2" in names
    assert found == done == set()


@pytest.mark.parametrize(
    ("model", "inputs", "owner"),
    [
        ("veo3_fast", ["prompt=a"], "kie_veo3"),
        ("gpt-4o-image", ["prompt=a"], "kie_4o_image"),
        ("flux-kontext", ["prompt=a"], "kie_flux_kontext"),
        ("google/nano-banana", ["prompt=a"], "kie_market"),
    ],
)
def test_one_job_imports_one_plugin(model, inputs, owner):
    """That of its category."""
    assert imported("payload", model, *inputs)[0] == {owner}


def test_every_plugin_of_ours_waits():
    """The seven that are here, each of which works once it is asked for."""
    plugins = load_dispatcher(load_settings(environ={})).plugins

    assert set(plugins._waiting) == {entry.name for entry in installed(PLUGINS)}
    assert len(plugins._waiting) == 7
    assert [record.reason for record in plugins.records] == [""] * 7
