"""The registries: the data, looking things up, and what happens to broken ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest

import kie_registry
from kie_core import Kie, KieBlocking, RegistryError, UnknownModel, load_dispatcher, load_settings
from kie_core._models.model import model_from_row
from kie_core._models.price import Rates, quote
from kie_core._models.registry import bundled, from_file, from_rows, models_from_text, whole
from kie_core._models.validation import validate

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
SCHEMA = json.loads(HERE.joinpath("schema.json").read_text())
CONTRACT = json.loads(HERE.joinpath("contract_v4.json").read_text())
ROW = {
    "model_id": "acme-sketch",
    "title": "Acme Sketch",
    "api_category": "acme",
    "output_type": "image/png",
    "input_schema": {"required": ["prompt"], "properties": {"prompt": {"type": "string"}}},
}


def written(folder, *rows):
    path = folder / "models.json"
    path.write_text(json.dumps({"version": "1", "models": rows}, indent=1))
    return path


@pytest.mark.parametrize("name", kie_registry.FILES)
def test_the_bundled_files_keep_their_schema(name):
    """Both files satisfy the schema; the schema itself is sound."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(json.loads(kie_registry.read(name))))

    assert errors == []


PAGE = HERE.parents[1].joinpath("docs", "registry.md").read_text(encoding="utf-8")


def test_the_row_of_the_page_is_a_model():
    """It satisfies the schema and the loader, and costs what the page says."""
    row = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])
    (model,) = from_rows([row], "the page")

    price = quote(model, validate(model, {"prompt": "a", "duration": "4"}), "jobs", Rates(Decimal(100), Decimal(1)))

    jsonschema.Draft202012Validator(SCHEMA).validate({"version": "1", "models": [row]})
    assert (price.credits, price.wire) == (16, 800)


@pytest.mark.parametrize("part", ["row", "property", "rule", "charge", "count", "file"])
def test_every_key_of_the_format_is_on_the_page(part):
    """The schema and the page agree; keys that only the bundled files use stand in neither's tables alone."""
    bundled_only = {"display_name", "base_url", "modality", "category", "usd_per_run", "enabled", "verified", "wires"}

    missing = {key for key in SCHEMA["$defs"][part]["properties"] if f"`{key}`" not in PAGE and f'"{key}"' not in PAGE}

    assert missing <= bundled_only


def contains(ours, theirs):
    if isinstance(theirs, dict):
        return all(key in ours and contains(ours[key], value) for key, value in theirs.items())
    return ours == theirs


@pytest.mark.parametrize("row", CONTRACT, ids=lambda row: row["model_id"])
def test_the_contract_of_the_six_is_kept_to_the_letter(row):
    """Every key and value of the original contract stands in our file; we only add."""
    ours = {row["model_id"]: row for row in json.loads(kie_registry.read(kie_registry.V4))["models"]}

    assert contains(ours[row["model_id"]], row)


@pytest.mark.parametrize("row", CONTRACT, ids=lambda row: row["model_id"])
def test_further_inputs_never_change_the_params_of_the_contract(row):
    """Inputs that the contract lacks are optional and have no default."""
    model = bundled().get(row["model_id"])

    extra = [field for field in model.inputs if field.name not in row["input_schema"]["properties"]]

    assert not [field.name for field in extra if field.required or field.has_default]


def test_there_are_six_models_and_210_legacy_ids():
    """The legacy ids are hidden from lists; 179 run, 22 are gone, 9 are unclear."""
    shown = [model for model in bundled() if not model.hidden]
    legacy = [model for model in bundled() if model.hidden]

    assert len(shown) == 6
    assert Counter(model.status for model in legacy) == {"current": 179, "gone": 22, "unclear": 9}


def test_a_file_is_read_once_per_process():
    """Two loads hand out the same frozen values."""
    assert bundled() is bundled()
    assert kie_registry.read.cache_info().misses <= len(kie_registry.FILES)


async def test_the_files_are_parsed_once_however_many_clients_are_opened(monkeypatch):
    """Counted from a process that has parsed nothing yet: two files, for any number of clients and threads."""
    parsed = []

    def counted(text, source, **more):
        parsed.append(source)
        return models_from_text(text, source, **more)

    monkeypatch.setattr("kie_core._models.registry.models_from_text", counted)
    bundled.cache_clear()
    async with Kie(), Kie("0123456789abcdef", wire="jobs"):
        with KieBlocking(), KieBlocking():
            load_dispatcher(load_settings())

    assert parsed == [kie_registry.path(name) for name in kie_registry.FILES]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("gpt4o-image", "gpt-4o-image"), ("gpt-4o-imag", "gpt-4o-image"), ("veo-3", "veo3"), ("suno_v4", "suno-v4")],
)
def test_a_near_miss_is_suggested(typed, meant):
    """An unknown id names the id that was probably meant."""
    with pytest.raises(UnknownModel) as caught:
        bundled().get(typed)

    assert caught.value.suggestions[0] == meant
    assert f"did you mean {meant!r}" in str(caught.value)


def test_an_id_that_resembles_nothing_names_the_command_that_lists_all():
    """Where no suggestion can be made the message still has a next step."""
    with pytest.raises(UnknownModel, match="kie models --all"):
        bundled().get("\u2603" * 12)


def test_every_word_narrows_the_search():
    """Words are joined by and, compared without case."""
    assert [model.id for model in bundled().search(["GOOGLE", "fast"])] == ["veo3_fast"]
    assert len(bundled().search(["kling"], everything=True)) > len(bundled().search(["kling"])) == 0


def test_a_file_of_the_users_own_adds_to_the_bundled_ones(tmp_path):
    """KIE_REGISTRY brings further models."""
    registry = bundled().extended(from_file(written(tmp_path, ROW)))

    assert registry.get("acme-sketch").category == "acme"
    assert len(registry) == len(bundled()) + 1


def test_an_old_name_leads_to_the_new_one_and_finds_no_model():
    """The vendor renamed it: the error says to what, and nobody buys it by accident."""
    registry = bundled().extended(from_rows([{**ROW, "older_ids": ["acme-scrawl"]}], "plugin acme"))

    with pytest.raises(UnknownModel, match="'acme-scrawl' is an old name, the model moved to 'acme-sketch'") as caught:
        registry.get("acme-scrawl")

    assert caught.value.moved_to == "acme-sketch"
    assert "acme-scrawl" not in registry


def test_an_old_name_that_is_the_id_of_a_model_is_a_clash():
    """Two models behind one word would be a matter of luck, in whichever order they come."""
    renamed, other = {**ROW, "older_ids": ["acme-scrawl"]}, {**ROW, "model_id": "acme-scrawl"}

    for rows in ([renamed, other], [other, renamed], [renamed, {**renamed, "model_id": "acme-two"}]):
        with pytest.raises(RegistryError, match="acme-scrawl"):
            bundled().extended(from_rows(rows, "plugin acme"))


def test_what_is_gone_is_listed_only_among_everything():
    """A list is there to choose from."""
    registry = bundled().extended(from_rows([{**ROW, "status": "gone", "note": "withdrawn"}], "plugin acme"))

    assert registry.search(["sketch"]) == []
    assert [model.id for model in registry.search(["sketch"], everything=True)] == ["acme-sketch"]


def test_a_clash_names_both_sources(tmp_path):
    """One id from two sources is an error, not a matter of luck."""
    path = written(tmp_path, {**ROW, "model_id": "veo3"})

    with pytest.raises(RegistryError) as caught:
        bundled().extended(from_file(path))

    assert str(path) in str(caught.value)
    assert kie_registry.V4 in str(caught.value)


def test_broken_json_names_file_line_and_column(tmp_path):
    """A slip of the pen is found at once."""
    path = tmp_path / "models.json"
    path.write_text('{\n "models": [\n  {"model_id": "a",}\n ]\n}')

    with pytest.raises(RegistryError) as caught:
        from_file(path)

    assert caught.value.line == 3
    assert "column" in str(caught.value)


BROKEN = [
    ({"title": None}, "title"),
    ({"output_type": "smell/rose"}, "output_type is 'smell/rose'; expected one that begins with image"),
    ({"modell_id": "x"}, "unknown key 'modell_id'; did you mean 'model_id'?"),
    ({"api_endpoint": "sketch"}, "api_endpoint is 'sketch'; expected a path"),
    ({"rub_per_use": -1}, "rub_per_use is -1"),
    ({"status": "sleeping"}, "status is 'sleeping'; expected one of current"),
    ({"input_schema": {"properties": {"prompt": {"type": "text"}}}}, "prompt.type is 'text'; expected one of string"),
    ({"input_schema": {"properties": {"prompt": {"type": "string", "maxlength": 3}}}}, "did you mean 'maxLength'?"),
    ({"input_schema": {"required": ["prompt"], "properties": {}}}, "names 'prompt', which is not in"),
    ({"rules": [{"require": ["nothing"]}]}, "rules[0] names 'nothing'"),
    ({"rules": "none"}, "rules is 'none'; expected a list"),
    ({"wire_pricing": {"rows": [{"credit": 3}]}}, "did you mean 'credits'?"),
    ({"wire_pricing": {"rows": [{"credits": "abc"}]}}, "credits is 'abc'; expected a number"),
    ({"wire_pricing": {"rows": [{"credits": -5}]}}, "credits is -5"),
    ({"wire_pricing": {"rows": [{"credits": 5, "when": {"a": {"foo": 1}}}]}}, "when.a is {'foo': 1}; expected a value"),
    (
        {"input_schema": {"properties": {"prompt": {"type": "string", "maxLength": "5"}}}},
        "maxLength is '5'; expected a whole number",
    ),
    ({"input_schema": {"properties": {"prompt": {"type": "string", "pattern": "["}}}}, "pattern is '['"),
    ({"input_schema": {"properties": {"n": {"type": "integer", "default": "abc"}}}}, "the default of n"),
    ({"input_schema": {"properties": {"n": {"type": "integer", "vendorDefault": "abc"}}}}, "Kie's default of n"),
    ({"input_schema": {"properties": {"n": {"type": "string", "file": {"megabyte": 3}}}}}, "n.file has an unknown key"),
    ({"rules": [{"total": {"of": [{"items": "prompt"}]}}]}, "rules[0].total is"),
    ({"rules": [{"total": {"of": [{"items": "images"}], "most": 3}}]}, "rules[0].total names 'images'"),
    ({"wire_pricing": {"rows": [{"credits": 5, "times": {"value": "seconds"}}]}}, "times names 'seconds'"),
    ({"wire_pricing": {"rows": [{"credits": 5, "times": "often"}]}}, "times: 'often'; expected"),
    ({"wire_pricing": {"extras": [{"credits": -1}]}}, "credits is -1"),
    ({"older_ids": "acme"}, "older_ids is 'acme'; expected a list"),
    ({"older_ids": [["acme"]]}, "older_ids is [['acme']]; expected a list of texts"),
    ({"wires": [1]}, "wires is [1]; expected a list of texts"),
    ({"unit": 5}, "unit is 5; expected a text"),
    ({"vendor": None}, "vendor is None; expected a text"),
    ({"input_schema": {"required": [["n"]], "properties": {}}}, "required is [['n']]; expected a list of texts"),
    ({"input_schema": {"properties": {"n": {"type": "string", "format": 5}}}}, "n.format is 5; expected a text"),
    ({"rules": [{"limit": {"prompt": 5}}]}, "rules[0].limit.prompt is 5; expected an object"),
    ({"rules": [{"if": {"promt": 1}, "forbid": ["prompt"]}]}, "rules[0].if names 'promt'"),
    ({"wire_pricing": {"rows": 5}}, "wire_pricing.rows is 5; expected a list"),
    ({"wire_pricing": {"rows": ["x"]}}, "wire_pricing.rows has 'x'; expected an object"),
    ({"wire_pricing": {"rows": [], "extra": [{"credits": 5}]}}, "unknown key 'extra'; did you mean 'extras'?"),
    ({"wire_pricing": {"rows": [], "extras": None}}, "wire_pricing.extras is None; expected a list"),
    ({"wire_pricing": {"rows": [{"credits": 5, "wires": "jobs"}]}}, "wires is 'jobs'; expected a list"),
    ({"wire_pricing": {"rows": [{"credits": 5, "when": {"promt": "x"}}]}}, "rows.when names 'promt'"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN)
def test_a_broken_row_is_one_clear_error_with_its_line(tmp_path, change, said):
    """The message has the path, the line on which the row begins, and what was expected."""
    path = written(tmp_path, {**ROW, "model_id": "fine"}, {**ROW, **change})

    with pytest.raises(RegistryError) as caught:
        from_file(path)

    begins = [number for number, line in enumerate(path.read_text().splitlines(), 1) if line == "  {"]
    assert caught.value.line == begins[1]
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{}", '{"models": {}}', "3", "null"])
def test_json_that_is_no_registry_says_what_was_expected(tmp_path, text):
    """The outermost shape is checked too."""
    path = tmp_path / "models.json"
    path.write_text(text)

    with pytest.raises(RegistryError, match='a list "models"'):
        from_file(path)


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    """A missing file is named."""
    with pytest.raises(RegistryError, match="nowhere.json.*cannot be read"):
        from_file(tmp_path / "nowhere.json")


@pytest.mark.parametrize("rows", [3, "rows", {"model_id": "a"}, [3], [{}]])
def test_rows_of_a_plugin_are_checked_like_a_file(rows):
    """What a plugin brings is named after the plugin."""
    with pytest.raises(RegistryError, match="plugin acme"):
        from_rows(rows, "plugin acme")


BROKEN = {**ROW, "model_id": "acme-broken", "rules": [{"require": ["pencil"]}]}
WRONG = {**ROW, "model_id": "acme-wrong", "input_schema": {"properties": {"prompt": {"type": "strin"}}}}


def test_a_model_whose_parts_are_built_later_is_the_same_model():
    """Whoever looks at it cannot tell."""
    (later,) = models_from_text(json.dumps({"models": [ROW]}), "here", later=True)
    once = model_from_row(ROW, origin="here")

    assert later == once
    assert repr(later) == repr(once)
    assert later != model_from_row({**ROW, "input_schema": {}}, origin="here")
    assert later.inputs is later.inputs


def test_what_is_wrong_with_a_later_part_is_said_when_it_is_asked_for():
    """With the file and the model; what a list shows is there."""
    found = models_from_text(json.dumps({"models": [ROW, BROKEN, WRONG]}), "here.json", later=True)

    assert [model.title for model in found] == ["Acme Sketch"] * 3
    with pytest.raises(RegistryError, match=r"here.json: models\[1\] \('acme-broken'\): rules\[0\] names 'pencil'"):
        _ = found[1].rules
    for _again in range(2):
        with pytest.raises(RegistryError, match=r"here.json: models\[2\] \('acme-wrong'\): .*type is 'strin'"):
            _ = found[2].inputs


def test_models_are_read_wholly_on_demand():
    """Rules as well as inputs."""
    whole(models_from_text(json.dumps({"models": [ROW]}), "here.json", later=True))
    for row in (BROKEN, WRONG):
        with pytest.raises(RegistryError, match="here.json"):
            whole(models_from_text(json.dumps({"models": [ROW, row]}), "here.json", later=True))


@pytest.mark.parametrize("row", [BROKEN, WRONG])
def test_a_file_of_the_users_own_is_read_wholly_at_once(tmp_path, row):
    """With the line; and so are the rows that a plugin computes."""
    with pytest.raises(RegistryError, match="line"):
        from_file(written(tmp_path, ROW, row))
    with pytest.raises(RegistryError, match="plugin acme"):
        from_rows([ROW, row], "plugin acme")


def test_the_bundled_rows_have_nothing_wrong_with_them():
    """Their parts are built later, so that this is where it would be seen."""
    whole(bundled())
