"""Checked by mypy, never run: every plugin module is a CategoryPlugin, and the client reads as its author means it."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import assert_type

import kie_4o_image
import kie_flux_kontext
import kie_legacy_v3
import kie_market
import kie_runway
import kie_suno
import kie_veo3
from kie_core import Catalogue, CategoryPlugin, Kie, KieBlocking, ModelStats, Outcome, Task
from kie_core._blocking import BlockingTask

plugins: list[CategoryPlugin] = [
    kie_4o_image,
    kie_flux_kontext,
    kie_legacy_v3,
    kie_market,
    kie_runway,
    kie_suno,
    kie_veo3,
]


async def reads_well() -> None:
    async with Kie("key", base_url="http://127.0.0.1:8787") as kie:
        task = await kie.generate("gpt-4o-image", {"prompt": "cat"}, wire="jobs", wait_timeout=60)
        assert_type(task, Task)
        assert_type(await task.wait(), Outcome)
        assert_type(await task.save("folder"), list[Path])
        assert_type(await kie.credits(), Decimal)
        assert_type(await kie.catalogue(refresh=True), Catalogue)
        assert_type(await kie.stats(30), tuple[ModelStats, ...])


def reads_well_without_async() -> None:
    with KieBlocking() as kie:
        assert_type(kie.generate("gpt-4o-image", {"prompt": "cat"}), BlockingTask)
