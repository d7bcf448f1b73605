"""What a plan is likely to give, from what executions like it have given. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Final

from protocol.plan import ExecutionPlan
from protocol.prediction import Prediction
from protocol.record import ExecutionRecord
from protocol.speculation import PlanSpeculation

MOST_RECORDS: Final = 50
"""The newest of them: machines and engines change."""
_SAME: Final = ("backend", "quantization", "kv_cache", "threads", "prefix_cache", "n")


def predict(plan: ExecutionPlan, cpu_model: str, engine_version: str, records: Sequence[ExecutionRecord]) -> Prediction:
    """Medians over the records of the same model, weights, cache, speculation and threads, on this CPU and version.

    What none of them knows is ``None``. Energy counts where it was measured or attributed.
    """
    alike = [record for record in records if _is_like(record, plan, cpu_model, engine_version)]
    if not alike:
        reason = (
            "no execution of this model in this quantization, with this backend, KV cache, speculation and number of "
            "threads and choices, has been recorded on this machine with this version"
        )
        return Prediction(executions=0, reason=reason)
    measured = [record for record in alike if record.metrics.energy.kind in {"measured", "attributed"}]
    return Prediction(
        executions=len(alike),
        prefill_tokens_per_sec=_median(alike, lambda record: record.metrics.prefill_tokens_per_sec),
        decode_tokens_per_sec=_median(alike, lambda record: record.metrics.decode_tokens_per_sec),
        watts_avg=_median(measured, lambda record: record.metrics.watts_avg),
        tokens_per_watt=_median(measured, lambda record: record.metrics.tokens_per_watt),
    )


def _is_like(record: ExecutionRecord, plan: ExecutionPlan, cpu_model: str, engine_version: str) -> bool:
    return (
        record.plan.model_ref.content_hash == plan.model_ref.content_hash
        and all(getattr(record.plan, name) == getattr(plan, name) for name in _SAME)
        and _decided(record.plan.speculation) == _decided(plan.speculation)
        and record.hardware.cpu_model == cpu_model
        and record.engine_version == engine_version
    )


def _decided(speculation: PlanSpeculation) -> tuple[PlanSpeculation, str | None]:
    """Without where its model was found: its content hash says which it is."""
    model = speculation.model
    return speculation.model_copy(update={"model": None}), None if model is None else model.content_hash


def _median(records: Sequence[ExecutionRecord], figure: Callable[[ExecutionRecord], float | None]) -> float | None:
    values = [value for record in records if (value := figure(record)) is not None]
    return statistics.median(values) if values else None
