"""Limits of files: read from a row, shown in words."""

from __future__ import annotations

import pytest

from kie_core._models.file_limits import limits_from_row


def test_limits_read_like_a_sentence():
    """Every limit that is documented, and none that is not."""
    limits = limits_from_row(
        {
            "types": ["image/png", "image/webp"],
            "megabytes": 10,
            "total_megabytes": 30,
            "seconds": [2, 15.5],
            "total_seconds": 15,
            "side": [256, None],
            "aspect": [0.4, 2.5],
            "pixels": [None, 25000000],
            "fps": [23.976, 60],
            "pages": 50,
        }
    )

    assert str(limits) == (
        "png, webp; up to 10 MB; up to 30 MB together; 2..15.5 s; up to 15 s together; sides of 256.. px;"
        " width/height 0.4..2.5; up to 25000000 pixels; 23.976..60 frames/s; up to 50 pages"
    )


def test_extensions_stand_as_they_are():
    """Some pages name endings in place of types."""
    assert str(limits_from_row({"extensions": ["mp4", "mov"]})) == "mp4, mov"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (3, "expected an object"),
        ({"megabyte": 10}, "did you mean 'megabytes'?"),
        ({"megabytes": "10"}, "expected a number"),
        ({"types": "image/png"}, "expected a list of texts"),
        ({"side": [300]}, "expected from and to"),
        ({"side": ["a", 3]}, "expected from and to"),
        ({"pages": True}, "expected a number"),
    ],
)
def test_a_broken_row_says_what_was_expected(row, said):
    """One clear text."""
    with pytest.raises(ValueError) as caught:
        limits_from_row(row)

    assert said in str(caught.value)
