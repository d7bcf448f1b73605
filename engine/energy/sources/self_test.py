"""Whether counters of joules do what counters do, seen before anything relies on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from engine.energy.sources.counter import Counter
from engine.energy.sources.source import SourceError

LONGEST_S = 0.1
"""What a source's test may take of the engine's start."""
_PAUSE_S = 0.005
"""The counters of CPUs move about once a millisecond, whatever the machine does."""
_MOVES = 3
"""Seen of each: one could be the last."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One counter while it was watched."""

    counter: Counter
    moves_uj: tuple[int, ...]
    """What it rose by from poll to poll."""

    @property
    def moves(self) -> bool:
        """Whether the counter moved often enough to be a measurement."""
        return sum(map(bool, self.moves_uj)) >= _MOVES


def still(seen: Sequence[Seen]) -> list[Counter]:
    """The counters that did not move."""
    return [one.counter for one in seen if not one.moves]


def require_movement(seen: Sequence[Seen], where: str) -> None:
    """Raises SourceError: one of them, all found at ``where``, stands still."""
    if unmoved := still(seen):
        names = ", ".join(counter.domain for counter in unmoved)
        raise SourceError(f"the counters of {names} in {where} do not move: nothing is measured there")


def watch(
    counters: Sequence[Counter], update_ms: float, clock: Callable[[], int], pause: Callable[[float], None]
) -> tuple[Seen, ...]:
    """Every counter's moves, until each was seen to move three times, or a tenth of a second has passed.

    Raises:
        SourceError: one cannot be read, or shows more power than there can be.
    """
    started_ns = now_ns = clock()
    totals = [_advance(counters, now_ns)]
    for _ in range(round(LONGEST_S / _PAUSE_S)):
        pause(_PAUSE_S)
        now_ns = clock()
        totals.append(_advance(counters, now_ns))
        seen = _moves(counters, totals)
        if all(one.moves for one in seen):
            break
    # An update due just before the test may show in it, and so may one due just after: two updates more.
    elapsed_s = (now_ns - started_ns) / 1e9 + 2 * update_ms / 1e3
    for one in seen:
        watts = sum(one.moves_uj) / 1e6 / elapsed_s
        if watts > one.counter.highest_watts:
            raise SourceError(
                f"{one.counter.domain} shows {watts:,.0f} W, more than {one.counter.highest_watts:,.0f}: "
                "it does not count joules"
            )
    return seen


def _advance(counters: Sequence[Counter], now_ns: int) -> list[int]:
    try:
        for counter in counters:
            counter.advance(now_ns)
    except (OSError, ValueError) as error:
        raise SourceError(str(error)) from error
    return [counter.total_uj for counter in counters]


def _moves(counters: Sequence[Counter], totals: Sequence[Sequence[int]]) -> tuple[Seen, ...]:
    return tuple(
        Seen(counter, tuple(after - before for before, after in pairwise(column)))
        for counter, column in zip(counters, zip(*totals, strict=True), strict=True)
    )
