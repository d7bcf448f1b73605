"""The base of every value that crosses a boundary: frozen, strict, closed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

Fields = ParamSpec("Fields")
NonNegative = Annotated[float, Field(ge=0)]
JSON_DEPTH = 64
"""Levels of containers that a JSON value of a client's own may nest."""
Fraction = Annotated[float, Field(ge=0, le=1)]


class Value(BaseModel):
    """A frozen record. Unknown fields, implicit conversions and non-finite floats are refused.

    Sequences are tuples, and may be given as lists.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
    )

    def wire_fields(self) -> dict[str, Any]:
        """The fields as msgpack can hold them."""
        return self.__dict__

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A schema by which the first wrong element of a sequence is told and no other: a stranger may send 100,000."""
        schema = handler(source)
        set_on_sequences(schema, cls, fail_fast=True, strict=False)
        return schema


def set_on_sequences(schema: Any, owner: type[BaseModel], **options: bool) -> None:
    """Set options of each sequence's schema, but for those of other models, which have been here already."""
    if isinstance(schema, list):
        for each in schema:
            set_on_sequences(each, owner, **options)
    elif isinstance(schema, dict) and schema.get("cls", owner) is owner:
        if schema.get("type") in ("tuple", "list"):
            schema.update(options)
        for each in schema.values():
            set_on_sequences(each, owner, **options)


def build_schemas(base: type[BaseModel]) -> None:
    """Build now what the models of a kind would build when the first value is made, 30 ms for some. Blocking: 0.2 s for
    those of the engine."""
    for model in base.__subclasses__():
        model.model_rebuild()
        build_schemas(model)


Made = TypeVar("Made", bound=Value)


def unvalidated(kind: Callable[Fields, Made]) -> Callable[Fields, Made]:
    """What makes values of a kind without validating them, from keyword arguments. Its defaults must be immutable.

    For values that this program itself makes many times a second, of parts that mypy has checked.
    """
    cls = cast("type[Made]", kind)
    defaults = {name: field.get_default() for name, field in cls.model_fields.items() if not field.is_required()}
    field_names = set(cls.model_fields)

    def make(*_: Fields.args, **given: Fields.kwargs) -> Made:
        value = cls.__new__(cls)
        object.__setattr__(value, "__dict__", {**defaults, **given})
        object.__setattr__(value, "__pydantic_fields_set__", field_names)
        object.__setattr__(value, "__pydantic_extra__", None)
        object.__setattr__(value, "__pydantic_private__", None)
        return value

    return make
