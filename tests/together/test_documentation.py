"""The examples of the pages under docs/, word for word, against the sandbox."""

from __future__ import annotations

import ast
import inspect
import json
import re
import runpy
from collections import Counter
from pathlib import Path

import pytest

import kie_registry
from kie_core import Kie, Schedule, load_dispatcher, load_settings
from kie_core.router import get_all_v4_models
from kie_core.testing import example_inputs
from kie_sandbox import Sandbox, serve

PAGES = Path(__file__).parents[2] / "docs"
BLOCKS = [
    (page.name, code)
    for page in sorted(PAGES.glob("*.md"))
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
]
LEGACY = json.loads(kie_registry.read(kie_registry.V3))["models"]
ALL = load_dispatcher(load_settings(environ={}))
pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("in_haste")]


class Application:
    """What any ASGI framework has."""

    def __init__(self):
        self.mounted = {}

    def mount(self, path, application):
        self.mounted[path] = application


@pytest.mark.parametrize(("page", "code"), BLOCKS, ids=[f"{page}-{at}" for at, (page, _) in enumerate(BLOCKS)])
async def test_an_example_does_what_the_page_says(page, code, monkeypatch, tmp_path):
    """It runs, and buys no more than the page says."""
    world, application = Sandbox(speed=500), Application()
    monkeypatch.chdir(tmp_path)
    with serve(sandbox=world) as url:
        monkeypatch.setenv("KIE_BASE_URL", url)
        monkeypatch.setenv("KIE_API_KEY", "sandbox")
        async with Kie(schedule=Schedule(first=0.02, longest=0.1)) as kie:
            names = {"kie": kie, "Kie": Kie, "app": application}
            running = eval(compile(code, page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.isawaitable(running):
                await running

    assert len(world.creates) == any(f"{call}(" in code for call in ("generate", "enqueue", "create_task"))
    assert bool(application.mounted) == ("mount(" in code)


def test_the_pages_have_examples():
    """Else the test above would pass for nothing."""
    assert Counter(page for page, _ in BLOCKS) >= Counter({"money.md": 4, "migration.md": 5})


def test_the_page_of_the_210_is_what_its_script_makes():
    """After a change of the registry: python docs/make_legacy_page.py."""
    made = runpy.run_path(str(PAGES / "make_legacy_page.py"))

    assert PAGES.joinpath("legacy-models.md").read_text(encoding="utf-8") == made["page"]()


def test_the_page_of_the_210_names_each_once_in_its_section():
    """With the counts in the titles."""
    text = PAGES.joinpath("legacy-models.md").read_text(encoding="utf-8")
    for status, title, count in (("current", "Work again", 179), ("unclear", "Unclear", 9), ("gone", "Gone", 22)):
        section = text.partition(f"\n## {title} ({count})\n")[2].partition("\n## ")[0]
        ids = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
        assert sorted(ids) == sorted(row["model_id"] for row in LEGACY if row["status"] == status)
        assert len(ids) == count


MIGRATION = PAGES.joinpath("migration.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("row", get_all_v4_models(), ids=lambda row: row["model_id"])
def test_the_price_table_is_that_of_the_registry(row):
    """The contract's price, and today's of the default inputs."""
    price = ALL.job(row["model_id"], example_inputs(ALL.plugins.registry.get(row["model_id"])), job_id="j1").price
    contract = row["pricing"]
    cells = (
        f"`{row['model_id']}`", f"{contract['rub_per_use']:.2f}", contract["credits_per_use"],
        f"{contract['usd_per_use']:.2f}", f"{price.credits:f}", f"{price.usd:.3f}", f"{price.wire / 100:.2f}",
    )  # fmt: skip

    assert f"| {' | '.join(map(str, cells))} |" in MIGRATION


@pytest.mark.parametrize("row", get_all_v4_models(), ids=lambda row: row["model_id"])
def test_the_table_of_endpoints_is_that_of_registry_and_plugins(row):
    """The contract's path, and where the job goes today."""
    job = ALL.job(row["model_id"], example_inputs(ALL.plugins.registry.get(row["model_id"])), job_id="j1")

    assert re.search(
        rf"^\| .*`{row['model_id']}`.* \| `{row['api_endpoint']}` \| `{ALL.endpoint(job).create}` \|$",
        MIGRATION,
        re.MULTILINE,
    )


def test_every_link_of_the_pages_leads_somewhere():
    """Files, and titles in them."""
    for page in (*PAGES.glob("*.md"), PAGES.parent / "README.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if target.startswith(("http://", "https://")):
                continue
            name, _, title = target.partition("#")
            found = page.parent / name if name else page
            assert found.exists(), f"{page.name}: {target}"
            titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE) if title else []
            assert not title or title in {one.lower().replace(" ", "-") for one in titles}, f"{page.name}: {target}"
