"""All models of all registries: the bundled files, the user's own file, and rows that plugins bring."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import attrs

import kie_registry
from kie_core._errors import RegistryError, UnknownModel
from kie_core._model import Model, RowError, model_from_row
from kie_core._validation import default_fault


@attrs.frozen(repr=False)
class Registry:
    """Models by id, in the order of their sources."""

    _models: Mapping[str, Model]

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} models>"

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._models

    def get(self, model_id: str) -> Model:
        """Return the model called *model_id*.

        Raises:
            UnknownModel: With the nearest ids.
        """
        try:
            return self._models[model_id]
        except KeyError:
            raise UnknownModel(model_id, self.near(model_id)) from None

    def near(self, model_id: str) -> tuple[str, ...]:
        """Return up to three ids that look like *model_id*, the six of the V4 contract first."""
        shown = [model.id for model in self if not model.hidden]
        return tuple(get_close_matches(model_id, shown, 3, 0.6) or get_close_matches(model_id, self._models, 3, 0.6))

    def search(self, words: Iterable[str] = (), *, everything: bool = False) -> list[Model]:
        """Return the models in whose id, title, text, category or vendor every word occurs.

        Args:
            words: Compared without case.
            everything: Also the hidden ones: the 210 legacy ids.
        """
        wanted = [word.casefold() for word in words]
        return [
            model for model in self if (everything or not model.hidden) and all(word in _text(model) for word in wanted)
        ]

    def extended(self, models: Iterable[Model]) -> Registry:
        """Return a registry that also holds *models*.

        Raises:
            RegistryError: Two sources bring the same id.
        """
        merged = dict(self._models)
        for model in models:
            if model.id in merged:
                raise RegistryError(
                    model.origin,
                    f"model {model.id!r} is already brought by {merged[model.id].origin}; rename one of them",
                )
            merged[model.id] = model
        return Registry(merged)


def _text(model: Model) -> str:
    return f"{model.id} {model.title} {model.what} {model.category} {model.vendor}".casefold()


@functools.cache
def bundled() -> Registry:
    """Return the 216 models that come with kie-core, read once per process."""
    return Registry({}).extended(
        model
        for name in kie_registry.FILES
        for model in models_from_text(kie_registry.read(name), kie_registry.path(name), hidden=name == kie_registry.V3)
    )


def from_file(path: Path) -> list[Model]:
    """Return the models of a registry file of the user's own.

    Raises:
        RegistryError: It cannot be read, is not JSON, or a row breaks the format; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RegistryError(str(path), f"cannot be read: {error}") from error
    return models_from_text(text, str(path))


def from_rows(rows: Any, origin: str) -> list[Model]:
    """Return the models of rows that a plugin brought.

    Raises:
        RegistryError: A row breaks the format.
    """
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, Mapping)):
        raise RegistryError(origin, f"register_models() gave {type(rows).__name__}; expected a list of rows")
    models = []
    for at, row in enumerate(rows):
        try:
            models.append(_model(row, origin=origin))
        except RowError as error:
            raise RegistryError(origin, f"row {at} of register_models(){_named(row)}: {error}") from error
    return models


def models_from_text(text: str, source: str, *, hidden: bool = False) -> list[Model]:
    """Return the models of a registry file: ``{"models": [row, ...], "api_category": default}``."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise RegistryError(source, f"is not JSON: {error.msg} at column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise RegistryError(source, "is nested too deeply to be a registry") from error
    rows = document.get("models") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise RegistryError(source, 'expected an object with a list "models"', 1)
    models = []
    for at, row in enumerate(rows):
        try:
            models.append(_model(row, category=document.get("api_category"), origin=source, hidden=hidden))
        except RowError as error:
            raise RegistryError(source, f"models[{at}]{_named(row)}: {error}", _line_of_row(text, at)) from error
    return models


def _model(row: Any, **more: Any) -> Model:
    if not isinstance(row, Mapping):
        raise RowError(f"is {row!r}; expected an object")
    model = model_from_row(row, **more)
    for field in model.inputs:
        fault = default_fault(field)
        if fault is not None:
            raise RowError(fault)
    return model


def _named(row: Any) -> str:
    return f" ({row['model_id']!r})" if isinstance(row, Mapping) and "model_id" in row else ""


def _line_of_row(text: str, wanted: int) -> int:
    """Find the line on which row *wanted* of "models" begins. Only for messages: walks the text again."""
    decoder = json.JSONDecoder()
    at = text.index("[", text.index('"models"')) + 1
    for _ in range(wanted):
        at = _skip(text, at)
        at = _skip(text, decoder.raw_decode(text, at)[1])
    return text.count("\n", 0, _skip(text, at)) + 1


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n,":
        at += 1
    return at
