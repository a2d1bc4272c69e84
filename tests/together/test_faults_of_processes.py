"""What happens to processes, disks, locks and clocks while a job is bought. Each of 58 faults has its number."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import sqlite3
import subprocess
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from kie_core import Budget, JobKeyTaken, LedgerError, OverBudget, WaitTimeout

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(os.name != "posix", reason="needs signals")]
MODEL = "gpt-4o-image"
PRICE = 3933
INPUTS = {"prompt": "a cat"}


def kill(process, how=signal.SIGKILL):
    process.send_signal(how)
    process.wait()


async def states(scene):
    """The states of all jobs in the ledger, as a program that only looks sees them."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{scene.ledger}?mode=ro", uri=True)) as ledger:
            return sorted(row[0] for row in ledger.execute("SELECT state FROM job"))
    except sqlite3.OperationalError:  # it is not there yet, or empty
        return []


async def only_job(kie):
    (entry,) = await kie.jobs()
    return entry.id


# --- killed ------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def mute_server():
    """A host that takes connections and says nothing, not even what TLS begins with."""
    peers = []

    async def listen(reader, writer):
        peers.append(writer)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", peers


async def test_killed_between_intent_and_create(scene, start, until):  # 34
    """Nobody knows that nothing was sent: the price stays reserved until a person says so."""
    async with mute_server() as (url, peers):
        process = start("submit", {"base_url": url}, prompt="a cat")
        await until(lambda: peers)
        assert await states(scene) == ["submitting"]
        kill(process)

        async with scene.client(base_url=url) as kie:
            job_id = await only_job(kie)
            assert await scene.standing(kie, job_id) == ("unknown", PRICE)
            await kie.drive(wait_timeout=0)
            await kie.recover(wait_timeout=0)
            assert await scene.booked(kie) == (PRICE, 0)
            await kie.resolve(job_id, not_sent=True)
            assert await scene.booked(kie) == (0, 0)
        assert len(peers) == 1


async def test_killed_between_answer_and_commit(scene, vendor, clock, start, door, hold_ledger, until):  # 35
    """The task id is lost with the process, and comes back with the callback."""
    vendor.before_answer = hold_ledger
    process = start("submit", {"callback_url": door.url}, prompt="a cat")
    await until(lambda: "it stands in the spill file" in process.log.read_text())
    kill(process)
    for spilt in Path(scene.ledger).parent.glob("*.spill-*"):
        spilt.unlink()  # without it, it would be read from there
    hold_ledger.release()
    vendor.before_answer = None

    async with scene.client(callback_url=door.url) as kie:
        door.inbox = kie
        job_id = await only_job(kie)
        await scene.stays_unknown(kie, job_id)
        await clock.sleep(3)

        async def found():
            return (await kie.entry(job_id)).state == "succeeded"

        await until(found)
        assert (await kie.entry(job_id)).task_id == vendor.creates[0].task_id
    assert vendor.posts == 1


@pytest.fixture
async def one_runs_one_waits(scene, clock, start, until):
    """A program with two jobs: one is bought, the other has its place in the queue of creates."""
    clock.let_run()
    process = start("drive", {"creates_per_10_seconds": 4, "lease": 60}, prompts=["a cat", "a dog"])

    async def both():
        return await states(scene) in (["leased", "running"], ["leased", "succeeded"])

    await until(both)
    return process


async def test_killed_before_its_turn(scene, vendor, one_runs_one_waits):  # 36
    """Nothing was sent of that job: it goes back into the queue, and is bought once, by whoever comes next."""
    kill(one_runs_one_waits)

    async with scene.client() as kie:
        (waiting,) = await kie.jobs("queued")
        assert (waiting.reserved, vendor.posts) == (0, 1)
        await kie.drive()

        assert len(await kie.jobs("succeeded")) == 2
    assert vendor.purchases() == {"a cat": 1, "a dog": 1}
    assert vendor.posts == 2


async def test_terminated_with_creates_on_their_way(scene, vendor, start, until):  # 37
    """Nothing new is claimed, answers are awaited and written down, what waits goes back; it ends in order."""
    vendor.faults.add("create-delay=0.4")
    quick = {"creates_per_10_seconds": 100_000, "concurrency": 2}
    process = start("drive", quick, prompts=["a cat", "a dog", "a fox", "an owl"])
    await until(lambda: len(vendor.creates) == 2)

    kill(process, signal.SIGTERM)

    assert process.returncode == 0
    assert await states(scene) == ["queued", "queued", "running", "running"]
    async with scene.client() as kie:
        assert {entry.task_id for entry in await kie.jobs("running")} == set(vendor.tasks)
        assert {entry.reserved for entry in await kie.jobs("queued")} == {0}
        assert await scene.booked(kie) == (2 * PRICE, 0)
    assert vendor.posts == 2


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
async def test_ended_while_a_result_is_saved(scene, vendor, start, until, tmp_path, how):  # 38
    """No half file has the final name; the next process goes on where it stopped, and buys nothing."""
    folder = tmp_path / "results"
    async with scene.client() as kie:
        await kie.generate(MODEL, INPUTS)
    vendor.faults.add("file-slow=20000*1")
    process = start("save", folder=str(folder))
    await until(lambda: [path for path in folder.glob(".kie-*.part") if path.stat().st_size > 1000])
    kill(process, how)
    assert not [path for path in folder.iterdir() if not path.name.startswith(".")]

    async with scene.client() as kie:
        assert await kie.save_all(folder) == {}
        (entry,) = await kie.jobs("succeeded")

    (saved,) = folder.iterdir()
    assert entry.saved[0].path == saved
    assert saved.read_bytes() == whole_picture()
    assert [request.headers.get("range", "")[:6] for request in vendor.requests if "/files/" in request.target] == [
        "",
        "bytes=",
    ]
    assert vendor.posts == 1


def whole_picture():
    return files("kie_sandbox").joinpath("media", "picture.png").read_bytes()


@pytest.mark.parametrize("kept", [False, True], ids=["waiting", "kept"])
async def test_a_cancelled_caller_does_not_cut_off_a_create(scene, vendor, until, kept):  # 39
    """It gets its answer, the task is written down, and then the caller is cancelled."""
    vendor.faults.add("create-delay=0.2")
    async with scene.client() as kie:
        job = kie.job(MODEL, INPUTS)
        if kept:
            await kie.enqueue(job)
        buying = asyncio.create_task(kie.advance(job.id) if kept else kie.submit(job))
        await until(lambda: vendor.creates)
        buying.cancel()

        with pytest.raises(asyncio.CancelledError) as caught:
            await buying
        entry = await kie.entry(job.id)
        assert (entry.state, entry.task_id, entry.reserved) == ("running", vendor.creates[0].task_id, PRICE)
        assert entry.handle() in caught.value.__notes__[0]
    assert vendor.posts == 1


# --- no room, no lock --------------------------------------------------------------------


@pytest.fixture
def small_disk(scene, tmp_path):
    """A disk of two megabytes under the ledger; ``fill()`` leaves no room on it, ``empty()`` undoes that."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")

    class Disk:
        ledger = place / "ledger.sqlite"

        def fill(self):
            with contextlib.suppress(OSError), (place / "rest").open("wb", buffering=0) as rest:
                while rest.write(b"x" * 512):
                    pass

        def empty(self):
            (place / "rest").unlink()

    yield Disk()
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_full_disk_before_the_intent_stops_the_create(scene, vendor, small_disk):  # 40
    """Nothing is sent; with room again it goes on."""
    async with scene.client(ledger=str(small_disk.ledger)) as kie:
        job = await kie.enqueue(MODEL, INPUTS)
        small_disk.fill()
        with pytest.raises(LedgerError, match="make room on the disk"):
            await kie.advance(job.id)
        with pytest.raises(LedgerError, match="make room on the disk"):
            await kie.submit(MODEL, {"prompt": "a dog"})
        assert vendor.posts == 0
        small_disk.empty()

        await kie.drive()

        assert len(await kie.jobs("succeeded")) == 1
    assert vendor.purchases() == {"a cat": 1}


async def test_a_disk_that_is_full_when_the_answer_comes_costs_no_task_id(scene, vendor, small_disk):  # 40
    """Space was kept for that beside the ledger."""
    vendor.before_answer = small_disk.fill
    async with scene.client(ledger=str(small_disk.ledger)) as kie:
        task = await kie.submit(MODEL, INPUTS, wait_timeout=0)

        assert await scene.standing(kie, task.job.id) == ("running", PRICE)
        assert (await kie.entry(task.job.id)).task_id == vendor.creates[0].task_id
    assert not small_disk.ledger.with_name("ledger.sqlite.ballast").exists()


async def test_where_even_the_kept_space_is_gone_the_task_id_is_spilt(scene, vendor, clock, small_disk, caplog):  # 40
    """Beside the ledger; the next process that finds room reads it, and a later one clears it away."""

    def fill_all():
        small_disk.ledger.with_name("ledger.sqlite.ballast").unlink()
        small_disk.fill()

    vendor.before_answer = fill_all
    async with scene.client(ledger=str(small_disk.ledger)) as kie:
        task = await kie.submit(MODEL, INPUTS, wait_timeout=0)
        assert task.id == vendor.creates[0].task_id
        assert (await kie.entry(task.job.id)).state == "submitting"
    assert "it stands in the spill file" in caplog.text
    small_disk.empty()

    async with scene.client(ledger=str(small_disk.ledger)) as kie:
        entry = await kie.entry(task.job.id)
        assert (entry.state, entry.task_id, entry.reserved) == ("running", task.id, PRICE)
    await clock.sleep(61)
    async with scene.client(ledger=str(small_disk.ledger)) as kie:
        assert sum(await scene.booked(kie)) == PRICE
    assert vendor.posts == 1
    assert not list(small_disk.ledger.parent.glob("*.spill-*"))


@pytest.fixture
def impatient(monkeypatch):
    """Transactions wait a moment for others, instead of half a minute."""
    monkeypatch.setattr("kie_core._ledger.sqlite.BUSY_SECONDS", 0.1)


@pytest.mark.usefixtures("impatient")
async def test_a_ledger_that_is_locked_before_the_intent_stops_the_create(scene, vendor, hold_ledger):  # 41
    """Nothing is sent; later it is."""
    async with scene.client() as kie:
        job = await kie.enqueue(MODEL, INPUTS)
        hold_ledger()
        with pytest.raises(LedgerError) as caught:
            await kie.submit(MODEL, INPUTS)
        with pytest.raises(LedgerError):
            await kie.advance(job.id)
        assert (caught.value.kind, vendor.posts) == ("busy", 0)
        hold_ledger.release()

        await kie.drive()

        assert len(await kie.jobs("succeeded")) == 1


@pytest.mark.usefixtures("impatient")
async def test_a_ledger_that_is_locked_when_the_result_comes_names_the_task(scene, hold_ledger, tmp_path):  # 41
    """The error does not read as if nothing had been bought; later the result is there."""
    async with scene.client() as kie:
        task = await kie.submit(MODEL, INPUTS)
        hold_ledger()
        for read in (task.wait, task.status, task.record, functools.partial(task.save, tmp_path)):
            with pytest.raises(LedgerError, match="the task goes on at Kie and is paid") as caught:
                await read()
            assert caught.value.handle == task.handle
        hold_ledger.release()

        assert (await task.wait()).urls


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("closed", [False, True], ids=["same client", "next client"])
async def test_a_ledger_that_is_locked_when_the_answer_comes_costs_no_task_id(
    scene, vendor, hold_ledger, caplog, closed
):  # 41
    """It is spilt, and written as soon as the lock is gone: by this client, or the next."""
    vendor.before_answer = hold_ledger
    async with scene.client() as kie:
        task = await kie.submit(MODEL, INPUTS, wait_timeout=0)
        assert "it stands in the spill file" in caplog.text
        assert scene.ledger.with_name("ledger.sqlite.ballast").exists()  # no use against a lock
        if not closed:
            vendor.before_answer = hold_ledger.release()
            await kie.recover(wait_timeout=0)
            assert (await kie.entry(task.job.id)).task_id == task.id
    if closed:
        vendor.before_answer = hold_ledger.release()

    async with scene.client() as kie:
        assert (await kie.entry(task.job.id)).task_id == task.id == vendor.creates[0].task_id
        assert sum(await scene.booked(kie)) > 0
        await kie.drive()
        assert len(await kie.jobs("succeeded")) == 1
    assert vendor.posts == 1


@pytest.mark.usefixtures("impatient")
async def test_a_ledger_that_is_locked_when_no_answer_comes_forgets_no_create(scene, vendor, clock, hold_ledger):  # 41
    """What could not be written down as unknown becomes unknown when its client is seen to be gone."""
    vendor.faults.add("create-reset*1")
    vendor.before_answer = hold_ledger
    async with scene.client() as kie:
        job_id, error = await scene.attempt(kie, kept=False)
        assert job_id in str(error)
    vendor.before_answer = hold_ledger.release()
    await clock.sleep(61)

    async with scene.client() as kie:
        await scene.stays_unknown(kie, job_id)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux")  # noqa: PTH112
async def test_a_server_that_ends_our_connections_costs_no_task_id(scene, vendor, postgres, postgres_place):  # 41
    """As a restart of Postgres does, while the answer is on its way."""
    asyncpg = pytest.importorskip("asyncpg")
    port = int(postgres.rpartition(":")[2].partition("/")[0])

    async def end_connections():
        connection = await asyncpg.connect(postgres)
        ours = "SELECT pid FROM pg_stat_activity WHERE client_port = ANY($1) AND pid <> pg_backend_pid()"
        text = f"SELECT pg_terminate_backend(pid) FROM ({ours}) AS ours"
        ended = await connection.fetch(text, our_ports(port))
        await connection.close()
        assert ended

    async with scene.client(ledger=postgres_place) as kie:
        vendor.before_answer = in_another_thread(end_connections)
        task = await kie.submit(MODEL, INPUTS, wait_timeout=0)
        vendor.before_answer = None

        assert await scene.standing(kie, task.job.id) == ("running", PRICE)
        assert await scene.booked(kie) == (PRICE, 0)
    assert vendor.posts == 1


def in_another_thread(work):
    def wait():
        with ThreadPoolExecutor(1) as thread:
            thread.submit(lambda: asyncio.run(work())).result()

    return wait


def our_ports(port):
    """The local ports of this process's connections to *port*."""
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(number))) as one:
            if one.family == socket.AF_INET and one.getpeername()[1] == port:
                found.append(one.getsockname()[1])
    return found


# --- many ---------------------------------------------------------------------------------


async def test_the_same_program_twice_buys_once(scene, vendor, start, clock, until):  # 42
    """Each line of its list has its key: the second run finds all of them done."""
    clock.let_run()
    quick, prompts = {"creates_per_10_seconds": 100_000}, [f"cat {number}" for number in range(4)]
    for _ in range(2):
        process = start("drive", quick, prompts=prompts)
        await until(lambda ended=process.poll: ended() is not None)
        assert process.returncode == 0

    assert await states(scene) == ["succeeded"] * 4
    assert vendor.purchases() == dict.fromkeys(prompts, 1)
    assert vendor.posts == 4


async def test_two_clients_at_once_buy_each_job_once(scene, vendor):  # 42
    """Whichever is quicker sends it; with one key there is one job."""
    async with scene.client() as one, scene.client() as other:
        jobs = [await kie.enqueue(MODEL, INPUTS, job_key=key) for key in ("a", "b") for kie in (one, other)]
        for job in jobs:
            await asyncio.gather(*(kie.advance(job.id) for kie in (one, other, one)))
        direct = await asyncio.gather(*(kie.submit(MODEL, INPUTS, job_key="c") for kie in (one, other)))

        assert len({job.id for job in jobs}) == 2
        assert len({task.id for task in direct}) == 1
    assert vendor.posts == len(vendor.creates) == 3


async def test_a_key_belongs_to_one_request(scene, vendor):  # 43
    """Another request under it is refused before anything is sent."""
    async with scene.client() as kie:
        first = await kie.submit(MODEL, INPUTS, job_key="order 7")
        for buy in (kie.submit, kie.enqueue):
            with pytest.raises(JobKeyTaken, match=first.job.id):
                await buy(MODEL, {"prompt": "a dog"}, job_key="order 7")
        again = await kie.submit(MODEL, INPUTS, job_key="order 7")

        assert (again.id, len(await kie.jobs())) == (first.id, 1)
    assert vendor.posts == 1


async def test_a_process_that_slept_while_its_create_was_answered(scene, vendor, clock, start, until):  # 44
    """Its job is unknown to the others, and never sent again; woken up, it brings the task."""
    clock.let_run()
    vendor.faults.add("create-delay=0.3")
    process = start("submit", prompt="a cat")
    await until(lambda: vendor.creates)
    process.send_signal(signal.SIGSTOP)
    await clock.sleep(120)
    async with scene.client() as kie:
        job_id = await only_job(kie)
        await scene.stays_unknown(kie, job_id)

        process.send_signal(signal.SIGCONT)

        await until(lambda: process.poll() is not None)
        assert process.returncode == 0
        entry = await kie.entry(job_id)
        assert (entry.state, entry.task_id) == ("running", vendor.creates[0].task_id)
        assert await scene.booked(kie) == (PRICE, 0)
    assert vendor.posts == 1


# --- clocks and limits --------------------------------------------------------------------


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_a_clock_that_is_set_changes_no_pace(scene, vendor, clock, jump):  # 45
    """By an hour, while a list is bought: no burst, no standstill, and each line once."""
    async with scene.client() as kie:
        jobs = [(await kie.enqueue(MODEL, {"prompt": f"cat {number}"})).id for number in range(30)]
        started = clock.now()
        for number, job_id in enumerate(jobs):
            if number == 12:
                clock.shift = jump
            while (await kie.entry(job_id)).state in ("queued", "leased"):
                step = await kie.advance(job_id)
                await clock.sleep(step.wait if step.entry.state == "queued" else 0)
        assert clock.now() - started < 40
    assert set(vendor.purchases().values()) == {1}
    assert len(vendor.creates) == vendor.posts == 30
    assert vendor.busiest_window(10) <= 20


@pytest.mark.parametrize("jump", [3600, -3600])
async def test_a_clock_that_is_set_ends_no_wait(scene, vendor, clock, jump):  # 45
    """Waits go by a clock that nobody sets: the time-out comes after its time, neither before nor much later."""
    vendor.faults.add("query-unfinished")
    async with scene.client() as kie:
        task = await kie.submit("veo3_fast", INPUTS)
        started = clock.now()
        clock.shift_at(started + 50, jump)
        with pytest.raises(WaitTimeout):
            await task.wait(100)

        assert 100 <= clock.now() - started < 101
        assert (await kie.entry(task.job.id)).state == "running"


@pytest.mark.parametrize("fault", ["create-code=429*1", "connection-close*1", "create-code=455*1"])
async def test_a_clock_that_is_set_back_lets_no_job_wait_for_an_hour(scene, vendor, clock, fault):  # 45
    """What was to wait for seconds or minutes, waits for no more than that."""
    async with scene.client() as kie:
        vendor.faults.add(fault)
        job = await kie.enqueue(MODEL, INPUTS)
        await kie.advance(job.id)
        started, clock.shift = clock.now(), -3600

        await kie.drive(job.id, wait_timeout=1200)

        assert (await kie.entry(job.id)).state in ("running", "succeeded", "unknown")
        assert clock.now() - started < 1000


async def test_a_clock_that_is_set_back_lets_no_unsent_job_wait_for_an_hour(scene, vendor, clock):  # 45
    """What could not leave this machine is tried again as if nobody had touched the clock."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        async with scene.client(base_url=f"http://127.0.0.1:{taken.getsockname()[1]}") as kie:
            job = await kie.enqueue(MODEL, INPUTS)
            assert (await kie.advance(job.id)).wait < 60
            clock.shift = -3600

            step = await kie.advance(job.id)

    assert step.wait < 60
    assert step.entry.attempts == 2


async def test_a_limit_that_is_met_exactly_is_never_exceeded(scene, vendor):  # 46
    """By eight clients at once; what is left waits with the reason, and is told to a waiting caller."""
    limit = Budget(max_total_rub="196.65", scope="batch:one")  # five pictures
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(scene.client(budget=limit, creates_per_10_seconds=100_000))
            for _ in range(8)
        ]
        jobs = [(await clients[0].enqueue(MODEL, {"prompt": f"cat {number}"})).id for number in range(12)]

        steps = (kie.advance(job_id) for job_id in jobs for kie in clients)
        faults = [step for step in await asyncio.gather(*steps, return_exceptions=True) if isinstance(step, Exception)]
        for job_id in jobs:  # those that were busy meanwhile have their turn
            with contextlib.suppress(OverBudget):
                await clients[0].advance(job_id)

        assert {type(fault) for fault in faults} <= {OverBudget}

        kie = clients[0]
        (balance,) = [one for one in await kie.balances() if one.scope == "batch:one"]
        waiting = await kie.jobs("queued")
        assert (balance.reserved + balance.spent, balance.left) == (5 * PRICE, 0)
        assert len(waiting) == 7
        assert all("batch:one" in entry.reason and not entry.reserved for entry in waiting)
        with pytest.raises(OverBudget):
            await kie.submit(MODEL, INPUTS)
    assert vendor.posts == len(vendor.creates) == 5
