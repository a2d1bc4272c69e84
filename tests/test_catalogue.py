"""The live catalogue: Kie's answer becomes values or an error of ours, whatever it is made of."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kie_core import Catalogue, Listing, ReadFailed
from kie_core._catalogue.catalogue import MOST, answer_of, catalogue_of
from kie_core._jobs.answer import Answer, body_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
#: Source: docs.kie.ai, model discovery pages, read 2026-10-01.
BANANA = {
    "model": "nano-banana-pro",
    "slug": "nano-banana-pro",
    "title": "Nano Banana Pro",
    "provider": "Google",
    "taskType": ["Text to Image", "Image to Image"],
    "description": None,
    "pricingDesc": None,
}
DOCUMENTED = {"code": 200, "msg": "success", "data": {"total": 1, "models": [BANANA]}}

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters())
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))
#: Like an entry, but nothing in it is what it should be for sure.
ROWS = JSON | st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["a", "b/c", " a", "a\n", ""]) | st.text(max_size=300) | JSON,
        **dict.fromkeys(["slug", "title", "provider"], st.text(max_size=300) | JSON),
        "taskType": st.lists(st.text() | JSON, max_size=4) | JSON,
        **dict.fromkeys(["description", "pricingDesc"], st.text() | JSON),
    },
)
ANSWERS = st.builds(
    lambda code, data: {"code": code, "data": data},
    st.sampled_from([200, "200", 500, None, True]),
    st.builds(lambda total, models: {"total": total, "models": models}, JSON, st.lists(ROWS, max_size=8) | JSON) | JSON,
)


def answer(*rows, **more):
    return {"code": 200, "msg": "success", "data": {"models": list(rows), **more}}


def row(model="m", **more):
    return {**BANANA, "model": model, **more}


def read(body):
    return catalogue_of(body, NOW)


def only(**more):
    (listing,) = read(answer(row(**more))).models
    return listing


def texts(listing):
    return [text for text in (*attrs.astuple(listing)[:4], *listing.task_types, *attrs.astuple(listing)[5:]) if text]


def test_the_documented_answer_is_read():
    """Every field under our names."""
    assert read(DOCUMENTED) == Catalogue(
        (
            Listing(
                "nano-banana-pro", "nano-banana-pro", "Nano Banana Pro", "Google", ("Text to Image", "Image to Image"),
                None, None,
            ),
        ),
        NOW,
        total=1,
    )  # fmt: skip


@given(ANSWERS)
def test_any_answer_is_read_or_refused_in_our_words(body):
    """Nothing else is raised; every entry is a model or is counted; what is read can be shown, and is read again."""
    try:
        found = read(body)
    except ReadFailed:
        return

    rows = body["data"]["models"]
    assert len(found.models) + found.skipped == len(rows)
    assert len({one.model for one in found.models}) == len(found.models) > 0
    for listing in found.models:
        assert listing.model in [one.get("model") for one in rows if isinstance(one, dict)]
        assert all(text.isprintable() and text == text.strip() for text in texts(listing))
        json.dumps(attrs.asdict(listing)).encode("ascii")
    again = read(answer_of(found))
    assert again == attrs.evolve(found, skipped=0)


@pytest.mark.parametrize(
    "body",
    [
        {"code": 200, "data": None},
        {"code": 200, "data": []},
        {"code": 200, "data": {}},
        {"code": 200, "data": {"models": {"a": BANANA}}},
        {"code": 404, "msg": "not found", "data": None},
        {"data": DOCUMENTED["data"]},
        answer(),
        answer(None, 7, "nano-banana-pro", [BANANA], {}),
    ],
)
def test_an_answer_without_a_model_is_none(body):
    """Else an outage of Kie's would empty what is kept."""
    with pytest.raises(ReadFailed):
        read(body)


@pytest.mark.parametrize(
    "model",
    [
        None,
        7,
        True,
        "",
        " ",
        " a",
        "a ",
        "a  b",
        "a\nb",
        "a\0b",
        "a\x1b[2J",
        "a\u202eb",
        "a\ud800",
        "x" * 201,
        ["a"],
        {},
    ],
)
def test_an_entry_without_a_usable_id_is_skipped_and_counted(model):
    """An id goes into commands and messages as it stands, so it is not mended."""
    found = read(answer(row(), row(model), {**row(), "model": "other"}))

    assert [one.model for one in found.models] == ["m", "other"]
    assert found.skipped == 1


def test_the_first_of_two_with_one_id_counts():
    """The other is counted as skipped."""
    found = read(answer(row(title="first"), row(title="second")))

    assert [one.title for one in found.models] == ["first"]
    assert found.skipped == 1


def test_fields_of_the_wrong_type_are_not_told():
    """The model stays: its id is what counts."""
    odd = {
        "slug": 7,
        "title": ["x"],
        "provider": None,
        "taskType": "Text to Image",
        "description": 1,
        "pricingDesc": {},
    }

    assert only(**odd) == Listing("m", "", "m", "", (), None, None)
    assert only(taskType=["Chat", 7, None, "", "Chat", ["x"]]).task_types == ("Chat",)


def test_texts_are_one_line_that_moves_no_cursor():
    """Control characters, line ends and marks that turn the direction are gone; long texts are cut, visibly."""
    listing = only(
        title="A\x1b[31m\r\nB\t C\u202e",
        pricingDesc="1 credit\x00\nper image",
        description="x" * 9000,
        provider="\ud800\x07",
    )

    assert listing.title == "A[31m B C"
    assert listing.price_text == "1 credit per image"
    assert listing.description == "x" * 3999 + "…"
    assert listing.provider == ""


@pytest.mark.parametrize("total", [None, "218", -1, 1.5, True, float("inf"), 10**12, [218]])
def test_a_total_that_is_no_number_is_not_told(total):
    """Then nobody can say whether the list is whole."""
    assert read(answer(row(), total=total)).total is None
    assert read(answer(row(), total=218)).total == 218


def test_a_hundred_thousand_entries_are_not_looked_at():
    """The first ten thousand are, and the rest is counted."""
    found = read(answer(*(row(f"m{number}") for number in range(100_000))))

    assert (len(found.models), found.skipped) == (MOST, 100_000 - MOST)


def test_numbers_that_are_not_json_never_get_here():
    """They are refused before anybody looks for models."""
    with pytest.raises(ReadFailed):
        body_of(Answer(200, b'{"code": 200, "data": {"total": NaN, "models": []}}'))


def test_every_word_narrows_the_search():
    """In id, slug, title, provider, task types and description, in any case; without words all are found."""
    found = read(
        answer(
            row(
                "kling/v3",
                slug="k3",
                title="Kling 3",
                provider="Kling",
                taskType=["Image to Video"],
                description="Long shots",
            ),
            row("veo", slug="v", title="Veo", provider="Google", taskType=["Text to Video"]),
        )
    )

    def ids(*words):
        return [one.model for one in found.search(*words)]

    assert ids() == ids("video") == ["kling/v3", "veo"]
    assert ids("VIDEO", "google") == ["veo"]
    assert ids("long", "k3") == ["kling/v3"]
    assert ids("video", "nothing") == []
