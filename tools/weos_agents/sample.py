"""What agents read of an execution's record: recorded figures, and all that decides whether two may be compared."""

from __future__ import annotations

import hashlib
import math
from typing import Final, Literal

from protocol.metrics import ExecutionMetrics
from protocol.record import ExecutionRecord
from protocol.value import Value

Metric = Literal[
    "tokens_per_sec",
    "decode_tokens_per_sec",
    "tokens_per_watt",
    "ttft_ms",
    "latency_p50_ms",
    "latency_p95_ms",
    "memory_peak_mb",
    "joules_per_token",
]
"""Figures of :class:`protocol.metrics.ExecutionMetrics`, by their names there."""
METRICS: Final[tuple[Metric, ...]] = (
    *("tokens_per_sec", "decode_tokens_per_sec", "tokens_per_watt", "ttft_ms", "latency_p50_ms", "latency_p95_ms"),
    *("memory_peak_mb", "joules_per_token"),
)
MORE_IS_BETTER: Final = frozenset[Metric]({"tokens_per_sec", "decode_tokens_per_sec", "tokens_per_watt"})
OF_ENERGY: Final = frozenset[Metric]({"tokens_per_watt", "joules_per_token"})
"""Known only where energy was measured; a model of it ranks nothing."""
ENDED_BY_ITSELF: Final = frozenset({"eos", "stop_string", "stop_token", "max_tokens", "context_full"})
"""Stop reasons of executions that were not ended from outside."""


class Setting(Value):
    """What must be equal for two executions to be compared."""

    model_hash: str
    build: str | None
    """``None``: not told by the record."""
    engine_version: str
    cpu_model: str
    cpu_features: tuple[str, ...] | None


class Sample(Value):
    """One execution."""

    execution_id: str
    plan: str
    """The plan's fingerprint."""
    input: str
    """A digest of the prompt's tokens."""
    setting: Setting
    answer: str
    """A digest of the tokens generated, of all choices."""
    logits_digest: str
    stop_reason: str
    figures: dict[Metric, float | None]
    energy_kind: str
    others_cpu_share: float | None
    contended: bool | None
    """Whether other processes, or other executions of the engine, spoilt its figures; ``None``: not known."""

    @classmethod
    def of(cls, record: ExecutionRecord) -> Sample:
        """What a record says."""
        energy = record.metrics.energy
        return cls(
            execution_id=record.execution_id,
            plan=record.plan_fingerprint,
            input=digest_of(record.prompt_token_ids),
            setting=Setting(
                model_hash=record.plan.model_ref.content_hash,
                build=None if record.build is None else record.build.id,
                engine_version=record.engine_version,
                cpu_model=record.hardware.cpu_model,
                cpu_features=record.hardware.cpu_features,
            ),
            answer=digest_of(record.token_ids, *(choice.token_ids for choice in record.other_choices)),
            logits_digest=record.logits_digest,
            stop_reason=record.stop_reason,
            figures={metric: getattr(record.metrics, metric) for metric in METRICS},
            energy_kind=energy.kind,
            others_cpu_share=energy.others_cpu_share,
            contended=_contended(record.metrics),
        )

    def figure(self, metric: Metric) -> float | None:
        """A figure that counts: known, over 0, and measured where it is of energy."""
        value = self.figures.get(metric)
        if value is None or not math.isfinite(value) or value <= 0:
            return None
        return None if metric in OF_ENERGY and self.energy_kind != "measured" else value


def _contended(metrics: ExecutionMetrics) -> bool | None:
    share = metrics.cpu.share
    if metrics.energy.contended or (share is not None and share < 1):
        return True
    return None if share is None else metrics.energy.contended


def digest_of(*token_ids: tuple[int, ...]) -> str:
    """Equal for equal lists of tokens."""
    return hashlib.sha256(repr(token_ids).encode()).hexdigest()[:32]
