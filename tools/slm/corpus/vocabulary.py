"""The vocabulary: byte pairs learned from the training text, cut into words as ``smollm`` is in GGUF files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from slm.corpus.documents import Document
from slm.errors import SlmError

END_OF_TEXT = "<|endoftext|>"
TURN_BEGINS = "<|im_start|>"
TURN_ENDS = "<|im_end|>"
CONTROLS = (END_OF_TEXT, TURN_BEGINS, TURN_ENDS)
PRE_TOKENIZER = "smollm"
"""The name under which GGUF files know how words are cut: each digit apart, the rest as in GPT-2."""
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_AT_ONCE = 1000


class Vocabulary:
    """Text to token ids and back. Text never becomes a control token."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises SlmError: it is not byte pairs on bytes, or lacks a control token."""
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # text that spells a control token is text
        tokens = tokenizer.get_vocab(with_added_tokens=True)
        missing = [one for one in CONTROLS if one not in tokens]
        if missing or not isinstance(tokenizer.model, models.BPE):
            raise SlmError(
                f"the tokenizer is not byte pairs with {', '.join(CONTROLS)}; models here are trained with those of "
                "slm prepare-data"
            )
        self.tokens: tuple[str, ...] = tuple(sorted(tokens, key=tokens.__getitem__))
        self.merges: tuple[str, ...] = _merges(tokenizer)
        self._ids = tokens
        self.end_of_text = tokens[END_OF_TEXT]
        # In GPT-2's alphabet a character stands for a byte.
        self.byte_lengths = tuple(0 if one in CONTROLS else len(one) for one in self.tokens)

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Raises SlmError: there is none at the path."""
        if not path.is_file():
            raise SlmError(f"{path}: no such tokenizer")
        try:
            return cls(Tokenizer.from_file(str(path)))
        except Exception as error:
            # The package raises Exception itself.
            raise SlmError(f"{path}: {error}") from error

    def save(self, path: Path) -> None:
        """Write ``tokenizer.json``."""
        self._tokenizer.save(str(path))

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without any control token."""
        return next(iter(self._encode_many([text])))

    def encode_documents(self, documents: Sequence[Document]) -> Iterator[list[int]]:
        """Each document's ids: its text, or its turns as the chat template has them; then the end of text."""
        for begin in range(0, len(documents), _AT_ONCE):
            some = documents[begin : begin + _AT_ONCE]
            texts = [text for document in some for text in _texts(document)]
            ids = iter(self._encode_many(texts))
            yield from (self._join(document, ids) for document in some)

    def _join(self, document: Document, ids: Iterator[list[int]]) -> list[int]:
        if not document.turns:
            return [*next(ids), self.end_of_text]
        found = []
        for _ in document.turns:
            found += [self._ids[TURN_BEGINS], *next(ids), self._ids[TURN_ENDS], *next(ids)]
        return [*found, self.end_of_text]

    def _encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _merges(tokenizer: Tokenizer) -> tuple[str, ...]:
    """The pairs that are merged, the first learned first, as GGUF spells them."""
    found = json.loads(tokenizer.to_str())["model"]["merges"]
    return tuple(one if isinstance(one, str) else " ".join(one) for one in found)


def _texts(document: Document) -> Iterator[str]:
    """What is cut into words by itself; of a turn, what is between its control tokens and what follows them."""
    if not document.turns:
        yield document.text
    for turn in document.turns:
        yield f"{turn.role}\n{turn.content}"
        yield "\n"


def train_vocabulary(documents: Iterable[Document], size: int) -> Vocabulary:
    """Learn at most ``size`` tokens, every byte and control token among them; a small corpus has fewer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(CONTROLS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((document.plain for document in documents), trainer)
    return Vocabulary(tokenizer)
