"""An execution's metrics for a person, on stderr."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from engine_ctl.energy_figure import ENERGY_METRICS, MODELLED, energy_lines
from engine_ctl.figures_line import run_warnings
from engine_ctl.model_table import megabytes
from protocol.metrics import PHASES, ExecutionMetrics, MemoryReport, OperationTimes
from protocol.record import ExecutionRecord

_UNITS: dict[str, str] = {
    "tokens_total": "",
    "prompt_tokens": "",
    "cached_prompt_tokens": "",
    "drafted_tokens": "",
    "accepted_tokens": "",
    "draft_ms": "ms",
    "tokens_per_sec": "tokens/s",
    "prefill_tokens_per_sec": "tokens/s",
    "decode_tokens_per_sec": "tokens/s",
    "wall_ms": "ms, the sum of these:",
    **dict.fromkeys(PHASES, "ms"),
    "ttft_ms": "ms, plan to prefill",
    "latency_total_ms": "ms, prefill and decode",
    "latency_p50_ms": "ms",
    "latency_p95_ms": "ms",
    "latency_gaps": "",
    "cpu_user_ms": "ms",
    "cpu_system_ms": "ms",
    "cpu_share": "of all CPUs",
    "memory_peak_mb": "MB",
    "watts_avg": "W",
    "tokens_per_watt": "tokens/J",
    "joules_total": "J",
    "joules_per_token": "J",
    "draft_joules": "J",
}


def show_metrics(record: ExecutionRecord) -> None:
    """How the execution ended, its metrics, and what its energy figures are worth; apart from the text by a line."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    console.print()
    console.print(_summary(record))
    console.print(metrics_table(record.metrics))
    for line in (*usage_lines(record.metrics), *energy_lines(record.metrics.energy), *limit_lines(record)):
        console.print(line)
    if record.metrics.op_time_ms is not None:
        console.print(operations_table(record.metrics.op_time_ms))
    for warning in run_warnings(record):
        console.print(f"warning: {warning}")


def metrics_table(metrics: ExecutionMetrics) -> Table:
    """One row a metric. Unknown figures show as a dash; modelled ones as ``~`` figure, unit, ``(model)``."""
    table = Table()
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("unit")
    for name, unit in _UNITS.items():
        table.add_row(name, _figure(name, metrics), f"{unit} (model)" if _is_modelled(name, metrics) else unit)
    return table


def usage_lines(metrics: ExecutionMetrics) -> list[str]:
    """What the memory figure is made of, and why figures of memory and CPU time are unknown."""
    told = [f"memory: {_memory(metrics.memory)}"]
    return told if metrics.cpu.reason is None else [*told, f"cpu: {metrics.cpu.reason}"]


def limit_lines(record: ExecutionRecord) -> list[str]:
    """The limits that the execution was never held against."""
    return [f"limit: {each.limit} was never judged: {each.reason}" for each in record.unjudged_limits or ()]


def operations_table(times: OperationTimes) -> Table:
    """One row an operation, the longest first, with its share of all."""
    table = Table()
    for column in ("operation", "ms", "share"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    by_operation: dict[str, float] = dict(times)
    total = sum(by_operation.values())
    for operation, milliseconds in sorted(by_operation.items(), key=lambda item: -item[1]):
        table.add_row(operation, f"{milliseconds:,.2f}", f"{milliseconds / total:.1%}" if total else "-")
    return table


def _memory(memory: MemoryReport) -> str:
    known = {
        "weights": memory.weights_bytes,
        "KV cache": memory.kv_cache_bytes,
        "buffers": memory.buffers_bytes,
        "growth of the engine": memory.growth_bytes,
    }
    parts = ", ".join(f"{name} {megabytes(size)}" for name, size in known.items() if size is not None)
    return "; ".join(part for part in (parts, memory.reason) if part)


def _summary(record: ExecutionRecord) -> str:
    plan = record.plan
    how = f"{plan.backend} · {plan.quantization} ({record.weights.source}) · {plan.threads} threads"
    modelled = record.stop_reason in ("max_watts", "max_joules") and record.metrics.energy.kind == MODELLED
    return f"{record.execution_id} · {record.stop_reason}{' (model)' if modelled else ''} · {how}"


def _figure(name: str, metrics: ExecutionMetrics) -> str:
    value: int | float | None = getattr(metrics, name)
    if value is None:
        return "-"
    figure = f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
    return f"~{figure}" if _is_modelled(name, metrics) else figure


def _is_modelled(name: str, metrics: ExecutionMetrics) -> bool:
    known = getattr(metrics, name) is not None
    return known and name in ENERGY_METRICS and metrics.energy.kind == MODELLED
