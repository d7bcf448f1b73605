"""Cuts text at the tokens that stand for themselves before the rest is tokenized."""

from __future__ import annotations

from collections.abc import Sequence

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""``tokenizer.ggml.token_type``."""

END_TOKENS = frozenset(
    {
        "</s>", "<eos>", "<|endoftext|>", "<|end_of_text|>",  # ends of text
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>",  # ends of a turn or a message
        "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<end_of_utterance>", "<\uff5cend▁of▁sentence\uff5c>",
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",               # a code model that goes on to another
        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",   # file or repository has ended this one
        "<|file_sep|>",
    }
)  # fmt: skip
"""Tokens that end a generation by what they spell, whatever the file's keys name: the keys hold one end token, and
chat models have several. The same that llama.cpp goes by, of the models this engine runs."""


class SpecialTokens:
    """Control, unknown and user-defined tokens. Those that spell an end token count as control."""

    def __init__(self, tokens: Sequence[str], types: Sequence[int]) -> None:
        control: dict[str, int] = {}
        user_defined: dict[str, int] = {}
        for token_id, kind in enumerate(types):
            token = tokens[token_id]
            if kind in (CONTROL, UNKNOWN) or token in END_TOKENS:
                control[token] = token_id
            elif kind == USER_DEFINED:
                user_defined[token] = token_id
        self.end_token_ids = {control[token] for token in END_TOKENS if token in control}
        self._user_defined = _longest_first(user_defined)
        self._all = _longest_first(control | user_defined)

    def partition(self, text: str, parse_special: bool) -> list[str | int]:
        """The text as pieces of text and ids of special tokens, in order.

        User-defined tokens are always found, the others only with ``parse_special``. A longer token is cut out
        everywhere before a shorter one is looked for.
        """
        pieces: list[str | int] = [text] if text else []
        for token, token_id in self._all if parse_special else self._user_defined:
            if token in text:
                pieces = [part for piece in pieces for part in _cut(piece, token, token_id)]
        return pieces


def _longest_first(ids: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(ids.items(), key=lambda item: len(item[0].encode()), reverse=True)


def _cut(piece: str | int, token: str, token_id: int) -> list[str | int]:
    if isinstance(piece, int) or token not in piece:
        return [piece]
    cut: list[str | int] = []
    for text in piece.split(token):
        cut += (text, token_id)
    return [part for part in cut[:-1] if part != ""]
