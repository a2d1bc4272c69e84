"""The commands about bought jobs, each run on one ledger file and against a real loopback server."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import PIPE

import pytest
from click.testing import CliRunner

from kie_core import KieBlocking
from kie_core._cli.entries import age
from kie_core._cli.jobs import STATES
from kie_core._cli.main import kie
from kie_core._cli.output import exit_code, print_json, print_table
from kie_core._entry import STATES as LEDGER_STATES
from kie_core._errors import JobKeyTaken, LedgerError, OverBudget, UnknownJob, WrongState

KEY = "0123456789abcdef0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
RUNNING, DONE, FAILED = {"state": "running"}, {"state": "succeeded"}, {"state": "failed"}
MODEL = "acme-sketch"


class FakeKie:
    """Answers creates, questions and downloads; counts creates, which is what costs money."""

    def __init__(self):
        self.creates = 0
        self.asked = []
        self.refusal = None
        self.record = RUNNING
        self.records = {}
        self.file = PNG
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                server.creates += 1
                number = server.creates
                server.arrived.set()
                server.go_on.wait(20)
                self.say(server.refusal or {"code": 200, "msg": "success", "data": {"taskId": f"t{number}"}})

            def do_GET(self):
                if self.path.startswith("/files/"):
                    self.say(server.file, 200 if server.file else 404)
                    return
                task = self.path.rpartition("taskId=")[2]
                server.asked.append(task)
                record = server.records.get(task, server.record)
                if record.get("state") == "succeeded":
                    record = {**record, "urls": [f"{server.url}/files/{task}.png"]}
                self.say(record if "code" in record else {"code": 200, "msg": "success", "data": record})

            def say(self, body, status=200):
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake(acme, monkeypatch):
    made = FakeKie()
    thread = threading.Thread(target=lambda: made.server.serve_forever(poll_interval=0.02))
    thread.start()
    monkeypatch.setenv("KIE_BASE_URL", made.url)
    monkeypatch.setenv("KIE_API_KEY", KEY)
    monkeypatch.setenv("KIE_CREATES_PER_10_SECONDS", "10000")
    yield made
    made.go_on.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()


def run(*words, **arguments):
    return CliRunner().invoke(kie, list(words), **arguments)


def told(result):
    return " ".join(result.stderr.replace("│", " ").split())


def bought(prompt="cat", *words):
    """Buy a job without waiting and return its id."""
    return json.loads(run("generate", MODEL, f"prompt={prompt}", "--no-wait", "--json", *words).stdout)["job"]


def unknown_job(fake):
    """Buy a job whose create gets an answer that says nothing."""
    fake.refusal = {"code": 777, "msg": "odd"}
    result = run("generate", MODEL, "prompt=cat", "--no-wait", "--json")
    assert result.exit_code == 6
    fake.refusal = None
    return json.loads(result.stdout)["handle"].split(":")[1]


def queued_job(fake):
    with KieBlocking() as client:
        return client.enqueue(MODEL, {"prompt": "cat"}).id


def listed(*words):
    return json.loads(run("jobs", *words, "--json").stdout)


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


# --- kie status ----------------------------------------------------------------------------


def test_status_of_a_job_asks_once(fake):
    """By its id or its handle, in words or as one object."""
    job = bought()

    assert run("status", job).stdout == "running\n"
    assert json.loads(run("status", listed()[0]["handle"], "--json").stdout)["job"] == job
    assert fake.asked == ["t1", "t1"]


@pytest.mark.parametrize("record", [FAILED, {"state": "expired"}])
def test_status_of_a_failed_task_is_a_failure(fake, record):
    """Exit code 1, with --json too."""
    job = bought()
    fake.record = record

    assert run("status", job).exit_code == 1
    assert run("status", job, "--json").exit_code == 1


def test_status_of_an_unknown_job_is_unknown(fake):
    """Exit code 6."""
    assert run("status", unknown_job(fake)).exit_code == 6


def test_status_without_a_job_shows_what_needs_a_person(fake, monkeypatch):
    """Counts, unknown jobs, closed gates; without a key, and without asking."""
    bought(), bought("dog")
    unknown = unknown_job(fake)
    fake.refusal = {"code": 402, "msg": "no credits"}
    run("generate", MODEL, "prompt=cat")
    monkeypatch.delenv("KIE_API_KEY")

    shown = run("status")
    known = json.loads(run("status", "--json").stdout)

    assert shown.exit_code == 0
    assert "running: 2\n" in shown.stdout
    assert "no credits" in shown.stdout
    assert f"kie gate open {known['gates'][0]['gate']}" in shown.stdout
    assert f"kie jobs resolve {unknown}" in shown.stderr
    assert known["jobs"] == {"failed": 1, "running": 2, "unknown": 1}
    assert [row["job"] for row in known["unknown"]] == [unknown]
    assert (known["gates"][0]["kind"], known["gates"][0]["opens_at"]) == ("credits", None)
    assert fake.asked == []


@pytest.mark.parametrize(("hours", "alarm"), [(10, False), (13, True), (30, True)])
def test_results_that_are_about_to_expire_are_an_alarm(fake, monkeypatch, hours, alarm):
    """Addresses are good for a day; the alarm comes twelve hours before."""
    job = bought()
    fake.record = DONE
    run("status", job)
    now = time.time()
    monkeypatch.setattr("kie_core._cli.tasks.time.time", lambda: now + hours * 3600)

    shown, known = run("status").stdout, json.loads(run("status", "--json").stdout)

    assert (f"alarm: the result of job {job}" in shown) is alarm
    assert [row["job"] for row in known["expiring"]] == ([job] if alarm else [])
    assert known["unsaved"] == 1


# --- kie resume, kie save ------------------------------------------------------------------


def test_resume_saves_what_is_there_and_buys_nothing(fake, tmp_path):
    """Paths on stdout; exit code 0."""
    bought(), bought("dog")
    fake.record = DONE

    result = run("resume", "--out", str(tmp_path))

    assert result.exit_code == 0, result.stderr
    assert sorted(result.stdout.splitlines()) == sorted(str(path) for path in tmp_path.glob("*.png"))
    assert len(result.stdout.splitlines()) == 2
    assert fake.creates == 2


def test_resume_says_when_nothing_is_left(fake):
    """Exit code 0, and once only: what was saved is not saved again."""
    bought()
    fake.record = DONE
    run("resume")

    again = run("resume")

    assert (again.exit_code, again.stdout) == (0, "")
    assert "nothing to take up" in again.stderr


def test_resume_waits_for_what_runs(fake, tmp_path):
    """And saves it then."""
    bought()
    fake.asked = Asked(fake, after=1)

    result = run("resume", "--out", str(tmp_path), "--wait", "15")

    assert result.exit_code == 0, result.stderr
    assert "waiting for 1 tasks" in result.stderr
    assert len(result.stdout.splitlines()) == 1


class Asked(list):
    """After so many questions the task is done."""

    def __init__(self, fake, after):
        super().__init__()
        self.fake, self.after = fake, after

    def append(self, task):
        super().append(task)
        if len(self) > self.after:
            self.fake.record = DONE


def test_resume_leaves_what_still_runs(fake, tmp_path):
    """Exit code 5; the rest is saved, and stderr says what comes next."""
    bought()
    slow = bought("dog")
    fake.records["t1"] = DONE

    result = run("resume", "--wait", "0", "--out", str(tmp_path))

    assert result.exit_code == 5
    assert len(result.stdout.splitlines()) == 1
    assert f"job {slow} ({MODEL}): runs at Kie as task t2" in result.stderr


def test_resume_with_unknown_jobs_is_not_done(fake):
    """Exit code 6: a person has to look."""
    job = unknown_job(fake)

    result = run("resume", "--json")

    assert result.exit_code == 6
    assert [row["job"] for row in json.loads(result.stdout)["unknown"]] == [job]
    assert f"kie jobs resolve {job}" in result.stderr
    assert fake.creates == 1


def test_resume_reports_what_cannot_be_saved(fake, tmp_path):
    """Exit code 1; as JSON with the reason."""
    job = bought()
    fake.record = DONE
    (tmp_path / "file").write_text("in the way")

    result = run("resume", "--out", str(tmp_path / "file" / "sub"), "--json")

    assert result.exit_code == 1
    failed = json.loads(result.stdout)["failed"]
    assert [(row["job"], row["error"]) for row in failed] == [(job, "SaveFailed")]


def test_resume_without_saving_only_asks(fake, tmp_path, monkeypatch):
    """The results are listed as unsaved afterwards."""
    job = bought()
    fake.record = DONE

    result = run("resume", "--no-save")

    assert (result.exit_code, result.stdout) == (0, "")
    assert [row["job"] for row in listed("--unsaved")] == [job]
    assert run("resume", "--no-save", "--out", str(tmp_path)).exit_code == 2


def test_resume_of_a_task_that_failed_is_done(fake):
    """Kie's end of it is an end; stderr says which."""
    job = bought()
    fake.record = FAILED

    result = run("resume")

    assert result.exit_code == 0
    assert f"job {job} ({MODEL}): failed" in result.stderr


def test_resume_leaves_jobs_of_other_keys_alone_and_says_so(fake, monkeypatch):
    """They are read with their own key."""
    bought()
    monkeypatch.setenv("KIE_API_KEY", "f" * 32)

    result = run("resume")

    assert result.exit_code == 0
    assert "1 jobs of other keys or base URLs were left alone" in result.stderr
    assert fake.asked == []


@pytest.mark.parametrize("words", [("resume",), ("save", "--all")])
def test_without_a_key_nothing_is_called_done(fake, monkeypatch, words):
    """Whose jobs it would be, nobody can say: exit code 3."""
    bought()
    monkeypatch.delenv("KIE_API_KEY")

    assert run(*words).exit_code == 3


def test_save_takes_a_job_id(fake, tmp_path):
    """And what is on disk already is named again without fetching it."""
    job = bought()
    fake.record = DONE

    first = run("save", job, "--out", str(tmp_path))
    fake.file = b""
    second = run("save", job, "--out", str(tmp_path))

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.stdout == second.stdout != ""


def test_save_all_saves_every_result_that_is_not_saved(fake, tmp_path):
    """It waits for nothing; --json gives one object."""
    bought(), bought("dog"), bought("cow")
    fake.records = {"t1": DONE, "t2": DONE}
    run("resume", "--no-save", "--wait", "0")

    known = json.loads(run("save", "--all", "--out", str(tmp_path), "--json").stdout)
    again = run("save", "--all", "--out", str(tmp_path))

    assert sorted(known["files"]) == sorted(str(path) for path in tmp_path.glob("*.png"))
    assert (len(known["files"]), known["failed"]) == (2, [])
    assert (again.exit_code, again.stdout) == (0, "")
    assert "saved already" in again.stderr


def test_save_all_says_what_could_not_be_saved(fake, tmp_path):
    """Exit code 1, the job and the reason."""
    job = bought()
    fake.record = DONE
    run("status", job)
    (tmp_path / "file").write_text("in the way")

    result = run("save", "--all", "--out", str(tmp_path / "file" / "sub"))

    assert result.exit_code == 1
    assert f"error: job {job}:" in result.stderr


def test_what_is_paid_is_saved_without_a_ledger_too(fake, tmp_path, monkeypatch):
    """The handle suffices."""
    bought()
    handle = listed()[0]["handle"]
    fake.record = DONE
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KIE_LEDGER", str(tmp_path / "file" / "ledger.sqlite"))

    saved = run("save", handle, "--out", str(tmp_path / "out"))

    assert saved.exit_code == 0, saved.stderr
    assert len(saved.stdout.splitlines()) == 1


@pytest.mark.parametrize("words", [(), ("some-job", "--all"), ("--all", "--wait", "5")])
def test_save_wants_one_job_or_all(fake, words):
    """Usage."""
    assert run("save", *words).exit_code == 2


def test_save_looks_once_more_for_what_seemed_gone(fake, tmp_path, monkeypatch):
    """A task that did not end in time may have ended since."""
    monkeypatch.setenv("KIE_JOB_DEADLINE", "1")
    job = bought()
    time.sleep(1.1)
    assert run("resume", "--wait", "0").exit_code == 0
    assert [row["state"] for row in listed()] == ["expired"]
    fake.record = DONE

    saved = run("save", job, "--out", str(tmp_path))

    assert saved.exit_code == 0, saved.stderr
    assert [row["state"] for row in listed()] == ["succeeded"]


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


# --- kie generate --------------------------------------------------------------------------


def test_a_job_key_buys_once(fake, tmp_path):
    """A finished job is printed and saved again; nothing is bought."""
    job = bought("cat", "--job-key", "order-7")
    fake.record = DONE
    run("save", job, "--out", str(tmp_path))

    again = run("generate", MODEL, "prompt=cat", "--job-key", "order-7", "--out", str(tmp_path))

    assert again.exit_code == 0, again.stderr
    assert again.stdout.splitlines() == [str(path) for path in tmp_path.glob("*.png")]
    assert "the job key names this job already" in again.stderr
    assert fake.creates == 1


def test_a_job_key_of_another_request_is_usage(fake):
    """Exit code 2, and nothing is sent."""
    bought("cat", "--job-key", "order-7")

    result = run("generate", MODEL, "prompt=dog", "--job-key", "order-7", "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"] == "JobKeyTaken"
    assert fake.creates == 1


@pytest.mark.parametrize("key", ["", "a\nb", "x" * 201])
def test_a_job_key_is_a_short_line(fake, key):
    """Usage, before anything is written."""
    assert run("generate", MODEL, "prompt=cat", "--job-key", key).exit_code == 2
    assert listed() == []


def test_an_unknown_purchase_says_how_to_resolve_it(fake):
    """The command that decides, beside the exit code that says not to retry."""
    fake.refusal = {"code": 777, "msg": "odd"}

    result = run("generate", MODEL, "prompt=cat")

    assert result.exit_code == 6
    assert f"kie jobs resolve {listed()[0]['job']} --adopt TASK" in result.stderr


def test_the_wait_counts_for_sending_too(fake):
    """Kie says "later" for longer than the caller waits: refused, not bought."""
    fake.refusal = {"code": 455, "msg": "closed for maintenance"}
    started = time.monotonic()

    result = run("generate", MODEL, "prompt=cat", "--wait", "0.5")

    assert result.exit_code == 1
    assert "closed for maintenance" in result.stderr
    assert time.monotonic() - started < 10


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OverBudget("m", "user:7", 100, 50), 7),
        (UnknownJob("j", "p"), 2),
        (JobKeyTaken("k", "j", "m"), 2),
        (WrongState("j", "running", "no"), 1),
        (LedgerError("p", "full", "make room"), 1),
    ],
)
def test_exit_codes_of_the_ledger(error, code):
    """As the help says."""
    assert exit_code(error) == code


def test_a_ledger_that_cannot_be_written_stops_a_purchase(fake, monkeypatch, tmp_path):
    """Exit code 1, before anything is sent; other commands give a message too."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KIE_LEDGER", str(tmp_path / "file" / "ledger.sqlite"))

    assert run("generate", MODEL, "prompt=cat").exit_code == 1
    assert run("jobs").exit_code == 1
    assert "cannot be used" in run("jobs").stderr
    assert fake.creates == 0


# --- signals -------------------------------------------------------------------------------


@pytest.fixture
def start():
    """Start a command as a process of its own; none outlives the test."""
    running = []

    def started(*words):
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "kie_core", *words]
        running.append(subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True, env=environ))
        return running[-1]

    yield started
    for process in running:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_during_a_create_waits_for_its_answer(fake, start, number, code):
    """The task is in the ledger before the process leaves."""
    fake.go_on.clear()
    process = start("generate", MODEL, "prompt=cat")
    assert fake.arrived.wait(20)

    process.send_signal(number)
    time.sleep(0.3)
    assert process.poll() is None
    fake.go_on.set()
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (code, "")
    assert "goes on at Kie and is paid: kie save kie1:" in err
    assert [(row["state"], row["task_id"]) for row in listed()] == [("running", "t1")]


def test_a_signal_between_two_attempts_buys_nothing_more(fake, start):
    """Kie said "later"; whoever is told to stop does not try again, and nothing is owed."""
    fake.refusal = {"code": 429, "msg": "slow down"}
    process = start("generate", MODEL, "prompt=cat")
    while not fake.creates or listed()[0]["state"] == "submitting":
        time.sleep(0.05)

    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 143
    assert "nothing was bought" in err
    assert [(row["state"], row["reserved_rub"]) for row in listed()] == [("cancelled", 0)]
    assert fake.creates == 1


def test_a_second_signal_leaves_an_unknown_job(fake, start):
    """Exit code 6; the ledger lists it, and its price stays reserved."""
    fake.go_on.clear()
    process = start("generate", MODEL, "prompt=cat")
    assert fake.arrived.wait(20)

    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    _, err = process.communicate(timeout=20)

    assert process.returncode == 6
    assert "kie jobs resolve" in err
    assert [(row["state"], row["reserved_rub"]) for row in listed()] == [("unknown", 1.5)]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("command", ["resume", "save", "generate"])
def test_a_signal_while_waiting_leaves_the_task_as_it_is(fake, start, command, number, code):
    """It goes on at Kie, and stays in the ledger."""
    if command == "generate":
        process = start("generate", MODEL, "prompt=cat")
    else:
        job = bought()
        process = start(command, *([job] if command == "save" else []))
    while not fake.asked:
        time.sleep(0.02)
    if command == "resume":
        while "waiting for" not in process.stderr.readline():
            pass

    process.send_signal(number)
    out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (code, "")
    assert "interrupted; " in err
    assert "Traceback" not in err
    assert [row["state"] for row in listed()] == ["running"]


# --- how things are shown ------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "text"), [(-1, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (90000, "1 d")])
def test_ages_are_short(seconds, text):
    """One number and one unit."""
    assert age(seconds) == text


def test_a_table_takes_no_orders_from_kie(capsys):
    """Control characters and half characters of its texts are shown, not obeyed."""
    print_table(("a",), [("\x1b[2J\ud800\r\n",)])

    assert capsys.readouterr().out == "\\x1b[2J\\ud800\\x0d \n"


def test_json_is_json_on_any_terminal(capsys, monkeypatch):
    """An encoding without the letters gets escapes that every parser reads."""
    import io

    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", stream)

    print_json({"text": "é и \U0001f600 \x9b"})

    stream.flush()
    assert json.loads(stream.buffer.getvalue()) == {"text": "é и \U0001f600 \x9b"}


def test_a_narrow_terminal_cuts_off_nothing(monkeypatch):
    """What is typed next stands in one piece; the rest is broken, not left out."""
    import io

    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "60")
    rows = [
        (f"bytedance/seedance-{version}-pro", "https://example.com/" + "x" * 60, "words " * 9) for version in (1, 2)
    ]

    print_table(("model", "source", "meaning"), rows)

    shown = terminal.getvalue()
    assert [row[0] in shown for row in rows] == [True, True]
    assert (shown.count("x"), shown.count("words")) == (122, 18)
    assert "…" not in shown
