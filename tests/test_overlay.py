"""Live schemas: what can be trusted of them counts, and nothing that they say harms another model or lowers a price."""

from __future__ import annotations

import json
import stat
from decimal import Decimal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import InvalidJob, Kie, load_dispatcher, load_settings
from kie_core._catalogue.overlay import (
    Live,
    Unreadable,
    differing_inputs,
    inputs_in,
    is_beyond,
    merged,
    model_of,
    overlaid,
)
from kie_core._catalogue.overlay_file import FORMAT, keep_overlay, kept_overlay, overlay_path
from kie_core._dispatch.models import with_overlay
from kie_core._models.model import model_from_row
from kie_core._models.registry import Registry
from kie_core._models.validation import validate

URL = "https://api.kie.ai"
AT = "2026-11-20T12:00:00+00:00"
ROW = {
    "model_id": "known/clip", "title": "Clip", "api_category": "market", "output_type": "video/mp4",
    "input_schema": {"required": ["prompt"], "properties": {
        "prompt": {"type": "string", "maxLength": 10},
        "resolution": {"type": "string", "enum": ["720p", "1080p"], "vendorDefault": "1080p"},
        "duration": {"type": "integer", "minimum": 3, "maximum": 10, "default": 5},
    }},
    "wire_pricing": {"rows": [{"credits": 9, "when": {"resolution": "1080p"}}, {"credits": 4}]},
}  # fmt: skip
KNOWN = model_from_row(ROW, origin="test")
OTHER = model_from_row({**ROW, "model_id": "family", "api_category": "veo3"})
REGISTRY = Registry({}).extended([KNOWN, OTHER])


def document(properties, required=(), **more):
    inputs = {"type": "object", "properties": properties, "required": list(required), **more}
    body = {"type": "object", "properties": {"model": {"type": "string"}, "input": inputs}}
    post = {"requestBody": {"content": {"application/json": {"schema": body}}}}
    return {"openapi": "3.1.0", "paths": {"/api/v1/jobs/createTask": {"post": post}}}


def live(properties, required=(), model="known/clip", **more):
    schema, left_out = inputs_in(document(properties, required))
    return attrs.evolve(Live(model, "Title", schema, AT, "", left_out), **more)


def test_a_schema_becomes_inputs_of_our_rows():
    """Types, lists, limits, what Kie takes where nothing is sent; references into the document itself."""
    made, left_out = inputs_in(
        {
            **document(
                {
                    "prompt": {"type": "string", "maxLength": 2000, "description": "a\ntext\x1b[2J"},
                    "size": {"$ref": "#/components/schemas/Size"},
                    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 4, "default": 1},
                    "urls": {"type": "array", "items": {"type": "string", "format": "uri"}, "maxItems": 3},
                    "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                },
                ["prompt", "size", "nowhere"],
            ),
            "components": {"schemas": {"Size": {"type": "string", "enum": ["1:1", "16:9"]}}},
        }
    )

    assert made == {
        "required": ["prompt", "size"],
        "properties": {
            "prompt": {"type": "string", "maxLength": 2000, "description": "a text [2J"},
            "size": {"type": "string", "enum": ["1:1", "16:9"]},
            "n": {"type": "integer", "minimum": 1, "maximum": 4, "vendorDefault": 1},
            "urls": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
        },
    }
    assert left_out == ("either",)


def test_what_is_dangerous_is_not_taken():
    """No pattern, no default that is sent, no default outside its own list, no value of another type."""
    made = model_of(
        live(
            {
                "a": {"type": "string", "pattern": "^(a+)+$", "default": "x" * 9000},
                "b": {"type": "string", "enum": ["p", 7, None, "x" * 500], "default": "q"},
                "c": {"type": "integer", "maximum": "many", "minimum": True, "default": 10**40},
                "d": {"type": "string", "minLength": -1, "maxLength": 1.5},
            },
            model="new/one",
        )
    )

    assert all(
        field.pattern is None and not field.has_default and not field.has_vendor_default for field in made.inputs
    )
    assert made.input("b").enum == ("p",)
    assert (made.input("c").maximum, made.input("c").minimum, made.input("d").min_length) == (None, None, None)
    assert validate(made, {"a": "b"}) == {"a": "b"}
    assert made.contract is None
    assert made.wire_prices == ()


@pytest.mark.parametrize(
    "hostile",
    [
        {}, {"paths": []}, {"paths": {"/a": {"post": 7}}}, document({}), document([]),
        document({f"n{number}": {"type": "string"} for number in range(101)}),
        document({"a": {"type": "strange"}}, ["a"]), document({"a": {"oneOf": []}}, ["a"]),
        document({"a": {"type": "string", "enum": []}}, ["a"]),
        document({"a": {"$ref": "#/paths"}}, ["a"]), document({"a": {"$ref": "https://evil.example/x"}}, ["a"]),
        {"paths": {"/a": {"post": {"requestBody": {"$ref": "#/paths/~1a/post/requestBody"}}}}},
        document({"a b": {"type": "string"}, "": {"type": "string"}, "c=": {"type": "string"}}),
    ],
)  # fmt: skip
def test_a_schema_that_says_nothing_is_unreadable(hostile):
    """With a reason; nothing else is raised."""
    with pytest.raises(Unreadable, match=r"."):
        inputs_in(hostile)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
ANY = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=4), one, max_size=3)
)
WORDS = [
    "type",
    "enum",
    "default",
    "minimum",
    "maximum",
    "maxLength",
    "items",
    "properties",
    "pattern",
    "format",
    "$ref",
]
PROPERTY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "number", "boolean", "array", "object"]) | ANY,
        **dict.fromkeys(WORDS[1:], ANY),
    },
)


@given(st.dictionaries(st.sampled_from(["prompt", "resolution", "duration", "new", "__class__"]), PROPERTY | ANY), ANY)
def test_whatever_a_schema_says_other_models_and_prices_stay(properties, required):
    """It is read or refused in our words; what the bundled row takes and what it prices is priced as before."""
    body = document(properties)
    body["paths"]["/api/v1/jobs/createTask"]["post"]["requestBody"]["content"]["application/json"]["schema"][
        "properties"
    ]["input"]["required"] = required
    try:
        schema, _ = inputs_in(body)
    except Unreadable:
        return
    lives = {name: Live(name, "T", schema, AT) for name in ("known/clip", "family", "new/one")}
    made, _ = overlaid(REGISTRY, lives)

    assert made.get("family") is OTHER
    known = made.get("known/clip")
    assert (known.wire_prices, known.contract, known.rules) == (KNOWN.wire_prices, None, ())
    assert {one.name: one.default for one in known.inputs if one.has_default} == {"duration": 5}
    assert known.vendor_defaults == KNOWN.vendor_defaults
    list(differing_inputs(REGISTRY, lives))
    if "new/one" in made:
        assert not any(field.has_default for field in made.get("new/one").inputs)


def test_a_known_model_takes_what_the_schema_states_and_keeps_the_rest():
    """New inputs, other lists and limits; not another type, and nothing is taken away."""
    made = merged(
        KNOWN,
        live(
            {
                "resolution": {"type": "string", "enum": ["720p", "1080p", "4k"], "default": "720p"},
                "duration": {"type": "string"},
                "knob": {"type": "boolean", "default": True},
            },
            ["resolution"],
        ),
    )

    assert [field.name for field in made.inputs] == ["prompt", "resolution", "duration", "knob"]
    assert (made.input("resolution").enum, made.input("resolution").required) == (("720p", "1080p", "4k"), True)
    assert made.input("resolution").vendor_default == "1080p"
    assert made.input("duration") == KNOWN.input("duration")
    assert made.input("prompt") == KNOWN.input("prompt")
    assert not made.input("knob").has_vendor_default
    assert (made.bundled, made.overlaid_at) == (KNOWN, AT)
    assert merged(KNOWN, live({"prompt": {"type": "string"}}, ["prompt"])) is KNOWN


def test_a_list_that_leaves_out_a_default_is_not_taken():
    """Else the row would send what it forbids."""
    assert merged(KNOWN, live({"duration": {"type": "integer", "maximum": 4}})).input("duration").maximum == 10


def test_what_only_the_overlay_allows_has_no_price():
    """The table was not made for it; what the row takes has its price."""
    made = merged(KNOWN, live({"resolution": {"type": "string", "enum": ["720p", "4k"]}, "knob": {"type": "string"}}))

    assert is_beyond(made, {"prompt": "a", "resolution": "4k"})
    assert is_beyond(made, {"prompt": "a", "knob": "x"})
    assert not is_beyond(made, {"prompt": "a", "resolution": "720p"})
    assert not is_beyond(KNOWN, {"prompt": "a", "resolution": "4k"})


# --- the file ------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setenv("KIE_CACHE_DIR", str(tmp_path))
    return overlay_path(URL, {"KIE_CACHE_DIR": str(tmp_path)})


def lives(*more):
    return {
        one.model: one for one in (live({"prompt": {"type": "string"}}, model="new/one", price_text="1 credit"), *more)
    }


def test_what_is_kept_comes_back(path):
    """Nobody else can read it, and nothing lies beside it."""
    keep_overlay(path, URL, lives())

    assert kept_overlay(path, URL) == lives()
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"kie_overlay": 1}', b"7" * 5000]
)
def test_a_damaged_overlay_is_ignored_with_a_word(path, content, caplog):
    """The bundled rows count."""
    path.write_bytes(content)

    assert kept_overlay(path, URL) == {}
    assert "is ignored" in caplog.text


@pytest.mark.parametrize(
    "change", [{"kie_overlay": FORMAT + 1}, {"kie_overlay": True}, {"base_url": "https://x.example"}]
)
def test_an_overlay_of_another_kind_is_ignored(path, change, caplog):
    """Of another format, or another base URL."""
    keep_overlay(path, URL, lives())
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))

    assert kept_overlay(path, URL) == {}
    assert "is ignored" in caplog.text


def test_one_damaged_entry_harms_no_other(path, caplog):
    """In the file, and in what it says."""
    bad = Live("bad/one", "Bad", {"properties": {"a": {"type": 7}}, "required": 5}, AT)
    keep_overlay(path, URL, lives(bad))
    written = json.loads(path.read_text())
    written["models"] += [None, 7, {}, {"model": "x"}]
    path.write_text(json.dumps(written))

    made = with_overlay(REGISTRY, URL)

    assert "new/one" in made
    assert "bad/one" not in made
    assert "4 entries" in caplog.text
    assert "bad/one" in caplog.text


def test_an_overlay_changed_by_hand_sends_nothing_and_blows_nothing_up(path):
    """Defaults, patterns and prices that a file claims are not read."""
    odd = Live("new/one", "T", {"properties": {"a": {"type": "string", "default": "x", "pattern": "(a+)+$"}}}, AT)
    keep_overlay(path, URL, {"new/one": odd})

    made = with_overlay(REGISTRY, URL).get("new/one")

    assert validate(made, {}) == {}
    assert made.input("a").pattern is None


def test_jobs_are_checked_by_the_overlay_of_their_base_url_alone(path):
    """And by none where it is switched off; a new model is one of the market, of unknown price."""
    keep_overlay(path, URL, lives())

    def knows(**settings):
        return "new/one" in load_dispatcher(load_settings({"plugins": "none", **settings})).plugins.registry

    assert knows()
    assert not knows(overlay=False)
    assert not knows(base_url="https://gateway.example")
    client = Kie(plugins="none")
    assert (client.model("new/one").category, client.model("new/one").overlaid_at) == ("market", AT)
    assert "1 credit" in client.model("new/one").note


def test_a_job_beyond_its_row_is_bought_only_at_an_unknown_price(path, acme, monkeypatch):
    """Through the dispatcher, over the wire that the core itself speaks."""
    made = merged(attrs.evolve(KNOWN, category="acme"), live({"knob": {"type": "string"}}))
    dispatcher = load_dispatcher(load_settings({"plugins": "acme", "overlay": False}))
    dispatcher.plugins.registry = dispatcher.plugins.registry.replaced([made])

    def price(**inputs):
        return dispatcher.job("known/clip", {"prompt": "a", **inputs}, job_id="j").price

    assert (price().credits, price(resolution="720p").credits) == (Decimal(9), Decimal(4))
    assert price(knob="x").reserve is None
    with pytest.raises(InvalidJob):
        price(nothing=1)


def test_inputs_that_differ_are_told_and_those_that_do_not_are_not():
    """A new one, another limit, another type; a range around a list of the same values says nothing new."""
    said = live(
        {
            "prompt": {"type": "string", "maxLength": 10},
            "resolution": {"type": "string", "enum": ["720p", "1080p"], "minLength": 1},
            "duration": {"type": "number"},
            "knob": {"type": "boolean"},
        },
        ["prompt"],
    )

    found = [(one.here, one.kie) for one in differing_inputs(REGISTRY, {"known/clip": said, "family": said, "x": said})]

    assert found == [("duration: integer 3..10", "duration: number"), ("no knob", "knob: true or false")]
