"""From an execution's moments to its figures. Pure: the formulas of :mod:`protocol.metrics`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from protocol.metrics import EnergyReport, Metrics, OperationTimes


@dataclass(frozen=True, slots=True)
class Timeline:
    """When things happened, in ``time.monotonic_ns``; ``None`` where they have not."""

    received_ns: int
    """The Run frame was complete."""
    prompt_tokens: int
    queued_ns: int | None = None
    """The plan was made; from here it waits for the scheduler."""
    admitted_ns: int | None = None
    """The scheduler let it go."""
    load_start_ns: int | None = None
    load_end_ns: int | None = None
    """Its weights were ready; equal to ``load_start_ns`` where they were before."""
    prefill_start_ns: int | None = None
    cached_prompt_tokens: int | None = None
    token_times_ns: tuple[int, ...] = ()
    other_times_ns: tuple[tuple[int, ...], ...] = ()
    """Of the tokens of the other choices, where there are any."""


def compute_metrics(
    timeline: Timeline,
    energy: EnergyReport,
    memory_peak_mb: float | None,
    operation_ns: Mapping[str, int] | None = None,
) -> Metrics:
    """Every figure that the timeline and the energy window support; the others are ``None``.

    ``operation_ns``: by every operation of :class:`protocol.metrics.OperationTimes`, where it was measured.
    """
    choices = (timeline.token_times_ns, *timeline.other_times_ns)
    times = sorted(time_ns for choice in choices for time_ns in choice)
    first, last = (times[0], times[-1]) if times else (None, None)
    latency_ms = _between_ms(timeline.prefill_start_ns, last)
    prefill_ms = _between_ms(timeline.prefill_start_ns, first)
    tokens_per_sec = _rate(len(times), latency_ms)
    joules = energy.attributed_j
    watts = _rate(joules, latency_ms)
    gaps = [(after - before) / 1e6 for choice in choices for before, after in pairwise(choice)]
    return Metrics(
        tokens_total=len(times),
        prompt_tokens=timeline.prompt_tokens,
        cached_prompt_tokens=timeline.cached_prompt_tokens,
        tokens_per_sec=tokens_per_sec,
        latency_total_ms=latency_ms,
        latency_p50_ms=nearest_rank(gaps, 50),
        latency_p95_ms=nearest_rank(gaps, 95),
        latency_gaps=len(gaps),
        ttft_ms=_between_ms(timeline.received_ns, first),
        queue_ms=_between_ms(timeline.queued_ns, timeline.admitted_ns),
        load_ms=_between_ms(timeline.load_start_ns, timeline.load_end_ns),
        prefill_ms=prefill_ms,
        prefill_tokens_per_sec=_rate(timeline.prompt_tokens - (timeline.cached_prompt_tokens or 0), prefill_ms),
        decode_tokens_per_sec=_rate(len(gaps), _between_ms(first, last)) if gaps else None,
        watts_avg=watts,
        tokens_per_watt=tokens_per_sec / watts if tokens_per_sec is not None and watts else None,
        joules_total=joules,
        joules_per_token=joules / len(times) if joules is not None and times else None,
        memory_peak_mb=memory_peak_mb,
        op_time_ms=_operation_times(operation_ns),
        energy=energy,
    )


def nearest_rank(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that ``percent`` (over 0, to 100) of the values do not exceed; ``None`` of none."""
    if not values:
        return None
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def _operation_times(operation_ns: Mapping[str, int] | None) -> OperationTimes | None:
    if operation_ns is None:
        return None
    return OperationTimes(**{operation: time_ns / 1e6 for operation, time_ns in operation_ns.items()})


def _between_ms(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / 1e6


def _rate(amount: float | None, milliseconds: float | None) -> float | None:
    """``amount`` a second; ``None`` where either is unknown or no time passed."""
    return amount / (milliseconds / 1e3) if amount is not None and milliseconds else None
