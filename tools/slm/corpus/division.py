"""Which documents are for training, which are held out, and which are left out because they are there twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from slm.corpus.documents import Document
from slm.errors import SlmError


@dataclass(frozen=True)
class Division:
    """The documents of a corpus. Conversations are for training alone: bits per byte are a text's."""

    training: tuple[Document, ...]
    held_out: tuple[Document, ...]
    duplicates: int
    """Documents left out: they say what another says, but for white space and capitals, or what is held out says."""


def divide(documents: Iterable[Document], held_out: Iterable[Document] | None, share: float, seed: int) -> Division:
    """Keep the first of each document. ``held_out``: those given; ``None``: a ``share`` of the texts, by their hashes
    with the ``seed``, so that a document stays on its side when others come or go.

    Raises SlmError: a side has no text.
    """
    seen: set[bytes] = set()
    duplicates = 0

    def first_of_each(found: Iterable[Document]) -> list[Document]:
        nonlocal duplicates
        kept = []
        for document in found:
            key = _key(document)
            if not document.plain.strip():
                continue
            if key in seen:
                duplicates += 1
                continue
            seen.add(key)
            kept.append(document)
        return kept

    apart = None if held_out is None else first_of_each(held_out)
    rest = first_of_each(documents)
    if apart is None:
        apart = [one for one in rest if not one.turns and _is_held_out(one, share, seed)]
        chosen = set(map(id, apart))
        rest = [one for one in rest if id(one) not in chosen]
    if not apart:
        raise SlmError(f"no text is held out of {len(rest)} documents: name one with --held-out, or raise the share")
    if not rest:
        raise SlmError("no document is left to train with")
    return Division(tuple(rest), tuple(apart), duplicates)


def _key(document: Document) -> bytes:
    return hashlib.blake2b(" ".join(document.plain.casefold().split()).encode(), digest_size=16).digest()


def _is_held_out(document: Document, share: float, seed: int) -> bool:
    digest = hashlib.blake2b(_key(document), digest_size=8, key=seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") < share * 2**64
