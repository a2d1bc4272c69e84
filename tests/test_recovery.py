"""What dead processes left beside a ledger: no task id of theirs is lost."""

from __future__ import annotations

import logging

import pytest

from kie_core import SubmitUnknown
from kie_core._ledger.spill import Spill, Spilt

pytestmark = pytest.mark.anyio


@pytest.fixture
def stem(tmp_path):
    return tmp_path / "ledger.sqlite"


def left(stem, spilt):
    """Write what a process that is dead could not write into the ledger, and return where it lies."""
    spill = Spill(stem, "owner-dead")
    spill.prepare()
    assert spill.note(spilt)
    return stem.with_name(f"{stem.name}.spill-owner-dead")


async def test_a_task_id_whose_job_the_ledger_does_not_know_stays_where_it_is(fake, stem, caplog):
    """An older file was put in the ledger's place: the id is told once, and kept until the right one is back."""
    caplog.set_level(logging.CRITICAL, "kie_core")
    path = left(stem, Spilt("account-1", "job-x", "task-x"))
    async with fake.client(ledger=str(stem)) as kie:
        await kie.recover()
        await kie.recover()

    assert "task-x" in path.read_text()
    assert [record.getMessage() for record in caplog.records] == [
        f"job job-x, which the ledger does not know, is task task-x: {path}"
    ]


async def test_what_was_read_from_a_dead_process_is_in_the_ledger_before_its_file_goes(fake, stem):
    """The job goes on as that task."""
    fake.create = {"code": 500, "msg": "Server exception", "data": None}
    async with fake.client(ledger=str(stem)) as kie:
        with pytest.raises(SubmitUnknown):
            await kie.submit("acme-sketch", {"prompt": "cat"})
        (entry,) = await kie.jobs("unknown")
        path = left(stem, Spilt(entry.account, entry.id, "task-1"))
        await kie.recover()

        assert (await kie.entry(entry.id)).task_id == "task-1"
    assert not path.exists()
