"""What an execution is measured by. Names and formulas are a contract; unknown is ``None`` with a reason, never 0."""

from __future__ import annotations

from typing import Literal

from protocol.model import Value
from protocol.power_curve import PowerCurve


class EnergyReport(Value):
    """What the energy figures of an execution are worth."""

    kind: Literal["measured", "attributed", "modelled", "unavailable"]
    source: str
    domains: tuple[str, ...] = ()
    window_ms: float | None = None
    """Between the two readings of the source."""
    rel_uncertainty: float | None = None
    """How far the joules may be from the truth, as a part of them: what the source itself may be wrong by, and what its
    readings may miss at the window's two ends. What others used of a shared CPU is told apart."""
    package_j: float | None = None
    """Of all that the domains sum, in the window."""
    idle_j: float | None = None
    """What of ``package_j`` a quiet machine would have used; ``None`` where that was not measured by this source."""
    attributed_j: float | None = None
    """``package_j`` * ``share``."""
    share: float | None = None
    """The execution's part of the run loop's computing time in the window; 1 where it ran alone."""
    others_cpu_share: float | None = None
    """What part of the machine's CPU time in the window went to anything but the engine's process, from 0 to 1."""
    contended: bool | None = None
    """Whether that was enough to spoil the execution's joules and speed; ``None``: too short a window to tell."""
    curve: PowerCurve | None = None
    """What modelled joules were computed by; ``None`` of all others."""
    calibration_age_s: float | None = None
    """Since the measurement that ``idle_j`` rests on, as a calibrated model's joules do."""
    calibration_stale: str | None = None
    """Why that may no longer hold."""
    reason: str | None = None
    """Why a figure is unknown, and what would make it known."""


class OperationTimes(Value):
    """Milliseconds of an execution's steps by what the first compute thread did; they add up to its part of them.

    Of a step that several executions share each has the part that its rows cost. Architectures without an operation
    have 0 for it.
    """

    embedding: float
    norm: float
    quantize_input: float
    matmul: float
    """The projections of the layers."""
    rope: float
    kv_store: float
    attention: float
    activation: float
    residual: float
    logits: float
    """The head's projection, the digest of the logits and the largest of them."""
    grammar: float
    """Finding the tokens that a grammar allows, and following the one drawn."""
    sampling: float
    detokenize: float
    wait: float
    """For the other compute threads."""
    other: float
    """Planning of steps, room in caches, events."""


class Metrics(Value):
    """One execution's figures. The active interval runs from the start of its first prefill step to its last token.

    tokens_per_sec         = tokens_total / (latency_total_ms / 1000)
    prefill_tokens_per_sec = (prompt_tokens - cached_prompt_tokens) / (prefill_ms / 1000): what was computed
    latency_p50/p95_ms     nearest-rank percentiles over all inter-token gaps; ``latency_gaps`` says how many
    ttft_ms                from the Run frame received to the first token ready
    tokens_per_watt        = tokens_per_sec / watts_avg  (tokens per joule)
    """

    tokens_total: int
    prompt_tokens: int
    cached_prompt_tokens: int | None = None
    """Of them, those found in the prefix cache; 0 where the plan has it off; ``None``: the prefill never began."""
    tokens_per_sec: float | None
    latency_total_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_gaps: int
    ttft_ms: float | None
    queue_ms: float | None
    load_ms: float | None
    prefill_ms: float | None
    prefill_tokens_per_sec: float | None
    decode_tokens_per_sec: float | None
    watts_avg: float | None
    tokens_per_watt: float | None
    joules_total: float | None
    joules_per_token: float | None
    memory_peak_mb: float | None
    op_time_ms: OperationTimes | None = None
    """``None`` where the plan's ``op_times`` is off, and where nothing was computed."""
    energy: EnergyReport
