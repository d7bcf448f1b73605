from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.text.special_tokens import CONTROL, NORMAL, UNKNOWN, USER_DEFINED, SpecialTokens

TOKENS = ["x", "<s>", "<unk>", "[INST]", "[INST][USER]", "ER][IN", "<|im_end|>"]
TYPES = [NORMAL, CONTROL, UNKNOWN, USER_DEFINED, CONTROL, USER_DEFINED, NORMAL]


def make_special() -> SpecialTokens:
    return SpecialTokens(TOKENS, TYPES)


def test_user_defined_tokens_are_always_cut_out() -> None:
    assert make_special().partition("a[INST]b<s>", parse_special=False) == ["a", 3, "b<s>"]


def test_control_tokens_are_cut_out_when_asked() -> None:
    assert make_special().partition("<s>a<unk>", parse_special=True) == [1, "a", 2]


def test_a_longer_token_goes_first_wherever_it_is() -> None:
    assert make_special().partition("[INST][USER][INST]", parse_special=True) == [4, 3]
    assert make_special().partition("ER][INST][USER]", parse_special=True) == ["ER]", 4]


def test_a_token_that_spells_an_end_counts_as_control() -> None:
    special = make_special()
    assert special.end_token_ids == {6}
    assert special.partition("a<|im_end|>", parse_special=False) == ["a<|im_end|>"]
    assert special.partition("a<|im_end|>", parse_special=True) == ["a", 6]


def test_no_text_has_no_pieces() -> None:
    assert make_special().partition("", parse_special=True) == []


@given(st.text(st.sampled_from("ab<s>[INST]UER")), st.booleans())
def test_pieces_spell_the_text(text: str, parse_special: bool) -> None:
    pieces = make_special().partition(text, parse_special)
    assert "".join(TOKENS[piece] if isinstance(piece, int) else piece for piece in pieces) == text
    assert "" not in pieces


def test_a_token_around_a_gap_to_fill_counts_as_control() -> None:
    special = SpecialTokens(["<|fim_prefix|>"], [USER_DEFINED])
    assert special.partition("<|fim_prefix|>x", parse_special=False) == ["<|fim_prefix|>x"]
    assert special.partition("<|fim_prefix|>x", parse_special=True) == [0, "x"]
    assert special.end_token_ids == set()


def test_white_space_behind_a_token_may_go_with_it() -> None:
    special = SpecialTokens(TOKENS, TYPES, strip_after=True)
    assert special.partition(" <|im_end|> \n\t a <|im_end|> ", parse_special=True) == [" ", 6, "a ", 6]
    assert special.partition("<s> a<unk> ", parse_special=True) == [1, " a", 2, " "]
