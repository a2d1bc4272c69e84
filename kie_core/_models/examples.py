"""Inputs that a model takes, for help texts and tests."""

from __future__ import annotations

import copy
from typing import Any

from kie_core._errors import InvalidJob
from kie_core._models.field import Field
from kie_core._models.model import Model
from kie_core._models.validation import validate


def example_inputs(model: Model) -> dict[str, Any]:
    """Return inputs that *model* takes: its registry's example, else the least.

    That is every required one, and one of each group of which one is needed.
    """
    if model.example:
        return copy.deepcopy(dict(model.example))
    inputs = {field.name: example_value(field) for field in model.inputs if field.required and not field.has_default}
    for _ in model.rules:  # a rule may ask for an input on which another rule depends
        try:
            validate(model, inputs)
        except InvalidJob as error:
            inputs |= {
                fault.field: example_value(field) for fault in error.faults if (field := model.input(fault.field))
            }
    return inputs


def example_value(field: Field) -> Any:
    """Return a value that *field* takes."""
    if field.enum is not None:
        return field.enum[0]
    match field.type:
        case "array":
            return [example_value(field.items) if field.items is not None else "text"] * (field.min_items or 1)
        case "object":
            return {member.name: example_value(member) for member in field.fields if member.required}
        case "integer":
            return int(field.minimum or field.maximum or 1)
        case "number":
            return field.minimum or field.maximum or 1
        case "boolean":
            return False
        case _:
            if field.examples:
                return field.examples[0]
            text = "https://example.com/in.png" if field.format == "uri" else "a cute cat"
            return text.ljust(field.min_length or 0, ".")[: field.max_length]
