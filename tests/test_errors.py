"""Errors: they pickle, say what to do next, and form one tree."""

from __future__ import annotations

import inspect
import pickle

import attrs
import pytest

from kie_core import ConfigError, Fault, InvalidJob, KieError, UnknownModel, _errors
from kie_core.testing import make_job

VALUES = {
    "model": "veo3", "suggestions": ("veo3_fast",), "moved_to": None, "faults": (Fault("prompt", "missing"),), "note": "paused", "wire": "jobs",
    "spoken": ("v4",), "category": "acme", "installed": ("veo3",), "distribution": "kie-acme", "version": "1.0", "reason": "no luck",
    "hook": "build_payload", "source": "models.json", "problem": "is broken", "line": 3, "handle": "kie1:a:b:c", "code": 422,
    "message": "no", "waited": 5.0, "answer": "{", "state": "running", "url": "https://e.com/a",
    "retry_after": 5.0, "saved": (), "others": (), "expired": False, "job": "j1", "job_key": "order-17", "scope": "user:7",
    "price": 3933, "limit": 10_000, "spent": 3000, "reserved": 3933, "base_url": "https://e.com", "place": "ledger.sqlite", "remedy": "make room", "kind": "full", "file": "photo.jpg",
}  # fmt: skip
ERRORS = [
    error
    for _, error in inspect.getmembers(_errors, inspect.isclass)
    if issubclass(error, KieError) and error is not KieError
]


def made(kind):
    values = VALUES | ({"faults": ("wire = 3: expected a text",)} if kind is ConfigError else {})
    return kind(**{field.name: values[field.name] for field in attrs.fields(kind)})


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_survives_a_pickle(kind):
    """Task queues and process pools send errors around."""
    error = made(kind)

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert str(copy) == str(error)
    assert attrs.asdict(copy) == attrs.asdict(error)


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_stands_in_the_tree_at_the_top_of_its_module(kind):
    """The tree is the documentation of what can be raised."""
    assert f" {kind.__name__} " in _errors.__doc__


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_says_what_happened(kind):
    """No error is silent, and none ends with a full stop."""
    text = str(made(kind))

    assert len(text) > 20
    assert not text.endswith(".")


@pytest.mark.parametrize("kind", [InvalidJob, UnknownModel])
def test_what_is_wrong_with_a_value_is_a_value_error(kind):
    """Callers of old catch ValueError."""
    assert issubclass(kind, ValueError)


def test_a_plugin_refuses_a_value_in_one_line():
    """InvalidJob.value names field, value, reason and what is allowed."""
    error = InvalidJob.value(
        make_job("veo3", {"prompt": "a"}), "aspect_ratio", why="no squares", allowed=("16:9", "9:16")
    )

    assert str(error.faults[0]) == "aspect_ratio: '16:9': no squares (allowed: '16:9', '9:16')"
