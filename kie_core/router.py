"""Names of the original system: which category and endpoint a model of the V4 contract has, and its payload.

The same registry and the same validation as everywhere; nothing here sends anything.

>>> build_category_payload("gpt-4o-image", {"prompt": "cat"})
{'prompt': 'cat', 'size': '1024x1024', 'quality': 'standard'}
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, Final

import kie_registry
from kie_core._errors import UnknownModel
from kie_core._models.registry import bundled
from kie_core._models.validation import validate

__all__ = [
    "BASE_URL",
    "build_category_payload",
    "get_all_v4_models",
    "get_api_category_for_model",
    "get_api_endpoint_for_model",
    "get_base_url_for_category",
    "is_v4_model",
    "load_v4_source_of_truth",
]

#: Where every category is, unless its row says otherwise.
BASE_URL: Final = "https://api.kie.ai"


def load_v4_source_of_truth() -> dict[str, Any]:
    """Return the registry of the V4 contract as it stands in the file; ``["models"]`` has its six rows."""
    document: dict[str, Any] = json.loads(kie_registry.read(kie_registry.V4))
    return document


@functools.cache
def _rows() -> Mapping[str, dict[str, Any]]:
    return {row["model_id"]: row for row in load_v4_source_of_truth()["models"]}


def get_all_v4_models() -> list[dict[str, Any]]:
    """Return the six rows of the V4 contract, as they stand in the file; yours to change."""
    rows: list[dict[str, Any]] = load_v4_source_of_truth()["models"]
    return rows


def is_v4_model(model_id: str) -> bool:
    """Tell whether *model_id* is one of the six."""
    return isinstance(model_id, str) and model_id in _rows()


def get_api_category_for_model(model_id: str) -> str | None:
    """Return ``"veo3"``, ``"suno"`` ...; None: not a model of the V4 contract."""
    row = _rows().get(model_id)
    return None if row is None else row["api_category"]


def get_api_endpoint_for_model(model_id: str) -> str | None:
    """Return the path of the contract, such as ``"/veo3/text_to_video"``; None: not a model of the V4 contract.

    It is where a gateway of the V4 contract (``wire="v4"``) takes the job; Kie itself takes it elsewhere.
    """
    row = _rows().get(model_id)
    return None if row is None else row["api_endpoint"]


def get_base_url_for_category(category: str) -> str:
    """Return where the models of a category are, by the contract. A client goes to its setting ``base_url``."""
    return next((row["base_url"] for row in _rows().values() if row["api_category"] == category), BASE_URL)


def build_category_payload(model_id: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the V4 contract sends for a model: the checked inputs with their defaults. Sends nothing.

    Raises:
        UnknownModel: Not a model of the V4 contract; a `ValueError`.
        InvalidJob: The inputs do not fit; names every fault; a `ValueError`.
    """
    v4_model(model_id)
    return dict(validate(bundled().get(model_id), inputs))


def v4_model(model_id: str) -> str:
    """Return *model_id* if it is one of the six.

    Raises:
        UnknownModel: It is not.
    """
    if not is_v4_model(model_id):
        raise UnknownModel(model_id, tuple(id for id in bundled().near(str(model_id)) if is_v4_model(id)))
    return model_id
