"""Text from tokens: bytes of tokens, UTF-8 in pieces, stop strings."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _core, _core_tests
from tests.support import gguf_bytes as g
from tests.support.gguf_factory import write_tiny_model
from tests.support.gguf_vocabulary import byte_alphabet, tiny_bpe, tiny_spm

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

# --- UTF-8 -----------------------------------------------------------------------------------------------------------

# Bytes at which sequences begin, continue, and go wrong.
telling_bytes = st.lists(
    st.sampled_from(b"a\x7f\x80\x8f\x90\x9f\xa0\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xed\xef\xf0\xf1\xf4\xf5\xff"), max_size=24
).map(bytes)
any_bytes = st.one_of(telling_bytes, st.binary(max_size=64), st.text(max_size=16).map(str.encode))


def split(content: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(content) + 1) for cut in cuts), len(content)]
    return [content[begin:end] for begin, end in itertools.pairwise(places)]


@given(any_bytes, st.lists(st.integers(0, 64), max_size=8))
@settings(max_examples=1000, deadline=None)
def test_bytes_split_anywhere_decode_as_a_whole(content: bytes, cuts: list[int]) -> None:
    stream = _core_tests.Utf8Stream()
    text = "".join(stream.append(part) for part in split(content, cuts)) + stream.finish()
    assert text == content.decode("utf-8", errors="replace")


def test_a_character_comes_with_its_last_byte() -> None:
    stream = _core_tests.Utf8Stream()
    assert [stream.append(bytes([byte])) for byte in "é🙂".encode()] == ["", "é", "", "", "", "🙂"]
    assert stream.finish() == ""


def test_an_ill_formed_part_is_given_up_at_the_first_byte_that_cannot_continue_it() -> None:
    stream = _core_tests.Utf8Stream()
    assert stream.append(b"\xe2\x82") == ""
    assert stream.append(b"a") == "\ufffda"
    assert stream.append(b"\xf0\x9f") == ""
    assert stream.finish() == "\ufffd"
    assert stream.finish() == ""


# --- stop strings ----------------------------------------------------------------------------------------------------


def cut_at_first_stop(parts: Sequence[str], stops: Sequence[str]) -> tuple[str, bool]:
    """Looks at everything so far after each part; ends with the first part that completes a stop string."""
    text = ""
    for part in parts:
        text += part
        found = [text.index(stop) for stop in stops if stop in text]
        if found:
            return text[: min(found)], True
    return text, False


few_letters = st.text(alphabet="abé🙂", max_size=6)


@given(st.lists(few_letters, max_size=12), st.lists(few_letters.filter(bool), max_size=3))
@settings(max_examples=1000, deadline=None)
def test_text_passes_up_to_the_first_stop_string(parts: list[str], stops: list[str]) -> None:
    matcher = _core_tests.StopMatcher(stops)
    passed = ""
    for part in parts:
        passed += matcher.append(part)
        if matcher.matched:
            break
    passed += matcher.finish()
    assert (passed, matcher.matched) == cut_at_first_stop(parts, stops)


@given(st.lists(few_letters, max_size=12), st.lists(few_letters.filter(bool), max_size=3))
@settings(max_examples=300, deadline=None)
def test_only_what_may_become_a_stop_string_is_held_back(parts: list[str], stops: list[str]) -> None:
    matcher = _core_tests.StopMatcher(stops)
    passed = ""
    for count, part in enumerate(parts, 1):
        passed += matcher.append(part)
        if matcher.matched:
            return
        text = "".join(parts[:count])
        held = text[len(passed) :]
        assert text == passed + held
        assert not held or any(stop.startswith(held) for stop in stops)


def test_nothing_comes_after_a_match() -> None:
    matcher = _core_tests.StopMatcher(["stop"])
    assert matcher.append("go st") == "go "
    assert matcher.append("op and more") == ""
    assert matcher.matched
    assert matcher.append("text") == ""
    assert matcher.finish() == ""


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        _core_tests.StopMatcher(["stop", ""])


# --- vocabularies ----------------------------------------------------------------------------------------------------


def make_vocabulary(path: Path, tokens: Sequence[str], types: Sequence[int], model: str = "llama") -> _core.Vocabulary:
    pairs = [
        ("tokenizer.ggml.model", g.text(model)),
        ("tokenizer.ggml.tokens", g.texts(tokens)),
        ("tokenizer.ggml.token_type", g.array(g.I32, types)),
    ]
    return _core.Vocabulary(_core.GgufFile(str(g.GgufBytes(pairs).write(path / "vocabulary.gguf"))))


def test_byte_level_pieces_are_the_bytes_they_stand_for(tmp_path: Path) -> None:
    alphabet = byte_alphabet()
    vocabulary = make_vocabulary(tmp_path, alphabet, [NORMAL] * 256, "gpt2")
    assert [vocabulary.piece(byte) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    assert vocabulary.detokenize(list("é 🙂".encode())) == "é 🙂"
    assert vocabulary.detokenize([0xC3]) == "\ufffd"


def test_byte_level_tokens_outside_the_alphabet_stand_for_themselves(tmp_path: Path) -> None:
    vocabulary = make_vocabulary(tmp_path, ["Ġ中", "<x>Ġ", "<end>"], [NORMAL, USER_DEFINED, CONTROL], "gpt2")
    assert [vocabulary.piece(token) for token in range(3)] == [" 中".encode(), "<x>Ġ".encode(), b""]


def test_sentence_pieces(tmp_path: Path) -> None:
    tokens = ["<unk>", "<s>", "▁the▁cat", "<0x0A>", "<0xfF>", "▁", "<0x41>", "unused", "a▁b"]
    types = [UNKNOWN, CONTROL, NORMAL, BYTE, BYTE, NORMAL, NORMAL, UNUSED, USER_DEFINED]
    vocabulary = make_vocabulary(tmp_path, tokens, types)
    pieces = [b"", b"", b" the cat", b"\n", b"\xff", b" ", b"<0x41>", b"", "a▁b".encode()]
    assert [vocabulary.piece(token) for token in range(len(vocabulary))] == pieces
    assert vocabulary.detokenize([2]) == "the cat"
    assert vocabulary.detokenize([3, 2]) == "\n the cat"
    assert vocabulary.detokenize([]) == ""


def test_tiny_vocabularies_in_full(tmp_path: Path) -> None:
    for kind, vocabulary in (("bpe", tiny_bpe()), ("spm", tiny_spm())):
        path = write_tiny_model(tmp_path / f"{kind}.gguf", vocabulary=kind, weights=False)
        read = _core.Vocabulary(_core.GgufFile(str(path)))
        assert len(read) == len(vocabulary)
        control = [token for token, kind in enumerate(vocabulary.token_types) if kind == CONTROL]
        assert all(read.piece(token) == b"" for token in control)


@pytest.mark.parametrize(
    "token",
    [
        "<0x-1>",
        "<0x+1>",
        "<0x 1>",
        "<0x1>",
        "<0x001>",
        "<0xG0>",
        "<0x0G>",
        "0x0A",
        "",
        "<0x0A",
        "<0X0A>",
        "<0x0A>>",
        "\n",
    ],
)
def test_malformed_byte_tokens_are_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(_core.GgufError, match="byte token"):
        make_vocabulary(tmp_path, ["a", token], [NORMAL, BYTE])


def test_unknown_ids_are_index_errors(tmp_path: Path) -> None:
    vocabulary = make_vocabulary(tmp_path, ["a", "b"], [NORMAL, NORMAL])
    for token in (-1, 2, 2**62):
        with pytest.raises(IndexError, match=str(token)):
            vocabulary.piece(token)
        with pytest.raises(IndexError, match=str(token)):
            vocabulary.detokenize([0, token])


def test_vocabularies_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    good = {
        "tokenizer.ggml.model": g.text("llama"),
        "tokenizer.ggml.tokens": g.texts(["a", "b"]),
        "tokenizer.ggml.token_type": g.array(g.I32, [1, 1]),
    }
    for changed, match in (
        ({"tokenizer.ggml.model": g.u32(1)}, "not a string"),
        ({"tokenizer.ggml.tokens": g.text("a")}, "not an array"),
        ({"tokenizer.ggml.tokens": g.array(g.U8, [1])}, "strings"),
        ({"tokenizer.ggml.token_type": g.array(g.I32, [1])}, "differ in length"),
        ({"tokenizer.ggml.token_type": g.texts(["1", "1"])}, "numbers"),
        ({"tokenizer.ggml.token_type": g.array(g.F32, [1, 1])}, "floats"),
        ({"tokenizer.ggml.add_space_prefix": g.u32(1)}, "not a boolean"),
    ):
        file = _core.GgufFile(str(g.GgufBytes(tuple({**good, **changed}.items())).write(tmp_path / "bad.gguf")))
        with pytest.raises(_core.GgufError, match=match):
            _core.Vocabulary(file)
    for missing in ("tokenizer.ggml.model", "tokenizer.ggml.tokens"):
        pairs = tuple((key, value) for key, value in good.items() if key != missing)
        with pytest.raises(_core.GgufError, match=f"'{missing}' is missing"):
            _core.Vocabulary(_core.GgufFile(str(g.GgufBytes(pairs).write(tmp_path / "lacking.gguf"))))
    other = g.GgufBytes(tuple({**good, "tokenizer.ggml.model": g.text("t5")}.items())).write(tmp_path / "t5.gguf")
    with pytest.raises(_core.UnsupportedModelError, match="t5"):
        _core.Vocabulary(_core.GgufFile(str(other)))
