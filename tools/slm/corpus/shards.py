"""Shards: files of tokens, 16 bits each, in little-endian order; read as far as they are used, and never as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from slm.errors import SlmError

Tokens = npt.NDArray[np.uint16]

TOKENS_PER_SHARD = 1 << 24


class Shard(BaseModel):
    """A file of tokens, as the data's description has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    tokens: int
    sha256: str


def write_shards(folder: Path, documents: Iterable[list[int]], tokens_each: int = TOKENS_PER_SHARD) -> list[Shard]:
    """Write the documents one after another; each file but the last has ``tokens_each`` tokens."""
    shards: list[Shard] = []
    waiting: list[int] = []

    def write(tokens: list[int]) -> None:
        content = np.asarray(tokens, dtype="<u2").tobytes()
        name = f"train-{len(shards):05}.bin"
        (folder / name).write_bytes(content)
        shards.append(Shard(name=name, tokens=len(tokens), sha256=hashlib.sha256(content).hexdigest()))

    for document in documents:
        waiting += document
        while len(waiting) >= tokens_each:
            write(waiting[:tokens_each])
            del waiting[:tokens_each]
    if waiting:
        write(waiting)
    return shards


def open_shards(folder: Path, shards: Sequence[Shard]) -> list[Tokens]:
    """The shards, mapped. Raises SlmError: one is missing, or not as long as its description says."""
    opened: list[Tokens] = []
    for shard in shards:
        path = folder / shard.name
        try:
            tokens = np.memmap(path, dtype="<u2", mode="r")
        except (OSError, ValueError) as error:
            raise SlmError(f"{path}: {error}") from error
        if len(tokens) != shard.tokens:
            raise SlmError(f"{path}: {len(tokens)} tokens and not {shard.tokens}; prepare the data again")
        opened.append(tokens)
    return opened
