"""Cuts text at the tokens that stand for themselves before the rest is tokenized."""

from __future__ import annotations

from collections.abc import Sequence

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""``tokenizer.ggml.token_type``."""

END_TOKENS = frozenset(
    {
        "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>",  # ends of text
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>",  # ends of a turn or a message
        "<turn|>", "<|tool_response>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<end_of_utterance>",
        "<\uff5cend▁of▁sentence\uff5c>",
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",               # a code model that goes on to another
        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",   # file or repository has ended this one
        "<|file_sep|>",
    }
)  # fmt: skip
"""Tokens that end a generation by what they spell, whatever the file's keys name: the keys hold one end token, and
chat models have several. The same that llama.cpp goes by, of the models this engine runs."""

_FILL_TOKENS = frozenset(
    {
        "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<fim-prefix>", "<fim-suffix>", "<fim-middle>",
        "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<PRE>", "<SUF>", "<MID>", "\u2581<PRE>", "\u2581<SUF>",
        "\u2581<MID>", "<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>", "<\uff5cfim\u2581end\uff5c>",
        "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>",
    }
)  # fmt: skip
"""Tokens around a gap that a code model is to fill, which some files call user-defined: they are for templates."""


_ENDS_AND_GAPS = END_TOKENS | _FILL_TOKENS
_NEVER_STRIPPED = frozenset({"<unk>", "<s>", "<|endoftext|>"})
_ASCII_SPACE = " \t\n\v\f\r"


class SpecialTokens:
    """Control, unknown and user-defined tokens. Those that spell an end or a gap to fill count as control."""

    def __init__(self, tokens: Sequence[str], types: Sequence[int], *, strip_after: bool = False) -> None:
        """``strip_after``: white space behind a token goes with it, but behind those that begin or end a text."""
        by_text = _ENDS_AND_GAPS.intersection(tokens)
        if "<|tool_response>" in by_text:  # Gemma 4, whose vocabulary has tags of HTML
            by_text -= {"</s>"}
        marked = {token_id for token_id, kind in enumerate(types) if kind != NORMAL}
        control: dict[str, int] = {token: tokens.index(token) for token in by_text}
        user_defined: dict[str, int] = {}
        for token_id in marked.difference(control.values()):
            if types[token_id] in (CONTROL, UNKNOWN):
                control[tokens[token_id]] = token_id
            elif types[token_id] == USER_DEFINED:
                user_defined[tokens[token_id]] = token_id
        self.end_token_ids = {control[token] for token in END_TOKENS if token in control}
        self._user_defined = _longest_first(user_defined)
        self._all = _longest_first(control | user_defined)
        self._strip_after = strip_after

    def partition(self, text: str, parse_special: bool) -> list[str | int]:
        """The text as pieces of text and ids of special tokens, in order.

        User-defined tokens are always found, the others only with ``parse_special``. A longer token is cut out
        everywhere before a shorter one is looked for.
        """
        pieces: list[str | int] = [text] if text else []
        for token, token_id in self._all if parse_special else self._user_defined:
            if token in text:
                strip = self._strip_after and token not in _NEVER_STRIPPED
                pieces = [part for piece in pieces for part in _cut(piece, token, token_id, strip)]
        return pieces


def _longest_first(ids: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(ids.items(), key=lambda item: (-len(item[0].encode()), item[1]))


def _cut(piece: str | int, token: str, token_id: int, strip_after: bool) -> list[str | int]:
    if isinstance(piece, int) or token not in piece:
        return [piece]
    first, *others = piece.split(token)
    cut: list[str | int] = [first]
    for text in others:
        cut += (token_id, text.lstrip(_ASCII_SPACE) if strip_after else text)
    return [part for part in cut if part != ""]
