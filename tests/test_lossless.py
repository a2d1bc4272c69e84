"""Values in another form: taken where nothing is lost, refused where something would be."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import Field, InvalidJob
from kie_core._models.lossless import lossless
from kie_core._models.model import model_from_row
from kie_core._models.registry import bundled
from kie_core._models.validation import _check, validate

URL = "https://e.com/a.png"
ROW = {
    "model_id": "forms",
    "title": "Forms",
    "api_category": "acme",
    "output_type": "video/mp4",
    "input_schema": {
        "properties": {
            "seconds": {"type": "integer", "minimum": 1, "maximum": 30},
            "weight": {"type": "number", "minimum": 0, "maximum": 1},
            "sound": {"type": "boolean"},
            "length": {"type": "string", "enum": ["5", "10"]},
            "count": {"type": "integer", "enum": [5, 10]},
            "share": {"type": "number", "enum": [0, 0.5, 1]},
            "resolution": {"type": "string", "enum": ["768P", "2K"]},
            "twins": {"type": "string", "enum": ["Auto", "AUTO", "wide"]},
            "text": {"type": "string"},
            "image": {"type": "string", "format": "uri"},
            "images": {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 1, "maxItems": 3},
            "frames": {"type": "array", "items": {"type": "string", "format": "uri"}, "minItems": 2},
            "words": {"type": "array", "items": {"type": "string"}},
            "shots": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["seconds"],
                    "properties": {
                        "seconds": {"type": "integer"},
                        "mood": {"type": "string", "enum": ["Calm", "Wild"]},
                    },
                },
            },
        }
    },
}
FORMS = model_from_row(ROW)


def taken(name, value):
    return validate(FORMS, {name: value})[name]


@pytest.mark.parametrize(
    ("name", "given", "listed"),
    [
        ("seconds", "5", 5),
        ("seconds", 5.0, 5),
        ("seconds", "5.0", 5),
        ("weight", "0.25", 0.25),
        ("weight", "1", 1),
        ("sound", "true", True),
        ("sound", "False", False),
        ("length", 5, "5"),
        ("length", 5.0, "5"),
        ("text", 5, "5"),
        ("text", -7.0, "-7"),
        ("count", "10", 10),
        ("count", 10.0, 10),
        ("share", "0.5", 0.5),
        ("share", 1.0, 1),
        ("resolution", "768p", "768P"),
        ("resolution", "2k", "2K"),
        ("twins", "AUTO", "AUTO"),
        ("image", [URL], URL),
        ("images", URL, [URL]),
        ("shots", [{"seconds": "3", "mood": "wild"}], [{"seconds": 3, "mood": "Wild"}]),
    ],
)
def test_what_loses_nothing_is_taken_as_the_model_lists_it(name, given, listed):
    """The job holds the listed form: it is what is sent, and what the price goes by."""
    found = taken(name, given)

    assert (json.dumps(found), type(found)) == (json.dumps(listed), type(listed))


def test_two_addresses_in_one_text_are_no_list_of_one():
    """Somebody joined them; Kie would get one that leads nowhere."""
    many = Field(name="urls", type="array", items=Field(name="url", type="string", format="uri"))

    assert lossless(many, "https://e.com/a.png") == ["https://e.com/a.png"]
    assert lossless(many, "https://e.com/a.png,https://e.com/b.png") == "https://e.com/a.png,https://e.com/b.png"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("seconds", "5.5", "is float; expected integer"),
        ("seconds", "five", "is str; expected integer"),
        ("seconds", "05", "is str; expected integer"),
        ("seconds", " 5", "is str; expected integer"),
        ("seconds", "٥", "is str; expected integer"),
        ("seconds", "1e1", "is str; expected integer"),
        ("seconds", "31", "31 is out of range"),
        ("seconds", True, "is true or false, not integer"),
        ("weight", "0.1000000000000000055", "is str; expected number"),
        ("weight", "-0", "is str; expected number"),
        ("sound", 1, "is int; expected true or false"),
        ("sound", "yes", "is str; expected true or false"),
        ("length", 7, "is int; expected one of '5', '10'"),
        ("length", True, "is true or false, not text"),
        ("count", "7", "is str; expected one of 5, 10"),
        ("twins", "auto", "'auto' is not allowed; expected one of 'Auto', 'AUTO', 'wide'"),
        ("text", 5.5, "is float; expected text"),
        ("image", [URL, URL], "is list; expected URL"),
        ("images", "a.png", "is str; expected list of URLs"),
        ("frames", URL, "is str; expected list of URLs of 2.. items"),
        ("words", "one", "is str; expected list of strings"),
    ],
)
def test_what_would_lose_something_is_refused_with_what_is_allowed(name, value, said):
    """A guess could buy something else."""
    with pytest.raises(InvalidJob) as caught:
        validate(FORMS, {name: value})

    assert said in str(caught.value)


def test_other_forms_are_taken_by_every_category():
    """One place for all models: the contract's too."""
    params = validate(bundled().get("veo3"), {"prompt": "a", "duration_seconds": "4", "resolution": "4K"})

    assert (params["duration_seconds"], params["resolution"]) == (4, "4k")


def test_all_faults_still_come_at_once():
    """What was converted and what was not, side by side."""
    with pytest.raises(InvalidJob) as caught:
        validate(FORMS, {"seconds": "40", "sound": "perhaps", "length": 5, "resolution": "4K"})

    assert [fault.field for fault in caught.value.faults] == ["seconds", "sound", "resolution"]


FIELDS = st.sampled_from(FORMS.inputs)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["5", "5.0", "true", "768p", "AUTO", URL, "-0.0", "9" * 40, 10**400, b"5", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["seconds", "mood", "x"]), inner),
    max_leaves=6,
)


@given(FIELDS, ANYTHING)
def test_converting_never_fails_and_settles_at_once(field, value):
    """Whatever comes; and what was converted is not converted again."""
    once = lossless(field, value)

    assert repr(lossless(field, once)) == repr(once)


@given(FIELDS, ANYTHING)
def test_what_the_model_takes_as_it_stands_is_not_changed(field, value):
    """A conversion only ever helps a value that would be refused."""
    if not list(_check(field, value, field.name)):
        assert lossless(field, value) == value


@given(st.integers(1, 30) | st.decimals(1, 30, places=2))
def test_a_number_and_its_text_are_the_same(number):
    """Where the text is taken, it is taken as exactly this number."""
    found = lossless(Field(name="x", type="number"), str(number))

    assert isinstance(found, str) or Decimal(repr(found)) == Decimal(str(number))


@given(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=6, unique_by=str.casefold), st.data())
def test_every_way_to_write_a_listed_value_means_it(values, data):
    """Upper, lower, title: exactly one listed value is meant where no two differ by case alone."""
    listed = data.draw(st.sampled_from(values))
    written = data.draw(st.sampled_from([listed, listed.lower(), listed.swapcase().casefold()]))
    field = Field(name="x", type="string", enum=tuple(values))

    if written.casefold() == listed.casefold():
        assert lossless(field, written) == listed
