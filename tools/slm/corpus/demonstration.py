"""The demonstration corpus: made up anew from a seed, the same on every machine, so that nothing need be fetched."""

from __future__ import annotations

from collections.abc import Iterator

from slm.corpus.documents import Document
from slm.corpus.draw import Draw
from slm.corpus.kernel_pages import conversation, page
from slm.corpus.stories import story

NAME = "demonstration"
DOCUMENTS = 12_000


def demonstration(seed: int, documents: int = DOCUMENTS) -> Iterator[Document]:
    """Stories, pages and conversations in turn."""
    draw = Draw(seed)
    for number in range(documents):
        yield (story, page, conversation)[number % 3](draw)
