"""A step of several rows against a step of one: what a batch costs, or a draft that is verified."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import Work

ROWS = (2, 3, 4, 5, 6, 8, 12, 16)
AT_MOST = {2: 1.15, 4: 1.4, 8: 2.3}
"""Times as long as with one row."""
ROUNDS = 5
_STEPS = 16


def measure(setting: Setting) -> list[Figure]:
    """Measure each backend in rounds, in which a step of one row comes between every two of several."""
    figures: list[Figure] = []
    for backend in setting.backends:
        with MeasuredLoop(setting.path, backend, setting.threads) as loop:
            figures += _curve(loop, backend)
    return figures


def _curve(loop: MeasuredLoop, backend: str) -> Iterator[Figure]:
    alone: list[float] = []
    seconds: dict[int, list[float]] = {rows: [] for rows in ROWS}
    ratios: dict[int, list[float]] = {rows: [] for rows in ROWS}
    before = _step_s(loop, 1)
    for _ in range(ROUNDS):
        for rows in ROWS:
            several, after = _step_s(loop, rows), _step_s(loop, 1)
            alone.append(after)
            seconds[rows].append(several)
            ratios[rows].append(several / statistics.mean((before, after)))  # a machine that slows down cancels out
            before = after
    yield Figure(f"step of 1 row, {backend}", "ms", [1e3 * s for s in alone])
    for rows in ROWS:
        yield Figure(f"step of {rows} rows, {backend}", "ms", [1e3 * s for s in seconds[rows]])
        yield Figure(f"step of {rows} rows / of 1, {backend}", "ratio", ratios[rows], at_most=AT_MOST.get(rows))


def _step_s(loop: MeasuredLoop, rows: int) -> float:
    """Seconds of a step in which each of as many sequences, all near their beginning, has one token computed."""
    return rows / loop.rate(Work(f"decode {rows} sequences from their first token", 0, _STEPS, rows))
