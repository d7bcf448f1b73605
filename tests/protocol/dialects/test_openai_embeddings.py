"""OpenAI's embeddings and models."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from protocol.answers import ModelList, StatusReport
from protocol.dialects.openai.embeddings import EmbeddingsRequest, from_embedded, mixed_input, to_embedding_request
from protocol.dialects.openai.models import find_model, from_models
from protocol.dialects.shape import read
from protocol.embedding import EmbeddedText
from protocol.errors import InvalidRequest
from protocol.requests import Embed
from protocol.summaries import ModelSummary, PrefixCacheReport, ResidentModel
from tests.actors.fake_domain import make_embedded


def asked(**fields: Any) -> EmbeddingsRequest:
    return read(EmbeddingsRequest, {"input": "Hello", **fields})


@pytest.mark.parametrize(
    ("given", "texts", "token_ids"),
    [
        ("a", ("a",), None),
        (["a", "b"], ("a", "b"), None),
        ([1, 2], None, ((1, 2),)),
        ([[1], [2, 3]], None, ((1,), (2, 3))),
    ],
)
def test_inputs_are_texts_or_token_ids(given: object, texts: object, token_ids: object) -> None:
    request = to_embedding_request(asked(input=given), "tiny")
    assert (request.texts, request.token_ids) == (texts, token_ids)
    assert request.normalize


@pytest.mark.parametrize(
    "fields", [{"input": ""}, {"input": []}, {"input": None}, {"encoding_format": "hex"}, {"dimensions": 8}]
)
def test_what_cannot_be_embedded_so_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(fields))):
        to_embedding_request(asked(**fields), "tiny")


@pytest.mark.parametrize(
    ("given", "prompts"),
    [
        ("a", None),
        (["a", "b"], None),
        ([1, 2], None),
        ([[1], [2, 3]], None),
        ([], None),
        ([1, "a"], ((1, "a"),)),
        (["a", [1]], (("a",), (1,))),
        ([[1, "a"], [2]], ((1, "a"), (2,))),
        ({"prompt_string": "a"}, (("a",),)),
    ],
)
def test_inputs_that_are_mixed_are_tokenized_first(given: object, prompts: object) -> None:
    assert mixed_input({"input": given}) == prompts


def test_the_engines_own_pooling_may_be_named() -> None:
    assert to_embedding_request(asked(pooling="last"), "tiny").pooling == "last"
    with pytest.raises(InvalidRequest, match="pooling"):
        to_embedding_request(asked(pooling="none"), "tiny")


def test_vectors_come_as_numbers_or_as_their_bytes() -> None:
    vector = base64.b64encode(struct.pack("<2f", 0.5, -2.0)).decode()
    request = to_embedding_request(asked(), "tiny")
    answer = make_embedded(Embed(request_id=0, request=request)).model_copy(
        update={"texts": (EmbeddedText(vector=vector, tokens=5),)}
    )
    assert from_embedded(asked(), answer).data[0].embedding == (0.5, -2.0)
    told = from_embedded(asked(encoding_format="base64"), answer)
    assert told.data[0].embedding == vector
    assert told.usage.prompt_tokens == 5
    for each in (told, told.model_copy(update={"data": told.data * 3}), told.model_copy(update={"data": ()})):
        assert json.loads(each.json_bytes()) == json.loads(each.model_dump_json(exclude_unset=True))


def test_models_in_memory_are_listed_with_those_that_are_installed() -> None:
    installed = ModelSummary(name="tiny", path="/tiny.gguf", size_bytes=5, installed=True, context_length=64)
    absent = installed.model_copy(update={"name": "large", "installed": False})
    resident = ResidentModel(
        model="elsewhere", quantization="native", backend="reference", weights_bytes=5, in_use=False
    )
    status = StatusReport(
        request_id=0,
        engine_version="0.1.0",
        pid=1,
        uptime_s=1.0,
        executions=(),
        models_loaded=(resident, resident.model_copy(update={"model": "tiny"})),
        memory_bytes={},
        prefix_cache=PrefixCacheReport(blocks=0, size_bytes=0, limit_bytes=0),
        energy={},
        finished_total=0,
    )
    answer = from_models(ModelList(request_id=0, models=(installed, absent)), status)
    assert [(one.id, one.context_length) for one in answer.data] == [("tiny", 64), ("elsewhere", None)]
    assert (answer.first_id, answer.last_id, answer.has_more) == ("tiny", "elsewhere", False)
    assert find_model(answer, "TINY") is answer.data[0]
    assert find_model(answer, "large") is None
