"""The report of what the engine is doing at the moment. Pure but for its process's number."""

from __future__ import annotations

import os
from collections.abc import Iterable

from actors.execution import Execution
from actors.faults import ENERGY_SAMPLER, Faults
from actors.ports import EnergySources
from engine.backend import BackendStatistics
from engine.identity.version import ENGINE_VERSION
from protocol.answers import StatusReport


def report_status(
    *,
    uptime_s: float,
    executions: Iterable[Execution],
    backend: BackendStatistics,
    energy: EnergySources,
    finished_total: int,
    faults: Faults,
) -> StatusReport:
    """The report of the moment. ``uptime_s`` counts from the engine's start."""
    source: dict[str, str] = {"source": energy.name}
    if energy.declaration:
        source["declared"] = energy.declaration
    if reason := energy.reason or faults.failed.get(ENERGY_SAMPLER, ""):
        source["reason"] = reason
    return StatusReport(
        engine_version=ENGINE_VERSION,
        pid=os.getpid(),
        uptime_s=uptime_s,
        executions=tuple(execution.status() for execution in executions),
        models_loaded=backend.models,
        memory_bytes={
            "weights": sum(model.weights_bytes for model in backend.models),
            "kv_cache": backend.kv_cache_bytes,
            "prefix_cache": backend.prefix_cache.size_bytes,
        },
        prefix_cache=backend.prefix_cache,
        energy=source,
        finished_total=finished_total,
        faults=faults.latest,
        failed=faults.failed,
    )
