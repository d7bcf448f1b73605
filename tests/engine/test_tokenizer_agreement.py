"""The ids of random texts, as they were when each family was compared with llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import tokenizer_agreement
from benchmarks.support.random_texts import random_texts
from benchmarks.tokenizer_agreement import SHORT_RUN, TEXTS, digest, engine_ids, families, family_file, family_texts
from engine.text.pre_tokenizers import PRE_TOKENIZERS
from tests.support.outside_data import llama_cpp_models

AGREED: list[dict[str, Any]] = json.loads(
    (Path(tokenizer_agreement.__file__).parent / "results" / "tokenizers.json").read_text(encoding="utf-8")
)
pytestmark = pytest.mark.slow
FAMILIES = {family.name: family for family in families()}

each_family = pytest.mark.parametrize("agreed", AGREED, ids=[agreed["family"] for agreed in AGREED])


def test_every_family_and_name_was_compared() -> None:
    compared = {agreed["family"] for agreed in AGREED} | {alias for agreed in AGREED for alias in agreed["aliases"]}
    assert compared == set(PRE_TOKENIZERS) | set(tokenizer_agreement.WITHOUT_PRE)
    assert {agreed["texts"] for agreed in AGREED} == {TEXTS}


@each_family
def test_random_texts_give_the_ids_that_were_compared(agreed: dict[str, Any], tmp_path: Path) -> None:
    llama_cpp_models()
    path = family_file(FAMILIES[agreed["family"]], agreed["family"], tmp_path)
    assert digest(engine_ids(path, family_texts(path, TEXTS)[:SHORT_RUN])) == agreed["short_digest"]


@pytest.mark.models
@each_family
def test_all_random_texts_give_the_ids_that_were_compared(agreed: dict[str, Any], tmp_path: Path) -> None:
    llama_cpp_models()
    path = family_file(FAMILIES[agreed["family"]], agreed["family"], tmp_path)
    assert digest(engine_ids(path, family_texts(path, TEXTS))) == agreed["digest"]


def test_equal_seeds_give_equal_texts() -> None:
    texts = random_texts(100, 1, ["<s>"])
    assert texts == random_texts(100, 1, ["<s>"])
    assert texts != random_texts(100, 2, ["<s>"])
    assert random_texts(50, 1, ["<s>"]) == texts[:50]
