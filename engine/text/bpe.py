"""BPE by merges: of bytes, as in GPT-2 and most models since (``tokenizer.ggml.model`` = ``gpt2``), or of characters
(``gemma4``).
"""

from __future__ import annotations

import os
import re

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from engine import _core
from engine.text.pre_tokenizers import PreTokenizer
from engine.text.spm import SPACE
from engine.text.text_pieces import pieces
from protocol.errors import InvalidModel

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads of its own would take CPUs from the kernels
_WORDS = re.compile("(?<=[!-~]) (?=[!-~])")
"""Where a word of every expression begins: none has a space behind anything else, and one alone is no white space that
is kept together."""
_NOWHERE = re.compile("(?!)")


class BpeEncoder:
    """Text without special tokens to ids. Thread-safe; lets other threads run while it works.

    The ``tokenizers`` package cuts the words and the core merges them: the package's own merging wants every token and
    merge as Python strings first, which takes longer than all the rest of opening a vocabulary.
    """

    def __init__(self, gguf: _core.GgufFile, pre_tokenizer: PreTokenizer) -> None:
        """Raises InvalidModel where tokens or merges are missing, or do not fit each other."""
        try:
            self._pairs = _core.BytePairs(gguf, pre_tokenizer.characters)
        except _core.GgufError as error:
            raise InvalidModel(f"{gguf.path}: {error}") from error
        self._whole_words = pre_tokenizer.ignore_merges
        self._space = SPACE if pre_tokenizer.characters else " "
        self._cuts = _NOWHERE if pre_tokenizer.characters else _WORDS
        # Each word is one unknown token.
        self._words = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
        self._words.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(expression), behavior="isolated") for expression in pre_tokenizer.expressions]
        )

    def encode(self, text: str) -> list[int]:
        """The token ids of a text without special tokens."""
        found: list[int] = []
        for piece in pieces(text, self._cuts):
            spaced = piece.replace(" ", self._space)
            # The package's calls for many texts let other threads run; those for one text do not.
            (cut,) = self._words.encode_batch([spaced], add_special_tokens=False)
            spans = cut.offsets
            found += self._pairs.encode([spaced[begin:end] for begin, end in spans], self._whole_words)
        return found
