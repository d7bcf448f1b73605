"""The joules of an operation, read at its start and end alone."""

from __future__ import annotations

from collections.abc import Callable

from engine.backend import BackendStatistics
from engine.energy.ladder import EnergyLadder
from engine.energy.window import unavailable
from protocol.metrics import EnergyReport


class OperationWindow:
    """Begins when it is made, in the thread that carries the operation out."""

    def __init__(self, energy: EnergyLadder, source: str, statistics: Callable[[], BackendStatistics]) -> None:
        """``statistics``: of the executions, which may run at the same time."""
        self._energy = energy
        self._source = source
        self._statistics = statistics
        self._before = statistics()
        self._start = energy.read(source)

    def report(self) -> EnergyReport:
        """What was used until now. Unknown where executions ran as well, or counters may have wrapped unseen."""
        start, end = self._start, self._energy.read(self._source)
        report = self._energy.report(self._source, start, end, share=1.0)
        if report.kind == "unavailable":
            return report
        if not self._alone():
            reason = "executions ran at the same time, and how they shared the CPU with this is not known"
            return unavailable(self._source, reason, start, end)
        longest_s = self._energy.max_interval_s(self._source)
        window_s = (end.time_ns - start.time_ns) / 1e9
        if longest_s is not None and window_s > longest_s:
            reason = f"it took {window_s:.0f} s, and counters of {self._source} may wrap unseen after {longest_s:.0f} s"
            return unavailable(self._source, reason, start, end)
        return report

    def _alone(self) -> bool:
        """No execution was there, computed, or had weights made ready."""
        before, after = self._before, self._statistics()
        return before.sequences == after.sequences == 0 and (before.work, before.models) == (after.work, after.models)
