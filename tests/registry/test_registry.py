"""The registries: the data, looking things up, and what happens to broken ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

import kie_registry
from kie_core import RegistryError, UnknownModel
from kie_core._registry import bundled, from_file, from_rows

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
