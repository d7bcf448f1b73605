"""``/v1/embeddings``: one vector for each input, of length 1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from protocol.codec import invalid_request
from protocol.dialects.prompt_parts import PromptParts, read_prompts
from protocol.dialects.shape import Asked, Told, to_json
from protocol.embedding import EmbeddingRequest
from protocol.errors import InvalidRequest
from protocol.operation_answers import Embedded


class EmbeddingsRequest(Asked):
    """The body of ``/v1/embeddings``."""

    model: str | None = None
    input: str | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, ...], ...] | None = None
    """Texts and token ids mixed, as llama-server takes them, are tokenized first: :func:`mixed_input`."""
    pooling: str | None = None
    """The engine's own: ``mean``, ``cls`` or ``last``."""
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

    def json_bytes(self) -> bytes:
        """The answer as it is sent, one vector after the other: other threads have their turns between two."""
        around = self.model_copy(update={"data": ()})
        before, empty, behind = super(EmbeddingsAnswer, around).json_bytes().partition(b'"data":[]')
        return before + empty[:-1] + b",".join(one.json_bytes() for one in self.data) + empty[-1:] + behind


def mixed_input(content: Mapping[str, Any]) -> tuple[PromptParts, ...] | None:
    """Inputs whose texts are to be tokenized; ``None``: they are as OpenAI's clients send them.

    Raises:
        InvalidRequest: one is neither text nor token ids.
    """
    given = content.get("input")
    if isinstance(given, dict) or (isinstance(given, list) and not _is_plain(given)):
        return read_prompts(given, "input")
    return None


def _is_plain(given: list[Any]) -> bool:
    """Whether all inputs are texts, or all token ids."""
    kinds = {type(one) for one in given}
    return kinds <= {str} or kinds <= {int} or all(isinstance(one, list) and _is_ids(one) for one in given)


def _is_ids(one: list[Any]) -> bool:
    return {type(part) for part in one} == {int}


def to_embedding_request(asked: EmbeddingsRequest, model: str) -> EmbeddingRequest:
    """Raises InvalidRequest."""
    if asked.encoding_format not in {None, "float", "base64"}:
        reason = f"encoding_format: no {str(asked.encoding_format)[:40]!r}; there is float and base64"
        raise InvalidRequest(reason, field="encoding_format", reason=reason)
    if asked.dimensions is not None:
        reason = "dimensions: vectors are as long as the model makes them"
        raise InvalidRequest(reason, field="dimensions", reason=reason)
    try:
        return EmbeddingRequest.model_validate_json(
            to_json({"model": model, "pooling": asked.pooling, **_source(asked)})
        )
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
