"""All models of all registries: the bundled files, the user's own file, and rows that plugins bring."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

import kie_registry
from kie_core._models.model import Later, Model, Part, T, at_once, model_from_row
from kie_core._models.row import RowError

if TYPE_CHECKING:
    from kie_core._errors import RegistryError


@attrs.frozen(repr=False)
class Registry:
    """Models by id, in the order of their sources."""

    _models: Mapping[str, Model]
    #: What the vendor called a model before -> its id.
    _moved: Mapping[str, str] = attrs.field(factory=dict)

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
            UnknownModel: With the nearest ids, or with the new one of a model that the vendor renamed.
        """
        try:
            return self._models[model_id]
        except KeyError:
            from kie_core._errors import UnknownModel

            moved_to = self._moved.get(model_id)
            near = self.near(str(model_id)) if moved_to is None else (moved_to,)
            raise UnknownModel(model_id, near, moved_to) from None

    def moved_to(self, model_id: str) -> str | None:
        """Return the id of the model that the vendor called *model_id* before; None: nothing was called so."""
        return self._moved.get(model_id)

    def replaced(self, models: Iterable[Model]) -> Registry:
        """Return a registry with *models* in place of those of the same ids, and beside all others."""
        return Registry({**self._models, **{model.id: model for model in models}}, self._moved)

    def near(self, model_id: str) -> tuple[str, ...]:
        """Return up to three ids that look like *model_id*, those that lists show first."""
        from difflib import get_close_matches

        shown = [model.id for model in self if _is_listed(model)]
        return tuple(get_close_matches(model_id, shown, 3, 0.6) or get_close_matches(model_id, self._models, 3, 0.6))

    def search(self, words: Iterable[str] = (), *, everything: bool = False) -> list[Model]:
        """Return the models in whose id, title, text, category or vendor every word occurs.

        Args:
            words: Compared without case.
            everything: Also the hidden ones, which are the 210 legacy ids, and those that are gone.
        """
        wanted = [word.casefold() for word in words]
        return [
            model
            for model in self
            if (everything or _is_listed(model)) and all(word in _text(model) for word in wanted)
        ]

    def extended(self, models: Iterable[Model]) -> Registry:
        """Return a registry that also holds *models*.

        Raises:
            RegistryError: Two sources bring the same id.
        """
        merged, moved = dict(self._models), dict(self._moved)
        for model in models:
            if model.id in merged:
                raise _broken(
                    model.origin,
                    f"model {model.id!r} is already brought by {merged[model.id].origin}; rename one of them",
                )
            merged[model.id] = model
            for older in model.older_ids:
                if moved.setdefault(older, model.id) != model.id:
                    raise _broken(model.origin, f"{older!r} is an old name of {moved[older]!r} and {model.id!r}")
        for older in moved.keys() & merged.keys():
            raise _broken(merged[older].origin, f"model {older!r} is also an old name of {moved[older]!r}")
        return Registry(merged, moved)


def _is_listed(model: Model) -> bool:
    return not model.hidden and model.status != "gone"


def _text(model: Model) -> str:
    return f"{model.id} {model.title} {model.what} {model.category} {model.vendor}".casefold()


@functools.cache
def bundled() -> Registry:
    """Return the 216 models that come with kie-core, read once per process."""
    return Registry({}).extended(
        model
        for name in kie_registry.FILES
        for model in models_from_text(
            kie_registry.read(name), kie_registry.path(name), hidden=name == kie_registry.V3, later=True
        )
    )


def from_file(path: Path) -> list[Model]:
    """Return the models of a registry file of the user's own.

    Raises:
        RegistryError: It cannot be read, is not JSON, or a row breaks the format; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _broken(str(path), f"cannot be read: {error}") from error
    return models_from_text(text, str(path))


def from_rows(rows: Any, origin: str) -> list[Model]:
    """Return the models of rows that a plugin brought.

    Raises:
        RegistryError: A row breaks the format.
    """
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, Mapping)):
        raise _broken(origin, f"register_models() gave {type(rows).__name__}; expected a list of rows")
    models = []
    for at, row in enumerate(rows):
        try:
            models.append(_model(row, origin=origin))
        except RowError as error:
            raise _broken(origin, f"row {at} of register_models(){_named(row)}: {error}") from error
    return models


def models_from_text(
    text: str, source: str, *, origin: str | None = None, hidden: bool = False, later: bool = False
) -> list[Model]:
    """Return the models of a registry file: ``{"models": [row, ...], "api_category": default}``.

    Args:
        text: The file's.
        source: The file, for messages.
        origin: Who brought it; None: the file.
        hidden: Whether lists leave the models out.
        later: Build inputs and rules when they are asked for; what is wrong with them is raised then, or by `whole`.
    """
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise _broken(source, f"is not JSON: {error.msg} at column {error.colno}", error.lineno) from error
    except RecursionError as error:
        raise _broken(source, "is nested too deeply to be a registry") from error
    rows = document.get("models") if isinstance(document, dict) else None
    if not isinstance(rows, list):
        raise _broken(source, 'expected an object with a list "models"', 1)
    models, category = [], document.get("api_category")
    for at, row in enumerate(rows):
        part = _later(source, f"models[{at}]{_named(row)}") if later else at_once
        try:
            models.append(_model(row, category=category, origin=origin or source, hidden=hidden, part=part))
        except RowError as error:
            raise _broken(source, f"models[{at}]{_named(row)}: {error}", _line_of_row(text, at)) from error
    return models


def whole(models: Iterable[Model]) -> None:
    """Build what *models* have left for later.

    Raises:
        RegistryError: A row breaks the format.
    """
    for model in models:
        _ = model.inputs, model.rules


def _later(source: str, place: str) -> Callable[[Callable[[], tuple[T, ...]]], Part[T]]:
    return lambda build: Later(build, lambda error: _broken(source, f"{place}: {error}"))


def _broken(source: str, problem: str, line: int | None = None) -> RegistryError:
    from kie_core._errors import RegistryError

    return RegistryError(source, problem, line)


def _model(row: Any, **more: Any) -> Model:
    if not isinstance(row, Mapping):
        raise RowError(f"is {row!r}; expected an object")
    return model_from_row(row, **more)


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
