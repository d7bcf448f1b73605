"""What an execution took of memory and CPU time, from readings of the engine's process while it computed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from engine.host.process_usage import ProcessUsage
from protocol.metrics import CpuReport, MemoryReport

_NEVER_COMPUTED = "the execution ended before it computed anything"
NO_STEP = "the run loop told of no time that it computed for it"
_NOT_ALONE = "growth_bytes: something else in the engine took memory at the same time"
_CACHE_UNKNOWN = "how much its KV cache held is not known: the backend failed"
READING_INTERVAL_NS = 500_000_000
"""A reading takes 0.1 ms where the caches hold other things, as much as a token's way to its client."""


@dataclass(slots=True)
class UsageWindow:
    """The readings of one execution, from its first prefill step to its end."""

    start: ProcessUsage | None = None
    last: ProcessUsage | None = None
    highest_bytes: int | None = None
    """The most private memory in any reading; ``None`` where one is unknown."""
    alone: bool = True
    """Nothing else was in progress meanwhile, as far as the control plane saw."""

    def is_due(self, now_ns: int) -> bool:
        """Whether it is time for a reading, by ``time.monotonic_ns``."""
        return self.last is None or now_ns - self.last.time_ns >= READING_INTERVAL_NS

    def add(self, reading: ProcessUsage) -> None:
        """Take the next reading, the first of which begins the window."""
        if self.start is None:
            self.start, self.highest_bytes = reading, reading.private_bytes
        self.last = reading
        if self.highest_bytes is None or reading.private_bytes is None:
            self.highest_bytes = None
        else:
            self.highest_bytes = max(self.highest_bytes, reading.private_bytes)

    @property
    def growth_bytes(self) -> int | None:
        """``None`` where it cannot be told from what others took."""
        start_bytes = None if self.start is None else self.start.private_bytes
        if not self.alone or start_bytes is None or self.highest_bytes is None:
            return None
        return self.highest_bytes - start_bytes


def memory_report(
    window: UsageWindow,
    share: float | None,
    weights_bytes: int | None,
    kv_cache_bytes: int | None,
    buffers_bytes: int | None,
) -> MemoryReport:
    """``share``: as in :func:`cpu_report`. Bytes are ``None`` where they are not known."""
    if window.start is None:
        return MemoryReport(weights_bytes=weights_bytes, reason=_NEVER_COMPUTED)
    growth_bytes = window.growth_bytes if share == 1.0 else None
    return MemoryReport(
        weights_bytes=weights_bytes,
        kv_cache_bytes=kv_cache_bytes,
        buffers_bytes=buffers_bytes,
        growth_bytes=growth_bytes,
        reason=_CACHE_UNKNOWN if kv_cache_bytes is None else _NOT_ALONE if growth_bytes is None else None,
    )


def cpu_report(window: UsageWindow, share: float | None, why_unknown: str, cpus: int | None) -> CpuReport:
    """``share``: the execution's part of the run loop's computing, 1 where it ran alone; ``None`` for the reason given.

    ``cpus``: online CPUs of the machine.
    """
    start, end = window.start, window.last
    if start is None or end is None:
        return CpuReport(reason=_NEVER_COMPUTED)
    return CpuReport(
        window_ms=(end.time_ns - start.time_ns) / 1e6,
        process_user_ms=(end.user_ns - start.user_ns) / 1e6,
        process_system_ms=(end.system_ns - start.system_ns) / 1e6,
        cpus=cpus,
        share=share,
        reason=why_unknown if share is None else None,
    )
