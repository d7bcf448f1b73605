"""What a better plan must not make worse, and by how much at most. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Final

from pydantic import Field

from protocol.value import Value
from weos_agents.evidence import Pair
from weos_agents.sample import MORE_IS_BETTER, OF_ENERGY, Metric
from weos_agents.statistics.symmetric_bets import upper_bound

PERCENTILE_BLOCK: Final = 5
"""Pairs whose figures together give one 95th percentile: by nearest rank, the worst of them."""

MOST_MARGIN: Final = 10.0
"""The widest margin. Beyond it a guardrail would hold nothing, and a percentage may have been taken for a fraction."""
Margin = Annotated[float, Field(ge=0, le=MOST_MARGIN)]


class Guardrail(Value):
    """A figure that may get worse by ``margin`` at most: 0.1 is a tenth."""

    metric: Metric
    margin: Margin
    of_percentiles: bool = False
    """Whether the 95th percentiles of blocks of executions are compared, and not the executions one by one."""
    usual: Margin | None = None
    """The default in whose place a person has put ``margin``; ``None``: it is the default."""

    @property
    def name(self) -> str:
        """The name that reports use."""
        return f"{self.metric} p95" if self.of_percentiles else self.metric

    @property
    def allowed(self) -> str:
        """The margin for a reader; a person's own has the default beside it."""
        told = f"{100 * self.margin:g}% worse"
        return told if self.usual is None else f"{told}, own limit instead of {100 * self.usual:g}%"


DEFAULT_GUARDRAILS: Final = (
    Guardrail(metric="ttft_ms", margin=0.10, of_percentiles=True),
    Guardrail(metric="latency_p95_ms", margin=0.10),
    Guardrail(metric="memory_peak_mb", margin=0.10),
    Guardrail(metric="joules_per_token", margin=0.05),
)


def with_margins(margins: Mapping[str, float]) -> tuple[Guardrail, ...]:
    """Every default guardrail, with a person's own margins by metric. Raises ValueError: there is none of a metric, or
    a margin is out of range."""
    if unknown := margins.keys() - {one.metric for one in DEFAULT_GUARDRAILS}:
        raise ValueError(f"no guardrail is of {', '.join(sorted(unknown))}")
    return tuple(_with_margin(one, margins.get(one.metric, one.margin)) for one in DEFAULT_GUARDRAILS)


def _with_margin(guardrail: Guardrail, margin: float) -> Guardrail:
    if margin == guardrail.margin:
        return guardrail
    own = {"margin": margin, "usual": guardrail.margin}
    return Guardrail.model_validate(guardrail.model_dump() | own)


class GuardrailVerdict(Value):
    """Whether a guardrail holds."""

    guardrail: Guardrail
    held: bool | None
    """``None``: it does not apply, since nothing measures the figure here."""
    worse_at_most: float | None
    """The share by which the figure is worse at most, with the gate's confidence; below 0 it is better."""
    reason: str


def judge_guardrail(guardrail: Guardrail, pairs: Sequence[Pair], alpha: float) -> GuardrailVerdict:
    """Whether the pairs prove that the figure is worse by the margin at most. What is not proved is not held."""
    metric = guardrail.metric
    if metric in OF_ENERGY and all(pair.log_ratio(metric) is None for pair in pairs):
        return _verdict(guardrail, None, None, "energy was not measured, so that it is not judged")
    found = worsenings(guardrail, pairs)
    if found is None:
        return _verdict(guardrail, False, None, "the figure is not known of every execution")
    bound = upper_bound(found, alpha)
    if bound is None:
        each = f", of {PERCENTILE_BLOCK} pairs each," if guardrail.of_percentiles else ""
        return _verdict(guardrail, False, None, f"{len(found)} comparisons{each} are too few to tell")
    worse = math.expm1(bound)
    held = worse <= guardrail.margin
    told = f"may be {worse:.1%} worse" if worse > 0 else f"better by at least {-worse:.1%}"
    return _verdict(guardrail, held, worse, f"{told}, allowed {guardrail.allowed}")


def worsenings(guardrail: Guardrail, pairs: Sequence[Pair]) -> list[float] | None:
    """How much worse the candidate is, in log units, in each comparison; ``None``: a figure is not known."""
    sign = -1.0 if guardrail.metric in MORE_IS_BETTER else 1.0
    size = PERCENTILE_BLOCK if guardrail.of_percentiles else 1
    blocks = [pairs[start : start + size] for start in range(0, len(pairs) - size + 1, size)]
    found: list[float] = []
    for block in blocks:
        baseline = [pair.baseline.figure(guardrail.metric) for pair in block]
        candidate = [pair.candidate.figure(guardrail.metric) for pair in block]
        worst = max if sign > 0 else min
        known = [[figure for figure in side if figure is not None] for side in (baseline, candidate)]
        if any(len(side) < len(block) for side in known):
            return None
        found.append(sign * math.log(worst(known[1]) / worst(known[0])))
    return found


def _verdict(guardrail: Guardrail, held: bool | None, worse: float | None, reason: str) -> GuardrailVerdict:
    return GuardrailVerdict(guardrail=guardrail, held=held, worse_at_most=worse, reason=reason)
