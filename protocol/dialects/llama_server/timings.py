"""What an execution took, as llama-server tells it."""

from __future__ import annotations

from protocol.record import ExecutionRecord


def timings(record: ExecutionRecord) -> dict[str, float | None]:
    """Times in milliseconds; ``None`` is not known.

    The first token comes of the prompt's last step: only those behind it were decoded, and rates are theirs. Where
    nothing was computed a rate is 0, as there.
    """
    metrics = record.metrics
    cached = metrics.cached_prompt_tokens or 0
    computed = metrics.prompt_tokens - cached
    decoded = metrics.tokens_total - len((record, *record.other_choices))
    drafts = {"draft_n": metrics.drafted_tokens, "draft_n_accepted": metrics.accepted_tokens}
    return {
        "cache_n": cached,
        "prompt_n": computed,
        "prompt_ms": metrics.prefill_ms,
        "prompt_per_token_ms": _ratio(metrics.prefill_ms, computed),
        "prompt_per_second": _ratio(1e3 * computed, metrics.prefill_ms),
        "predicted_n": metrics.tokens_total,
        "predicted_ms": metrics.decode_ms,
        "predicted_per_token_ms": _ratio(metrics.decode_ms, decoded),
        "predicted_per_second": _ratio(1e3 * decoded, metrics.decode_ms),
        **({} if metrics.drafted_tokens is None else drafts),
    }


def _ratio(value: float | None, by: float | None) -> float | None:
    if value is None or by is None:
        return None
    return value / by if by > 0 and value > 0 else 0.0
