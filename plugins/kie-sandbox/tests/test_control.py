"""The control endpoint of a served sandbox."""

from __future__ import annotations

import http.client
import json
import time
from urllib.parse import urlsplit

import pytest

from kie_sandbox import FAULTS, Sandbox, serve
from kie_sandbox.command import sandbox as command

BODY = {"prompt": "a cat", "size": "1:1"}


@pytest.fixture
def world():
    return Sandbox(speed=1e6)


@pytest.fixture
def url(world):
    with serve(sandbox=world) as found:
        yield found


def ask(url, method, target, body=None, **headers):
    """Return the HTTP status and the JSON answer."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, target, body=None if body is None else json.dumps(body), headers=headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def buy(url, **changes):
    return ask(url, "POST", "/api/v1/gpt4o-image/generate", {**BODY, **changes}, Authorization="Bearer k")[1]


def test_the_state_counts_what_was_bought(url):
    """Per prompt and per callback; refusals apart; without a key."""
    hook = "https://hooks.example.com/job-7"
    buy(url)
    buy(url, prompt="[refuse]", callBackUrl=hook)
    buy(url, size="wrong")
    status, state = ask(url, "GET", "/_sandbox/state")

    assert status == 200
    del state["callbacks"]
    assert state == {
        "creates": 2,
        "refused": 1,
        "tasks": {"running": 0, "succeeded": 1, "failed": 1},
        "purchases": {"a cat": 1, "[refuse]": 1},
        "purchases_by_callback": {hook: 1},
        "busiest_window": 3,
        "balance": 10_000 - 12,
    }


def test_the_state_has_the_tries_at_callbacks(url, world):
    """One to another machine is noted, and not sent."""
    hook = "https://hooks.example.com/job-7"
    buy(url, callBackUrl=hook)
    end = time.monotonic() + 5
    while not world.sent and time.monotonic() < end:
        time.sleep(0.005)
    state = ask(url, "GET", "/_sandbox/state")[1]

    assert state["callbacks"] == [{"task_id": world.creates[0].task_id, "url": hook, "status": None}]


def test_faults_are_added_listed_and_cleared(url):
    """While it runs; those that are used up are gone."""
    known = ask(url, "GET", "/_sandbox/faults")[1]["known"]
    added = ask(url, "PUT", "/_sandbox/faults", {"faults": ["create-code=455*2", "create-code=500*1", "file-reset"]})[1]
    codes = [buy(url)["code"] for _ in range(2)]
    left = ask(url, "GET", "/_sandbox/faults")[1]["faults"]
    fewer = ask(url, "DELETE", "/_sandbox/faults?name=file-reset")[1]["faults"]
    none = ask(url, "DELETE", "/_sandbox/faults")[1]["faults"]

    assert known == {name: kind.does for name, kind in FAULTS.items()}
    assert added["faults"] == ["create-code=455*2", "create-code=500*1", "file-reset"]
    assert codes == [455, 455]
    assert (left, fewer, none) == (["create-code=500*1", "file-reset"], ["create-code=500*1"], [])


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "said"),
    [
        ("PUT", "/_sandbox/faults", {"faults": ["create-rest"]}, 400, "did you mean create-reset"),
        ("PUT", "/_sandbox/faults", {"faults": "create-reset"}, 400, "no list"),
        ("PUT", "/_sandbox/faults", 7, 400, "no list"),
        ("PUT", "/_sandbox/faults", None, 400, "not JSON"),
        ("POST", "/_sandbox/faults", {}, 405, "PUT"),
        ("PUT", "/_sandbox/state", {}, 405, "GET"),
        ("GET", "/_sandbox/nothing", None, 404, "/_sandbox/state"),
    ],
)
def test_a_wrong_request_says_what_is_right(url, world, method, target, body, status, said):
    """And changes nothing."""
    found, answer = ask(url, method, target, body)

    assert (found, len(world.faults)) == (status, 0)
    assert said in answer["error"]


def test_the_control_endpoint_is_no_request_to_kie(url, world):
    """It is not counted among the requests, and no fault of answers strikes it."""
    world.faults.add("query-reset", "create-reset", "file-reset")
    ask(url, "GET", "/_sandbox/state")

    assert world.requests == []


def test_the_pure_sandbox_has_no_control_endpoint(world):
    """Only who serves it can tell whether the client is on this machine."""
    from kie_sandbox import Request

    assert json.loads(world.handle(Request("GET", "/_sandbox/state")).content)["code"] == 401


def test_the_command_takes_faults(monkeypatch):
    """Repeated, with values and counts; and the key of callbacks."""
    from click.testing import CliRunner

    made = []

    async def serve_it(world, port):
        made.append(world)

    monkeypatch.setattr("kie_sandbox.command._serve", serve_it)
    arguments = ["--fault", "create-reset*1", "--fault", "query-invisible=7", "--webhook-key", "k"]
    result = CliRunner().invoke(command, arguments)

    assert result.exit_code == 0
    assert [str(fault) for fault in made[0].faults] == ["create-reset*1", "query-invisible=7"]
