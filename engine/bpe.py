"""Byte-level BPE, as GPT-2 and most models since: ``tokenizer.ggml.model`` = ``gpt2``."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from engine.pre_tokenizers import PreTokenizer
from protocol.errors import InvalidModel


class BpeEncoder:
    """Text without special tokens to ids. Thread-safe; lets other threads run while it works."""

    def __init__(self, ids: dict[str, int], merges: Sequence[str], pre_tokenizer: PreTokenizer) -> None:
        """``merges``: best first, ``left right``. Raises InvalidModel where they do not fit the vocabulary."""
        # No symbol holds a space: bytes are spelled as printable characters.
        pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
        # A byte that no token stands for prints nothing, but still keeps its neighbours from merging.
        missing = [byte for byte in pre_tokenizers.ByteLevel.alphabet() if byte not in ids]
        self._vocab_size = len(ids) if missing else None
        if missing:
            ids = ids | {byte: token_id for token_id, byte in enumerate(missing, len(ids))}
        try:
            model = models.BPE(ids, pairs, ignore_merges=pre_tokenizer.ignore_merges)
        except Exception as error:  # the library raises nothing narrower
            raise InvalidModel(f"tokenizer.ggml.merges do not fit the vocabulary: {error}") from error
        self._tokenizer = Tokenizer(model)
        splits = [
            pre_tokenizers.Split(Regex(expression), behavior="isolated") for expression in pre_tokenizer.expressions
        ]
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*splits, to_bytes])

    def encode(self, text: str) -> list[int]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids if self._vocab_size is None else [token_id for token_id in ids if token_id < self._vocab_size]
