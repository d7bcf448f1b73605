"""GBNF is what llama.cpp makes of it: 500 random grammars, and texts that are theirs or not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from engine.grammar.gbnf import GbnfError
from engine.grammar.gbnf_lark import gbnf_to_lark
from protocol.grammar import PlanGrammar
from tests.engine.byte_grammar import accepts, compiled
from tests.fuzz.gbnf_grammars import random_gbnf

DATA: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden/gbnf.json").read_text())


def held(grammar: str, texts: Iterable[str]) -> dict[str, bool]:
    """Which of the texts the engine holds."""
    try:
        lark = gbnf_to_lark(grammar)
    except GbnfError as error:
        if not str(error).startswith("no text of the rule root comes to an end"):
            raise
        return dict.fromkeys(texts, False)
    followed = compiled(PlanGrammar(kind="gbnf", source_hash="sha256:" + "0" * 64, language="lark", text=lark))
    return {text: accepts(followed, text) for text in texts}


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_grammars_hold_the_texts_that_llama_cpp_holds(first: int) -> None:
    for each in DATA[first : first + 100]:
        source = random_gbnf(each["seed"])
        if each["verdict"] == "refused":
            with pytest.raises(GbnfError):
                gbnf_to_lark(source)
        elif each["verdict"] == "read":
            assert held(source, each["texts"]) == each["texts"], source


def test_most_grammars_were_read_and_texts_are_of_both_kinds() -> None:
    read = [each for each in DATA if each["verdict"] == "read"]
    kinds = [holds for each in read for holds in each["texts"].values()]
    assert len(DATA) == 500
    assert len(read) > 200
    assert min(kinds.count(True), kinds.count(False)) > 1000
