"""Whether anything else used the CPU while an execution ran. Pure."""

from __future__ import annotations

from protocol.record import ExecutionRecord


def disturbance(record: ExecutionRecord) -> tuple[bool | None, str | None]:
    """Whether it was undisturbed, and if not by what; ``None`` where that is not known, and why."""
    energy, cpu = record.metrics.energy, record.metrics.cpu
    if energy.contended:
        return False, f"other processes used {energy.others_cpu_share or 0:.0%} of the machine's CPU time"
    if cpu.share is not None and cpu.share < 1:
        return False, f"other executions had {1 - cpu.share:.0%} of the engine's computing time"
    if cpu.share is None:
        return (None if record.metrics.latency_total_ms is None else False), cpu.reason
    if energy.contended is None:
        return None, "it was too short to tell whether other processes used the CPU"
    return True, None
