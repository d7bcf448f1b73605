"""Cuts text at the tokens that stand for themselves before the rest is tokenized."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from engine.text.text_pieces import PIECE_CHARACTERS

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
ASCII_SPACE = " \t\n\v\f\r"
"""The white space that may go with a token."""


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
        self._control = control
        self._control_ids = frozenset(control.values())
        self._longest_control = max(map(len, control), default=0)
        self._user_defined = _Occurrences(user_defined)
        self._all = _Occurrences(control | user_defined)
        self._strip_after = strip_after

    @cached_property
    def _beginnings(self) -> frozenset[str]:
        """What control tokens begin with, whole ones left out."""
        return frozenset(token[:length] for token in self._control for length in range(1, len(token)))

    def control_id(self, text: str) -> int | None:
        """The control token that a text is; ``None`` where it is none."""
        return self._control.get(text)

    def literal(self, text: str, mark: str) -> str:
        """The text with marks, so that it spells no control token, neither alone nor with what follows it.

        ``mark``: one character that no token has. Without the marks it is the text itself.
        """
        while found := [begin for begin, _, token_id in self._all.find(text, False) if token_id in self._control_ids]:
            cuts = [0, *(begin + 1 for begin in found), len(text)]
            text = mark.join(text[begin:end] for begin, end in pairwise(cuts))
        end = len(text.rstrip())
        if any(
            text[end - length : end] in self._beginnings for length in range(1, min(end, self._longest_control) + 1)
        ):
            text = text[:end] + mark + text[end:]
        return text

    def partition(self, text: str, parse_special: bool) -> list[str | int]:
        """The text as pieces of text and ids of special tokens, in order.

        User-defined tokens are always found, the others only with ``parse_special``. A longer token is cut out
        everywhere before a shorter one is looked for.
        """
        pieces: list[str | int] = []
        position = 0
        occurrences = self._all if parse_special else self._user_defined
        for begin, end, token_id in occurrences.find(text, self._strip_after):
            pieces += (text[position:begin], token_id)
            position = end
        pieces.append(text[position:])
        return [piece for piece in pieces if piece != ""]


class _Occurrences:
    """Finds tokens in a text, in time that grows with the text and not with the tokens."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        self._ids = ids
        self._places = {token: place for place, (token, _) in enumerate(_longest_first(ids))}
        lengths: dict[str, set[int]] = {}
        for token in ids:
            lengths.setdefault(token[0], set()).add(len(token))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._firsts = re.compile("[" + "".join(map(re.escape, lengths)) + "]" if lengths else r"(?!)")

    def find(self, text: str, strip_after: bool) -> list[tuple[int, int, int]]:
        """Begin, end and id of each, in the text's order.

        A longer token is taken everywhere before a shorter one, and of one token the earlier occurrence. With
        ``strip_after`` the end is behind the white space that goes with a token.
        """
        ahead = [match for begin in self._beginnings(text) if (match := self._longest(text, begin))]
        heapq.heapify(ahead)
        taken = bytearray(len(text))
        found = []
        while ahead:
            _, begin, end = heapq.heappop(ahead)
            if any(taken[begin:end]):
                if not taken[begin] and (shorter := self._longest(text, begin, end - begin)):
                    heapq.heappush(ahead, shorter)
                continue
            token_id = self._ids[text[begin:end]]
            if strip_after and text[begin:end] not in _NEVER_STRIPPED:
                while end < len(text) and text[end] in ASCII_SPACE and not taken[end]:
                    end += 1
            taken[begin:end] = b"\1" * (end - begin)
            found.append((begin, end, token_id))
        return sorted(found)

    def _beginnings(self, text: str) -> Iterator[int]:
        """Where a token may begin. A piece at a time: between two, other threads have their turns."""
        for begin in range(0, len(text), PIECE_CHARACTERS):
            for first in self._firsts.finditer(text, begin, begin + PIECE_CHARACTERS):
                yield first.start()

    def _longest(self, text: str, begin: int, below: int | None = None) -> tuple[int, int, int] | None:
        """Place among the tokens, begin and end of the longest that begins there, of those shorter than ``below``."""
        for length in self._lengths[text[begin]]:
            if below is None or length < below:
                token = text[begin : begin + length]
                if len(token) == length and token in self._places:
                    return self._places[token], begin, begin + length
        return None


def _longest_first(ids: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(ids.items(), key=lambda item: (-len(item[0].encode()), item[1]))
