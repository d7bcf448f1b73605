"""How long an agent may go on, and what it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """Time and energy from ``began`` on. ``now``: a clock in seconds."""

    seconds: float
    now: Callable[[], float]
    began: float
    joules: float | None = None
    """``None``: no limit."""

    @classmethod
    def starting(cls, seconds: float, now: Callable[[], float], joules: float | None = None) -> Budget:
        """A budget that begins now."""
        return cls(seconds, now, now(), joules)

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self.now() - self.began

    def left(self, part: float = 1.0) -> float:
        """Seconds left of its first ``part``."""
        return self.seconds * part - self.elapsed

    def used_up(self, joules_used: float | None, part: float = 1.0) -> bool:
        """Whether its first ``part`` is over, by time or by what was used."""
        over = self.joules is not None and joules_used is not None and joules_used >= self.joules * part
        return over or self.left(part) <= 0
