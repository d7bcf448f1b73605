"""``/v1/rerank``: documents in the order of how well they answer a query, in the form of Jina's and Cohere's."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import ValidationError

from protocol.codec import invalid_request
from protocol.dialects.shape import Asked, Told, to_json
from protocol.errors import InvalidRequest
from protocol.operation_answers import Reranked
from protocol.reranking import RerankRequest


class DocumentObject(Told):
    """A document that is given, or given back, as an object."""

    text: str


class RerankBody(Asked):
    """The body of ``/v1/rerank``."""

    model: str | None = None
    query: str | None = None
    documents: tuple[str | DocumentObject, ...] | None = None
    top_n: int | None = None
    return_documents: bool = False


class RerankResult(Told):
    """One document, judged."""

    index: int
    """Its place in the request."""
    relevance_score: float
    """Between 0 and 1: the logistic function of the classifier's number."""
    document: DocumentObject | None = None
    """Left out unless documents are to be returned."""


class RerankUsage(Told):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class RerankAnswer(Told):
    """The documents, the best first."""

    object: Literal["list"]
    model: str
    results: tuple[RerankResult, ...]
    usage: RerankUsage


def to_rerank_request(asked: RerankBody, model: str) -> RerankRequest:
    """Raises InvalidRequest."""
    for field in ("query", "documents"):
        if not getattr(asked, field):
            raise InvalidRequest(f"{field}: give {'one' if field == 'query' else 'one at least'}", field=field)
    content = {"model": model, "query": asked.query, "documents": _texts(asked), "top_n": asked.top_n}
    try:
        return RerankRequest.model_validate_json(to_json(content))
    except ValidationError as error:
        raise invalid_request(error) from error


def from_reranked(asked: RerankBody, answer: Reranked) -> RerankAnswer:
    """The answer; with the documents where these are asked for."""
    texts = _texts(asked)

    def document(index: int) -> dict[str, DocumentObject]:
        return {"document": DocumentObject(text=texts[index])} if asked.return_documents else {}

    return RerankAnswer(
        object="list",
        model=answer.plan.model_ref.name,
        results=tuple(
            RerankResult(index=result.index, relevance_score=_logistic(result.score), **document(result.index))
            for result in answer.results
        ),
        usage=RerankUsage(prompt_tokens=answer.tokens, total_tokens=answer.tokens),
    )


def _texts(asked: RerankBody) -> list[str]:
    return [one if isinstance(one, str) else one.text for one in asked.documents or ()]


def _logistic(score: float) -> float:
    power = math.exp(-abs(score))
    return (1.0 if score >= 0.0 else power) / (1.0 + power)
