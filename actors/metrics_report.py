"""What the engine has done and is doing, in the form that monitoring systems take. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from actors.execution import Execution
from engine.backend import BackendStatistics, WorkDone
from engine.host.process_usage import ProcessUsage
from engine.identity.version import ENGINE_VERSION
from engine.metrics.exposition import exposition
from engine.metrics.metric_totals import MetricTotals
from protocol.answers import MetricsReport
from protocol.live_energy import PowerReport
from protocol.metric_family import MetricFamily, Sample


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The engine at the moment."""

    uptime_s: float
    executions: Iterable[Execution]
    """Those without a record yet."""
    backend: BackendStatistics
    usage: ProcessUsage
    peak_resident_bytes: int | None
    power: PowerReport | None
    """Power by the best source that measures; ``None`` where none does."""


def report_metrics(snapshot: Snapshot, totals: MetricTotals) -> MetricsReport:
    """The metrics of the moment and those counted since the start."""
    families = (
        *(*_engine(snapshot), *_work(snapshot), *_run_loop(snapshot.backend.work), *_power(snapshot.power)),
        *totals.families(),
    )
    return MetricsReport(families=families, exposition=exposition(families))


def _engine(snapshot: Snapshot) -> Iterable[MetricFamily]:
    yield _gauge("engine_info", "Always 1; the label says which engine.", _each("version", {ENGINE_VERSION: 1}))
    yield _gauge("engine_uptime_seconds", "Since the engine started.", _one(snapshot.uptime_s))
    peak = () if snapshot.peak_resident_bytes is None else _one(snapshot.peak_resident_bytes)
    yield _gauge("engine_memory_peak_bytes", "Largest resident size of the engine's process so far.", peak)
    private = () if snapshot.usage.private_bytes is None else _one(snapshot.usage.private_bytes)
    yield _gauge("engine_memory_private_bytes", "Resident memory of the engine's process that no file backs.", private)
    seconds = {"user": snapshot.usage.user_ns / 1e9, "system": snapshot.usage.system_ns / 1e9}
    yield _counter("engine_cpu_seconds_total", "CPU time of the engine's process.", _each("mode", seconds))


def _work(snapshot: Snapshot) -> Iterable[MetricFamily]:
    backend = snapshot.backend
    states = dict.fromkeys(("queued", "loading", "running"), 0)
    for execution in snapshot.executions:
        states[execution.state] += 1
    yield _gauge("engine_executions_in_progress", "Executions without a record yet.", _each("state", states))
    yield _gauge("engine_batch_sequences", "Sequences in the run loop.", _one(backend.sequences))
    weights = sum(model.weights_bytes for model in backend.models)
    owners = {"weights": weights, "kv_cache": backend.kv_cache_bytes}
    yield _gauge(
        "engine_memory_bytes",
        "Weights in memory, and the KV cache of running sequences beside what they read of the prefix cache.",
        _each("owner", owners),
    )
    yield _gauge(
        "engine_prefix_cache_bytes", "Keys and values kept for prompts to come.", _one(backend.prefix_cache.size_bytes)
    )
    yield _gauge("engine_models_loaded", "Models whose weights are in memory.", _one(len(backend.models)))


def _run_loop(work: WorkDone | None) -> Iterable[MetricFamily]:
    if work is None:
        return
    yield _counter("engine_steps_total", "Steps of the run loop.", _one(work.steps))
    rows = {"prefill": work.prefill_rows, "decode": work.decode_rows}
    yield _counter("engine_step_rows_total", "Tokens that those steps computed.", _each("kind", rows))
    yield _counter("engine_busy_seconds_total", "Time in those steps.", _one(work.busy_ns / 1e9))


def _power(power: PowerReport | None) -> Iterable[MetricFamily]:
    if power is None:
        return
    known = {"kind": power.kind, "source": power.source}
    samples = tuple(Sample(labels={"zone": zone, **known}, value=watts) for zone, watts in power.zones.items())
    yield _gauge("engine_power_watts", "Of each counter, averaged over a second or more.", samples)


def _one(value: float) -> tuple[Sample, ...]:
    return (Sample(labels={}, value=value),)


def _each(label: str, values: Mapping[str, float]) -> tuple[Sample, ...]:
    return tuple(Sample(labels={label: name}, value=value) for name, value in values.items())


def _gauge(name: str, text: str, samples: tuple[Sample, ...]) -> MetricFamily:
    return MetricFamily(name=name, kind="gauge", help=text, samples=samples)


def _counter(name: str, text: str, samples: tuple[Sample, ...]) -> MetricFamily:
    return MetricFamily(name=name, kind="counter", help=text, samples=samples)
