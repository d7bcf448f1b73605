"""All that was tried, numbered as in the picture of it, and what each came to. Pure."""

from __future__ import annotations

import math

from weos_agents.experimenter import Trial
from weos_agents.optimization import MOST_ATTEMPTS
from weos_agents.quality_limits import DIVERGENCE, SAME_BEST
from weos_agents.report.figure_words import called, percent
from weos_agents.report.optimization_report import OVER, OptimizationReport, Rows
from weos_agents.report.rejection import ending_of
from weos_agents.sample import MORE_IS_BETTER
from weos_agents.statistics.median_interval import median_interval

_ENDINGS = {
    "proved": "proved",
    "refuted": "refuted in a proof",
    "faulty": "rejected in a proof",
    "undecided": "undecided in a proof",
}


def ordered_trials(report: OptimizationReport) -> list[Trial]:
    """The best first."""
    return sorted(
        report.optimization.trials, key=lambda trial: -math.inf if trial.gain is None else trial.gain, reverse=True
    )


def trial_rows(report: OptimizationReport) -> Rows:
    """Number, changes, gain, the guardrail nearest to its limit, pairs that count of those made, what it came to."""
    return [_trial_row(number, trial, report) for number, trial in enumerate(ordered_trials(report), 1)]


def _trial_row(number: int, trial: Trial, report: OptimizationReport) -> tuple[str, ...]:
    changes = ", ".join(f"{name} = {value}" for name, value in trial.changes.items())
    answers = "" if trial.same_bits else " (other answers)"
    where = f" (on {trial.tried_on})" if trial.tried_on else ""
    if trial.evidence is None:
        return (str(number), changes, "not run", "", "", f"refused: {trial.refusal}")
    counting = len(trial.evidence.undisturbed(unknown_counts=report.rules.unknown_load_counts))
    pairs = f"{counting} of {len(trial.evidence.pairs)}"
    return (
        str(number),
        changes + answers + where,
        _gain(trial, report),
        _nearest(trial, report),
        pairs,
        _came_to(trial, report),
    )


def _gain(trial: Trial, report: OptimizationReport) -> str:
    """The median, and an interval where there are pairs enough for one."""
    if trial.evidence is None or trial.gain is None:
        return percent(trial.gain)
    kpi = report.optimization.kpi
    sign = 1.0 if kpi in MORE_IS_BETTER else -1.0
    pairs = trial.evidence.undisturbed(unknown_counts=report.rules.unknown_load_counts)
    interval = median_interval([sign * ratio for pair in pairs if (ratio := pair.log_ratio(kpi)) is not None])
    if interval is None:
        return percent(trial.gain)
    least, most = map(math.expm1, interval)
    return f"{percent(trial.gain)} ({percent(least)} to {percent(most)})"


def _nearest(trial: Trial, report: OptimizationReport) -> str:
    """The figure that is nearest to its limit, or farthest beyond."""
    if not trial.worse:
        return ""
    name = max(trial.worse, key=lambda one: trial.worse[one])
    if name in (DIVERGENCE, SAME_BEST):
        return f"{name}: {report.rules.quality.told(trial.worse)[name]}"
    nearest = next(one for one in report.rules.guardrails if one.name == name)
    worse = trial.worse[nearest.name] + nearest.margin
    told = f"{abs(worse):.1%} {'worse' if worse > 0 else 'better'}"
    return f"{called(nearest.metric)}: {told} (allowed: {nearest.allowed})"


def _came_to(trial: Trial, report: OptimizationReport) -> str:
    for attempt in report.optimization.confirmations:
        if attempt.asked == trial.asked:
            return _ENDINGS[ending_of(attempt, report.rules)]
    if trial.gain is None:
        return trial.refusal or "no pair counts"
    if any(value > 0 for value in trial.worse.values()):
        return "rejected: beyond a limit"
    if trial.gain <= 0:
        return "rejected: no gain"
    return f"not put to a proof: {_why_not_tried(report)}"


def _why_not_tried(report: OptimizationReport) -> str:
    """Why a promising candidate did not try to prove itself."""
    if report.proof is not None:
        return "another was proved before it"
    tried = len(report.optimization.confirmations)
    return f"{tried} others came first, as many as may" if tried >= MOST_ATTEMPTS else OVER
