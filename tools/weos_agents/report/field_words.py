"""Fields of a plan as a reader knows them: what each one sets. Pure."""

from __future__ import annotations

from typing import Final

_WORDS: Final[dict[str, str]] = {
    "backend": "which of the processor's instructions are used",
    "batch.prefill_chunk": "tokens of a prompt that are computed in one step, at most",
    "kv_cache": "number format in which attention keeps what it has read",
    "quantization": "number format of the weights",
    "speculation.kind": "whether tokens are guessed ahead, and how",
    "speculation.max_rows": "tokens computed in one step where some are guessed, at most",
    "speculation.row_cost": "what a guessed token is taken to cost, as a part of a step",
    "spin_us": "microseconds that a compute thread waits awake before it sleeps",
    "stream.flush_ms": "milliseconds that a token waits to be sent together with others, at most",
    "threads": "compute threads",
}


def meaning(field: str) -> str:
    """What the field of that dotted name sets; empty where a newer engine has a field that is not known here."""
    return _WORDS.get(field, "")
