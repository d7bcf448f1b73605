"""From an execution's moments to its figures. Pure: the formulas of :mod:`protocol.metrics`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from engine.metrics.phases import Timeline, phases_ms
from protocol.metrics import CpuReport, EnergyReport, ExecutionMetrics, MemoryReport, OperationTimes

_MB = 10**6


def compute_metrics(
    timeline: Timeline,
    energy: EnergyReport,
    memory: MemoryReport,
    cpu: CpuReport,
    operation_ns: Mapping[str, int] | None = None,
) -> ExecutionMetrics:
    """Every figure that the timeline and the reports support; the others are ``None``.

    ``operation_ns``: by every operation of :class:`protocol.metrics.OperationTimes`, where it was measured.
    """
    times = sorted(time_ns for choice in timeline.choices for time_ns in choice)
    first, last = (times[0], times[-1]) if times else (None, None)
    latency_ms = _between_ms(timeline.prefill_start_ns, last)
    tokens_per_sec = _rate(len(times), latency_ms)
    joules = energy.attributed_j
    watts = _rate(joules, latency_ms)
    gaps = [(after - before) / 1e6 for choice in timeline.choices for before, after in pairwise(choice)]
    computed_tokens = timeline.prompt_tokens - (timeline.cached_prompt_tokens or 0)
    return ExecutionMetrics(
        tokens_total=len(times),
        prompt_tokens=timeline.prompt_tokens,
        cached_prompt_tokens=timeline.cached_prompt_tokens,
        drafted_tokens=None if timeline.drafts is None else sum(drafted for drafted, _ in timeline.drafts),
        accepted_tokens=None if timeline.drafts is None else sum(accepted for _, accepted in timeline.drafts),
        draft_ms=None if timeline.draft_ns is None else timeline.draft_ns / 1e6,
        draft_joules=_draft_joules(timeline, joules),
        tokens_per_sec=tokens_per_sec,
        latency_total_ms=latency_ms,
        latency_p50_ms=nearest_rank(gaps, 50),
        latency_p95_ms=nearest_rank(gaps, 95),
        latency_gaps=len(gaps),
        ttft_ms=_between_ms(timeline.received_ns, first),
        wall_ms=_between_ms(timeline.received_ns, timeline.ended_ns),
        **phases_ms(timeline),
        prefill_tokens_per_sec=_rate(computed_tokens, _between_ms(timeline.prefill_start_ns, first)),
        decode_tokens_per_sec=_rate(len(gaps), _between_ms(first, last)) if gaps else None,
        watts_avg=watts,
        tokens_per_watt=tokens_per_sec / watts if tokens_per_sec is not None and watts else None,
        joules_total=joules,
        joules_per_token=joules / len(times) if joules is not None and times else None,
        memory_peak_mb=None if memory.peak_bytes is None else memory.peak_bytes / _MB,
        memory=memory,
        cpu_user_ms=cpu.part_of(cpu.process_user_ms),
        cpu_system_ms=cpu.part_of(cpu.process_system_ms),
        cpu_share=cpu.machine_share,
        cpu=cpu,
        op_time_ms=_operation_times(operation_ns),
        energy=energy,
    )


def _draft_joules(timeline: Timeline, joules: float | None) -> float | None:
    """Joules divide as computing time does."""
    if joules is None or timeline.draft_ns is None or not timeline.compute_ns:
        return None
    return joules * timeline.draft_ns / timeline.compute_ns


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
