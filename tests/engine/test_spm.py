from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.text.spm import SPACE, SpmEncoder
from tests.support.gguf_vocabulary import tiny_spm


def make_encoder() -> SpmEncoder:
    vocabulary = tiny_spm()
    return SpmEncoder({token: token_id for token_id, token in enumerate(vocabulary.tokens)}, vocabulary.scores)


def plain_spm(text: str, scores: dict[str, float]) -> list[str]:
    """The definition, word for word: of all pairs that make a token merge the best, the leftmost of equal ones."""
    symbols = list(text)
    while True:
        pairs = [left + right for left, right in pairwise(symbols)]
        known = [index for index, pair in enumerate(pairs) if pair in scores]
        if not known:
            return symbols
        best = max(known, key=lambda index: (scores[pairs[index]], -index))
        symbols[best : best + 2] = [pairs[best]]


@given(st.text(st.sampled_from(f"{SPACE}{SPACE}theandworlingis 1é中😀"), max_size=40))
def test_agrees_with_the_plain_definition(text: str) -> None:
    vocabulary = tiny_spm()
    scores = dict(zip(vocabulary.tokens, vocabulary.scores, strict=True))
    expected = []
    for symbol in plain_spm(text, scores):
        in_bytes = [vocabulary.tokens.index(f"<0x{byte:02X}>") for byte in symbol.encode()]
        expected += [vocabulary.tokens.index(symbol)] if symbol in vocabulary.tokens else in_bytes
    assert make_encoder().encode(text) == expected


def test_equal_scores_merge_from_the_left() -> None:
    ids = {"a": 0, "b": 1, "aa": 2, "ab": 3, "ba": 4}
    encoder = SpmEncoder(ids, [0.0, 0.0, -1.0, -1.0, -1.0])
    assert encoder.encode("aab") == [2, 1]
    assert encoder.encode("aba") == [3, 0]


def test_a_token_across_a_word_boundary_is_still_found() -> None:
    ids = {"a": 0, SPACE: 1, "b": 2, f"a{SPACE}": 3, f"a{SPACE}b": 4}
    assert SpmEncoder(ids, [0.0, 0.0, 0.0, -1.0, -2.0]).encode(f"a{SPACE}b") == [4]


def test_a_character_without_token_or_bytes_prints_nothing() -> None:
    assert SpmEncoder({"a": 0}, [0.0]).encode("aéa") == [0, 0]


def test_a_word_longer_than_any_cache_is_merged_too() -> None:
    encoder = make_encoder()
    assert encoder.encode("the" * 1000) == encoder.encode("the") * 1000
