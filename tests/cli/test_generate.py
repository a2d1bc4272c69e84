"""Buying by the command line: job keys, exit codes, and a ledger that cannot be written."""

from __future__ import annotations

import json
import time

import pytest

from kie_core._cli.output import exit_code
from kie_core._errors import JobKeyTaken, LedgerError, OverBudget, UnknownJob, WrongState

from .commands import DONE, MODEL, bought, listed, run, told


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


@pytest.mark.usefixtures("fake")
def test_purchases_by_command_count_on_the_account_alone():
    """However many there are, with a price limit of their own or without: none gets a scope for itself."""
    bought("cat")
    bought("dog", "--max-price", "100")

    (scope,) = json.loads(run("budget", "--json").stdout)
    assert (scope["scope"].partition(":")[0], scope["reserved_rub"]) == ("account", 3.0)


@pytest.mark.parametrize("roubles", ["nan", "inf", "1e300", "-1", "much"])
def test_a_price_limit_that_is_no_amount_is_usage(fake, roubles):
    """Exit code 2, with the value and what is allowed; nothing is sent."""
    result = run("generate", MODEL, "prompt=cat", "--max-price", roubles)

    assert (result.exit_code, fake.creates) == (2, 0)
    assert f"a limit is '{roubles}'; expected roubles, 0 to" in told(result)


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
        (LedgerError("p", "full", "make room", handle="kie1:j:m:w:t"), 5),
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
