"""How faults are written, counted and changed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kie_sandbox import FAULTS, BadFault, Fault, Faults, Request, Sandbox
from kie_sandbox.command import sandbox


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("create-reset", Fault("create-reset")),
        ("create-reset*3", Fault("create-reset", times=3)),
        ("query-invisible=5", Fault("query-invisible", 5)),
        ("create-code=455*2", Fault("create-code", 455, 2)),
        ("query-result-url=http://a.example/?b=c*4", Fault("query-result-url", "http://a.example/?b=c", 4)),
        (" callback-old=-600 ", Fault("callback-old", -600)),
    ],
)
def test_a_fault_is_read_as_it_is_written(text, fault):
    """NAME[=VALUE][*TIMES]; the last star is the count's."""
    assert Fault.parse(text) == fault
    assert Fault.parse(str(fault)) == fault


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_written_without_a_value(name):
    """Its default is within its own limits, and it is written back as its name."""
    assert str(Fault.parse(name)) == name
    assert Fault.parse(f"{name}*2").times == 2


def test_a_default_is_filled_in():
    """A fault knows its value, given or not."""
    assert Fault("create-code").number == 429.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("create-rest", "did you mean create-reset"),
        ("nonsense", "allowed: connection-close, connection-reset, create-close"),
        ("create-reset=5", "takes no value"),
        ("create-code=many", "allowed: 0 to 99999"),
        ("create-code=4.5", "allowed"),
        ("create-status=200", "allowed: 400 to 599"),
        ("query-invisible=nan", "allowed: 0 to inf"),
        ("file-redirect=/a\r\nX: b", "printable ASCII"),
        ("create-reset*0", "at least once"),
        ("create-reset*", "NAME=VALUE\\*TIMES"),
        ("", "NAME=VALUE\\*TIMES"),
    ],
)
def test_what_cannot_be_read_says_what_is_allowed(text, said):
    """Names, values and counts."""
    with pytest.raises(BadFault, match=said):
        Fault.parse(text)


def test_a_fault_with_a_count_wears_off():
    """The others stay."""
    faults = Faults(["create-reset*2", "create-close"])

    assert [faults.take("create").name for _ in range(4)] == ["create-reset"] * 2 + ["create-close"] * 2
    assert [str(fault) for fault in faults] == ["create-close"]


def test_a_fault_strikes_at_its_place_only():
    """And is not counted elsewhere."""
    faults = Faults(["file-reset*1"])

    assert faults.take("query") is None
    assert len(faults) == 1


def test_faults_are_cleared_by_name_or_all():
    """The rest is left as it is."""
    faults = Faults(["create-reset", "query-reset", "file-reset"])
    faults.clear("query-reset")
    left = [fault.name for fault in faults]
    faults.clear()

    assert (left, len(faults)) == (["create-reset", "file-reset"], 0)


def test_a_bad_fault_adds_nothing():
    """Not even the good ones beside it."""
    faults = Faults()
    with pytest.raises(BadFault):
        faults.add("create-reset", "nonsense")

    assert len(faults) == 0


def test_a_record_fault_waits_for_its_moment():
    """One about results strikes the first record with a result, not one of a running task."""
    now = 1_790_000_000.0
    world = Sandbox(faults=["query-no-result*1"], clock=lambda: now)
    headers = {"authorization": "Bearer sandbox"}
    body = json.dumps({"prompt": "a cat", "size": "1:1"}).encode()
    made = json.loads(world.handle(Request("POST", "/api/v1/gpt4o-image/generate", headers, body)).content)
    target = f"/api/v1/gpt4o-image/record-info?taskId={made['data']['taskId']}"
    world.handle(Request("GET", target, headers))

    assert "query-no-result" in world.faults
    now += 3600

    assert json.loads(world.handle(Request("GET", target, headers)).content)["data"]["response"] is None
    assert "query-no-result" not in world.faults


def test_the_command_lists_all_faults():
    """With what each does."""
    result = CliRunner().invoke(sandbox, ["--faults"])

    assert result.exit_code == 0
    assert all(name in result.output and kind.does in result.output for name, kind in FAULTS.items())


def test_the_command_refuses_an_unknown_fault():
    """And says what there is."""
    result = CliRunner().invoke(sandbox, ["--fault", "create-rest"])

    assert result.exit_code == 2
    assert "create-reset" in result.output


def test_the_command_explains_faults_and_the_control_endpoint():
    """In its help."""
    output = CliRunner().invoke(sandbox, ["--help"]).output

    assert all(text in output for text in ("--fault ", "--faults", "--webhook-key", "/_sandbox/"))
