"""What a proof showed, and one that failed: figures, sentences on how sure they are, guardrails. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

from weos_agents.evidence import Evidence
from weos_agents.gate import Verdict
from weos_agents.guardrail import GuardrailVerdict
from weos_agents.quality_limits import QualityBound, quality_beyond
from weos_agents.report.figure_words import WORDS, amount, called, in_words, percent
from weos_agents.report.optimization_report import OptimizationReport, Rows
from weos_agents.report.rejection import advice, grouped, shortened
from weos_agents.sample import MORE_IS_BETTER, Metric, Sample

_SAME = 0.0005
"""A change that is shown as 0."""
_SLIGHT = 0.005
"""A change that is called neither better nor worse."""


def figure_rows(report: OptimizationReport) -> Rows:
    """Figure, its median before, after, and by how much it changed; over the pairs that count of what is examined."""
    examined = report.examined
    if examined is None:
        return []
    pairs = examined.evidence.undisturbed(unknown_counts=report.rules.unknown_load_counts)
    rows: Rows = []
    for metric in WORDS:
        ratios = [ratio for pair in pairs if (ratio := pair.log_ratio(metric)) is not None]
        if ratios:
            before = _median([pair.baseline for pair in pairs], metric)
            after = _median([pair.candidate for pair in pairs], metric)
            change = _judged(metric, math.expm1(median(ratios)))
            rows.append((called(metric), amount(metric, before), amount(metric, after), change))
    return rows


def sureness(report: OptimizationReport) -> list[str]:
    """Sentences on how sure the outcome is."""
    told, examined = [_noise(report.optimization.noise, report)], report.examined
    if examined is None:
        return told
    verdict, rules = examined.verdict, report.rules
    told.append(_counting(verdict, len(examined.evidence.pairs)))
    least = verdict.gain_at_least
    proved = "and too few pairs to prove a gain" if least is None else f"proved is {percent(least)} or more"
    told.append(
        f"Measured was {percent(verdict.gain)} in the median pair, {proved}; wanted was {rules.gain:.0%} or more."
    )
    attempt = report.optimization.confirmations.index(examined) + 1
    told.append(
        f"This was attempt {attempt} of {len(report.optimization.confirmations)} to prove a plan. What is proved is "
        f"wrong in {examined.alpha:.1%} of such attempts at most, so that all attempts of a search together err in "
        f"{rules.alpha:.0%} at most. That holds however often one looks, and whenever one stops."
    )
    if verdict.open:
        told += [_sentence(check.found) for check in verdict.checks if check.rule not in ("guardrail", "gain")]
    return told


def rejection(report: OptimizationReport) -> list[str]:
    """Why what came closest was not enough; empty where a plan was proved, or none tried to."""
    examined = report.examined
    return [] if examined is None or examined.verdict.open else [*map(_capital, grouped(examined.verdict.reasons))]


def further(report: OptimizationReport) -> list[str]:
    """What a reader can do to know more."""
    examined = report.examined
    return [] if examined is None or examined.verdict.open else advice(examined, report.rules)


def guardrail_rows(report: OptimizationReport) -> Rows:
    """Figure, verdict, reason; of what came closest where nothing was proved."""
    examined = report.examined
    if examined is None:
        return []
    rows = [(in_words(one.guardrail.name), _held(one), one.reason) for one in examined.verdict.guardrails]
    return [*rows, *_quality_rows(examined.evidence, report.rules.quality)]


def _quality_rows(evidence: Evidence, bound: QualityBound) -> Rows:
    """Those of other answers."""
    if evidence.same_arithmetic:
        return []
    beyond = quality_beyond(evidence, bound)
    if not beyond:
        return [("quality of the answers", "not proved", "it was not evaluated on a text (--quality-text)")]
    told = bound.told(beyond)
    return [(name, "kept" if value <= 0 else "broken", told[name]) for name, value in beyond.items()]


def decision_rows(report: OptimizationReport) -> Rows:
    """When, and what."""
    return [(f"{one.at_s / 60:.1f}\u00a0min", shortened(one.what)) for one in report.optimization.decisions]


def _counting(verdict: Verdict, made: int) -> str:
    told = f"{verdict.pairs} of {made} interleaved pairs count."
    disturbed = verdict.disturbed - verdict.too_short
    if disturbed:
        told += f" {disturbed} were left out, since other processes disturbed them."
    if verdict.too_short:
        told += f" {verdict.too_short} were left out, since they were too short to tell whether others disturbed them."
    return told


def _noise(noise: Evidence, report: OptimizationReport) -> str:
    kpi = report.optimization.kpi
    ratios = [abs(ratio) for pair in noise.pairs if (ratio := pair.log_ratio(kpi)) is not None]
    if not ratios:
        return "How far runs of one plan lie apart on this machine is not known."
    return (
        f"Two runs of one and the same plan lie {math.expm1(median(ratios)):.1%} apart on this machine (median of "
        f"{len(ratios)} pairs; at most {math.expm1(max(ratios)):.1%}), so that it takes many pairs to see less."
    )


def _judged(metric: Metric, change: float) -> str:
    if abs(change) < _SAME:
        return "no change"
    if abs(change) < _SLIGHT:
        return percent(change)
    better = (change > 0) == (metric in MORE_IS_BETTER)
    return f"{percent(change)}\u00a0({'better' if better else 'worse'})"


def _held(verdict: GuardrailVerdict) -> str:
    if verdict.held is None:
        return "not judged"
    return "kept" if verdict.held else "not proved"


def _median(samples: Sequence[Sample], metric: Metric) -> float | None:
    known = [figure for sample in samples if (figure := sample.figure(metric)) is not None]
    return median(known) if known else None


def _sentence(text: str) -> str:
    return f"{_capital(in_words(text))}."


def _capital(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
