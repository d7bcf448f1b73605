"""Events that are made once and filled in are those that a dialect's model would have made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.event_stream import TextEvent, sse
from protocol.dialects.openai.chat_answer import Delta
from protocol.dialects.shape import to_json
from tests.protocol.dialects.sse_reader import read_events


def event(text: str) -> bytes:
    content: dict[str, Any] = {
        "model": 'a "model"',
        "choices": [{"delta": Delta(content=text).model_dump(), "index": 0}],
    }
    return sse(to_json(content))


@given(st.text())
def test_any_text_is_filled_in_as_the_model_would_have_told_it(text: str) -> None:
    filled = TextEvent(event).with_text(text)
    assert filled == event(text)
    assert read_events(filled)[0]["choices"][0]["delta"]["content"] == text


def test_a_text_that_is_there_twice_cannot_be_filled_in() -> None:
    with pytest.raises(ValueError, match="unpack"):
        TextEvent(lambda text: event(text) + event(text))
