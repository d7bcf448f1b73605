"""Figures as a reader knows them: what they are called, and their units. Pure."""

from __future__ import annotations

from typing import Final

from weos_agents.sample import Metric

WORDS: Final[dict[Metric, tuple[str, str]]] = {
    "tokens_per_sec": ("tokens per second", ""),
    "decode_tokens_per_sec": ("tokens per second after the first", ""),
    "tokens_per_watt": ("tokens per joule", ""),
    "ttft_ms": ("time to the first token", "\u00a0ms"),
    "latency_p50_ms": ("time between tokens, median", "\u00a0ms"),
    "latency_p95_ms": ("time between tokens, 95th percentile", "\u00a0ms"),
    "memory_peak_mb": ("memory", "\u00a0MB"),
    "joules_per_token": ("joules per token", "\u00a0J"),
}
"""Each with its unit, which follows a number."""


def called(metric: Metric) -> str:
    """What a reader calls the figure."""
    return WORDS[metric][0]


def in_words(text: str) -> str:
    """The same text, with figures as a reader calls them."""
    for metric, (words, _) in sorted(WORDS.items(), key=lambda one: -len(one[0])):
        text = text.replace(f"{metric} p95", f"{words}, 95th percentile").replace(metric, words)
    return text


def amount(metric: Metric, value: float | None) -> str:
    """A number with its unit: three digits that count."""
    if value is None:
        return "unknown"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:,.{digits}f}{WORDS[metric][1]}"


def percent(part: float | None) -> str:
    """A change with its sign: 0.05 is ``+5.0%``."""
    return "unknown" if part is None else f"{part:+.1%}"
