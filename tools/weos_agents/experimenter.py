"""The agent that experiments: it tries candidates within a budget, and applies nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, Final

from protocol.errors import RequestRefused
from protocol.value import Value
from weos_agents.budget import Budget
from weos_agents.evidence import Evidence, Pair
from weos_agents.gate import GateRules, Verdict, judge
from weos_agents.laboratory import Changes, Enough, Laboratory
from weos_agents.quality_limits import quality_beyond
from weos_agents.sample import MORE_IS_BETTER, Metric
from weos_agents.statistics.symmetric_bets import upper_bound
from weos_agents.workload import WorkloadLine

_HOPELESS: Final = -0.03
"""The gain, in log units, that three pairs in a row stay below for a trial to be given up."""
_FEW: Final = 3
_LOST: Final = -0.7
"""The gain, half the speed, at which one pair is enough to give a trial up."""
_REPEATED: Final = 2
"""How many times the pairs wanted are made at most, to have as many that nothing disturbed."""


class Trial(Value):
    """A candidate that was tried on the inputs for choosing."""

    changes: dict[str, Any]
    """Values by the plan's names."""
    asked: dict[str, Any]
    """The same by a request's."""
    same_bits: bool
    evidence: Evidence | None
    """``None``: the engine refused it."""
    refusal: str = ""
    gain: float | None
    """The median, as a part; ``None``: no pair counts."""
    worse: dict[str, float]
    """For each guardrail, how much worse the median is, less the margin, and of other answers how far their quality is
    beyond its limits: over 0 is a breach."""
    tried_on: str = ""
    """The fleet's worker; empty: the engine that proves."""

    @property
    def promising(self) -> bool:
        """Whether it is worth a proof."""
        return self.gain is not None and self.gain > 0 and all(value <= 0 for value in self.worse.values())


class Confirmation(Value):
    """A candidate that had to prove itself on the other inputs."""

    changes: dict[str, Any]
    asked: dict[str, Any]
    evidence: Evidence
    verdict: Verdict
    alpha: float
    """How often a plan without the gain may pass, in this attempt."""


class Experimenter:
    """Runs declared experiments against a baseline in a laboratory."""

    def __init__(self, laboratory: Laboratory, rules: GateRules, budget: Budget) -> None:
        """``rules`` say which figures count."""
        self._laboratory = laboratory
        self.rules = rules
        self._budget = budget

    def measure_noise(self, inputs: Sequence[WorkloadLine], pairs: int) -> Evidence:
        """The baseline against itself: how far runs of one plan lie apart here. Raises EngineError."""
        return self._laboratory.experiment({}, {}, inputs, _REPEATED * pairs, self._enough(pairs))

    def screen(
        self, changes: Changes, named: Mapping[str, Any], inputs: Sequence[WorkloadLine], pairs: int, *, same_bits: bool
    ) -> Trial:
        """A short experiment of ``pairs`` that count, given up where it is hopeless. ``named``: by the plan's names.

        Raises EngineError: the engine is busy or gone. A plan that it refuses is a trial too.
        """
        try:
            evidence = self._laboratory.experiment({}, changes, inputs, _REPEATED * pairs, self._enough(pairs))
        except RequestRefused as refused:
            told = f"{refused.code}: {refused.message}"
            return Trial(
                changes=dict(named),
                asked=dict(changes),
                same_bits=same_bits,
                evidence=None,
                refusal=told,
                gain=None,
                worse={},
            )
        gains = [] if evidence.failure else self._gains(evidence)
        return Trial(
            changes=dict(named),
            asked=dict(changes),
            same_bits=same_bits,
            evidence=evidence,
            refusal=evidence.failure,
            gain=math.expm1(median(gains)) if gains else None,
            worse=self._worse(evidence),
        )

    def confirm(
        self,
        changes: Changes,
        named: Mapping[str, Any],
        inputs: Sequence[WorkloadLine],
        pairs: int,
        *,
        chosen_on: frozenset[str],
        alpha: float,
        stops_early: bool = True,
    ) -> Confirmation:
        """Pairs until the gate opens or cannot open any more, if it ``stops_early``, or ``pairs`` are whole.

        Raises EngineError.
        """
        rules = self.rules.model_copy(update={"alpha": alpha})

        def enough(found: Evidence) -> bool:
            if self.over() or not stops_early:
                return self.over()
            ceiling = upper_bound(self._gains(found), alpha)
            if ceiling is not None and ceiling < math.log1p(rules.gain):
                return True
            # The quality of another arithmetic is told at the end.
            checks = judge(found, rules, chosen_on=chosen_on).checks
            return all(check.passed for check in checks if check.rule != "answers")

        evidence = self._laboratory.experiment({}, changes, inputs, pairs, enough)
        verdict = judge(evidence, rules, chosen_on=chosen_on)
        return Confirmation(changes=dict(named), asked=dict(changes), evidence=evidence, verdict=verdict, alpha=alpha)

    def figure(self, evidence: Evidence, metric: Metric) -> float | None:
        """The median of the candidate's figure over the pairs that count."""
        figures = [pair.candidate.figure(metric) for pair in self._counting(evidence)]
        known = [figure for figure in figures if figure is not None]
        return median(known) if known else None

    @property
    def elapsed(self) -> float:
        """Seconds since the budget began."""
        return self._budget.elapsed

    @property
    def seconds_left(self) -> float:
        """Seconds until the budget's end; not below 0."""
        return max(0.0, self._budget.left())

    def over(self, part: float = 1.0) -> bool:
        """Whether the first ``part`` of the budget is used up."""
        return self._budget.used_up(self._laboratory.joules_used(), part)

    def _enough(self, pairs: int) -> Enough:
        """Until so many pairs count, or their gains are hopeless: disturbed ones are made again."""

        def enough(found: Evidence) -> bool:
            gains = self._gains(found)
            hopeless = (len(gains) >= _FEW and max(gains) < _HOPELESS) or (gains and max(gains) < _LOST)
            return self.over() or bool(hopeless) or len(gains) >= pairs

        return enough

    def _counting(self, evidence: Evidence) -> tuple[Pair, ...]:
        return evidence.undisturbed(unknown_counts=self.rules.unknown_load_counts)

    def _gains(self, evidence: Evidence) -> list[float]:
        sign = 1.0 if self.rules.kpi in MORE_IS_BETTER else -1.0
        return [
            sign * ratio for pair in self._counting(evidence) if (ratio := pair.log_ratio(self.rules.kpi)) is not None
        ]

    def _worse(self, evidence: Evidence) -> dict[str, float]:
        """Medians, for a search to go by; what they prove is the gate's business."""
        found = quality_beyond(evidence, self.rules.quality)
        for guardrail in self.rules.guardrails:
            sign = -1.0 if guardrail.metric in MORE_IS_BETTER else 1.0
            ratios = [pair.log_ratio(guardrail.metric) for pair in self._counting(evidence)]
            known = [sign * ratio for ratio in ratios if ratio is not None]
            if known:
                found[guardrail.name] = math.expm1(median(known)) - guardrail.margin
        return found
