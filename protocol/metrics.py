"""What an execution is measured by. Names and formulas are a contract; unknown is ``None`` with a reason, never 0."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import ValidationInfo, field_validator

from protocol.power_curve import PowerCurve
from protocol.value import Value


class EnergyReport(Value):
    """What the energy figures of an execution are worth."""

    kind: Literal["measured", "attributed", "modelled", "unavailable"]
    source: str
    domains: tuple[str, ...] = ()
    window_ms: float | None = None
    """Between the two readings of the source."""
    rel_uncertainty: float | None = None
    """Relative uncertainty of the joules: the source's own error, and what its readings may miss at both ends of the
    window. What other processes used of a shared CPU is reported separately."""
    package_j: float | None = None
    """Joules of the summed domains in the window."""
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
    draft: float = 0.0
    """All steps of a draft model. Engines without them did not tell."""
    wait: float
    """For the other compute threads."""
    other: float
    """Planning of steps, room in caches, events."""


class MemoryReport(Value):
    """What ``memory_peak_mb`` is made of, in bytes. Weights count whole, even where other executions share them."""

    weights_bytes: int | None = None
    """The packed matrices and the token embedding; where the kernels compute from the file's mapping, its matrices."""
    kv_cache_bytes: int | None = None
    """The most that its sequences held together; what they found in the prefix cache is included."""
    buffers_bytes: int | None = None
    """Allocated for the steps that it takes part in, with logits of its own choices alone."""
    growth_bytes: int | None = None
    """How much the engine's private memory (RssAnon) grew from the first prefill step to its highest sample, one
    each 0.1 s and one at the end. ``None`` where anything else took memory meanwhile, as another execution does."""
    reason: str | None = None
    """Why a figure is unknown."""

    @property
    def peak_bytes(self) -> int | None:
        """Weights, and the larger of what is known to be allocated for the execution and what the engine grew by."""
        if self.weights_bytes is None or self.kv_cache_bytes is None or self.buffers_bytes is None:
            return None
        return self.weights_bytes + max(self.kv_cache_bytes + self.buffers_bytes, self.growth_bytes or 0)


class CpuReport(Value):
    """What the CPU times of an execution are made of."""

    window_ms: float | None = None
    """From the news of its first prefill step to the news of its end: between the two readings of CPU time."""
    process_user_ms: float | None = None
    """CPU time of the engine's process in the window, all threads together, in user mode."""
    process_system_ms: float | None = None
    """The same in the kernel."""
    cpus: int | None = None
    """Online CPUs of the machine."""
    share: float | None = None
    """The execution's part of the run loop's computing time, as in :class:`EnergyReport`."""
    reason: str | None = None
    """Why a figure is unknown."""

    def part_of(self, process_ms: float | None) -> float | None:
        """The execution's part of a CPU time of the process."""
        return None if process_ms is None or self.share is None else process_ms * self.share

    @property
    def machine_share(self) -> float | None:
        """The execution's CPU time as a part of all that the machine's CPUs had in the window, from 0 to 1."""
        user_ms, system_ms = self.part_of(self.process_user_ms), self.part_of(self.process_system_ms)
        if user_ms is None or system_ms is None or not self.window_ms or not self.cpus:
            return None
        return min(1.0, (user_ms + system_ms) / (self.window_ms * self.cpus))


_NOT_MEASURED = "the record is of an engine that did not measure it"
_NOT_ITS_OWN = "the record is of an engine that told its whole process's largest size instead"


PHASES: Final = ("plan_ms", "queue_ms", "load_ms", "start_ms", "prefill_ms", "decode_ms", "finish_ms")
"""The figures that add up to ``wall_ms``, in the order in which an execution goes through its phases."""


class ExecutionMetrics(Value):
    """One execution's figures. The active interval runs from the start of its first prefill step to its last token.

    tokens_per_sec         = tokens_total / (latency_total_ms / 1000)
    prefill_tokens_per_sec = (prompt_tokens - cached_prompt_tokens) / (prefill_ms / 1000): what was computed
    latency_p50/p95_ms     nearest-rank percentiles over all inter-token gaps; ``latency_gaps`` says how many
    ttft_ms                from the Run frame received to the first token ready
    wall_ms                from the Run frame received to the record made
                         = plan_ms + queue_ms + load_ms + start_ms + prefill_ms + decode_ms + finish_ms
    latency_total_ms       = prefill_ms + decode_ms, where there is a token
    tokens_per_watt        = tokens_per_sec / watts_avg  (tokens per joule)
    draft_joules           = joules_total * draft_ms / (computing time of the run loop for the execution)
    memory_peak_mb         = :attr:`MemoryReport.peak_bytes` / 10^6
    cpu_user_ms            = cpu.process_user_ms * cpu.share; so cpu_system_ms
    cpu_share              = (cpu_user_ms + cpu_system_ms) / (cpu.window_ms * cpu.cpus)

    The phase in which an execution ended lasts until its end; those that it never reached are ``None``. So are figures
    that the engine which wrote the record did not measure.
    """

    tokens_total: int
    prompt_tokens: int
    cached_prompt_tokens: int | None = None
    """The part of them found in the prefix cache; 0 where the plan has it off; ``None``: the prefill never began."""
    drafted_tokens: int | None = None
    """Guessed and computed ahead of time, over all choices; ``None`` where the plan's ``speculation`` is off."""
    accepted_tokens: int | None = None
    """Drafted tokens that were then drawn, and so needed no step of their own."""
    draft_ms: float | None = None
    """Computing time of the model that guesses, part of the execution's own, over all choices; ``None`` where the plan
    has none: what ``lookup`` takes is not measured."""
    draft_joules: float | None = None
    """The part of ``joules_total`` that goes with ``draft_ms``; ``None`` where either is unknown: ``energy.reason``."""
    tokens_per_sec: float | None
    latency_total_ms: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_gaps: int
    ttft_ms: float | None
    wall_ms: float | None = None
    plan_ms: float | None = None
    """From the Run frame received to the plan made: checking, finding the model, tokenizing."""
    queue_ms: float | None
    """From the plan made to admission."""
    load_ms: float | None
    """Weights being made ready, since the admission; 0 where they were."""
    start_ms: float | None = None
    """From admission to the first prefill step, without ``load_ms``: handing over, and waiting for the run loop."""
    prefill_ms: float | None
    """From the start of the first prefill step to the first token ready."""
    decode_ms: float | None = None
    """From the first token ready to the last."""
    finish_ms: float | None = None
    """From the last token ready to the record made; includes computation that was under way at the stop."""
    prefill_tokens_per_sec: float | None
    decode_tokens_per_sec: float | None
    watts_avg: float | None
    tokens_per_watt: float | None
    joules_total: float | None
    joules_per_token: float | None
    memory: MemoryReport = MemoryReport(reason=_NOT_ITS_OWN)
    memory_peak_mb: float | None
    """Megabytes of 10^6 bytes, of this execution alone."""
    cpu_user_ms: float | None = None
    cpu_system_ms: float | None = None
    cpu_share: float | None = None
    cpu: CpuReport = CpuReport(reason=_NOT_MEASURED)
    op_time_ms: OperationTimes | None = None
    """``None`` where the plan's ``op_times`` is off, and where nothing was computed."""
    energy: EnergyReport

    @field_validator("memory_peak_mb")
    @classmethod
    def _of_this_execution_alone(cls, value: float | None, given: ValidationInfo) -> float | None:
        """Records without ``memory`` have the largest size of the whole process here, in MiB."""
        memory: MemoryReport | None = given.data.get("memory")
        return None if memory is None or memory.reason == _NOT_ITS_OWN else value
