"""Experiments: plans that answer the same inputs in a declared order, and what came of each pair.

The order is interleaved, and turned around from pair to pair (ABBA): a machine that grows warmer, or busier, favours
none. The engine runs what was declared and computes plain figures; it chooses no plan and ends nothing early by itself.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, get_args

from pydantic import Field, model_validator
from typing_extensions import Self

from protocol.build import Build
from protocol.chat import ChatMessage, JsonObject
from protocol.comparison import Difference
from protocol.evaluation import TextQuality
from protocol.plan import ExecutionPlan, KvCacheType, PositiveInt
from protocol.quantization import Quantization
from protocol.sampling import TokenId
from protocol.value import Value

ExperimentMetric = Literal[
    "tokens_per_sec",
    "prefill_tokens_per_sec",
    "decode_tokens_per_sec",
    "latency_total_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "ttft_ms",
    "wall_ms",
    "memory_peak_mb",
    "watts_avg",
    "tokens_per_watt",
    "joules_per_token",
    "joules_total",
]
"""Figures of :class:`protocol.metrics.ExecutionMetrics` that pairs are compared by."""
EXPERIMENT_METRICS: Final[tuple[ExperimentMetric, ...]] = get_args(ExperimentMetric)
ENERGY_METRICS: Final[tuple[ExperimentMetric, ...]] = (
    *("watts_avg", "tokens_per_watt", "joules_per_token", "joules_total"),
)
"""Those that count only where energy was measured."""
ExperimentEnd = Literal["complete", "stopped", "failed", "interrupted"]
"""``stopped`` by an agent, by the end of its connection or of the engine; ``interrupted``: the engine's process ended,
and nothing of it is counted."""
AgentName = Annotated[str, Field(max_length=256)]
Note = Annotated[str, Field(max_length=4096)]


class WorkloadInput(Value):
    """Something to answer: exactly one of a text, a conversation and tokens, as in a Run Request."""

    prompt: str | None = None
    prompt_token_ids: Annotated[tuple[TokenId, ...], Field(min_length=1)] | None = None
    messages: Annotated[tuple[ChatMessage, ...], Field(min_length=1, max_length=1024)] | None = None
    tools: Annotated[tuple[JsonObject, ...], Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _one_input(self) -> Self:
        if [self.prompt, self.prompt_token_ids, self.messages].count(None) != 2:
            raise ValueError("give exactly one of 'prompt', 'prompt_token_ids' and 'messages'")
        if self.tools is not None and self.messages is None:
            raise ValueError("'tools' are for 'messages'")
        return self


class ExperimentText(Value):
    """A text by which to tell how far each arithmetic (quantization and type of KV cache) predicts otherwise."""

    text: Annotated[str, Field(min_length=1)]
    window: Annotated[int, Field(ge=8, le=512)] | None = None
    max_windows: PositiveInt | None = None


class ScheduledRun(Value):
    """One execution of the schedule."""

    arm: Annotated[int, Field(ge=0)]
    """0 is the baseline, 1 the first candidate."""
    input: Annotated[int, Field(ge=0)]
    """Its number in the workload, from 0."""
    pair: Annotated[int, Field(ge=0)] | None
    """From 0, over the whole experiment; ``None``: it warms up."""


class ExperimentPlace(ScheduledRun):
    """Where an execution belongs, as its record says."""

    experiment_id: str


class ExperimentDeclaration(Value):
    """An experiment before its first execution; chained, so that none can be left out later."""

    experiment_id: str
    agent: AgentName
    note: Note
    engine_version: str
    build: Build
    cpu_model: str
    cpu_features: tuple[str, ...] | None = None
    """Those that its engine used, as executions' records name them; ``None``: a version made it that did not tell."""
    plans: tuple[ExecutionPlan, ...]
    """One for each arm, the baseline's first."""
    plan_fingerprints: tuple[str, ...]
    workload: tuple[WorkloadInput, ...]
    workload_digest: str
    """``sha256:`` and 64 hexadecimal digits of the workload's canonical JSON."""
    pairs: int
    """For each candidate."""
    warm_up: int
    metrics: tuple[ExperimentMetric, ...]
    schedule: tuple[ScheduledRun, ...]


class ExperimentExecution(ScheduledRun):
    """An execution of the experiment; its record has the rest."""

    execution_id: str
    stop_reason: str
    tokens_total: int
    logits_digest: str
    others_cpu_share: float | None
    """The figure of :class:`protocol.metrics.EnergyReport`."""
    undisturbed: bool | None
    """``None``: too short to tell."""
    reason: str | None = None
    """What disturbed it, or why that is not known."""


class MeasuredPair(Value):
    """One execution of the baseline and one of a candidate, one after the other, of the same input."""

    pair: int
    arm: int
    """The candidate's."""
    input: int
    baseline_first: bool
    baseline_execution: str
    candidate_execution: str
    undisturbed: bool | None
    same_output: bool
    """Equal tokens, and equal bits of all logits."""
    log_ratios: dict[ExperimentMetric, float | None]
    """ln(candidate / baseline)."""
    reasons: dict[ExperimentMetric, str] = Field(default_factory=dict)
    """Why a ratio is ``None``."""


class PairedFigure(Value):
    """One metric of a candidate over its pairs. Those that are known to have been disturbed count for memory alone."""

    metric: ExperimentMetric
    pairs: int
    """How many have a ratio that counts."""
    median_log_ratio: float | None
    median_ratio: float | None
    """Candidate by baseline."""
    interval: tuple[float, float] | None
    """Order statistics that hold the median ratio with a probability of ``confidence``."""
    confidence: float | None
    """The interval's probability, 0.95 or more."""
    reason: str | None = None
    """Why a figure is ``None``."""


class ArmEvaluation(Value):
    """How well an arm's arithmetic predicts the experiment's text."""

    quantization: Quantization
    kv_cache: KvCacheType
    against: Quantization | None
    """The baseline's quantization, where this or the KV cache's type differs; ``None``: nothing is compared."""
    text_digest: str
    window: int
    windows: int
    cached: bool
    """It was measured before, of the same model, arithmetic and text."""
    quality: TextQuality
    against_kv_cache: KvCacheType | None = None
    """The type of the baseline's KV cache, where something is compared. ``None`` beside an ``against``: the record is
    of a build that compared quantizations alone, with this arm's cache on both sides."""


class KeptEvaluation(Value):
    """An evaluation by everything that it depends on."""

    key: str
    """``sha256:`` and 64 hexadecimal digits of model, arithmetic, what it is held against, text and windows."""
    content_hash: str
    """The model's."""
    arithmetic: str
    """The build's digest; see :class:`protocol.build.Build`."""
    evaluation: ArmEvaluation


class ArmResult(Value):
    """What came of a candidate."""

    arm: int
    plan_fingerprint: str
    differences: tuple[Difference, ...]
    """From the baseline's plan."""
    pairs: int
    """Whole ones."""
    disturbed: int
    """Those known to have been."""
    same_output: bool | None
    """Whether every pair had equal tokens and bits; ``None``: there is no whole pair."""
    figures: tuple[PairedFigure, ...]
    """Taken over the pairs that are not known to have been disturbed."""
    unknown: int = 0
    """Pairs in ``figures`` that were too short to tell whether they were disturbed."""


class ExperimentRecord(Value):
    """What came of an experiment. Immutable."""

    experiment_id: str
    declared_at: int
    """The declaration's ``sequence`` in the chain of records."""
    ended: ExperimentEnd
    reason: str = ""
    """Why it ended, where it is not complete."""
    agent: AgentName
    note: Note
    engine_version: str
    build: Build
    cpu_model: str
    cpu_features: tuple[str, ...] | None = None
    """The declaration's."""
    plans: tuple[ExecutionPlan, ...]
    plan_fingerprints: tuple[str, ...]
    workload_digest: str
    pairs_declared: int
    """For each candidate."""
    executions: tuple[ExperimentExecution, ...]
    """In their order, those that warmed up first."""
    pairs: tuple[MeasuredPair, ...]
    """Whole ones; the last may be missing its other half, and is not among them."""
    arms: tuple[ArmResult, ...]
    """The candidates'."""
    evaluations: tuple[ArmEvaluation, ...] = ()
    """One for each arm, the baseline's first; empty where none was asked for."""


class ExperimentSummary(Value):
    """A line of a list of experiments."""

    sequence: int
    experiment_id: str
    recorded_at: str
    ended: ExperimentEnd | Literal["running"]
    agent: str
    model: str
    candidates: int
    pairs: int
    """Whole ones."""
