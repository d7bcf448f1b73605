"""What an optimization came to, in sentences and rows; a page and the terminal show the same. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from protocol.value import Value
from weos_agents.applying import Applied
from weos_agents.evidence import Evidence
from weos_agents.experimenter import Confirmation, Trial
from weos_agents.gate import GateRules
from weos_agents.optimization import Optimization
from weos_agents.report.figure_words import WORDS, amount, called, in_words
from weos_agents.sample import Metric, Sample

Rows = list[tuple[str, ...]]


class OptimizationReport(Value):
    """An optimization, with what it was asked to do; what a folder of a report holds as ``report.json``."""

    model: str
    workload: str
    rules: GateRules
    optimization: Optimization
    applied: Applied | None = None
    """What became of the plan; ``None``: nothing was proposed."""

    @property
    def proof(self) -> Confirmation | None:
        """The proof of the plan that is proposed."""
        return self.optimization.proof


def title(report: OptimizationReport) -> str:
    """What the report is about."""
    return f"{'No better plan' if report.proof is None else 'A better plan'} for {report.model}"


def headline(report: OptimizationReport) -> str:
    """The outcome in a sentence or two."""
    proof, kpi = report.proof, report.optimization.kpi
    if proof is None:
        told = f"No plan was proved better than the engine's own for {report.model}: it stays as it is."
        return f"{told} {_why_not(report)}"
    verdict = proof.verdict
    changes = ", ".join(f"{name} = {value}" for name, value in proof.changes.items())
    usual, least = (_part(value).lstrip("+") for value in (verdict.gain, verdict.gain_at_least))
    return (
        f"With {changes}, {report.model} makes {usual} more {called(kpi)}: at least {least} more, with a confidence of "
        f"{1 - report.rules.alpha:.0%}, on inputs that had no part in the choice. {_answers(proof)}"
    )


def figure_rows(report: OptimizationReport) -> Rows:
    """Figure, its median before, after, and by how much it changed; over the pairs that count of the proof."""
    proof = report.proof
    if proof is None:
        return []
    pairs = proof.evidence.undisturbed(unknown_counts=report.rules.unknown_load_counts)
    rows: Rows = []
    for metric in WORDS:
        ratios = [ratio for pair in pairs if (ratio := pair.log_ratio(metric)) is not None]
        if ratios:
            before = _median([pair.baseline for pair in pairs], metric)
            after = _median([pair.candidate for pair in pairs], metric)
            change = _part(math.expm1(median(ratios)))
            rows.append((called(metric), amount(metric, before), amount(metric, after), change))
    return rows


def change_rows(report: OptimizationReport) -> Rows:
    """Field, value before, value after."""
    proof = report.proof
    if proof is None:
        return []
    return [(name, str(_at(report.optimization.baseline.content, name)), str(to)) for name, to in proof.changes.items()]


def sureness(report: OptimizationReport) -> list[str]:
    """Sentences on how sure the outcome is."""
    told = [_noise(report.optimization.noise, report)]
    proof = report.proof
    if proof is None:
        return told
    verdict = proof.verdict
    told.append(
        f"{verdict.pairs} interleaved pairs count; {verdict.disturbed} were left out, since other processes disturbed "
        f"them{f' or they were too short to tell ({verdict.too_short})' if verdict.too_short else ''}."
    )
    told += [_sentence(check.found) for check in verdict.checks if check.rule not in ("guardrail", "gain")]
    told.append(
        f"The gain is at least {_part(verdict.gain_at_least)}, and {report.rules.gain:.0%} was wanted. This was "
        f"attempt {len(report.optimization.confirmations)} to prove a plan: it errs in {proof.alpha:.1%} of cases at "
        f"most, so that all attempts together err in {report.rules.alpha:.0%}. That holds however often one looks, and "
        "whenever one stops."
    )
    return told


def guardrail_rows(report: OptimizationReport) -> Rows:
    """Figure, verdict, reason; of the last attempt where none was proved."""
    proof = report.proof or (report.optimization.confirmations[-1] if report.optimization.confirmations else None)
    if proof is None:
        return []
    words = {True: "holds", False: "broken", None: "not judged"}
    return [(in_words(one.guardrail.name), words[one.held], one.reason) for one in proof.verdict.guardrails]


def cost(report: OptimizationReport) -> str:
    """What the search took."""
    found = report.optimization
    executions = sum(2 * len(one.pairs) for one in _experiments(found))
    joules = "energy was not measured" if found.joules is None else f"{found.joules:,.0f} joules"
    experiments = len(_experiments(found))
    return f"{found.seconds / 60:.1f} minutes, {executions} executions in {experiments} experiments; {joules}."


def trial_rows(report: OptimizationReport) -> Rows:
    """Changes, gain, nearest guardrail, pairs; the best first."""
    ordered = sorted(report.optimization.trials, key=lambda trial: -(trial.gain if trial.gain is not None else -1e9))
    return [_trial_row(trial) for trial in ordered]


def decision_rows(report: OptimizationReport) -> Rows:
    """When, and what."""
    return [(f"{one.at_s / 60:.1f} min", in_words(one.what)) for one in report.optimization.decisions]


def setting_rows(report: OptimizationReport) -> Rows:
    """What it holds for."""
    found = report.optimization
    setting = found.noise.pairs[0].baseline.setting if found.noise.pairs else None
    rows: Rows = [("model", report.model), ("workload", report.workload), ("goal", called(found.kpi))]
    if setting is not None:
        rows += [("processor", setting.cpu_model), ("engine", f"{setting.engine_version}, build {setting.build}")]
    rows.append(("plan before", found.baseline.fingerprint))
    if found.candidate is not None:
        rows.append(("plan proposed", found.candidate.fingerprint))
    if report.applied is not None:
        rows.append(("proposal", report.applied.proposal))
    return rows


def outcome(report: OptimizationReport) -> str:
    """What became of the plan, in a sentence."""
    applied = report.applied
    if applied is None:
        return "Nothing was proposed."
    if applied.name is None:
        return (
            "It is proposed and validated, and not applied; that is done by: engine-ctl proposals apply "
            f"{applied.proposal} --name NAME"
        )
    told = f"It was applied as {applied.name}, version {applied.version}."
    if applied.watched is not None:
        told += f" Over {len(applied.watched.pairs)} pairs after that: {applied.breach or 'nothing against it'}."
    if applied.rolled_back is not None:
        told += f" It was rolled back: version {applied.rolled_back} has the plan before."
    return told


def _trial_row(trial: Trial) -> tuple[str, ...]:
    changes = ", ".join(f"{name}={value}" for name, value in trial.changes.items())
    if trial.evidence is None:
        return (changes, "refused", trial.refusal, "0")
    name, value = max(trial.worse.items(), key=lambda item: item[1], default=("", 0.0))
    nearest = (
        f"{in_words(name)}: {'beyond its margin by' if value > 0 else 'within its margin by'} {abs(value):.0%}"
        if name
        else ""
    )
    answers = "" if trial.same_bits else " (other answers)"
    where = f" (on {trial.tried_on})" if trial.tried_on else ""
    return (changes + answers + where, _part(trial.gain), nearest, str(len(trial.evidence.pairs)))


def _noise(noise: Evidence, report: OptimizationReport) -> str:
    kpi = report.optimization.kpi
    ratios = sorted(abs(ratio) for pair in noise.pairs if (ratio := pair.log_ratio(kpi)) is not None)
    if not ratios:
        return "How far runs of one plan lie apart on this machine is not known."
    return (
        f"Two runs of one plan lie {ratios[len(ratios) // 2]:.1%} apart on this machine, and {ratios[-1]:.1%} at most."
    )


def _experiments(found: Optimization) -> list[Evidence]:
    tried = [trial.evidence for trial in found.trials if trial.evidence is not None]
    return [found.noise, *tried, *(one.evidence for one in found.confirmations)]


def _part(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.1%}"


def _answers(proof: Confirmation) -> str:
    """Whether its answers are the same."""
    if proof.evidence.same_answers:
        return "Its answers are the same, to the bit."
    quality = proof.evidence.quality
    if quality is None:
        return "Its answers differ."
    return (
        f"Its answers differ: on the text given it predicts the same token at {quality.same_best:.1%} of positions, "
        f"and its mean divergence is {quality.divergence_mean:.4f} nats."
    )


def _why_not(report: OptimizationReport) -> str:
    """What came closest, and why it was not enough."""
    found = report.optimization
    if not found.trials:
        return "There was no time to try a candidate, or none that could be varied."
    if not found.confirmations:
        tried = [trial for trial in found.trials if trial.gain is not None]
        return (
            f"None of {len(found.trials)} candidates was worth a proof."
            if tried
            else "No candidate could be measured: see what was decided."
        )
    last = found.confirmations[-1]
    changes = ", ".join(f"{name} = {value}" for name, value in last.changes.items())
    return in_words(f"What came closest was {changes}: {'; '.join(last.verdict.reasons)}.")


def _median(samples: Sequence[Sample], metric: Metric) -> float | None:
    known = [figure for sample in samples if (figure := sample.figure(metric)) is not None]
    return median(known) if known else None


def _sentence(text: str) -> str:
    told = in_words(text)
    return f"{told[0].upper()}{told[1:]}."


def _at(content: dict[str, Any], name: str) -> Any:
    value: Any = content
    for part in name.split("."):
        value = value[part]
    return value
