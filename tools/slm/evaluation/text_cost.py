"""What a text costs a model in PyTorch."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch.nn import functional

from slm.corpus.vocabulary import Vocabulary
from slm.evaluation.scored_windows import LARGEST_WINDOW, scored_windows
from slm.transformer import Transformer

_AT_ONCE = 8


@dataclass(frozen=True)
class TextCost:
    """What was found."""

    bits_per_byte: float
    perplexity: float
    """Perplexity by token: it does not compare between vocabularies."""
    predictions: int
    tokens_per_second: float
    """Tokens read, the scored and the others."""


def text_cost(model: Transformer, vocabulary: Vocabulary, text: str, most_windows: int | None = None) -> TextCost:
    """Read a text in windows, in f32. Raises SlmError: it is shorter than one."""
    window = min(LARGEST_WINDOW, model.architecture.max_position_embeddings)
    read = scored_windows(vocabulary, text, window, most_windows)
    half, nats, began = window // 2, 0.0, time.monotonic()
    model.eval()
    with torch.inference_mode():
        for begin in range(0, len(read.tokens), _AT_ONCE):
            tokens = torch.from_numpy(read.tokens[begin : begin + _AT_ONCE])
            given = tokens.clone()
            given[:, 0] = vocabulary.end_of_text
            hidden = model.hidden(given)[:, half:-1]
            logits = functional.linear(hidden, model.embed_tokens.weight).double()
            nats += float(
                functional.cross_entropy(logits.flatten(0, 1), tokens[:, half + 1 :].flatten(), reduction="sum")
            )
    model.train()
    return TextCost(
        bits_per_byte=read.bits_per_byte(nats),
        perplexity=float(torch.tensor(nats / read.predictions, dtype=torch.float64).exp()),
        predictions=read.predictions,
        tokens_per_second=read.tokens.size / (time.monotonic() - began),
    )
