"""What Ollama's clients are told of models: tags, show, ps, pull; and their embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from protocol.answers import ModelDescription, ModelList, Progress, StatusReport
from protocol.codec import invalid_request
from protocol.dialects.shape import Asked, to_json
from protocol.embedding import EmbeddingRequest
from protocol.errors import InvalidRequest
from protocol.operation_answers import Embedded
from protocol.summaries import ModelSummary, ResidentModel

_UNKNOWN_TIME = "1970-01-01T00:00:00Z"


class NamedModel(Asked):
    """Older clients say ``name``."""

    model: str | None = None
    name: str | None = None
    stream: bool = True

    @property
    def chosen(self) -> str | None:
        """The name, whichever field has it."""
        return self.model or self.name


class EmbedRequest(Asked):
    """The body of ``/api/embed`` and ``/api/embeddings``."""

    model: str | None = None
    input: str | tuple[str, ...] | None = None
    prompt: str | None = None
    """The text, at the older ``/api/embeddings``."""
    dimensions: int | None = None


def tags(models: ModelList, status: StatusReport) -> dict[str, Any]:
    """Installed models, and those in memory that have no name among them."""
    installed = {model.name: model for model in models.models if model.installed}
    listed = [_tag(model) for model in installed.values()]
    resident = {one.model: one for one in status.models_loaded if one.model not in installed}
    return {"models": [*listed, *(_unnamed(one) for one in resident.values())]}


def loaded_models(status: StatusReport) -> dict[str, Any]:
    """Models in memory, as ``/api/ps`` answers."""
    return {"models": [{**_unnamed(one), "expires_at": _UNKNOWN_TIME, "size_vram": 0} for one in status.models_loaded]}


def _tag(model: ModelSummary) -> dict[str, Any]:
    types = model.tensor_types or {}
    details = _details(model.architecture, model.parameters, _commonest(types))
    return _entry(model.name, model.size_bytes) | {"details": details}


def _commonest(types: Mapping[str, int]) -> str | None:
    """The type of most matrices; norms and biases are F32 in every file."""
    matrices = {name: count for name, count in types.items() if name != "F32"} or types
    return max(matrices, key=lambda name: matrices[name], default=None)


def _unnamed(model: ResidentModel) -> dict[str, Any]:
    return _entry(model.model, model.weights_bytes) | {"details": _details(None, None, model.quantization)}


def _entry(name: str, size_bytes: int) -> dict[str, Any]:
    return {"name": name, "model": name, "modified_at": _UNKNOWN_TIME, "size": size_bytes, "digest": ""}


def _details(family: str | None, parameters: int | None, quantization: str | None) -> dict[str, Any]:
    families = [] if family is None else [family]
    size = "" if parameters is None else f"{parameters / 1e9:.1f}B" if parameters >= 1e9 else f"{parameters / 1e6:.0f}M"
    known = {"format": "gguf", "family": family or "", "families": families}
    return {"parent_model": "", **known, "parameter_size": size, "quantization_level": quantization or ""}


def described(model: ModelDescription) -> dict[str, Any]:
    """What ``/api/show`` answers; ``model_info`` is the file's own metadata."""
    types: dict[str, int] = {}
    for tensor in model.tensors:
        types[tensor.type] = types.get(tensor.type, 0) + 1
    template = model.metadata.get("tokenizer.chat_template", "")
    return {
        "modelfile": "",
        "parameters": "",
        "template": template if isinstance(template, str) else "",
        "details": _details(model.architecture, model.parameters_total, _commonest(types)),
        "model_info": model.metadata,
        "capabilities": ["completion", "embedding", *(["tools"] if "tools" in str(template) else [])],
    }


def pull_line(message: Progress | ModelDescription) -> bytes:
    """A line of ``/api/pull``."""
    if isinstance(message, ModelDescription):
        return to_json({"status": "success"}) + b"\n"
    return to_json({"status": "pulling", "total": message.total, "completed": message.done}) + b"\n"


def to_embedding_request(asked: EmbedRequest, model: str) -> EmbeddingRequest:
    """Raises InvalidRequest."""
    given = asked.input if asked.input is not None else asked.prompt
    if not given:
        raise InvalidRequest("input: give one at least", field="input", reason="missing")
    if asked.dimensions is not None:
        reason = "dimensions: vectors are as long as the model makes them"
        raise InvalidRequest(reason, field="dimensions", reason=reason)
    texts = [given] if isinstance(given, str) else list(given)
    try:
        return EmbeddingRequest.model_validate_json(to_json({"model": model, "texts": texts}))
    except ValidationError as error:
        raise invalid_request(error) from error


def from_embedded(answer: Embedded, *, older: bool) -> dict[str, Any]:
    """``older``: as ``/api/embeddings`` answers, with one vector."""
    if older:
        return {"embedding": answer.texts[0].values}
    return {
        "model": answer.plan.model_ref.name,
        "embeddings": [text.values for text in answer.texts],
        "total_duration": round(answer.duration_s * 1e9),
        "prompt_eval_count": sum(text.tokens for text in answer.texts),
    }
