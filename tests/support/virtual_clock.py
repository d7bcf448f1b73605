"""Time that passes when it is told to."""

from __future__ import annotations


class VirtualClock:
    def __init__(self) -> None:
        self._now_ns = 1_000_000_000_000

    def __call__(self) -> int:
        """Nanoseconds, as ``time.monotonic_ns``."""
        return self._now_ns

    def advance(self, seconds: float) -> None:
        self._now_ns += round(seconds * 1e9)
