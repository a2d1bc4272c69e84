"""The benchmarks run. What they measure is no test: it depends on the machine."""

import os
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="the benchmarks are in the repository only")
needs_the_group = pytest.mark.skipif(
    find_spec("httptools") is None, reason="needs the dependency group: uv sync --group benchmarks"
)


@pytest.fixture
def benchmarks(monkeypatch):
    """The checkout is on the path, at its end: benchmarks are no part of what is installed, and all else is."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT)])


def run(*arguments):
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=True)


def test_the_page_is_written_with_its_plots_and_verdicts(benchmarks, tmp_path):
    """One command prints the table of a question, and writes the page, with a verdict for every target."""
    page = tmp_path / "performance.md"

    done = run("--only", "polls", "--out", str(page))

    from benchmarks.targets import TARGETS

    text = page.read_text("utf-8")
    verdicts = [line for line in text.splitlines() if line.startswith("|") and (" <= " in line)]
    assert len(verdicts) == len(TARGETS)
    assert "video: 400 jobs" in done.stdout
    assert "video: 400 jobs" in text
    assert [plot.name for plot in sorted(tmp_path.glob("*.svg")) if f"({plot.name})" in text] == [
        f"performance-polls-{media}.svg" for media in ("image", "music", "video")
    ]


def test_a_fixed_interval_is_seen_half_of_it_later(benchmarks):
    """What is known of fixed intervals comes out of the simulation, and nothing beats the optimum at as many polls."""
    import random

    from benchmarks import polls

    family = polls.FAMILIES["video"]
    tasks = polls.tasks_of(family, 1000, random.Random(1))

    fixed = polls.simulated(tasks, polls.fixed(10.0), random.Random(1))
    best = polls.simulated(tasks, polls.optimum(family, 0.1), random.Random(1))

    assert 4.5 < fixed.late < 5.5
    assert best.polls < fixed.polls
    assert best.late < fixed.late / 2


@needs_the_group
def test_the_vendor_answers_every_client(benchmarks):
    """Each client that is installed buys a job and asks about it, and the vendor counts both."""
    import asyncio

    from benchmarks.clients import CLIENTS
    from benchmarks.vendor import running_vendor

    async def use(name, url):
        async with CLIENTS[name].open(url) as calls:
            if calls.submit is not None:
                await calls.submit()
            await calls.poll("t1")
            await calls.poll("t1")
            return calls.submit is not None

    with running_vendor() as vendor:
        for name, client in CLIENTS.items():
            if client.missing:
                continue
            vendor.forget()
            buys = asyncio.run(use(name, vendor.url))
            seen = vendor.seen()
            assert (name, seen["polls"]) == (name, 2)
            assert (name, seen["creates"] > 0) == (name, buys)


@needs_the_group
def test_the_vendor_serves_files_of_the_size_that_is_asked_for(benchmarks):
    """A file comes whole, and begins as a picture does."""
    from benchmarks.vendor import PNG, running_vendor

    with running_vendor() as vendor, urllib.request.urlopen(f"{vendor.url}/file/2", timeout=30) as answer:
        content = answer.read()

    assert len(content) == 2 * 1024 * 1024
    assert content.startswith(PNG)


@needs_the_group
def test_what_is_measured_reaches_the_verdicts(benchmarks):
    """A question goes through all of the harness, processes, vendor and tables, and its targets are judged."""
    done = run("--only", "files", "--rounds", "1")

    judged = [line for line in done.stdout.splitlines() if "download" in line and " <= " in line]
    assert len(judged) == 3
    assert not [line for line in judged if "not measured" in line]


@needs_the_group
def test_what_is_not_installed_is_named(benchmarks, monkeypatch):
    """A program that is compared, and is not there, has its row all the same: it says what is missing."""
    monkeypatch.setenv("PATH", "")

    done = run("--only", "startup", "--rounds", "1")

    (row,) = [line for line in done.stdout.splitlines() if "`fal --help`" in line]
    assert "not installed (fal)" in row
    assert [line for line in done.stdout.splitlines() if "`kie --version`" in line and "not measured" not in line]
