"""JSON as it is sent: on one line by anybody's rules, and what it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.dialects.openai.completions import CompletionRequest
from protocol.dialects.shape import Told, json_in_pieces, parse_json, read, to_json
from protocol.errors import InvalidRequest
from protocol.unpacking import REQUEST_BOUNDS


class Said(Told):
    text: str


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("one\r\nline\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
def test_an_answer_is_one_line_also_by_the_rules_of_unicode(text: str) -> None:
    for sent in (to_json({"text": text}), Said(text=text).json_bytes()):
        assert len(sent.decode().splitlines()) == 1
        assert json.loads(sent) == {"text": text}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text("aé\u2028"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    )
)
@example(list(range(10_000)))
def test_pieces_are_the_same_json(content: object) -> None:
    assert json_in_pieces({"data": content}) == to_json({"data": content})


@pytest.mark.parametrize(
    "prompt",
    [[5] * (REQUEST_BOUNDS.elements + 2), [""] * (REQUEST_BOUNDS.parts + 1), [{}] * (REQUEST_BOUNDS.parts + 1)],
)
def test_a_body_of_too_many_values_is_refused_before_it_is_read(prompt: list[object]) -> None:
    with pytest.raises(InvalidRequest, match="the body holds more than"):
        parse_json(to_json({"prompt": prompt}))


def test_a_text_is_one_value_whatever_it_spells() -> None:
    text = '[{",": "\\"}], ' * REQUEST_BOUNDS.parts
    assert parse_json(to_json({"prompt": text})) == {"prompt": text}
    assert parse_json(to_json({"prompt": [5] * 200_000}))["prompt"] == [5] * 200_000


def test_of_many_wrong_elements_the_first_is_told() -> None:
    with pytest.raises(InvalidRequest) as refused:
        read(CompletionRequest, {"prompt": [None] * 1000})
    assert len(refused.value.message) < 1000
