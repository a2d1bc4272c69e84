"""The README's lines in clean environments, with real wheels: what a newcomer and an outsider meet."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT.joinpath("README.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.timeout(600)


class Environment:
    """A virtual environment of its own, and a home without settings."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        venv.create(folder / "venv", with_pip=True)
        keep = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("KIE_", "XDG_", "VIRTUAL_ENV", "PYTHON", "TOX_", "UV_"))
        }
        scripts = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.environ = keep | {
            "PATH": f"{scripts}{os.pathsep}{keep['PATH']}",
            "HOME": str(self.home),
            "KIE_CONFIG_DIR": str(self.home),
        }

    def run(
        self, *words: str, cwd: Path | None = None, check: bool = True, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            words,
            cwd=cwd or self.home,
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
            shell=False,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def shell(self, line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["bash", "-c", line], cwd=cwd, env=self.environ, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.fixture(scope="session")
def clone(tmp_path_factory):
    """The tree as git has it, with what is not committed yet."""
    folder = tmp_path_factory.mktemp("clone")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        if ROOT.joinpath(name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(ROOT.joinpath(name).read_bytes())
    return folder


@pytest.fixture(scope="session")
def everything(tmp_path_factory, clone):
    """An environment in which the README's first line was typed, and what it printed."""
    environment = Environment(tmp_path_factory.mktemp("everything"))
    line = next(line.strip() for line in README.splitlines() if line.startswith("    pip install ."))
    environment.printed = environment.shell(line, clone)
    return environment


def test_the_first_line_of_the_readme_ends_in_a_picture(everything, clone):
    """The path is the last line of stdout, and a real PNG lies there."""
    path = Path(everything.printed.stdout.splitlines()[-1])

    content = (clone / path).read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    assert "39.33 RUB" in everything.printed.stderr


def test_wheels_hold_the_data(everything):
    """Registry, facts and media of the sandbox are there without a checkout."""
    assert len(json.loads(everything.run("kie", "models", "--all", "--json").stdout)) == 6 + 30 + 195 + 210
    listed = json.loads(everything.run("kie", "plugins", "--json").stdout)
    assert {row["condition"] for row in listed} == {"ready"}
    assert len(listed) == 7


def test_every_command_of_the_readme_that_needs_no_key_works(everything):
    """As it stands there, in a shell."""
    lines = [line.strip() for line in README.splitlines() if line.startswith("    kie ")]
    free = [line for line in lines if line.split()[1] in ("models", "model", "payload", "stats", "plugins", "config")]

    assert len(free) >= 5
    for line in free:
        everything.run(*shlex.split(line, comments=True))


def test_the_python_of_the_readme_runs_in_the_sandbox(everything):
    """Both examples, word for word."""
    examples = [
        code
        for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL)
        if "Kie" in code and "hookimpl" not in code
    ]
    words = [
        str(Path(everything.environ["PATH"].split(os.pathsep)[0]) / "kie"),
        "sandbox",
        "--port",
        "0",
        "--speed",
        "40",
    ]
    server = subprocess.Popen(
        words, env=everything.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        settings = dict(re.findall(r"(KIE_\w+)=(\S+)", server.stdout.readline()))
        printed = [everything.run("python", "-c", code, **settings).stdout for code in examples]
    finally:
        server.terminate()
        server.communicate(timeout=20)

    assert len(printed) == 2
    assert all("PosixPath" in text or "WindowsPath" in text for text in printed)


def test_core_and_one_plugin(tmp_path_factory, clone, everything):
    """veo3 works; suno-v4 fails with the line that mends it."""
    environment = Environment(tmp_path_factory.mktemp("one"))
    environment.run("pip", "install", "-q", ".", "plugins/kie-veo3/", cwd=clone)
    words = [
        str(Path(everything.environ["PATH"].split(os.pathsep)[0]) / "kie"),
        "sandbox",
        "--port",
        "0",
        "--speed",
        "60",
    ]
    server = subprocess.Popen(
        words, env=everything.environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        settings = dict(re.findall(r"(KIE_\w+)=(\S+)", server.stdout.readline()))
        video = environment.run("kie", "generate", "veo3", "prompt=a fox", **settings)
        song = environment.run("kie", "generate", "suno-v4", "prompt=a song", check=False, **settings)
        sandbox = environment.run("kie", "generate", "veo3", "prompt=a fox", "--sandbox", check=False)
    finally:
        server.terminate()
        server.communicate(timeout=20)

    assert b"ftyp" in (environment.home / video.stdout.strip()).read_bytes()[:16]
    assert (song.returncode, song.stdout) == (1, "")
    assert "pip install kie-suno" in song.stderr
    assert "pip install kie-sandbox" in sandbox.stderr


def test_the_plugin_of_the_readme_works_as_it_stands(everything, tmp_path):
    """Three files from the page, pip install, and it generates in the sandbox over its own wire and v4."""
    toml = re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1]
    code = next(code for code in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "@hookimpl" in code)
    assert len(code.splitlines()) < 60
    tmp_path.joinpath("pyproject.toml").write_text(toml)
    package = tmp_path / "acme_kie_sketch"
    package.mkdir()
    package.joinpath("__init__.py").write_text(code)
    package.joinpath("kie_models.json").write_text(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])

    everything.run("pip", "install", "-q", str(tmp_path))
    try:
        made = everything.run("kie", "generate", "acme-sketch", "prompt=a boat", "--sandbox")
        over_v4 = everything.run("kie", "generate", "acme-sketch", "prompt=a boat", "--sandbox", "--wire", "v4")
        check = (
            "import acme_kie_sketch; from kie_core.testing import check_plugin; check_plugin(acme_kie_sketch, 'sketch')"
        )
        everything.run("python", "-c", check)
    finally:
        everything.run("pip", "uninstall", "-q", "-y", "acme-kie-sketch")

    assert (everything.home / made.stdout.strip()).read_bytes().startswith(b"\x89PNG")
    assert (everything.home / over_v4.stdout.strip()).read_bytes().startswith(b"\x89PNG")
    assert "12.50 RUB" in made.stderr


def test_every_distribution_builds_with_its_licence_and_types(clone, tmp_path):
    """sdist and wheel of all nine."""
    import zipfile

    folders = [clone, *sorted(clone.glob("plugins/*/"))]
    for folder in folders:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, folder],
            check=True,
            capture_output=True,
        )

    wheels = [zipfile.ZipFile(path).namelist() for path in tmp_path.glob("*.whl")]
    assert len(wheels) == 9
    for names in wheels:
        assert any(name.endswith("licenses/LICENSE") for name in names)
        assert any(name.endswith("py.typed") for name in names)
        assert not any(name.startswith(("tests/", "registry/")) for name in names)
