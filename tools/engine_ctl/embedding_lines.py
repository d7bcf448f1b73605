"""Vectors of texts: lines for a person, numbers for a program. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from protocol.operation_answers import Embedded

SHOWN_NUMBERS = 4
MOST_COMPARED = 10
"""More columns do not fit a terminal."""
_WIDEST_TEXT = 40


def numbers(embedded: Embedded) -> dict[str, Any]:
    """The message's content, with vectors as numbers that stand for the exact floats."""
    content = embedded.model_dump(mode="json", exclude={"type", "request_id"})
    content["texts"] = [{"vector": text.values, "tokens": text.tokens} for text in embedded.texts]
    return content


def lines(embedded: Embedded, texts: Sequence[str]) -> list[str]:
    """What was done, the begin of each vector, and the cosines of all pairs of a few texts."""
    plan, tokens = embedded.plan, sum(text.tokens for text in embedded.texts)
    told = [
        f"{plan.model_ref.name} · {plan.quantization} · {plan.backend} · {embedded.pooling} pooling "
        f"({_CHOSEN[embedded.pooling_from]}){', normalized' if embedded.normalized else ''} · "
        f"{len(texts)} text{'s' if len(texts) > 1 else ''}, {tokens:,} tokens, {embedded.duration_s:,.2f} s",
        f"{embedded.dimension} dimensions, digest {embedded.digest}",
    ]
    vectors = [text.values for text in embedded.texts]
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True), 1):
        begin = "".join(f"{value:10.5f}" for value in vector[:SHOWN_NUMBERS])
        told.append(f"{number:4}{begin} …  {_clipped(text)}")
    if 1 < len(vectors) <= MOST_COMPARED:
        told += _cosines(vectors)
    return told


_CHOSEN = {"request": "as asked", "model": "the model's own", "default": "the default"}


def _cosines(vectors: Sequence[Sequence[float]]) -> list[str]:
    lengths = [math.hypot(*vector) for vector in vectors]
    head = "cosine" + "".join(f"{number:8}" for number in range(1, len(vectors) + 1))
    rows = [
        f"{row:6}" + "".join(f"{_cosine(a, b, length * other):8.4f}" for b, other in zip(vectors, lengths, strict=True))
        for row, (a, length) in enumerate(zip(vectors, lengths, strict=True), 1)
    ]
    return [head, *rows]


def _cosine(a: Sequence[float], b: Sequence[float], lengths: float) -> float:
    """Cosine of two vectors; NaN if one has no direction."""
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else math.nan


def _clipped(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDEST_TEXT else line[: _WIDEST_TEXT - 1] + "…"
