"""Requests to rank documents, on the wire and in the form of other servers."""

from __future__ import annotations

import json

import pytest

from protocol.codec import decode_client, decode_engine, encode
from protocol.dialects.openai.rerank import RerankBody, from_reranked, to_rerank_request
from protocol.errors import InvalidRequest
from protocol.requests import Rerank
from protocol.reranking import RerankRequest
from tests.actors.fake_domain import make_reranked


def test_requests_and_answers_survive_the_wire() -> None:
    message = Rerank(request_id=1, request=RerankRequest(model="tiny", query="né", documents=("a", "bc"), top_n=1))
    assert decode_client(encode(message)) == message
    answer = make_reranked(message).model_copy(update={"request_id": 1})
    assert decode_engine(encode(answer)) == answer


def test_documents_are_texts_or_objects_with_one() -> None:
    asked = RerankBody.model_validate({"query": "q", "documents": ["a", {"text": "bcd"}], "return_documents": True})
    request = to_rerank_request(asked, "tiny")
    assert (request.query, request.documents, request.top_n) == ("q", ("a", "bcd"), None)
    told = json.loads(from_reranked(asked, make_reranked(Rerank(request=request))).json_bytes())
    assert told["results"][0] == {"index": 1, "relevance_score": 0.5, "document": {"text": "bcd"}}
    assert told["results"][1]["relevance_score"] == pytest.approx(0.2689, abs=1e-4)
    assert (told["object"], told["usage"]) == ("list", {"prompt_tokens": 8, "total_tokens": 8})


def test_documents_are_given_back_only_where_that_is_asked_for() -> None:
    asked = RerankBody.model_validate({"query": "q", "documents": ["a", "b"], "top_n": 1})
    told = json.loads(from_reranked(asked, make_reranked(Rerank(request=to_rerank_request(asked, "m")))).json_bytes())
    assert [set(result) for result in told["results"]] == [{"index", "relevance_score"}]


@pytest.mark.parametrize(
    ("content", "field"),
    [({"documents": ["a"]}, "query"), ({"query": "q"}, "documents"), ({"query": "q", "documents": []}, "documents")],
)
def test_what_is_missing_is_named(content: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        to_rerank_request(RerankBody.model_validate(content), "tiny")
    assert raised.value.params["field"] == field
