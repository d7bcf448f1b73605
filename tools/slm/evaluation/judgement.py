"""Bits per byte of the held-out text, side by side: without a model, in PyTorch, and of files in the engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from slm.corpus.prepared_data import PreparedData
from slm.engine_link import EngineLink
from slm.evaluation.byte_grams import ByteGrams
from slm.evaluation.scored_windows import LARGEST_WINDOW, scored_windows
from slm.evaluation.text_cost import text_cost
from slm.export.trained_model import TrainedModel

_BASELINES = {"unigram of bytes": 1, "4-gram of bytes": 4}


class Judged(BaseModel):
    """A row of the comparison."""

    model_config = ConfigDict(frozen=True)

    what: str
    bits_per_byte: float
    megabytes: float | None = None
    """Of the file; ``None``: there is no file, or it holds an optimizer too."""
    tokens_per_second: float | None = None
    """Read, not made; ``None`` where there are no tokens."""


def judge_baselines(data: PreparedData) -> Iterator[Judged]:
    """What needs no model, counted in the training text. All bytes of the held-out text are scored."""
    training, text = data.training_bytes(), data.held_out.encode()
    for name, order in _BASELINES.items():
        yield Judged(what=name, bits_per_byte=ByteGrams(training, order).bits_per_byte(text))


def judge_in_pytorch(model: TrainedModel, data: PreparedData) -> Judged:
    """The checkpoint itself, in f32."""
    cost = text_cost(model.transformer, data.vocabulary, data.held_out)
    return Judged(
        what=f"{model.name} in PyTorch, f32", bits_per_byte=cost.bits_per_byte, tokens_per_second=cost.tokens_per_second
    )


def judge_in_engine(files: Sequence[Path], data: PreparedData, context: int, engine: EngineLink) -> Iterator[Judged]:
    """Files of the same vocabulary, as the engine computes them."""
    window = min(LARGEST_WINDOW, context)
    read = scored_windows(data.vocabulary, data.held_out, window)
    for path in files:
        found = engine.evaluate(path, data.held_out, window)
        nats = math.log(found.quality.perplexity) * found.quality.positions
        yield Judged(
            what=f"{path.name} in the engine",
            bits_per_byte=read.bits_per_byte(nats),
            megabytes=path.stat().st_size / 10**6,
            tokens_per_second=read.tokens.size / found.duration_s,
        )
