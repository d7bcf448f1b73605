"""Patterns with few texts, against Python's own matching."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.grammar.finite_pattern import finite_texts


@pytest.mark.parametrize(
    ("pattern", "texts"),
    [
        ("^a$", {"a"}),
        ("^(foo|bar)$", {"foo", "bar"}),
        ("^x-(?:a|b)?$", {"x-", "x-a", "x-b"}),
        ("^[ab]c?$", {"a", "ac", "b", "bc"}),
        (r"^\$ref$", {"$ref"}),
        ("^$", {""}),
        ("^(é|)$", {"é", ""}),
    ],
)
def test_few_texts_are_told(pattern: str, texts: set[str]) -> None:
    assert finite_texts(pattern, 20) == frozenset(texts)


@pytest.mark.parametrize(
    "pattern",
    ["a", "^a", "a$", "^a|b$", "^a*$", "^a+$", "^a{2}$", "^.$", "^[^a]$", "^[a-c]$", r"^\d$", r"^\n$", "^(?=a)a$",
     "^(a$", "^a)$", "^[a$", "^a??$", "^[abcdefghijklmnopqrstuvwxyz]$", "^(?i:a)$", "^$$", "$", "^(^a)$", "^[&&a]$"],
)  # fmt: skip
def test_all_else_is_left_alone(pattern: str) -> None:
    assert finite_texts(pattern, 20) is None


@given(pattern=st.text("ab|()?[]", max_size=8))
def test_the_texts_are_those_that_match(pattern: str) -> None:
    texts = finite_texts(f"^{pattern}$", 20)
    if texts is not None:
        short = {"".join(letters) for length in range(4) for letters in product("ab|()?[]", repeat=length)}
        assert {text for text in texts if len(text) < 4} == {text for text in short if re.fullmatch(pattern, text)}
