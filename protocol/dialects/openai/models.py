"""``/v1/models``: what can be run here, for OpenAI's and Anthropic's clients at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from protocol.answers import ModelList, StatusReport
from protocol.dialects.shape import Told

_UNKNOWN_TIME = "1970-01-01T00:00:00Z"
"""How Anthropic's own API says that a date is not known."""


class ModelObject(Told):
    """A model, in the fields of both SDKs."""

    id: str
    object: Literal["model"]
    created: Literal[0]
    """Not known."""
    owned_by: str
    type: Literal["model"]
    display_name: str
    created_at: str
    context_length: int | None
    """Trained; ``null`` where the file's header was not read yet."""


class ModelsAnswer(Told):
    """The list of models, in the fields of both SDKs."""

    object: Literal["list"]
    data: tuple[ModelObject, ...]
    has_more: Literal[False]
    first_id: str | None
    last_id: str | None


def from_models(models: ModelList, status: StatusReport) -> ModelsAnswer:
    """Installed models, and those in memory that have no name among them."""
    contexts = {model.name: model.context_length for model in models.models if model.installed}
    for resident in status.models_loaded:
        contexts.setdefault(resident.model, None)
    data = tuple(_object(name, context) for name, context in contexts.items())
    return ModelsAnswer(
        object="list",
        data=data,
        has_more=False,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
    )


def find_model(answer: ModelsAnswer, name: str) -> ModelObject | None:
    """The model of that name, in any case; ``None``: there is none."""
    return _first([model for model in answer.data if model.id.lower() == name.lower()])


def _first(found: Sequence[ModelObject]) -> ModelObject | None:
    return found[0] if found else None


def _object(name: str, context_length: int | None) -> ModelObject:
    return ModelObject(
        id=name,
        object="model",
        created=0,
        owned_by="weos-engine",
        type="model",
        display_name=name,
        created_at=_UNKNOWN_TIME,
        context_length=context_length,
    )
