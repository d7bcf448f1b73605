"""What an optimization came to, in sentences and rows; a page and the terminal show the same. Pure."""

from __future__ import annotations

from typing import Any

from protocol.value import Value
from weos_agents.applying import Applied
from weos_agents.evidence import Evidence
from weos_agents.experimenter import Confirmation, Trial
from weos_agents.gate import GateRules
from weos_agents.optimization import Optimization

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


def headline(report: OptimizationReport) -> str:
    """The outcome in a sentence."""
    proof, kpi = report.proof, report.optimization.kpi
    if proof is None:
        return f"No plan was proved better than the engine's own for {report.model}: it stays as it is."
    verdict = proof.verdict
    changes = ", ".join(f"{name} = {value}" for name, value in proof.changes.items())
    usual, least = (_part(value).lstrip("+") for value in (verdict.gain, verdict.gain_at_least))
    return (
        f"With {changes}, {report.model} makes {usual} more {_words(kpi)}: at least {least} more, with a confidence of "
        f"{1 - report.rules.alpha:.0%}, on inputs that had no part in the choice."
    )


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
    told += [f"{check.found[0].upper()}{check.found[1:]}." for check in verdict.checks if check.rule != "guardrail"]
    told.append(
        f"This was attempt {len(report.optimization.confirmations)} to prove a plan: alone it may err in "
        f"{proof.alpha:.1%} of cases, and all attempts together in {report.rules.alpha:.0%}. The bound holds however "
        "often one looks at it and whenever one stops."
    )
    return told


def guardrail_rows(report: OptimizationReport) -> Rows:
    """Figure, verdict, reason."""
    proof = report.proof or (report.optimization.confirmations[-1] if report.optimization.confirmations else None)
    if proof is None:
        return []
    words = {True: "holds", False: "broken", None: "not judged"}
    return [(one.guardrail.name, words[one.held], one.reason) for one in proof.verdict.guardrails]


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
    return [(f"{one.at_s / 60:.1f} min", one.what) for one in report.optimization.decisions]


def setting_rows(report: OptimizationReport) -> Rows:
    """What it holds for."""
    found = report.optimization
    setting = found.noise.pairs[0].baseline.setting if found.noise.pairs else None
    rows: Rows = [("model", report.model), ("workload", report.workload), ("goal", _words(found.kpi))]
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
        return f"It is proposed and validated ({applied.proposal}), and not applied."
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
        f"{name}: {'beyond its margin by' if value > 0 else 'within its margin by'} {abs(value):.0%}" if name else ""
    )
    answers = "" if trial.same_bits else " (other answers)"
    return (changes + answers, _part(trial.gain), nearest, str(len(trial.evidence.pairs)))


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


def _words(kpi: str) -> str:
    return {"tokens_per_watt": "tokens per joule"}.get(kpi, kpi.replace("_per_sec", " per second").replace("_", " "))


def _at(content: dict[str, Any], name: str) -> Any:
    value: Any = content
    for part in name.split("."):
        value = value[part]
    return value
