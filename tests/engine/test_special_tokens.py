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


# --- text that stays text -------------------------------------------------------------------------------------------

MARK = "\ufdd0"


@given(st.lists(st.text(st.sampled_from("ab <s>[INST]UER|m_end")), min_size=1))
def test_marked_texts_spell_no_control_token_even_together(texts: list[str]) -> None:
    special = make_special()
    marked = "".join(special.literal(text, MARK) for text in texts)
    assert marked.replace(MARK, "") == "".join(texts)
    pieces = special.partition(marked, parse_special=True)
    assert {piece for piece in pieces if isinstance(piece, int)} <= {3, 5}  # what is user-defined is always found


@given(st.text(st.sampled_from("ab <s>[INST]UER|m_end")))
def test_a_text_without_control_tokens_keeps_its_tokens(text: str) -> None:
    special = make_special()
    plain = special.partition(text, parse_special=True)
    if not any(piece in (1, 2, 4, 6) for piece in plain):
        marked = special.partition(special.literal(text, MARK), parse_special=True)
        bare = [piece if isinstance(piece, int) else piece.replace(MARK, "") for piece in marked]
        assert [piece for piece in bare if piece != ""] == plain


def one_token_after_the_other(special: list[tuple[str, int]], text: str) -> list[str | int]:
    """What ``partition`` promises, said in the slow way."""
    pieces: list[str | int] = [text]
    for token, token_id in special:
        cut: list[str | int] = []
        for piece in pieces:
            parts = piece.split(token) if isinstance(piece, str) else []
            cut += [piece] if isinstance(piece, int) else [part for text in parts for part in (token_id, text)][1:]
        pieces = cut
    return [piece for piece in pieces if piece != ""]


@given(st.lists(st.text("abc", min_size=1, max_size=5), unique=True), st.text("abc", max_size=40))
def test_tokens_are_found_as_if_each_were_cut_out_in_turn(tokens: list[str], text: str) -> None:
    special = SpecialTokens(tokens, [CONTROL] * len(tokens))
    order = sorted(enumerate(tokens), key=lambda each: (-len(each[1]), each[0]))
    expected = one_token_after_the_other([(token, token_id) for token_id, token in order], text)
    assert special.partition(text, parse_special=True) == expected
