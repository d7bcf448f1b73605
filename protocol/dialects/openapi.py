"""The OpenAPI document of the routes, made of the models that they read and write. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaMode, models_json_schema

_REFERENCE = "#/components/schemas/{model}"
_PARAMETER = re.compile(r"{(\w+)(?::\w+)?}")
_ERROR = {
    "description": "an error, in the shape of the route's dialect",
    "content": {"application/json": {"schema": {"type": "object", "required": ["error"]}}},
}


Shape = type[BaseModel]
"""What a body or an answer must be."""
References = Mapping[Any, dict[str, Any]]
"""Schemas by model and mode, as pydantic keys them."""


@dataclass(frozen=True, slots=True)
class DescribedRoute:
    """A method and a path, with the shapes that they read and write."""

    method: str
    path: str
    """Parameters in braces; what follows a colon there is how they are matched, and no part of the document."""
    summary: str
    asks: Shape | None = None
    """What the body must be; ``None``: there is none."""
    answers: Shape | None = None
    """What a success holds; ``None``: an object of no fixed shape."""


def openapi(operations: Iterable[DescribedRoute], version: str) -> dict[str, Any]:
    """The document, of OpenAPI 3.1. Bodies are described as they are read, answers as they are written."""
    operations = tuple(operations)
    models: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
    for one in operations:
        if one.asks is not None:
            models[one.asks, "validation"] = None
        if one.answers is not None:
            models[one.answers, "serialization"] = None
    references, definitions = models_json_schema(tuple(models), ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for one in operations:
        path = _PARAMETER.sub(r"{\1}", one.path)
        paths.setdefault(path, {})[one.method.lower()] = _operation(one, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "weos-engine", "version": version},
        "paths": paths,
        "components": {"schemas": definitions.get("$defs", {})},
    }


def _operation(one: DescribedRoute, references: References) -> dict[str, Any]:
    content: dict[str, Any] = {"summary": one.summary, "responses": {"200": _success(one, references)}}
    content["responses"]["default"] = _ERROR
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(one.path)
    ]
    if parameters:
        content["parameters"] = parameters
    if one.asks is not None:
        schema = references[one.asks, "validation"]
        needed = not _is_valid({}, one.asks)
        content["requestBody"] = {"required": needed, "content": {"application/json": {"schema": schema}}}
    return content


def _is_valid(content: dict[str, Any], shape: Shape) -> bool:
    try:
        shape.model_validate(content)
    except ValidationError:
        return False
    return True


def _success(one: DescribedRoute, references: References) -> dict[str, Any]:
    schema = {"type": "object"} if one.answers is None else references[one.answers, "serialization"]
    return {"description": "the answer", "content": {"application/json": {"schema": schema}}}
