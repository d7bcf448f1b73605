"""JSON as it is sent: on one line by anybody's rules, and what it was."""

from __future__ import annotations

import json

from hypothesis import example, given
from hypothesis import strategies as st

from protocol.dialects.shape import Told, to_json


class Said(Told):
    text: str


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("one\r\nline\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
def test_an_answer_is_one_line_also_by_the_rules_of_unicode(text: str) -> None:
    for sent in (to_json({"text": text}), Said(text=text).json_bytes()):
        assert len(sent.decode().splitlines()) == 1
        assert json.loads(sent) == {"text": text}
