"""Requests for vectors, and vectors on the wire."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

import msgpack
import pytest

from protocol.codec import decode_client, encode
from protocol.embedding import MAX_INPUTS, EmbeddedText, EmbeddingRequest
from protocol.errors import InvalidRequest
from protocol.requests import Embed
from protocol.schema import published_schema


def packed(**fields: object) -> bytes:
    content: dict[str, Any] = {"type": "Embed", "request_id": 1, "request": {"model": "tiny", **fields}}
    payload: bytes = msgpack.packb(content)
    return payload


@pytest.mark.parametrize("inputs", [{"texts": ("né 🙂", "b")}, {"token_ids": ((1, 2), (3,))}])
def test_requests_survive_the_wire(inputs: dict[str, Any]) -> None:
    message = Embed(request_id=1, request=EmbeddingRequest(model="tiny", pooling="last", normalize=False, **inputs))
    assert decode_client(encode(message)) == message


def test_what_is_left_out_is_left_to_the_engine() -> None:
    message = decode_client(packed(texts=["a"]))
    assert isinstance(message, Embed)
    request = message.request
    assert (request.pooling, request.normalize, request.quantization, request.threads) == (None, True, "native", None)


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({}, "request", "exactly one of"),
        ({"texts": ["a"], "token_ids": [[1]]}, "request", "exactly one of"),
        ({"texts": []}, "request.texts", "at least 1 item"),
        ({"texts": ["a", ""]}, "request.texts.1", "at least 1 character"),
        ({"texts": ["a"] * (MAX_INPUTS + 1)}, "request.texts", "at most 2048 items"),
        ({"texts": "a"}, "request.texts", "valid tuple"),
        ({"token_ids": [[1], []]}, "request.token_ids.1", "at least 1 item"),
        ({"token_ids": [[1, -1]]}, "request.token_ids.0.1", "greater than or equal to 0"),
        ({"token_ids": [[1]] * (MAX_INPUTS + 1)}, "request.token_ids", "at most 2048 items"),
        ({"texts": ["a"], "pooling": "rank"}, "request.pooling", "'mean', 'cls' or 'last'"),
        ({"texts": ["a"], "normalize": "yes"}, "request.normalize", "valid boolean"),
        ({"texts": ["a"], "normalise": True}, "request.normalise", "Extra inputs"),
    ],
)
def test_an_invalid_request_names_field_and_reason(fields: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decode_client(packed(**fields))
    assert refused.value.params["field"] == field
    assert reason in refused.value.params["reason"]


def test_a_vectors_numbers_are_its_floats() -> None:
    floats = (1.0, -0.0, 2.0**-126, 0.1)
    text = EmbeddedText(vector=b64encode(struct.pack("<4f", *floats)).decode(), tokens=1)
    assert text.values[:3] == floats[:3]
    assert struct.pack("<4f", *text.values) == struct.pack("<4f", *floats)


@pytest.mark.parametrize("vector", ["AAAA", "AAAA!AAA", "AAAAA"])
def test_what_is_no_floats_is_told(vector: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  base64's own, or ours
        _ = EmbeddedText(vector=vector, tokens=1).values


def test_the_schema_tells_how_vectors_are_written() -> None:
    vector = published_schema("engine_messages")["$defs"]["EmbeddedText"]["properties"]["vector"]
    assert (vector["type"], vector["contentEncoding"]) == ("string", "base64")
