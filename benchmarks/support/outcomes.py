"""Outcomes of a trace's requests, and the figures by which policies are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from actors.policies.due_time import AGING_BOUND_MS
from benchmarks.support.arrivals import Arrival
from engine.metrics.metrics import nearest_rank

COLUMNS = (
    *("policy", "TTFT p50 ms", "p95", "p99", "gap p50 ms", "p95", "p99", "tokens/s", "proxy J/token", "fairness"),
    *("longest wait s", "overtaken late"),
)
HEAD = "| " + " | ".join(COLUMNS) + " |\n" + len(COLUMNS) * "|---" + "|\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Moments in ms since the trace's begin."""

    arrival: Arrival
    admitted_ms: float
    token_times_ms: tuple[float, ...]
    alone_ms: float
    """Time that the simulated machine would have taken for it alone."""

    @property
    def ttft_ms(self) -> float:
        return self.token_times_ms[0] - self.arrival.at_ms

    @property
    def rate(self) -> float:
        """Speed at which it was served, as a share of the speed alone."""
        return self.alone_ms / (self.token_times_ms[-1] - self.arrival.at_ms)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One run of a trace; percentiles are nearest ranks, gaps are those between all neighbouring tokens."""

    ttft_ms: tuple[float, float, float]
    """p50, p95, p99."""
    gap_ms: tuple[float, float, float]
    tokens_per_sec: float
    """Generated, from the first arrival to the last token."""
    proxy_joules_per_token: float
    fairness: float
    """Jain's index of the rates: 1 where all were slowed alike, 1/n where one got everything."""
    longest_wait_s: float
    overtaken_late: int
    """Requests that one which came later than the aging bound was admitted before."""

    def row(self, name: str) -> str:
        cells = [
            name,
            *(f"{value:.0f}" for value in self.ttft_ms),
            *(f"{value:.1f}" for value in self.gap_ms),
            f"{self.tokens_per_sec:.0f}",
            f"{self.proxy_joules_per_token:.4f}",
            f"{self.fairness:.2f}",
            f"{self.longest_wait_s:.1f}",
            str(self.overtaken_late),
        ]
        return "| " + " | ".join(cells) + " |\n"


def compare(outcomes: Sequence[Outcome], proxy_joules: float) -> Comparison:
    """Raises ValueError where there are no outcomes, or none with two tokens."""
    gaps = [after - before for one in outcomes for before, after in pairwise(one.token_times_ms)]
    tokens = sum(len(one.token_times_ms) for one in outcomes)
    seconds = (max(one.token_times_ms[-1] for one in outcomes) - min(one.arrival.at_ms for one in outcomes)) / 1e3
    rates = [one.rate for one in outcomes]
    return Comparison(
        ttft_ms=_percentiles([one.ttft_ms for one in outcomes]),
        gap_ms=_percentiles(gaps),
        tokens_per_sec=tokens / seconds,
        proxy_joules_per_token=proxy_joules / tokens,
        fairness=sum(rates) ** 2 / (len(rates) * sum(rate**2 for rate in rates)),
        longest_wait_s=max(one.admitted_ms - one.arrival.at_ms for one in outcomes) / 1e3,
        overtaken_late=sum(_overtaken_late(one, outcomes) for one in outcomes),
    )


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    p50, p95, p99 = (nearest_rank(values, percent) for percent in (50, 95, 99))
    if p50 is None or p95 is None or p99 is None:
        raise ValueError("there are no values")
    return p50, p95, p99


def _overtaken_late(one: Outcome, outcomes: Sequence[Outcome]) -> bool:
    late = one.arrival.at_ms + AGING_BOUND_MS
    return any(other.arrival.at_ms > late and other.admitted_ms < one.admitted_ms for other in outcomes)
