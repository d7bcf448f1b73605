"""Cost of measuring the times of operations: speed with it, as a share of the speed without."""

from __future__ import annotations

from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import Work, decode, prefill

TURNS = 21
WORKS = (decode(64), prefill(256))


def measure(setting: Setting) -> list[Figure]:
    """Measure speed with operation times on and off, in turns of alternating order."""
    figures = []
    for backend in setting.backends:
        with (
            MeasuredLoop(setting.path, backend, setting.threads) as without,
            MeasuredLoop(setting.path, backend, setting.threads, op_times=True) as measured,
        ):
            for work in WORKS:
                shares = [_share(measured, without, work, turn) for turn in range(TURNS)]
                figures.append(Figure(f"{work.name} with / without op_times, {backend}", "ratio", shares))
    return figures


def _share(measured: MeasuredLoop, without: MeasuredLoop, work: Work, turn: int) -> float:
    if turn % 2:
        return measured.rate(work) / without.rate(work)
    return 1 / (without.rate(work) / measured.rate(work))
