"""Inputs as they are typed: ``k=v`` by the model's types, ``k=@file``, and whole files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import rich_click as click

from kie_core._model import Field, Model

_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read_inputs(model: Model, pairs: Iterable[str], file: str | None) -> dict[str, Any]:
    """Return the inputs that were typed; a pair wins over the file.

    A list is given item by item (``k=a k=b``) or as JSON. What does not fit the
    type is left as text, for the validation to report with everything else.

    Raises:
        click.UsageError: A pair has no ``=``, is doubled, or a file cannot be read.
    """
    inputs: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{pair!r} is not an input; expected name=value")
        field = model.input(name)
        value = _typed(field, _content(text))
        if name not in inputs:
            inputs[name] = value
        elif field is not None and field.type == "array":
            inputs[name] = [*inputs[name], *value]
        else:
            raise click.UsageError(f"{name} is given twice")
    return {**(_object(file) if file is not None else {}), **inputs}


def _content(text: str) -> str:
    if text.startswith("@@"):
        return text[1:]
    if not text.startswith("@"):
        return text
    return _read(text[1:]).removesuffix("\n")


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {path!r}: {error}; a text file in UTF-8 is expected") from error


def _object(path: str) -> dict[str, Any]:
    try:
        value = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{path!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{path!r} holds a {type(value).__name__}; expected an object of inputs")
    return value


def _typed(field: Field | None, text: str) -> Any:
    if field is None:
        return text
    match field.type:
        case "integer" | "number":
            return _number(text)
        case "boolean":
            lowered = text.lower()
            return True if lowered in _TRUE else False if lowered in _FALSE else text
        case "array":
            value = _json(text) if text.lstrip().startswith("[") else None
            return value if isinstance(value, list) else [_typed(field.items, text)]
        case "object":
            return _json(text)
        case _:
            return text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
