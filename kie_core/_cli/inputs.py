"""Inputs as they are typed: ``k=v`` by the model's types, ``k=@file``, and whole files.

``@file`` is the text of a file; where an input takes a URL, it is the file itself, to be uploaded. So is
``"@file"`` inside of JSON that is typed.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from kie_core._models.field import Field
    from kie_core._models.model import Model

P = ParamSpec("P")
R = TypeVar("R")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def read_inputs(model: Model | None, pairs: Iterable[str], file: str | None, *, raw: bool = False) -> dict[str, Any]:
    """Return the inputs that were typed; a pair wins over the file.

    With *raw* a name that the model lacks is typed by what it looks like: JSON if it is JSON, else text.

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
        field = None if model is None else model.input(name)
        if not raw and _takes_file(field, text):
            value = _file(field, text)
        else:
            content = _content(text)
            value = _literal(content) if raw and field is None else _typed(field, content)
            if not raw and field is not None and text[:1] in ("[", "{"):  # typed here, not read from somewhere
                value = _with_files(field, value)
        if name not in inputs:
            inputs[name] = value
        elif field is not None and field.type == "array":
            inputs[name] = [*inputs[name], *value]
        else:
            raise click.UsageError(f"{name} is given twice")
    return {**(_object(file) if file is not None else {}), **inputs}


def _takes_file(field: Field | None, text: str) -> bool:
    takes_url = field is not None and "uri" in (field.format, field.items and field.items.format)
    return takes_url and text.startswith("@") and not text.startswith("@@")


def _file(field: Field | None, text: str) -> Any:
    """Return what stands for a file in place of a URL."""
    path = text[1:]
    try:
        file: Any = sys.stdin.buffer if path == "-" else Path(path).expanduser()
    except RuntimeError as error:
        raise click.UsageError(f"cannot read {path!r}: {error}") from error
    return [file] if field is not None and field.type == "array" else file


def _with_files(field: Field, value: Any) -> Any:
    """Return *value* with a file for each ``"@path"`` that stands inside of it where a URL is taken."""
    if isinstance(value, list) and field.items is not None:
        return [_with_files(field.items, item) for item in value]
    if isinstance(value, dict):
        members = {member.name: member for member in field.fields}
        return {name: _with_files(members[name], item) if name in members else item for name, item in value.items()}
    return _file(field, value) if isinstance(value, str) and _takes_file(field, value) else value


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


def _literal(text: str) -> Any:
    """Return what *text* is as JSON, else the text itself; NaN is a word here."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(word: str) -> Any:
    raise ValueError(word)


def check_raw(price_credits: float | None, *, raw: bool) -> None:
    """Refuse a price that nobody asked for, or that is none."""
    if price_credits is not None and not raw:
        raise click.UsageError("--price-credits goes with --raw; elsewhere the registry knows the price")
    if price_credits is not None and not 0 < price_credits < math.inf:
        raise click.UsageError("--price-credits expects a number of credits above 0")


def raw_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add ``--raw`` and ``--price-credits``."""
    raw = click.option(
        "--raw",
        is_flag=True,
        help="Send MODEL and the inputs to createTask as they are, unchecked, known or not; the price is unknown.",
    )
    price = click.option(
        "--price-credits", type=float, metavar="N", help="With --raw: the credits that you expect it to cost."
    )
    return raw(price(command))
