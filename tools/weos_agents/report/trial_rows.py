"""All that was tried, numbered as in the picture of it, and what each came to. Pure."""

from __future__ import annotations

import math

from weos_agents.experimenter import Trial
from weos_agents.report.figure_words import called, percent
from weos_agents.report.optimization_report import OptimizationReport, Rows
from weos_agents.report.rejection import ending_of

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
        percent(trial.gain),
        _nearest(trial, report),
        pairs,
        _came_to(trial, report),
    )


def _nearest(trial: Trial, report: OptimizationReport) -> str:
    """The change of the figure that is nearest to its limit, or farthest beyond."""
    limits = [one for one in report.rules.guardrails if one.name in trial.worse]
    if not limits:
        return ""
    nearest = max(limits, key=lambda one: trial.worse[one.name])
    worse = trial.worse[nearest.name] + nearest.margin
    told = f"{abs(worse):.1%} {'worse' if worse > 0 else 'better'}"
    return f"{called(nearest.metric)}: {told} (allowed: {nearest.margin:.0%} worse)"


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
    return "not put to a proof"
