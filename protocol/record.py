"""The immutable account of one finished execution."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from protocol.build import Build
from protocol.experiment import ExperimentPlace
from protocol.logprobs import DrawnLogprobs
from protocol.metrics import ExecutionMetrics
from protocol.named_plan import NamedPlanUse
from protocol.plan import BackendName, ExecutionPlan
from protocol.quantization import Quantization
from protocol.sandbox import Sandbox
from protocol.tool_calls import MadeCall
from protocol.value import Value

StopReason = Literal[
    "eos",
    "stop_string",
    "stop_token",
    "max_tokens",
    "max_watts",
    "max_joules",
    "deadline",
    "cancelled",
    "client_gone",
    "context_full",
    "shutdown",
    "error",
]


class Hardware(Value):
    """The machine, and the part of it that an execution used."""

    cpu_model: str
    kernel_path: str
    """The instruction set of the kernels that really ran."""
    threads: int
    cpu_features: tuple[str, ...] | None = None
    """What kernels might use beyond the x86-64 baseline; ``None``, and in the next field, in records from before these
    were kept."""
    masked_cpu_features: tuple[str, ...] | None = None
    """What the processor had besides, and ``ENGINE_CPU_FEATURES`` left out."""


class WeightsReport(Value):
    """Where the weights that ran came from."""

    source: Literal["file", "cache", "quantized", "memory", "none"]
    """The model's own file; derived ones kept from before, made and kept now, made and not kept; never loaded."""
    notices: tuple[str, ...] = ()
    """What a user should know of it, such as a damaged cache entry."""


class UnjudgedLimit(Value):
    """A limit of the plan that the execution was never held against."""

    limit: Literal["max_watts", "max_joules"]
    reason: str


class ChoiceRecord(Value):
    """What one choice of an execution came to."""

    result: str
    """The text, without calls and thinking where the plan reads those; detokenizing ``token_ids`` gives all of it."""
    reasoning: str = ""
    """What was thought before."""
    reasoning_tokens: int | None = None
    """How many of the tokens that took, markers left out; ``None`` where the plan reads none, or where the end marker
    is no token of its own."""
    tool_calls: tuple[MadeCall, ...] = ()
    """The calls that were made, in their order."""
    token_ids: tuple[int, ...]
    logprobs: tuple[DrawnLogprobs, ...] | None = None
    """The first tokens' log probabilities; see :mod:`protocol.logprobs`. ``None`` where the plan asks for none."""
    token_times_ms: tuple[float, ...] | None = None
    """When each token was ready, from the Run frame received, to the microsecond; the first is ``ttft_ms``, of the
    choice that was first. ``None`` where the plan's ``token_times`` is off."""
    logits_digest: str
    """128-bit hash, hexadecimal, of the bits of all logits at every sampled position, in order."""
    stop_reason: StopReason


class ExecutionRecord(ChoiceRecord):
    """Its own result is that of the first choice."""

    execution_id: str
    engine_version: str
    build: Build | None = None
    """``None`` in records from before builds were told apart."""
    hardware: Hardware
    sandbox: Sandbox | None = None
    """What the engine's process had given up; ``None`` in records from before it gave up anything."""
    weights: WeightsReport
    plan: ExecutionPlan
    model: str = Field(default_factory=lambda given: given["plan"].model_ref.name)
    """The plan's, beside the metrics as ``backend`` and ``quantization`` are: what these figures are of. Records of
    earlier engines have them in their plan alone."""
    backend: BackendName = Field(default_factory=lambda given: given["plan"].backend)
    quantization: Quantization = Field(default_factory=lambda given: given["plan"].quantization)
    plan_fingerprint: str
    named_plan: NamedPlanUse | None = None
    """The named plan that it was asked for by."""
    experiment: ExperimentPlace | None = None
    """Where it belongs in the experiment that it was run for."""
    other_choices: tuple[ChoiceRecord, ...] = ()
    """The second and on, where the plan's ``n`` is more than 1."""
    prompt_token_ids: tuple[int, ...]
    error: str = ""
    """What went wrong, where ``stop_reason`` is ``error``."""
    unjudged_limits: tuple[UnjudgedLimit, ...] | None = None
    """Limits in watts or joules that were never judged, as of a run that was over before its window was full. ``None``:
    a record of an engine that did not tell."""
    metrics: ExecutionMetrics

    @model_validator(mode="after")
    def _one_plan(self) -> Self:
        plan = self.plan
        if (self.model, self.backend, self.quantization) != (plan.model_ref.name, plan.backend, plan.quantization):
            raise ValueError("model, backend and quantization are not those of the plan")
        return self
