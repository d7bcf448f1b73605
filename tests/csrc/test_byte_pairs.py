"""Merging bytes or characters into tokens, beside the definition taken word for word."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _core
from tests.support import gguf_bytes as g
from tests.support.gguf_vocabulary import byte_alphabet

ALPHABET = byte_alphabet()


def write_pairs(path: Path, tokens: list[str], merges: list[str], characters: bool = False) -> _core.BytePairs:
    return open_pairs(path, {"tokens": tokens, "merges": merges}, characters)


def open_pairs(path: Path, arrays: dict[str, list[str]], characters: bool = False) -> _core.BytePairs:
    file = g.GgufBytes([(f"tokenizer.ggml.{name}", g.texts(texts)) for name, texts in arrays.items()])
    return _core.BytePairs(_core.GgufFile(str(file.write(path))), characters)


def random_merges(seed: int, letters: str = "abcde") -> list[str]:
    """Merges of few letters and of what they have been merged into: with so few, pairs overlap all the time."""
    source = random.Random(seed)
    symbols, merges = list(letters), list[str]()
    while len(merges) < 60:
        left, right = source.choice(symbols), source.choice(symbols)
        if left + right not in symbols:
            symbols.append(left + right)
            merges.append(f"{left} {right}")
    return merges


def plain_merging(symbols: list[str], merges: list[str]) -> list[str]:
    """Merge the leftmost of the best pairs, until no pair has a merge."""
    ranks = {(left, right): rank for rank, (left, _, right) in enumerate(merge.partition(" ") for merge in merges)}
    while True:
        known = [index for index, pair in enumerate(pairwise(symbols)) if pair in ranks]
        if not known:
            return symbols
        best = min(known, key=lambda index: (ranks[symbols[index], symbols[index + 1]], index))
        symbols[best : best + 2] = [symbols[best] + symbols[best + 1]]


@pytest.fixture(scope="module")
def vocabularies(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[list[str], list[str], _core.BytePairs]]:
    made = []
    for seed in range(8):
        merges = random_merges(seed)
        tokens = [*ALPHABET, *(merge.replace(" ", "") for merge in merges)]
        path = tmp_path_factory.mktemp("pairs") / f"{seed}.gguf"
        made.append((tokens, merges, write_pairs(path, tokens, merges)))
    return made


@given(st.integers(0, 7), st.text(st.sampled_from("abcdeé"), max_size=60))
def test_merges_as_the_definition_says(
    vocabularies: list[tuple[list[str], list[str], _core.BytePairs]], number: int, word: str
) -> None:
    tokens, merges, pairs = vocabularies[number]
    symbols = [ALPHABET[byte] for byte in word.encode()]
    assert [tokens[token] for token in pairs.encode([word], whole_words=False)] == plain_merging(symbols, merges)


@pytest.fixture(scope="module")
def of_characters(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], list[str], _core.BytePairs]:
    merges = random_merges(0, "abé中▁")
    tokens = [*(f"<0x{byte:02X}>" for byte in range(256)), *"abé中▁", *(merge.replace(" ", "") for merge in merges)]
    path = tmp_path_factory.mktemp("pairs") / "characters.gguf"
    return tokens, merges, write_pairs(path, tokens, merges, characters=True)


@given(word=st.text(st.sampled_from("abé中▁ü👋"), max_size=60))
def test_characters_merge_as_bytes_do(of_characters: tuple[list[str], list[str], _core.BytePairs], word: str) -> None:
    tokens, merges, pairs = of_characters
    expected = []
    for symbol in plain_merging(list(word), merges):
        expected += [symbol] if symbol in tokens else [f"<0x{byte:02X}>" for byte in symbol.encode()]
    assert [tokens[token] for token in pairs.encode([word], whole_words=False)] == expected


def test_a_character_without_token_is_left_out_where_its_bytes_have_none(tmp_path: Path) -> None:
    tokens = ["a", "aa", "<0xC3>"]
    pairs = write_pairs(tmp_path / "few.gguf", tokens, ["a a"], characters=True)
    assert pairs.encode(["aüa", "aa"], whole_words=False) == [0, 2, 0, 1]


def test_no_merge_is_of_a_character_that_is_spelled_in_bytes(tmp_path: Path) -> None:
    tokens = ["<0xC3>", "<0xBC>", "<0xC3><0xBC>"]
    pairs = write_pairs(tmp_path / "spelled.gguf", tokens, ["<0xC3> <0xBC>"], characters=True)
    assert pairs.encode(["ü"], whole_words=False) == [0, 1]


def test_a_whole_word_of_characters_is_spelled_as_it_is(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "whole.gguf", ["é", "éé"], [], characters=True)
    assert pairs.encode(["éé"], whole_words=True) == [1]
    assert pairs.encode(["éé"], whole_words=False) == [0, 0]


def test_words_do_not_merge_with_each_other(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "words.gguf", ["a", "b", "ab"], ["a b"])
    assert pairs.encode(["a", "", "b"], whole_words=False) == [0, 1]
    assert pairs.encode(["ab"], whole_words=False) == [2]


def test_a_whole_word_is_taken_only_where_asked(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "whole.gguf", ["a", "b", "c", "bc", "abc"], ["b c"])
    assert pairs.encode(["abc"], whole_words=True) == [4]
    assert pairs.encode(["abc"], whole_words=False) == [0, 3]


def test_a_byte_without_token_is_left_out_and_parts_its_neighbours(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "few.gguf", ["a", "b", "ab"], ["a b"])
    assert pairs.encode(["axb", "x"], whole_words=True) == [0, 1]


def test_the_first_merge_of_a_pair_counts(tmp_path: Path) -> None:
    tokens = ["a", "b", "c", "ab", "bc"]
    pairs = write_pairs(tmp_path / "first.gguf", tokens, ["a b", "b c", "a b"])
    assert pairs.encode(["abc"], whole_words=False) == [3, 2]


def test_a_word_of_a_hundred_thousand_bytes_is_merged(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "long.gguf", ["a", "aa", "aaaa"], ["a a", "aa aa"])
    assert pairs.encode(["a" * 100_003], whole_words=True) == [2] * 25_000 + [1, 0]


@pytest.mark.parametrize(
    ("tokens", "merges", "reason"),
    [
        (["a", "b"], ["a b"], "merges' do not fit the vocabulary: 'a b'"),
        (["a", "ab"], ["a b"], "do not fit"),
        (["a", "b", "ab"], ["ab"], "do not fit"),
        (["a", "b", "a"], [], "'a' is in the vocabulary twice"),
    ],
)
def test_what_contradicts_itself_is_refused(tokens: list[str], merges: list[str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(_core.GgufError, match=reason):
        write_pairs(tmp_path / "wrong.gguf", tokens, merges)


@pytest.mark.parametrize("missing", ["tokens", "merges"])
def test_what_is_missing_is_named(missing: str, tmp_path: Path) -> None:
    arrays = {name: ["a"] for name in ("tokens", "merges") if name != missing}
    with pytest.raises(_core.GgufError, match=f"{missing}' is missing"):
        open_pairs(tmp_path / "missing.gguf", arrays)
