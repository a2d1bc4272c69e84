"""Inputs: everything that is wrong is reported at once, and nothing that Kie would ignore or misread gets through."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import InvalidJob
from kie_core._models.model import model_from_row
from kie_core._models.registry import bundled
from kie_core._models.validation import describe, validate
from kie_core._texts import spoken
from kie_core.testing import example_inputs

#: More digits than Python prints.
HUGE = 1 << 20000

SHOTS = {
    "model_id": "shots",
    "title": "Shots",
    "api_category": "acme",
    "output_type": "video/mp4",
    "input_schema": {
        "required": ["shots"],
        "properties": {
            "shots": {
                "type": "array",
                "maxItems": 2,
                "items": {
                    "type": "object",
                    "required": ["text"],
                    "properties": {
                        "text": {"type": "string", "maxLength": 5},
                        "seconds": {"type": "integer", "minimum": 1},
                    },
                },
            },
            "free": {"type": "object"},
            "weight": {"type": "number", "multipleOf": 0.01, "maximum": 1},
            "word": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2},
            "first": {"type": "boolean"},
            "second": {"type": "boolean"},
        },
    },
    "rules": [{"any_of": ["first", "second"], "why": "one must be said"}],
}


def faults_of(model_id, inputs):
    model = bundled().get(model_id) if isinstance(model_id, str) else model_id
    with pytest.raises(InvalidJob) as caught:
        validate(model, inputs)
    return {fault.field: fault.problem for fault in caught.value.faults}


@pytest.fixture
def shots():
    return model_from_row(SHOTS)


def test_defaults_fill_in_the_contract():
    """The seed example of the contract, to the letter and in its order."""
    params = validate(bundled().get("gpt-4o-image"), {"prompt": "cat"})

    assert json.dumps(params) == '{"prompt": "cat", "size": "1024x1024", "quality": "standard"}'


def test_all_faults_come_at_once():
    """Four mistakes make one error with four faults."""
    faults = faults_of("veo3", {"promt": "a", "aspect_ratio": "4:3", "duration_seconds": 9})

    assert set(faults) == {"promt", "prompt", "aspect_ratio", "duration_seconds"}


def test_an_unknown_input_names_the_nearest():
    """Kie would ignore it silently and bill the job."""
    assert faults_of("veo3", {"prompt": "a", "aspect_ration": "16:9"})["aspect_ration"].endswith(
        "did you mean 'aspect_ratio'?"
    )


def test_an_unknown_input_that_resembles_nothing_lists_what_there_is():
    """The next step is in the message."""
    assert "it takes prompt, " in faults_of("veo3", {"prompt": "a", "zzz": 1})["zzz"]


@pytest.mark.parametrize(
    ("inputs", "field", "said"),
    [
        ({"prompt": "x" * 1001}, "prompt", "has 1001 characters; expected ..1000"),
        ({"prompt": " \n"}, "prompt", "is blank"),
        ({"prompt": 3}, "prompt", "3: is int; expected text"),
        ({"prompt": "a", "aspect_ratio": "16:10"}, "aspect_ratio", "'16:10' is not allowed; expected one of '16:9'"),
        ({"prompt": "a", "duration_seconds": 0}, "duration_seconds", "0 is out of range; expected integer 1..8"),
        ({"prompt": "a", "duration_seconds": True}, "duration_seconds", "is true or false, not integer"),
        ({"prompt": "a", "duration_seconds": 4.5}, "duration_seconds", "is float"),
        ({"prompt": "a", "duration_seconds": math.nan}, "duration_seconds", "is not a finite number"),
        ({"prompt": "a", "enable_translation": "no"}, "enable_translation", "expected true or false"),
        ({"prompt": "a", "image_urls": []}, "image_urls", "has 0 items; expected 1..3"),
        ({"prompt": "a", "image_urls": ["ftp://e.com/a"]}, "image_urls[0]", "is not a URL"),
        ({"prompt": "a", "image_urls": "e.com/a"}, "image_urls", "is str; expected list of URLs"),
        ({"prompt": "a", "image_urls": ["http://a b/"]}, "image_urls[0]", "is not a URL"),
        ({"prompt": "a", "image_urls": ["http://["]}, "image_urls[0]", "is not a URL"),
        ({"prompt": "a", "image_urls": ["https://e.com/a\n"]}, "image_urls[0]", "is not a URL"),
        ({"prompt": "a", "duration_seconds": HUGE}, "duration_seconds", "is too large"),
        ({"prompt": [HUGE]}, "prompt", "is list"),
        ({"prompt": "a\ud800"}, "prompt", "half of a surrogate pair"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_kind_of_fault_says_value_and_what_is_allowed(inputs, field, said):
    """One message per fault, with the value in it."""
    assert said in faults_of("veo3", inputs)[field]


def test_a_number_without_fraction_is_an_integer():
    """8.0 is 8, as JSON has it."""
    params = validate(bundled().get("veo3"), {"prompt": "a", "duration_seconds": 8.0})

    assert params["duration_seconds"] == 8
    assert isinstance(params["duration_seconds"], int)


@pytest.mark.parametrize("value", [False, 0, ""])
def test_a_value_that_is_false_is_not_taken_for_missing(value):
    """An explicit false or 0 stays what the caller said."""
    name = {False: "make_instrumental"}.get(value) if value is False else None
    if name:
        assert validate(bundled().get("suno-v4"), {"prompt": "a", name: value})[name] is False
    elif value == 0:
        assert validate(bundled().get("flux-kontext"), {"prompt": "a", "safety_tolerance": 0})["safety_tolerance"] == 0
    else:
        assert (
            validate(bundled().get("runway-gen3-turbo"), {"image_url": "https://e.com/a.png", "watermark": ""})[
                "watermark"
            ]
            == ""
        )


def test_none_leaves_the_choice_to_the_default():
    """None is the same as not given."""
    assert validate(bundled().get("gpt-4o-image"), {"prompt": "a", "size": None, "files_url": None}) == validate(
        bundled().get("gpt-4o-image"), {"prompt": "a"}
    )


def test_members_of_objects_in_lists_are_checked(shots):
    """Faults name the place inside."""
    faults = faults_of(shots, {"shots": [{"text": "toolong"}, {"txt": "a", "seconds": 0}], "first": True})

    assert faults["shots[0].text"] == "has 7 characters; expected ..5"
    assert faults["shots[1].txt"] == "unknown; expected some of text, seconds"
    assert faults["shots[1].text"].startswith("missing")
    assert faults["shots[1].seconds"].startswith("0 is out of range")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": math.inf}, "not finite"),
        ({"a": {1: 2}}, "a key that is not text"),
        ({"a": object()}, "has a object inside"),
        ({"a": ["\udc00"]}, "surrogate"),
        ({"a": b"bytes"}, "has a bytes inside"),
    ],
)
def test_what_no_schema_knows_must_still_be_json(shots, value, said):
    """A free-form object is looked through."""
    assert said in faults_of(shots, {"shots": [], "first": True, "free": value})["free"]


def test_a_free_object_may_not_be_endless(shots):
    """Nesting has an end."""
    value: dict = {}
    for _ in range(100):
        value = {"a": value}

    assert "nested more than 32 deep" in faults_of(shots, {"shots": [], "first": True, "free": value})["free"]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("weight", 0.005, "multiple of 0.01"), ("word", "A1", "does not match"), ("word", "a", "1 characters")],
)
def test_steps_patterns_and_lengths(shots, name, value, said):
    """The rarer limits are kept too."""
    assert said in faults_of(shots, {"shots": [], "first": True, name: value})[name]


SUM = {
    **SHOTS,
    "input_schema": {
        "properties": {
            "images": {"type": "array", "items": {"type": "string", "format": "uri", "schemes": ["https", "asset"]}},
            "clips": {"type": "array", "items": {"type": "string"}},
            "mode": {"type": "string", "enum": ["calm", "wild"], "vendorDefault": "wild"},
            "sound": {"type": "boolean"},
            "seconds": {"type": "integer", "enum": [-1, *range(4, 31)]},
            "length": {"type": "string", "enum": [str(number) for number in range(3, 16)]},
            "voice": {"type": "string", "examples": ["Ann", "Bob"], "maxLength": 9},
        }
    },
    "rules": [
        {"total": {"of": [{"items": "images"}, {"items": "clips", "weight": 2}], "most": 4}, "why": "four slots"},
        {"if": {"mode": "wild"}, "limit": {"sound": {"enum": [True]}}, "why": "wild is loud"},
        {"if": {"mode": {"present": True}}, "require": ["sound"], "why": "a mode needs it"},
    ],
}


def test_inputs_that_share_room_are_added_up():
    """Each may be fine alone."""
    faults = faults_of(model_from_row(SUM), {"images": ["https://e.com/a"] * 3, "clips": ["a"]})

    assert faults["images"] == "images, clips make 5 together; expected ..4 (four slots)"
    assert validate(model_from_row(SUM), {"images": ["asset://a"] * 2, "clips": ["a"]})


def test_inputs_that_fit_are_not_put_into_words(monkeypatch):
    """What is wrong is explained, what is right costs no text: also where rules apply."""

    def said(key, **_):
        raise AssertionError(f"said {key}")

    monkeypatch.setattr("kie_core._models.validation.said", said)
    inputs = {"prompt": "a song", "custom_mode": True, "style": "folk", "title": "Fox"}

    assert validate(bundled().get("suno-v4"), inputs)["title"] == "Fox"


def test_rules_know_what_the_vendor_does_by_default_and_it_is_not_sent():
    """A value that Kie fills in counts as if it were given, but is not given."""
    model = model_from_row(SUM)

    assert faults_of(model, {"sound": False})["sound"].endswith("when mode is 'wild' (wild is loud)")
    assert validate(model, {}) == {}
    assert faults_of(model, {"mode": "calm"})["sound"].startswith("missing")


def test_a_url_begins_as_the_input_allows():
    """Some take addresses of the vendor's own."""
    fault = faults_of(model_from_row(SUM), {"images": ["http://e.com/a"]})["images[0]"]

    assert fault.endswith("expected one that begins with https:// or asset://")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("seconds", "one of -1, 4..30"),
        ("length", "one of '3'..'15'"),
        ("voice", "text such as 'Ann', 'Bob' of ..9 characters"),
    ],
)
def test_long_lists_are_described_in_short(name, said):
    """Whole numbers in a row by their ends; open lists by their first."""
    assert describe(model_from_row(SUM).input(name)) == said


def test_one_of_a_group_is_needed(shots):
    """A rule over several inputs names them all."""
    assert (
        "give at least one of first, second (one must be said)"
        in faults_of(shots, {"shots": [{"text": "a", "seconds": 1}]})["first"]
    )


EMPTY = {
    **SHOTS,
    "input_schema": {
        "required": ["needed"],
        "properties": {
            "needed": {"type": "array", "items": {"type": "string"}},
            "images": {"type": "array", "items": {"type": "string"}},
            "task": {"type": "string"},
            "length": {"type": "integer"},
        },
    },
    "rules": [
        {"any_of": ["images", "task"]},
        {"if": {"images": {"present": True}}, "require": ["length"]},
        {"if": {"task": {"present": True}}, "forbid": ["images"]},
    ],
}


@pytest.mark.parametrize(
    ("inputs", "faulty"),
    [
        ({"needed": [], "task": "t"}, ["needed"]),
        ({"needed": ["a"], "images": []}, ["images"]),
        ({"needed": ["a"], "task": " "}, ["images"]),
        ({"needed": ["a"], "images": [], "task": "t"}, []),
        ({"needed": ["a"], "images": ["i"]}, ["length"]),
        ({"needed": ["a"], "images": ["i"], "task": "", "length": 1}, []),
        ({"needed": ["a"], "images": ["i"], "task": "t", "length": 1}, ["images"]),
    ],
)
def test_what_is_empty_is_not_given(inputs, faulty):
    """Else a job without anything to work on would be bought: a program gives a list that turned out empty."""
    try:
        found = validate(model_from_row(EMPTY), inputs)
    except InvalidJob as error:
        assert [fault.field for fault in error.faults] == faulty
    else:
        assert (found, faulty) == (inputs, [])


@pytest.mark.parametrize(
    ("model", "inputs", "field", "said"),
    [
        (
            "veo3_fast",
            {"prompt": "a", "model": "veo3"},
            "model",
            "'veo3' is not allowed; expected one of 'veo3_fast' (another tier",
        ),
        ("veo3", {"prompt": "a", "model": "veo3_fast"}, "model", "ask for its own model id"),
        (
            "veo3",
            {"prompt": "a", "generation_type": "REFERENCE_2_VIDEO"},
            "generation_type",
            "exists for veo3_fast only",
        ),
        (
            "veo3_fast",
            {"prompt": "a", "generation_type": "REFERENCE_2_VIDEO"},
            "image_urls",
            "it is needed when generation_type is",
        ),
        (
            "veo3",
            {"prompt": "a", "generation_type": "TEXT_2_VIDEO", "image_urls": ["https://e.com/a"]},
            "image_urls",
            "leave it out",
        ),
        (
            "runway-gen3-turbo",
            {"image_url": "https://e.com/a", "duration": 10, "quality": "1080p"},
            "quality",
            "'1080p' is not allowed",
        ),
        ("suno-v4", {"prompt": "a", "style": "folk"}, "style", "leave it out when custom_mode is not true"),
        (
            "suno-v4",
            {"prompt": "a", "custom_mode": True, "style": "folk"},
            "title",
            "it is needed when custom_mode is true",
        ),
        (
            "flux-kontext",
            {"prompt": "a", "input_image": "https://e.com/a", "safety_tolerance": 3},
            "safety_tolerance",
            "3 is out of range",
        ),
        (
            "gpt-4o-image",
            {"prompt": "a", "mask_url": "https://e.com/a"},
            "files_url",
            "it is needed when mask_url is given",
        ),
    ],
)
def test_the_rules_between_inputs(model, inputs, field, said):
    """What the vendor's pages say across fields is checked before anything is paid."""
    assert said in faults_of(model, inputs)[field]


def test_an_input_that_the_id_fixes_cannot_be_given():
    """An id that says 10 seconds is 10 seconds."""
    model = next(model for model in bundled() if "duration" in model.fixed and model.status == "current")

    assert "fixed by the model id" in faults_of(model.id, {**example_inputs(model), "duration": 5})["duration"]


def test_params_are_the_callers_no_longer():
    """A list that the caller changes afterwards does not change the job."""
    urls = ["https://e.com/a"]
    params = validate(bundled().get("gpt-4o-image"), {"prompt": "a", "files_url": urls})

    urls.append("https://e.com/b")

    assert params["files_url"] == ["https://e.com/a"]


def test_every_usable_model_has_inputs_that_pass():
    """The tables contradict themselves nowhere."""
    for model in bundled():
        if model.status != "gone":
            validate(model, example_inputs(model))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([model for model in bundled() if model.status != "gone"]), st.data())
def test_whatever_comes_either_validates_to_json_or_is_an_invalid_job(model, data):
    """No input makes validation fail in another way, and what passes can be sent."""
    names = st.sampled_from([field.name for field in model.inputs] or ["x"]) | st.text(max_size=8)
    inputs = example_inputs(model) | data.draw(st.dictionaries(names, ANYTHING, max_size=4))

    try:
        params = validate(model, inputs)
    except InvalidJob as error:
        assert error.faults
        assert str(error)
    else:
        assert json.loads(json.dumps(params, allow_nan=False).encode()) == params


@pytest.mark.parametrize("inputs", [[], "prompt", 3])
def test_inputs_that_are_no_mapping_are_an_invalid_job(inputs):
    """Not an AttributeError."""
    assert "expected names with values" in faults_of("veo3", inputs)["inputs"]


@pytest.mark.parametrize("name", [3, None, ("a",), HUGE], ids=["number", "none", "tuple", "huge"])
def test_a_name_that_is_no_text_is_unknown(name):
    """Whatever it is."""
    with pytest.raises(InvalidJob, match="unknown input"):
        validate(bundled().get("veo3"), {"prompt": "a", name: 1})


@pytest.mark.parametrize(
    "url", ["HTTPS://EXAMPLE.com/x.png", "http://e.com", "https://e.com:8443?x=1", "https://ü.example/ü.png"]
)
def test_urls_as_people_write_them(url):
    """Upper case, ports, queries, other scripts."""
    assert validate(bundled().get("gpt-4o-image"), {"prompt": "a", "files_url": [url]})["files_url"] == [url]


# --- in another language ---------------------------------------------------------------------


def test_faults_are_told_in_russian_to_whoever_asks():
    """All of them, with the same names, values and limits; the next caller hears English again."""
    model = bundled().get("gpt-4o-image")
    with pytest.raises(InvalidJob) as russian, spoken("ru"):
        validate(model, {"size": "1x1", "quallity": "hd"})
    with pytest.raises(InvalidJob) as english:
        validate(model, {"size": "1x1", "quallity": "hd"})

    assert [str(fault) for fault in russian.value.faults] == [
        "quallity: нет такого параметра; возможно, 'quality'?",
        "prompt: не указан; нужно: текст",
        "size: '1x1' не подходит; нужно: одно из '1024x1024', '1792x1024', '1024x1792'",
    ]
    assert [fault.field for fault in english.value.faults] == [fault.field for fault in russian.value.faults]
    assert "missing; expected text" in str(english.value)
