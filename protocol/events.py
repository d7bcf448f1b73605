"""What an observer is told of every client's executions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from protocol.live_energy import EnergySoFar, PowerReport
from protocol.metrics import ExecutionMetrics
from protocol.plan import BackendName, ExecutionPlan
from protocol.progress import StageProgress
from protocol.quantization import Quantization
from protocol.record import StopReason, WeightsReport
from protocol.value import Value


class AcceptedEvent(Value):
    """The execution was planned and queued."""

    kind: Literal["accepted"] = "accepted"
    plan: ExecutionPlan
    plan_fingerprint: str
    prompt_tokens: int


class AdmittedEvent(Value):
    """The execution left the queue."""

    kind: Literal["admitted"] = "admitted"
    queue_ms: float


class PreparingEvent(Value):
    """Not kept for replay, as ``tokens``: the next one says more."""

    kind: Literal["preparing"] = "preparing"
    progress: StageProgress


class StartedEvent(Value):
    """Its weights are ready and its sequence is with the backend."""

    kind: Literal["started"] = "started"
    kernel_path: str
    weights: WeightsReport
    load_ms: float


class TokensEvent(Value):
    """The execution generated tokens."""

    kind: Literal["tokens"] = "tokens"
    tokens_total: int
    """Tokens so far. Told with every message of tokens, or ten times a second where those come more often."""


class EnergyEvent(Value):
    """About once a second while it computes, of executions whose plan's energy source measures. Not kept for replay.

    Counters are read for it only while an observer wants it.
    """

    kind: Literal["energy"] = "energy"
    power: PowerReport
    so_far: EnergySoFar


class EndedEvent(Value):
    """The execution ended."""

    kind: Literal["ended"] = "ended"
    stop_reason: StopReason
    error: str
    model: str
    """What the metrics are of, as in the record; so ``backend`` and ``quantization``."""
    backend: BackendName
    quantization: Quantization
    plan_fingerprint: str = ""
    """The plan's fingerprint, for observers that get no other event. Empty if the engine does not report it."""
    metrics: ExecutionMetrics
    logits_digest: str


EventBody = Annotated[
    AcceptedEvent | AdmittedEvent | PreparingEvent | StartedEvent | TokensEvent | EnergyEvent | EndedEvent,
    Field(discriminator="kind"),
]
EventKind = Literal["accepted", "admitted", "preparing", "started", "tokens", "energy", "ended"]
LASTING: frozenset[EventKind] = frozenset({"accepted", "admitted", "started", "ended"})
"""Events that are kept, and replayed on request."""


class EventFilter(Value):
    """Which events to tell; ``None`` is any."""

    kinds: tuple[EventKind, ...] | None = None
    execution_id: str | None = None
    model: str | None = None
    """The name it runs under."""
