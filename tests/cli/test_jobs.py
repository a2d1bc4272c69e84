"""The commands about bought jobs, each run on one ledger file and against a real loopback server: lists, figures, decisions, gates."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from kie_core import KieBlocking
from kie_core._cli.jobs import STATES
from kie_core._ledger.entry import STATES as LEDGER_STATES

from .commands import DONE, FAILED, KEY, MODEL, PNG, bought, listed, queued_job, run, unknown_job

# --- kie jobs ------------------------------------------------------------------------------


def test_an_empty_ledger_is_no_fault(monkeypatch):
    """A line that helps, on stderr; an empty array for programs; no key needed."""
    assert (run("jobs").stdout, run("jobs", "--json").stdout) == ("", "[]\n")
    assert "holds no job yet" in run("jobs").stderr
    assert run("status").exit_code == 0
    assert "holds no job yet" in run("status").stderr


def test_jobs_lists_the_newest_first(fake):
    """Id, state, model, money, age and task, tab-separated for programs."""
    first, second = bought(), bought("dog")

    lines = [line.split("\t") for line in run("jobs").stdout.splitlines()]

    assert [line[0] for line in lines] == [second, first]
    assert lines[0][1:4] == ["running", MODEL, "1.50 reserved"]
    assert lines[0][5] == "t2"


def test_jobs_needs_no_key_and_asks_nobody(fake, monkeypatch):
    """The ledger alone answers."""
    job = bought()
    monkeypatch.delenv("KIE_API_KEY")

    assert [row["job"] for row in listed()] == [job]
    assert run("jobs", "show", job).exit_code == 0
    assert fake.asked == []


def test_jobs_can_be_chosen_by_state(fake):
    """Each flag by itself; together they widen; --state takes the ledger's own words."""
    running, unknown, queued = bought(), unknown_job(fake), queued_job(fake)
    fake.records["t1"] = FAILED

    assert [row["job"] for row in listed("--running")] == [running]
    assert [row["job"] for row in listed("--unknown")] == [unknown]
    assert [row["job"] for row in listed("--queued")] == [queued]
    assert {row["job"] for row in listed("--queued", "--state", "unknown")} == {queued, unknown}
    assert run("status", running).exit_code == 1
    assert [row["job"] for row in listed("--failed")] == [running]
    assert run("jobs", "--state", "runing").exit_code == 2


def test_every_state_of_the_ledger_can_be_asked_for():
    """The help page does not load the ledger, so the words stand twice."""
    assert STATES == LEDGER_STATES


def test_jobs_are_limited_and_say_so(fake):
    """--limit 0 lists all."""
    bought(), bought("dog")

    limited = run("jobs", "--limit", "1")

    assert len(limited.stdout.splitlines()) == 1
    assert "--limit 0 lists all" in limited.stderr
    assert len(run("jobs", "--limit", "0").stdout.splitlines()) == 2
    assert "--limit" not in run("jobs", "--limit", "2").stderr


def test_jobs_as_json_hold_money_as_numbers_and_times_in_utc(fake):
    """Roubles, and ISO 8601."""
    job = bought("cat", "--job-key", "order-7")

    row = listed()[0]

    assert (row["job"], row["task_id"], row["job_key"]) == (job, "t1", "order-7")
    assert (row["price_rub"], row["reserved_rub"], row["spent_rub"]) == (1.5, 1.5, 0)
    created = datetime.fromisoformat(row["created_at"])
    assert created.utcoffset() == timedelta(0)
    assert abs((datetime.now(UTC) - created).total_seconds()) < 60


def test_unsaved_results_are_listed_until_they_are_saved(fake, tmp_path):
    """With the time at which they may be gone."""
    job = bought()
    fake.record = DONE
    run("status", job)

    assert [(row["job"], row["unsaved"]) for row in listed("--unsaved")] == [(job, True)]
    assert datetime.fromisoformat(listed()[0]["expires_at"]) > datetime.now(UTC)
    assert "(not saved)" in run("jobs").stdout
    assert run("save", job, "--out", str(tmp_path)).exit_code == 0
    assert listed("--unsaved") == []


def test_show_tells_everything(fake, tmp_path):
    """Money, task, inputs, results, files with their hash, and the history."""
    job = bought()
    fake.record = DONE
    path = run("save", job, "--out", str(tmp_path)).stdout.strip()

    shown = run("jobs", "show", job)
    known = json.loads(run("jobs", "show", job, "--json").stdout)

    assert f"file 1: {path} (58 bytes, sha256 {hashlib.sha256(PNG).hexdigest()})" in shown.stdout
    for text in (
        "state: succeeded",
        "task: t1",
        "input prompt: cat",
        f"{fake.url}/files/t1.png",
        "submitting -> running",
    ):
        assert text in shown.stdout
    assert known["inputs"] == {"prompt": "cat"}
    assert known["files"][0]["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert known["artifacts"][0]["expires_at"] is not None
    assert [event["to"] for event in known["history"]][:4] == ["queued", "leased", "submitting", "running"]
    assert (known["spent_rub"], known["reserved_rub"]) == (1.5, 0)


def test_show_takes_a_handle_too(fake):
    """Whatever the last command printed."""
    job = bought()
    handle = listed()[0]["handle"]

    assert json.loads(run("jobs", "show", handle, "--json").stdout)["job"] == job


@pytest.mark.parametrize(
    "words",
    [("jobs", "show"), ("jobs", "forget"), ("cancel",), ("status",), ("save",), ("jobs", "resolve", "--abandon")],
)
def test_a_job_that_nobody_knows_is_usage(fake, words):
    """Exit code 2, an object with --json, and no traceback."""
    result = run(*words, "0123456789abcdef", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"] == "UnknownJob"


def test_no_command_shows_the_key(fake, tmp_path):
    """Neither in words nor as JSON."""
    job = bought()
    fake.record = DONE
    runs = [
        run(*words, *more)
        for words in (
            ["jobs"],
            ["jobs", "show", job],
            ["status"],
            ["status", job],
            ["resume", "--out", str(tmp_path)],
            ["gate", "list"],
        )
        for more in ([], ["--json"])
    ]

    assert all(KEY not in one.stdout + one.stderr for one in runs)


def test_forget_removes_inputs_and_keeps_the_rest(fake):
    """Several at once; a slip removes nothing."""
    first, second = bought("secret-one"), bought("secret-two")

    slip = run("jobs", "forget", first, "no-such-job")
    assert slip.exit_code == 2
    assert "secret-one" in run("jobs", "show", first).stdout

    assert run("jobs", "forget", first, second).exit_code == 0
    shown = run("jobs", "show", first).stdout + run("jobs", "show", second).stdout
    assert "secret" not in shown
    assert "inputs: not kept" in shown
    assert [row["reserved_rub"] for row in listed()] == [1.5, 1.5]


# --- kie stats -----------------------------------------------------------------------------


def test_stats_say_what_each_model_came_to(fake, monkeypatch):
    """Counts, rate, durations and roubles; no key is needed, nobody is asked."""
    done, failed = bought(), bought("dog")
    fake.records = {"t1": DONE, "t2": FAILED}
    run("status", done), run("status", failed)
    bought("bird"), unknown_job(fake), queued_job(fake)
    monkeypatch.delenv("KIE_API_KEY")
    asked = len(fake.asked)

    (row,) = json.loads(run("stats", "--json").stdout)
    shown = run("stats")

    seconds = row.pop("median_seconds")
    assert row.pop("p95_seconds") == seconds
    assert 0 <= seconds < 60
    assert row == {
        "model": MODEL, "bought": 4, "succeeded": 1, "failed": 1, "running": 1, "unknown": 1, "success_rate": 0.5,
        "spent_rub": 3.0, "reserved_rub": 3.0,
    }  # fmt: skip
    assert shown.stdout.rstrip("\n").split("\t") == [
        MODEL, "4", "1", "1", "1", "1", "50%", f"{seconds:.1f} s", f"{seconds:.1f} s", "3.00", "3.00",
    ]  # fmt: skip
    assert "jobs bought: 4; 3.00 RUB spent, 3.00 RUB reserved" in shown.stderr
    assert (len(fake.asked), fake.creates) == (asked, 4)


def test_stats_of_an_empty_ledger_are_no_fault(fake):
    """A line that helps; an empty array for programs; a job that only waits was not bought."""
    queued_job(fake)

    assert (run("stats").stdout, run("stats", "--json").stdout) == ("", "[]\n")
    assert "no job that was bought" in run("stats").stderr
    assert "in the last 3 days" in run("stats", "--days", "3").stderr


def test_stats_can_be_of_the_last_days(fake):
    """Whole days on the command line; in Python any number above 0."""
    bought()

    assert len(run("stats", "--days", "1").stdout.splitlines()) == 1
    assert run("stats", "--days", "0").exit_code == 2
    with KieBlocking() as client:
        assert [one.bought for one in client.stats(0.5)] == [1]
        account = client.jobs()[0].account
        assert (len(client.stats(account=account)), client.stats(account="other")) == (1, ())
        for days in (0, -1, float("nan")):
            with pytest.raises(ValueError, match="expected a number above 0"):
                client.stats(days)


# --- deciding ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "state", "money"),
    [
        (["--not-submitted"], "not_submitted", (0, 0)),
        (["--abandon"], "abandoned", (0, 1.5)),
        (["--adopt", "t-from-the-logs"], "running", (1.5, 0)),
    ],
)
def test_resolve_decides_what_an_unknown_job_cost(fake, words, state, money):
    """Released, written off, or going on as the task that was found."""
    job = unknown_job(fake)

    result = run("jobs", "resolve", job, *words, "--json")

    row = json.loads(result.stdout)
    assert (result.exit_code, row["state"], (row["reserved_rub"], row["spent_rub"])) == (0, state, money)


@pytest.mark.parametrize(
    "words", [[], ["--abandon", "--not-submitted"], ["--adopt", "t9", "--abandon"], ["--adopt", ""]]
)
def test_resolve_wants_exactly_one_decision(fake, words):
    """Usage; nothing changes."""
    job = unknown_job(fake)

    assert run("jobs", "resolve", job, *words).exit_code == 2
    assert [row["job"] for row in listed("--unknown")] == [job]


@pytest.mark.parametrize(("answer", "state"), [("n\n", "unknown"), ("y\n", "not_submitted")])
def test_resolve_asks_on_a_terminal_before_it_releases_money(fake, monkeypatch, answer, state):
    """What the answer means stands in the question; --yes asks nothing."""
    job = unknown_job(fake)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)

    result = run("jobs", "resolve", job, "--not-submitted", input=answer)

    assert "1.50 RUB are released" in result.stderr
    assert json.loads(run("jobs", "show", job, "--json").stdout)["state"] == state


def test_yes_asks_nothing(fake, monkeypatch):
    """For scripts with a terminal."""
    job = unknown_job(fake)
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True, raising=False)

    result = run("jobs", "resolve", job, "--abandon", "--yes", "--json")

    assert json.loads(result.stdout)["state"] == "abandoned"
    assert "?" not in result.stderr


def test_only_an_unknown_job_can_be_resolved(fake):
    """A running one is known."""
    job = bought()

    result = run("jobs", "resolve", job, "--abandon")

    assert result.exit_code == 1
    assert "running" in result.stderr


def test_an_adopted_task_is_saved_as_any_other(fake, tmp_path):
    """Its result lies on disk, and one create was sent."""
    job = unknown_job(fake)
    fake.record = DONE
    run("jobs", "resolve", job, "--adopt", "t-found")

    saved = run("save", job, "--out", str(tmp_path))

    assert saved.exit_code == 0, saved.stderr
    assert fake.asked[-1] == "t-found"
    assert fake.creates == 1


def test_cancel_calls_off_what_was_not_sent(fake):
    """Nothing was bought."""
    job = queued_job(fake)

    result = run("cancel", job)

    assert result.exit_code == 0
    assert "nothing was bought" in result.stderr
    assert [row["state"] for row in listed()] == ["cancelled"]
    assert fake.creates == 0


def test_what_kie_took_cannot_be_cancelled(fake):
    """It goes on and is paid: the message names the way to its result."""
    job = bought()

    result = run("cancel", job, "--json")

    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "WrongState"
    assert "goes on and is paid; take its result: kie save kie1:" in result.stderr


@pytest.mark.parametrize("command", ["status", "save"])
def test_a_job_that_was_called_off_has_nothing_to_ask_about(fake, command):
    """A failure in words; Kie is not asked."""
    job = queued_job(fake)
    run("cancel", job)

    result = run(command, job)

    assert result.exit_code == 1
    assert "called off by hand" in result.stderr
    assert fake.asked == []


# --- gates ---------------------------------------------------------------------------------


def test_a_gate_is_listed_and_opened(fake):
    """This account's without a name."""
    fake.refusal = {"code": 401, "msg": "no such key"}
    assert run("generate", MODEL, "prompt=cat").exit_code == 3

    listing = run("gate", "list")
    opened = json.loads(run("gate", "open", "--json").stdout)

    assert "no such key" in listing.stdout
    assert (opened["opened"], opened["closed"]) == (True, [])
    assert json.loads(run("gate", "list", "--json").stdout) == []
    assert "was not closed" in run("gate", "open").stderr


def test_a_gate_opens_without_a_key_by_its_name(fake, monkeypatch):
    """Or without one, if it is the only one that is closed."""
    fake.refusal = {"code": 401, "msg": "no such key"}
    for key in ("a" * 32, "b" * 32, "c" * 32):
        monkeypatch.setenv("KIE_API_KEY", key)
        run("generate", MODEL, "prompt=cat")
    monkeypatch.delenv("KIE_API_KEY")
    names = [row["gate"] for row in json.loads(run("gate", "list", "--json").stdout)]

    assert run("gate", "open").exit_code == 2
    assert run("gate", "open", names[0]).exit_code == 0
    assert run("gate", "open", names[1]).exit_code == 0
    assert json.loads(run("gate", "open", "--json").stdout) == {"gate": names[2], "opened": True, "closed": []}
    assert "no gate is closed" in run("gate", "open").stderr
