"""Counting units: rounded up, and unknown where nobody can know."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core._models.count import count_from_row


@pytest.mark.parametrize(
    ("row", "values", "units"),
    [
        ({"value": "duration"}, {"duration": 5}, 5),
        ({"value": "duration"}, {"duration": "10"}, 10),
        ({"value": "duration"}, {"duration": 5.5}, 6),
        ({"value": "duration"}, {"duration": -1}, None),
        ({"value": "duration"}, {"duration": 0}, None),
        ({"value": "duration"}, {"duration": "auto"}, None),
        ({"value": "duration"}, {"duration": True}, None),
        ({"value": "duration"}, {}, None),
        ({"items": "urls"}, {"urls": ["a", "b"]}, 2),
        ({"items": "urls"}, {"urls": "a"}, 1),
        ({"items": "urls"}, {}, 0),
        ({"items": "urls", "after": 5}, {"urls": ["a"] * 7}, 2),
        ({"items": "urls", "after": 5}, {"urls": ["a"]}, 0),
        ({"items": "clips", "weight": 2}, {"clips": ["a", "b"]}, 4),
        ({"characters": "text", "each": 1000}, {"text": "a" * 1001}, 2),
        ({"characters": "text"}, {}, 0),
        ({"characters": "turns.text"}, {"turns": [{"text": "abc"}, {"text": "de"}, {}]}, 5),
        ("unknown", {"duration": 5}, None),
    ],
)
def test_what_makes_a_unit(row, values, units):
    """Numbers, items, characters; what is begun counts as whole."""
    assert count_from_row(row).of(values) == units


@given(st.integers(0, 5000), st.integers(0, 50), st.integers(1, 2000))
def test_a_count_is_never_too_low(length, free, each):
    """A price that is multiplied by it must not be."""
    units = count_from_row({"characters": "text", "after": free, "each": each}).of({"text": "a" * length})

    assert units is not None
    assert units * each >= Decimal(length - free)
    assert units >= 0


@pytest.mark.parametrize(
    "row", [3, "duration", {}, {"values": "a"}, {"value": 3}, {"value": "a", "items": "b"}, {"unknown": "x", "step": 1}]
)
def test_a_row_that_says_no_count_says_what_was_expected(row):
    """One clear text."""
    with pytest.raises(ValueError, match="expected"):
        count_from_row(row)


@pytest.mark.parametrize(("key", "number"), [("after", -1), ("each", 0), ("weight", 1.5), ("each", True)])
def test_numbers_of_a_count_are_whole(key, number):
    """And none of them divides by nothing."""
    with pytest.raises(ValueError, match=f"{key} is"):
        count_from_row({"items": "a", key: number})
