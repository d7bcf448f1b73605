"""What an answer took, on one line for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_ctl.energy_figure import marked

if TYPE_CHECKING:
    from protocol.record import ExecutionRecord
    from protocol.run_view import ShownRecord

    FiguresRecord = ShownRecord | ExecutionRecord

_LONGEST_REASON = 60
_ENDS = {
    "max_tokens": "cut at --max-tokens",
    "context_full": "cut: the context is full",
    "max_watts": "cut at --max-watts; --on-max-watts throttle slows down instead",
    "max_joules": "cut at --max-joules",
    "deadline": "cut at --deadline-ms",
}
_ORDINARY_ENDS = frozenset({"eos", "stop_string", "stop_token"})


def figures_line(record: FiguresRecord) -> str:
    """Such as ``82 tokens · 184 tok/s · first after 0.35 s · no power meter``. What is unknown is left out, but joules:
    they are said to be unknown."""
    metrics = record.metrics
    total = metrics.tokens_total
    parts = [f"{total:,} token{'' if total == 1 else 's'}"]
    if metrics.tokens_per_sec is not None:
        parts.append(f"{_three_digits(metrics.tokens_per_sec)} tok/s")
    if metrics.ttft_ms is not None:
        parts.append(f"first after {metrics.ttft_ms / 1000:.2f} s")
    parts.append(_energy(record))
    if record.stop_reason not in _ORDINARY_ENDS:
        parts.append(_ENDS.get(record.stop_reason, record.stop_reason))
    return " · ".join(parts)


def _three_digits(rate: float) -> str:
    """Three digits that count, and all of those before the point: ``0.512``, ``18.4``, ``2,870``."""
    decimals = 0 if rate >= 100 else 1 if rate >= 10 else 2 if rate >= 1 else 3
    return f"{rate:,.{decimals}f}"


def run_warnings(record: FiguresRecord) -> tuple[str, ...]:
    """What a person should know of the weights that ran."""
    plan = record.plan
    if not plan.requantized_from:
        return record.weights.notices
    lost = f"{plan.quantization} was made from {', '.join(plan.requantized_from)}, not from the original weights"
    return (lost, *record.weights.notices)


def _energy(record: FiguresRecord) -> str:
    energy = record.metrics.energy
    if record.metrics.joules_total is not None:
        return marked(f"{record.metrics.joules_total:,.3g} J", energy.kind)
    if energy.source == "none":
        return "no power meter"
    reason = (energy.reason or "").split(":")[0].split(";")[0]
    return f"joules unknown{f': {reason}' if 0 < len(reason) <= _LONGEST_REASON else ''}"
