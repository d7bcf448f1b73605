"""WordPiece: the longest beginnings of words, then the longest ends, as the models' own tokenizers take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import _core
from engine.text.tokenizer import Tokenizer
from engine.text.wpm import WpmEncoder
from protocol.errors import InvalidModel
from tests.support.encoder_models import spelled_tokens, write_encoder_model


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return Tokenizer(_core.GgufFile(str(write_encoder_model(tmp_path / "tiny.gguf", n_layer=1))))


def tokens_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [spelled_tokens()[token_id] for token_id in tokenizer.encode(text)]


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("The cat", ["▁the", "▁cat"]),
        ("cats\tunable", ["▁cat", "s", "▁un", "able"]),
        ("café!", ["▁cafe", "▁!"]),
        ("北京", ["▁北", "▁京"]),
        ("it's", ["▁it", "▁'", "▁s"]),
        ("cat€ mat", ["[UNK]", "▁mat"]),
        ("[CLS] cat", ["[UNK]", "▁c", "l", "s", "[UNK]", "▁cat"]),
        ("x" * 101, ["[UNK]"]),
        ("", []),
    ],
)
def test_words_are_spelled(tokenizer: Tokenizer, text: str, tokens: list[str]) -> None:
    assert tokens_of(tokenizer, text) == ["[CLS]", *tokens, "[SEP]"]


def test_special_tokens_are_where_they_are_asked_for(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("cat", add_special=False) == [spelled_tokens().index("▁cat")]
    parsed = tokenizer.encode("cat[SEP]cat", add_special=False, parse_special=True)
    assert [spelled_tokens()[token_id] for token_id in parsed] == ["▁cat", "[SEP]", "▁cat"]


def test_tokens_print_words(tokenizer: Tokenizer) -> None:
    assert tokenizer.decode(tokenizer.encode("The cats sat.")) == "the cats sat ."
    assert tokenizer.least_tokens("cat " * 100) == 0


def test_a_long_text_is_that_of_its_parts(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("cats sat " * 5000, add_special=False) == 5000 * tokenizer.encode(
        "cats sat", add_special=False
    )


def test_case_stays_where_the_vocabulary_has_it() -> None:
    encoder = WpmEncoder(["[UNK]", "▁Cat", "▁cat", "s"], [3, 1, 1, 1], lowercase=False)
    assert encoder.encode("Cats cat CAT") == [1, 3, 2, 0]


def test_a_vocabulary_must_have_a_token_for_the_unknown() -> None:
    with pytest.raises(InvalidModel, match=r"\[UNK\]"):
        WpmEncoder(["▁cat"], [1], lowercase=True)
