"""What comes of bought jobs, asked and saved by commands: status, resume, save."""

from __future__ import annotations

import json
import time

import pytest

from .commands import DONE, FAILED, MODEL, bought, listed, run, unknown_job

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
