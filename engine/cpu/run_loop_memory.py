"""The memory of the run loop, as the owner of all weights asks for it."""

from __future__ import annotations

from engine import _core
from engine.cpu.model_memory import LoopUsage


class RunLoopMemory:
    """Implements :class:`engine.cpu.model_memory.LoopMemory`."""

    def __init__(self, run_loop: _core.RunLoop) -> None:
        self._run_loop = run_loop

    def usage(self) -> LoopUsage:
        """The KV cache in use, and the idle part of the prefix cache."""
        statistics = self._run_loop.statistics()
        return LoopUsage(
            kv_cache_bytes=statistics["kv_cache_bytes"] + statistics["kv_shared_bytes"],
            idle_prefix_bytes=statistics["prefix_cache_idle_bytes"],
        )

    def drop_prefixes(self, size_bytes: int) -> None:
        """Let that many bytes of idle prefixes go."""
        self._run_loop.drop_prefixes(size_bytes)

    def trim(self) -> None:
        """Give freed memory back to the system."""
        self._run_loop.trim()
