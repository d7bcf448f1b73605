from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.answers import EngineMessage, Failed, Text, TokenIds
from protocol.codec import decode_engine, encode
from protocol.large_message import encode_in_pieces, is_large


def ids(count: int) -> TokenIds:
    return TokenIds(request_id=1, token_ids=tuple(range(count)), pieces=tuple(map(str, range(count))))


@given(st.integers(0, 5000), st.text())
def test_pieces_are_the_same_message(count: int, text: str) -> None:
    for message in (ids(count), Text(request_id=1, text=text, pieces=(text,) * (count % 3000))):
        assert encode_in_pieces(message) == encode(message)
        assert decode_engine(encode_in_pieces(message)) == message


@pytest.mark.parametrize(
    ("message", "large"),
    [
        (ids(100), False),
        (ids(5000), True),
        (Text(request_id=1, text="a" * 1000, pieces=()), False),
        (Text(request_id=1, text="a" * 2**20, pieces=()), True),
        (Failed(request_id=1, code="bad_frame", message="", params={"a": [["b"] * 5000]}), True),
    ],
)
def test_what_takes_long_is_told_from_what_does_not(message: EngineMessage, large: bool) -> None:
    assert is_large(message) is large
