"""The engine's figures by llama-server's names, as ``/metrics`` tells them beside its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from protocol.metric_family import MetricFamily, Sample


class _Known:
    """The engine's own families, summed up; ``None`` where there is nothing to sum."""

    def __init__(self, families: Sequence[MetricFamily]) -> None:
        self._families = {family.name: family for family in families}

    def total(self, name: str, **labels: str) -> float | None:
        family = self._families.get(name)
        return (
            None if family is None else sum(one.value for one in family.samples if labels.items() <= one.labels.items())
        )

    def seconds(self, name: str) -> float | None:
        family = self._families.get(name)
        return None if family is None else sum(one.sum for one in family.histograms)


def llama_families(families: Sequence[MetricFamily]) -> tuple[MetricFamily, ...]:
    """Its figures, those that the engine's own tell: how many drafts tokens came in is not counted."""
    known = _Known(families)
    cached = known.total("engine_cached_prompt_tokens_total")
    prompt = _sum(known.total("engine_prompt_tokens_total"), None if cached is None else -cached)
    prompt_s = known.seconds("engine_prefill_seconds")
    predicted = known.total("engine_generated_tokens_total")
    predicted_s = known.seconds("engine_decode_seconds")
    steps, rows = known.total("engine_steps_total"), known.total("engine_step_rows_total", kind="decode")
    running, loading, queued = (
        known.total("engine_executions_in_progress", state=state) for state in ("running", "loading", "queued")
    )
    drafted, accepted = known.total("engine_drafted_tokens_total"), known.total("engine_accepted_tokens_total")
    longest = known.total("engine_sequence_tokens_max")
    return (
        _family("prompt_tokens_total", "counter", "Tokens of prompts that were computed.", prompt),
        _family("prompt_tokens_cached_total", "counter", "Tokens of prompts found in the prefix cache.", cached),
        _family("prompt_seconds_total", "counter", "Seconds from prompts' first steps to first tokens.", prompt_s),
        _family("tokens_predicted_total", "counter", "Tokens generated.", predicted),
        _family("tokens_predicted_seconds_total", "counter", "Seconds from first tokens to last ones.", predicted_s),
        _family("n_decode_total", "counter", "Steps of the run loop.", steps),
        _family("n_tokens_max", "counter", "Most tokens of prompt and answer of one sequence.", longest),
        _family("spec_decode_num_draft_tokens_total", "counter", "Tokens drafted.", drafted),
        _family("spec_decode_num_accepted_tokens_total", "counter", "Drafted tokens accepted.", accepted),
        _family("spec_decode_num_drafts_total", "counter", "Drafts.", None),
        _family("prompt_tokens_seconds", "gauge", "Tokens of prompts a second.", _rate(prompt, prompt_s)),
        _family("predicted_tokens_seconds", "gauge", "Tokens generated a second.", _rate(predicted, predicted_s)),
        _family("requests_processing", "gauge", "Executions that run or load.", _sum(running, loading)),
        _family("requests_deferred", "gauge", "Executions that wait.", queued),
        _family("n_busy_slots_per_decode", "gauge", "Rows decoded in a step.", _rate(rows, steps)),
    )


def _sum(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value + other


def _rate(count: float | None, by: float | None) -> float | None:
    return None if count is None or not by else count / by


def _family(name: str, kind: Literal["counter", "gauge"], text: str, value: float | None) -> MetricFamily:
    samples = () if value is None else (Sample(labels={}, value=value),)
    return MetricFamily(name=f"llamacpp:{name}", kind=kind, help=text, samples=samples)
