"""What a row says of an earlier task, and what is found in that task's record."""

from __future__ import annotations

import pytest

from kie_core._models.model import RowError, model_from_row
from kie_core._models.source import Gift, Source, source_from_row, values_at

DATA = {"a": {"b": [{"id": 1}, {"id": ""}, {"x": 2}, {"id": 3}]}, "param": '{"model": "V5"}', "n": None, "t": "plain"}
PROPERTIES = {"task": {}, "audio_id": {}, "track": {}}


@pytest.mark.parametrize(
    ("path", "found"),
    [("a.b[].id", [1, 3]), ("param.model", ["V5"]), ("a.c", []), ("n.x", []), ("t.x", []), ("t", ["plain"]),
     ("a[].b", [DATA["a"]["b"]]), ("", [])],
)  # fmt: skip
def test_a_path_leads_through_objects_lists_and_json_text(path, found):
    """What is empty, or not there, is no value."""
    assert values_at(DATA, path) == found


def test_json_text_of_a_vendor_cannot_exhaust_the_stack():
    """It is not read beyond the usual depth."""
    assert values_at({"param": '{"a":' * 5000}, "param.a") == []


def test_a_source_as_a_row_has_it():
    """A gift is a path, or a path with a condition."""
    row = {"models": ["m"], "gives": {"audio_id": "x[].id", "track": {"at": "y", "if": {"task": 1}}}, "pick": "track"}

    assert source_from_row(row, PROPERTIES) == Source(
        models=("m",), gives=(Gift("audio_id", "x[].id"), Gift("track", "y", {"task": 1})), pick="track"
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [(7, "expected an object"), ({}, "expected an object"), ({"models": ["m"], "more": 1}, "expected an object"),
     ({"models": ["m"], "gives": {"other": "x"}}, "names 'other'"), ({"models": ["m"], "pick": "other"}, "names 'other'"),
     ({"models": ["m"], "gives": {"track": 7}}, "expected a path"), ({"models": ["m"], "states": ["failed"]}, "states")],
)  # fmt: skip
def test_a_source_that_is_none_is_refused(row, words):
    """With what was expected."""
    with pytest.raises(ValueError, match=words):
        source_from_row(row, PROPERTIES)


@pytest.mark.parametrize("prop", [{"format": "task"}, {"from": {"models": ["m"]}}])
def test_format_and_source_go_together(prop):
    """One without the other is a slip."""
    row = {
        "model_id": "m", "title": "M", "api_category": "c", "output_type": "image/png",
        "input_schema": {"properties": {"task": {"type": "string", **prop}}},
    }  # fmt: skip

    with pytest.raises(RowError, match="go together"):
        model_from_row(row)
