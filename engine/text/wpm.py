"""WordPiece, the tokenizer of BERT and its kin: ``tokenizer.ggml.model`` = ``bert``.

A GGUF spells the tokens that begin a word with ``▁`` before them and those that go on with nothing, where the model's
own vocabulary has nothing and ``##``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Final

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from engine.text.special_tokens import NORMAL, USER_DEFINED
from engine.text.spm import SPACE
from engine.text.text_pieces import pieces
from protocol.errors import InvalidModel

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads of its own would take CPUs from the kernels
UNKNOWN_TOKEN: Final = "[UNK]"  # noqa: S105
_CONTINUED: Final = "##"
_SPACES: Final = re.compile(" ")
_LONGEST_WORD: Final = 100
"""Characters; a longer word is unknown, as to the models' own tokenizers."""


class WpmEncoder:
    """Text without special tokens to ids. Thread-safe; lets other threads run while it works."""

    def __init__(self, tokens: Sequence[str], types: Sequence[int], *, lowercase: bool) -> None:
        """Raises InvalidModel where no token stands for what the vocabulary cannot spell."""
        if UNKNOWN_TOKEN not in tokens:
            raise InvalidModel(f"the vocabulary has no {UNKNOWN_TOKEN}", key="tokenizer.ggml.tokens")
        numbered = enumerate(zip(tokens, types, strict=True))
        spelled = {_spelling(token, kind): token_id for token_id, (token, kind) in numbered}
        self._words = Tokenizer(
            models.WordPiece(
                spelled,
                unk_token=UNKNOWN_TOKEN,
                max_input_chars_per_word=_LONGEST_WORD,
                continuing_subword_prefix=_CONTINUED,
            )
        )
        self._words.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
        self._words.pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def encode(self, text: str) -> list[int]:
        """The token ids of a text without special tokens."""
        found: list[int] = []
        for piece in pieces(text, _SPACES):
            # The package's calls for many texts let other threads run; those for one text do not.
            (words,) = self._words.encode_batch([piece], add_special_tokens=False)
            found += words.ids
        return found


def _spelling(token: str, kind: int) -> str:
    """The token as the model's own vocabulary has it."""
    if kind not in (NORMAL, USER_DEFINED):
        return token
    return token.removeprefix(SPACE) if token.startswith(SPACE) else _CONTINUED + token
