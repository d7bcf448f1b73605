"""``/v1/embeddings``: one vector for each input, of length 1."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ValidationError

from protocol.codec import invalid_request
from protocol.dialects.shape import Asked, Told, to_json
from protocol.embedding import EmbeddingRequest
from protocol.errors import InvalidRequest
from protocol.operation_answers import Embedded


class EmbeddingsRequest(Asked):
    """The body of ``/v1/embeddings``."""

    model: str | None = None
    input: str | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, ...], ...] | None = None
    encoding_format: str | None = None
    dimensions: int | None = None


class EmbeddingObject(Told):
    """The vector of one input."""

    object: Literal["embedding"]
    index: int
    embedding: tuple[float, ...] | str
    """Numbers, or the base64 of little-endian 32-bit floats."""


class EmbeddingsUsage(Told):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(Told):
    """The vectors, in the order of their inputs."""

    object: Literal["list"]
    data: tuple[EmbeddingObject, ...]
    model: str
    usage: EmbeddingsUsage


def to_embedding_request(asked: EmbeddingsRequest, model: str) -> EmbeddingRequest:
    """Raises InvalidRequest."""
    if asked.encoding_format not in {None, "float", "base64"}:
        reason = f"encoding_format: no {str(asked.encoding_format)[:40]!r}; there is float and base64"
        raise InvalidRequest(reason, field="encoding_format", reason=reason)
    if asked.dimensions is not None:
        reason = "dimensions: vectors are as long as the model makes them"
        raise InvalidRequest(reason, field="dimensions", reason=reason)
    try:
        return EmbeddingRequest.model_validate_json(to_json({"model": model, **_source(asked)}))
    except ValidationError as error:
        raise invalid_request(error) from error


def _source(asked: EmbeddingsRequest) -> dict[str, Any]:
    given = asked.input
    if given is None or given in ((), ""):
        raise InvalidRequest("input: give one at least", field="input", reason="missing")
    if isinstance(given, str):
        return {"texts": [given]}
    if isinstance(given[0], str):
        return {"texts": given}
    return {"token_ids": [given] if isinstance(given[0], int) else given}


def from_embedded(asked: EmbeddingsRequest, answer: Embedded) -> EmbeddingsAnswer:
    """The answer, in the encoding that was asked for."""
    as_text = asked.encoding_format == "base64"
    tokens = sum(text.tokens for text in answer.texts)
    return EmbeddingsAnswer(
        object="list",
        data=tuple(
            EmbeddingObject(object="embedding", index=index, embedding=text.vector if as_text else text.values)
            for index, text in enumerate(answer.texts)
        ),
        model=answer.plan.model_ref.name,
        usage=EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens),
    )
