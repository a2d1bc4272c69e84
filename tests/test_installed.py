"""What other distributions bring is found as importlib.metadata finds it, in one look, and imported by nobody."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import zipfile

import pytest

from kie_core._installed import COMMANDS, PLUGINS, SANDBOXES, _look, installed

ENTRIES = """
[console_scripts]
acme = acme.main:run

[kie_core.plugins]
# a remark
acme = acme_test
; another
acme-video = acme_test : plugin.of_video [fast]
"""


@pytest.fixture(autouse=True)
def anew():
    _look.cache_clear()
    yield
    _look.cache_clear()


def distribution(folder, name="kie_acme-1.0.dist-info", metadata="Name: kie-acme\nVersion: 1.0\nSummary: pictures\n"):
    path = folder / name
    path.mkdir(parents=True)
    path.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\n{metadata}\nVersion: of the text\n", encoding="utf-8")
    path.joinpath("entry_points.txt").write_text(ENTRIES, encoding="utf-8")
    return path


@pytest.mark.parametrize("group", [PLUGINS, COMMANDS, SANDBOXES, "console_scripts", "pytest11"])
def test_the_same_is_found_as_importlib_metadata_finds(group, acme, install):
    """In this environment, with one more distribution in front."""
    install("kie-tool", {"tool": "kie_tool_test:tool"}, {}, group=COMMANDS)
    theirs = importlib.metadata.entry_points(group=group)

    assert [(one.name, one.value, *one.origin) for one in installed(group)] == sorted(
        (one.name, f"{one.module}:{one.attr}" if one.attr else one.module, one.dist.name, one.dist.version)
        for one in theirs
    )


def test_what_an_entry_point_says_is_read(tmp_path, monkeypatch):
    """Remarks, other groups and extras are not ours; the header ends before the text."""
    distribution(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    first, second = installed(PLUGINS)

    assert (first.name, first.value, first.module) == ("acme", "acme_test", "acme_test")
    assert (second.name, second.value, second.module) == ("acme-video", "acme_test:plugin.of_video", "acme_test")
    assert (first.label, first.origin, first.summary) == ("kie-acme 1.0", ("kie-acme", "1.0"), "pictures")


def test_an_attribute_is_loaded_and_nothing_before(tmp_path, monkeypatch):
    """Found is not imported."""
    distribution(tmp_path)
    (tmp_path / "acme_test.py").write_text("class plugin:\n    of_video = 'video'\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    first, second = (one for one in installed(PLUGINS) if one.label == "kie-acme 1.0")

    assert "acme_test" not in sys.modules
    assert second.load() == "video"
    assert first.load() is sys.modules.pop("acme_test")


@pytest.mark.parametrize("other", ["Kie.Acme-2.0.dist-info", "kie_acme-2.0-py3.11.egg-info"])
def test_of_two_copies_the_first_on_the_path_counts(tmp_path, monkeypatch, other):
    """As for the modules themselves."""
    distribution(tmp_path / "a")
    distribution(tmp_path / "b", other, "Name: kie-acme\nVersion: 2.0\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "none"), str(tmp_path / "a"), str(tmp_path / "b")])

    assert {one.label for one in installed(PLUGINS)} == {"kie-acme 1.0"}


def test_half_removed_metadata_is_no_fault(tmp_path, monkeypatch):
    """It stays behind in many environments."""
    distribution(tmp_path).joinpath("METADATA").unlink()
    distribution(tmp_path, "odd-1.0.dist-info").joinpath("entry_points.txt").write_bytes(b"\xff\xfe[")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])

    assert [(one.origin, one.label, one.summary) for one in installed(PLUGINS)] == [
        (("unknown", ""), "unknown", ""), (("unknown", ""), "unknown", ""),
    ]  # fmt: skip


def test_an_archive_is_looked_into(tmp_path, monkeypatch):
    """As zipapps are: there the standard library is asked."""
    distribution(tmp_path / "kie")
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        for file in (tmp_path / "kie").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "kie"))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "app.pyz"), *sys.path])

    assert [one.label for one in installed(PLUGINS) if one.name.startswith("acme")] == ["kie-acme 1.0"] * 2


def test_a_finder_of_somebodys_is_asked(tmp_path, monkeypatch):
    """What is on no path is found, too."""
    metadata = distribution(tmp_path)

    class Finder:
        @staticmethod
        def find_distributions(_context):
            yield importlib.metadata.PathDistribution(metadata)

        @staticmethod
        def find_spec(*_):
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])

    assert "kie-acme 1.0" in {one.label for one in installed(PLUGINS)}


def test_one_look_is_enough(monkeypatch, tmp_path):
    """Of all groups together; another path is another look."""
    looks = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: looks.append(folder) or listdir(folder))

    for group in (PLUGINS, COMMANDS, SANDBOXES, PLUGINS):
        installed(group)
    once = len(looks)
    monkeypatch.syspath_prepend(str(tmp_path))
    installed(PLUGINS)

    assert 0 < once <= len(sys.path)
    assert len(looks) > once
