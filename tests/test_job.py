"""Handles: they resume a job anywhere."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import BadHandle, Endpoint
from kie_core._jobs.job import Handle
from kie_core.testing import make_job

PARTS = st.text(st.characters(codec="utf-8"), min_size=1)

TASKS = PARTS.filter(lambda text: text.isprintable() and not text.isspace() and len(text) <= 200)


@given(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), PARTS, PARTS, st.none() | TASKS)
def test_a_handle_comes_back_as_it_was(job, model, wire, task):
    """Whatever the parts hold: colons, slashes, blanks."""
    handle = Handle(job, model, wire, task)

    assert Handle.parse(handle.text) == handle
    assert handle.text.isascii()
    assert " " not in handle.text


def test_the_handle_of_a_job():
    """The format that users keep in their databases."""
    job = make_job("gpt-4o-image", {"prompt": "cat"}, job_id="ab12")

    assert job.handle() == "kie1:ab12:gpt-4o-image:dedicated"
    assert job.handle("t/1") == "kie1:ab12:gpt-4o-image:dedicated:t%2F1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kie2:a:b:c",
        "kie1:a:b",
        "kie1:a:b:c:d:e",
        "kie1::b:c",
        "9b1d6c0e",
        "kie1:..%2Fup:b:c:d",
        "kie1:a%00:b:c:d",
        f"kie1:{'a' * 65}:b:c",
        "kie1:a:b:c:%20",
        "kie1:a:b:c:%0A",
    ],
)
def test_what_is_no_handle_says_what_one_looks_like(text):
    """The message shows the form."""
    with pytest.raises(BadHandle, match="kie1:JOB:MODEL:WIRE:TASK"):
        Handle.parse(text)


def test_a_job_cannot_be_changed():
    """What was decided is what is bought."""
    job = make_job("gpt-4o-image", {"prompt": "cat"})

    with pytest.raises(TypeError):
        job.params["prompt"] = "dog"


@pytest.mark.parametrize(
    "path", ["", "create", "//evil.example/x", "@evil.example/x", "/a b", "/a?b", "https://evil.example", 3]
)
def test_an_endpoint_is_a_path(path):
    """A plugin's table must not lead the key to another host."""
    with pytest.raises(ValueError, match="expected a path"):
        Endpoint(create=path, query="/query")


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"query": "/q", "kind": "sync", "promises": ("result",)},
        {"kind": "sync"},
        {"query": "/q", "promises": ("result",)},
        {"kind": "derived"},
        {"query": "/q", "method": "GET"},
        {"kind": "derived", "method": "GET", "callback_required": True},
    ],
)
def test_an_endpoint_that_contradicts_itself_is_refused(wrong):
    """A task has a query, a sync call promises, a derived one is a GET; and only they do."""
    with pytest.raises(ValueError, match="kind is"):
        Endpoint(create="/c", **wrong)
