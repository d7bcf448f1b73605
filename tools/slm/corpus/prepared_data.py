"""Prepared data: a folder with shards, a vocabulary, a held-out text, and a description of where they come from."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from slm.corpus.division import Division
from slm.corpus.shards import Shard, Tokens, open_shards, write_shards
from slm.corpus.vocabulary import Vocabulary, train_vocabulary
from slm.errors import SlmError

DESCRIPTION = "data.json"
VOCABULARY = "tokenizer.json"
HELD_OUT = "held-out.txt"


class DataDescription(BaseModel):
    """What is in the folder, and what it was made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    seed: int
    documents: int
    conversations: int
    held_out_documents: int
    duplicates: int
    """Documents that were left out."""
    training_bytes: int
    held_out_bytes: int
    vocab_size: int
    shards: tuple[Shard, ...]

    @property
    def tokens(self) -> int:
        """Tokens to train with, control tokens among them."""
        return sum(shard.tokens for shard in self.shards)


class PreparedData:
    """A folder that :func:`prepare` has written. Raises SlmError: it is none, or damaged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.description = DataDescription.model_validate_json((folder / DESCRIPTION).read_bytes())
        except (OSError, ValidationError) as error:
            raise SlmError(f"{folder} holds no prepared data (slm prepare-data makes it): {error}") from error
        self.vocabulary = Vocabulary.load(folder / VOCABULARY)
        self.shards: Sequence[Tokens] = open_shards(folder, self.description.shards)

    @property
    def held_out(self) -> str:
        """The text that no training saw."""
        return (self.folder / HELD_OUT).read_text(encoding="utf-8")

    def training_bytes(self) -> bytes:
        """The training text as bytes, as the tokens spell it."""
        alphabet = _bytes_of_alphabet()
        pieces = [bytes(alphabet[character] for character in one) for one in _printing(self.vocabulary)]
        return b"".join(pieces[token] for shard in self.shards for token in shard.tolist())


def prepare(division: Division, folder: Path, source: str, seed: int, vocabulary: Vocabulary | int) -> DataDescription:
    """Write the folder whole or not at all. ``vocabulary``: one that is there, or the most tokens of a new one.

    Raises SlmError: something is at the folder's place.
    """
    if folder.exists():
        raise SlmError(f"{folder} is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    begun = Path(mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        description = _write(division, begun, source, seed, vocabulary)
        begun.chmod(0o755)
        begun.rename(folder)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return description


def _write(division: Division, folder: Path, source: str, seed: int, vocabulary: Vocabulary | int) -> DataDescription:
    if isinstance(vocabulary, int):
        vocabulary = train_vocabulary(division.training, vocabulary)
    vocabulary.save(folder / VOCABULARY)
    held_out = "\n\n".join(document.text.strip() for document in division.held_out) + "\n"
    (folder / HELD_OUT).write_text(held_out, encoding="utf-8")
    order = np.random.default_rng(seed).permutation(len(division.training))
    shuffled = [division.training[place] for place in order]
    shards = write_shards(folder, vocabulary.encode_documents(shuffled))
    description = DataDescription(
        source=source,
        seed=seed,
        documents=len(division.training),
        conversations=sum(bool(document.turns) for document in division.training),
        held_out_documents=len(division.held_out),
        duplicates=division.duplicates,
        training_bytes=sum(len(document.plain.encode()) for document in division.training),
        held_out_bytes=len(held_out.encode()),
        vocab_size=len(vocabulary.tokens),
        shards=tuple(shards),
    )
    (folder / DESCRIPTION).write_text(description.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return description


def _printing(vocabulary: Vocabulary) -> list[str]:
    """What each token prints, in GPT-2's alphabet; nothing, where it is a control token."""
    lengths = zip(vocabulary.tokens, vocabulary.byte_lengths, strict=True)
    return [token if length else "" for token, length in lengths]


def _bytes_of_alphabet() -> dict[str, int]:
    """GPT-2's alphabet: bytes that print stand for themselves, the others for characters from 256 on."""
    printing = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    moved = iter(range(256, 512))
    return {chr(byte if byte in printing else next(moved)): byte for byte in range(256)}
