"""The gate that does no harm: when a plan may take another's place. Pure.

1. The answers are the baseline's, bit by bit; or, where the plan changes arithmetic, their quality is within a bound on
   a named text.
2. The evidence is of interleaved pairs over the same inputs, and nothing about it is false.
3. The gain is proved at a confidence that holds whenever one stops, and so is that no guardrail is worse beyond its
   margin.
4. The plan was chosen on other inputs than those that prove it.
5. Two runs of one plan open the gate as rarely as the confidence says: ``tests/agents/test_gate.py`` counts.
"""

from __future__ import annotations

import math
from statistics import median
from typing import Literal

from protocol.value import Fraction, Value
from weos_agents.evidence import TOO_SHORT, Evidence, faults_of
from weos_agents.guardrail import DEFAULT_GUARDRAILS, Guardrail, GuardrailVerdict, judge_guardrail
from weos_agents.quality_limits import QualityBound
from weos_agents.sample import MORE_IS_BETTER, Metric
from weos_agents.statistics.symmetric_bets import lower_bound

Rule = Literal["evidence", "answers", "gain", "guardrail", "held_out"]


class GateRules(Value):
    """What a plan must show."""

    kpi: Metric = "tokens_per_sec"
    gain: Fraction = 0.02
    """What it must be better by, at least."""
    alpha: Fraction = 0.05
    """How often a plan without the gain may pass; of each guardrail, how often a harmful one may."""
    guardrails: tuple[Guardrail, ...] = DEFAULT_GUARDRAILS
    quality: QualityBound = QualityBound()
    unknown_load_counts: bool = False
    """Whether pairs count of which it is not known if other processes disturbed them."""


class Check(Value):
    """One thing that the gate looked at."""

    rule: Rule
    passed: bool
    found: str


class Verdict(Value):
    """Whether the gate opens, and why."""

    open: bool
    kpi: Metric
    pairs: int
    """That count."""
    disturbed: int
    """That were left out, since other processes disturbed them or that is not known."""
    too_short: int = 0
    """Of those, how many were too short to tell."""
    gain: float | None
    """The median, as a part: 0.05 is five percent better."""
    gain_at_least: float | None
    """Proved; ``None``: too few pairs."""
    guardrails: tuple[GuardrailVerdict, ...]
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it stays closed; empty: it opens."""
        return tuple(check.found for check in self.checks if not check.passed)


def judge(evidence: Evidence, rules: GateRules, *, chosen_on: frozenset[str], plan: str | None = None) -> Verdict:
    """Whether the evidence opens the gate for the plan of that fingerprint (``None``: the candidate's, whatever it is).

    ``chosen_on``: the inputs on which the plan was chosen.
    """
    pairs = evidence.undisturbed(unknown_counts=rules.unknown_load_counts)
    too_short = 0 if rules.unknown_load_counts else evidence.too_short
    sign = 1.0 if rules.kpi in MORE_IS_BETTER else -1.0
    gains = [sign * ratio for pair in pairs if (ratio := pair.log_ratio(rules.kpi)) is not None]
    bound = lower_bound(gains, rules.alpha)
    guardrails = tuple(judge_guardrail(one, pairs, rules.alpha) for one in rules.guardrails)
    checks = (
        *_evidence_checks(evidence, rules, plan),
        _answers_check(evidence, rules.quality),
        _held_out_check(evidence, chosen_on),
        _gain_check(bound, rules, len(gains), too_short),
        *(_guardrail_check(verdict) for verdict in guardrails),
    )
    return Verdict(
        open=all(check.passed for check in checks),
        kpi=rules.kpi,
        pairs=len(pairs),
        disturbed=len(evidence.pairs) - len(pairs),
        too_short=too_short,
        gain=math.expm1(median(gains)) if gains else None,
        gain_at_least=None if bound is None else math.expm1(bound),
        guardrails=guardrails,
        checks=checks,
    )


def _evidence_checks(evidence: Evidence, rules: GateRules, plan: str | None) -> tuple[Check, ...]:
    faults = faults_of(evidence, rules.kpi, plan)
    if not faults:
        return (
            Check(rule="evidence", passed=True, found="every figure was computed again from the records, and agrees"),
        )
    return tuple(Check(rule="evidence", passed=False, found=fault) for fault in faults)


def _answers_check(evidence: Evidence, bound: QualityBound) -> Check:
    if evidence.same_answers:
        return Check(rule="answers", passed=bool(evidence.pairs), found="every bit of every answer is the baseline's")
    if evidence.same_arithmetic:
        return Check(rule="answers", passed=False, found="answers differ, though the plans compute the same bits")
    quality = evidence.quality
    if quality is None:
        return Check(rule="answers", passed=False, found="answers differ, and their quality was not evaluated")
    within = all(value <= 0 for value in bound.beyond(quality).values())
    found = (
        f"answers differ: mean divergence {quality.divergence_mean:.4f} nats (at most {bound.divergence_mean}), "
        f"same best token {quality.same_best:.1%} (at least {bound.same_best:.0%})"
    )
    return Check(rule="answers", passed=within, found=found)


def _held_out_check(evidence: Evidence, chosen_on: frozenset[str]) -> Check:
    shared = len(evidence.inputs & chosen_on)
    found = f"{shared} inputs were used to choose it too" if shared else "no input that proves it was used to choose it"
    return Check(rule="held_out", passed=not shared, found=found)


def _gain_check(bound: float | None, rules: GateRules, pairs: int, too_short: int) -> Check:
    if bound is None:
        why = f"; {too_short} more do not count: {TOO_SHORT}" if too_short else ""
        return Check(rule="gain", passed=False, found=f"{pairs} undisturbed pairs are too few to tell{why}")
    gain = math.expm1(bound)
    told = f"better by at least {gain:.1%}" if gain > 0 else f"may be {-gain:.1%} worse"
    found = f"{rules.kpi} {told}, wanted {rules.gain:.0%} better (confidence {100 * (1 - rules.alpha):.3g}%)"
    return Check(rule="gain", passed=gain >= rules.gain, found=found)


def _guardrail_check(verdict: GuardrailVerdict) -> Check:
    found = f"{verdict.guardrail.name}: {verdict.reason}"
    return Check(rule="guardrail", passed=verdict.held is not False, found=found)
