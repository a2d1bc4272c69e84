"""Commands as a user types them, on one ledger file."""

from __future__ import annotations

import json

from click.testing import CliRunner

from kie_core import KieBlocking
from kie_core._cli.main import kie

KEY = "0123456789abcdef0123456789abcdef"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
RUNNING, DONE, FAILED = {"state": "running"}, {"state": "succeeded"}, {"state": "failed"}
MODEL = "acme-sketch"


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
