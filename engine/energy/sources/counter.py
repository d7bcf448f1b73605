"""One counter of joules, unwrapped, and not believed where it makes no sense."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

PACKAGE_WATTS = 2000.0
"""No CPU package takes half of it: a counter that shows more is broken, or was reset."""
PLATFORM_WATTS = 20_000.0
"""The same of a whole machine, with everything that can be plugged into it."""
_HELD_UP_S = 0.1
"""Counters move in steps, and a reader may be held up between the clock and the counter: what they rise by in less time
than that says nothing about power.
"""
_STEPS_OF_PATIENCE = 20
_SHORTEST_PATIENCE_MS = 200.0
"""Equals the shortest reportable window: a still counter must not read as 0 J."""


class Counter:
    """Microjoules since the first reading. Not thread-safe."""

    def __init__(
        self,
        domain: str,
        read: Callable[[], int],
        *,
        update_ms: float,
        unit_uj: Fraction = Fraction(1),
        wraps_at: int | None = None,
        highest_watts: float = PACKAGE_WATTS,
        identify: Callable[[], None] = lambda: None,
    ) -> None:
        """``read`` tells the counter in units of ``unit_uj``, ``identify`` makes sure, before the first reading and
        after every failure, that it is still the same one; both raise OSError or ValueError where they cannot.

        ``wraps_at``: where it begins again from 0; ``None``: never. ``update_ms``: the longest between two moves.
        """
        self.domain = domain
        self.highest_watts = highest_watts
        self._read = read
        self._identify = identify
        self._unit_uj = unit_uj
        self._wraps_at = wraps_at
        self._patience_ms = max(_SHORTEST_PATIENCE_MS, _STEPS_OF_PATIENCE * update_ms)
        self._total = 0
        self._last: int | None = None
        self._read_ns = 0
        self._moved_ns = 0

    @property
    def total_uj(self) -> int:
        """Up to the last reading that made sense, rounded down."""
        return int(self._total * self._unit_uj)

    @property
    def wraps_after_s(self) -> float | None:
        """The shortest time in which it can come round; ``None``: never."""
        if self._wraps_at is None:
            return None
        return float(self._wraps_at * self._unit_uj) / 1e6 / self.highest_watts

    def advance(self, now_ns: int) -> None:
        """Read it. After an exception call :meth:`forget`.

        Raises:
            OSError, ValueError: it cannot be read, or it cannot be true: it rose by more than anything can draw,
                which a reset looks like, or stood still, or fell though it never wraps.
        """
        if self._last is None:
            self._identify()
        now = self._read()
        if self._last is None:
            self._moved_ns = now_ns
        elif risen := self._risen(self._last, now):
            self._require_possible(risen, (now_ns - self._read_ns) / 1e9)
            self._total += risen
            self._moved_ns = now_ns
        elif (still_ms := (now_ns - self._moved_ns) / 1e6) > self._patience_ms:
            raise ValueError(f"{self.domain} has stood still for {still_ms:.0f} ms: it measures nothing any more")
        self._last = now
        self._read_ns = now_ns

    def forget(self) -> None:
        """What it does until the next reading is not known: the total goes on from there."""
        self._last = None

    def _risen(self, last: int, now: int) -> int:
        if self._wraps_at is not None:
            return (now - last) % self._wraps_at
        if now < last:
            raise ValueError(f"{self.domain} fell from {last} to {now}: it was reset")
        return now - last

    def _require_possible(self, risen: int, elapsed_s: float) -> None:
        joules = float(risen * self._unit_uj) / 1e6
        if joules > self.highest_watts * (elapsed_s + _HELD_UP_S):
            raise ValueError(
                f"{self.domain} rose by {joules:,.0f} J in {elapsed_s:.3f} s, more than {self.highest_watts:,.0f} W: "
                "it was reset, or does not count joules"
            )
