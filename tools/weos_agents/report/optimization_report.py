"""What an optimization came to, in sentences and rows; a page and the terminal show the same. Pure."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final

from protocol.record_entry import Timestamp
from protocol.value import Value
from weos_agents.applying import Applied
from weos_agents.evidence import Evidence
from weos_agents.experimenter import Confirmation
from weos_agents.gate import GateRules
from weos_agents.optimization import Optimization
from weos_agents.report.changed_fields import listed, old_and_new
from weos_agents.report.figure_words import called, in_words, percent
from weos_agents.report.next_steps import undo, use
from weos_agents.report.rejection import ending_of, highest_gain

OVER: Final = "the time, or the energy, was used up"
Rows = list[tuple[str, ...]]


class OptimizationReport(Value):
    """An optimization, with what it was asked to do; what a folder of a report holds as ``report.json``."""

    model: str
    workload: str
    rules: GateRules
    optimization: Optimization
    applied: Applied | None = None
    """What became of the plan; ``None``: nothing was proposed."""
    began_at: Timestamp | None = None
    """``None``: made by a version that did not tell."""
    minutes: float | None = None
    """The most that it might take; ``None``: as above."""
    remark: str = ""
    """What whoever asked for it wants its readers to know."""

    @property
    def proof(self) -> Confirmation | None:
        """The proof of the plan that is proposed."""
        return self.optimization.proof

    @property
    def examined(self) -> Confirmation | None:
        """The proof; where there is none, the attempt that came closest: the one with the highest gain proved."""
        attempts = self.optimization.confirmations
        return self.proof or max(attempts, key=lambda one: _order(one.verdict.gain_at_least), default=None)

    @property
    def model_name(self) -> str:
        """The model without its folders."""
        path = PurePath(self.model)
        return path.name if path.is_absolute() else self.model


def title(report: OptimizationReport) -> str:
    """What the report is about, and how it ended."""
    outcome = "the engine's own plan stays" if report.proof is None else "a better plan"
    return f"{report.model_name}: {outcome}"


def subtitle(report: OptimizationReport) -> str:
    """When, and for what."""
    when = "" if report.began_at is None else f"{report.began_at[:16].replace('T', ' ')} UTC. "
    return f"{when}Workload: {report.workload}. Goal: {_goal(report)}."


def headline(report: OptimizationReport) -> str:
    """The outcome in a sentence or two."""
    proof, kpi = report.proof, report.optimization.kpi
    if proof is None:
        tried = f"None of the {len(report.optimization.trials)} other plans tried was proved to make {_goal(report)}"
        return f"{tried}. The engine's own plan stays. {_closest(report)}"
    verdict = proof.verdict
    usual, least = (percent(value).lstrip("+") for value in (verdict.gain, verdict.gain_at_least))
    return (
        f"With {listed(report.optimization.baseline.content, proof.changes)}, {report.model_name} makes {usual} more "
        f"{called(kpi)} (median of {verdict.pairs} pairs): at least {least} more, with a confidence of "
        f"{1 - report.rules.alpha:.0%}, on inputs that had no part in the choice. {_answers(proof)}"
    )


def summary_rows(report: OptimizationReport) -> Rows:
    """What a reader asks first, and the answers."""
    proof, kpi = report.proof, called(report.optimization.kpi)
    confidence = f"{1 - report.rules.alpha:.0%}"
    if proof is None:
        told: Rows = [
            ("changed", "nothing"),
            (
                "how sure",
                f"a gain is taken only where it is proved with a confidence of {confidence}: there may be one",
            ),
        ]
    else:
        gain, least = percent(proof.verdict.gain), percent(proof.verdict.gain_at_least)
        told = [
            ("changed", old_and_new(report.optimization.baseline.content, proof.changes)),
            ("by how much", f"{gain} {kpi} in the median pair; the true gain is at least {least}"),
            ("how sure", f"{confidence}, over all plans that tried to prove themselves"),
        ]
    if limits := _own_limits(report.rules):
        told.append(("own limits", limits))
    told.append(("what it cost", cost(report)))
    told.append(("holds for", f"{report.model_name}, {report.workload}, {_machine(report)}"))
    if command := use(report.applied):
        told.append(("to use it", command))
    told.append(("to undo it", undo(report.applied, proved=proof is not None)))
    return told


def cost(report: OptimizationReport) -> str:
    """What the search took."""
    found = report.optimization
    experiments = _experiments(found)
    executions = sum(2 * len(one.pairs) for one in experiments)
    joules = "energy was not measured" if found.joules is None else f"{found.joules:,.0f} joules"
    given = "" if report.minutes is None else f" of at most {report.minutes:g}"
    told = (
        f"{found.seconds / 60:.1f}{given} minutes, {executions} executions in {len(experiments)} experiments; {joules}"
    )
    watched = None if report.applied is None else report.applied.watched
    return told if watched is None else f"{told}; then {2 * len(watched.pairs)} executions to watch it"


def setting_rows(report: OptimizationReport) -> Rows:
    """What it holds for."""
    found, examined = report.optimization, report.examined
    setting = found.noise.pairs[0].baseline.setting if found.noise.pairs else None
    rows: Rows = [("model", report.model), ("workload", _workload(report)), ("goal", _goal(report))]
    rows += [("machine", _machine(report)), ("energy", _energy(report))]
    if setting is not None:
        rows.append(("engine", f"{setting.engine_version}, build {setting.build}"))
    rows.append(("engine's own plan", found.baseline.fingerprint))
    if found.candidate is not None:
        rows.append(("plan proposed", found.candidate.fingerprint))
    if report.applied is not None:
        rows.append(("proposal", report.applied.proposal))
    if examined is not None:
        rows.append(("experiment of the proof", f"engine-ctl experiments show {examined.evidence.experiment}"))
    return rows


def _goal(report: OptimizationReport) -> str:
    return f"at least {report.rules.gain:.0%} more {called(report.optimization.kpi)}"


def _own_limits(rules: GateRules) -> str:
    """The limits that whoever asked has set, each with its default; empty: there are none."""
    own = [one for one in rules.guardrails if one.usual is not None]
    return "; ".join(f"{in_words(one.name)}: allowed {one.allowed}" for one in own)


def _machine(report: OptimizationReport) -> str:
    """The processor, and what the engine's own plan uses of it."""
    pairs, plan = report.optimization.noise.pairs, report.optimization.baseline.content
    processor = pairs[0].baseline.setting.cpu_model if pairs else "a processor that is not told"
    uses = [str(plan[name]) for name in ("backend",) if name in plan]
    if "threads" in plan:
        uses.append(f"the engine's own plan has {plan['threads']} threads")
    return f"{processor} ({'; '.join(uses)})" if uses else processor


def _energy(report: OptimizationReport) -> str:
    """Where joules come from, and what they are worth."""
    kinds = {
        sample.energy_kind for pair in report.optimization.noise.pairs for sample in (pair.baseline, pair.candidate)
    }
    source = report.optimization.baseline.content.get("energy_source")
    told = " and ".join("not measured" if kind == "unavailable" else kind for kind in sorted(kinds)) or "unknown"
    return f"{told}{f', by {source}' if source not in (None, '', 'none') else ''}"


def _workload(report: OptimizationReport) -> str:
    found, examined = report.optimization, report.examined
    chosen_on = {name for trial in found.trials if trial.evidence for name in trial.evidence.inputs}
    told = f"{report.workload}: tried on {len(chosen_on)} inputs"
    if examined is not None:
        told += f", held to a proof on {len(examined.evidence.inputs)} others"
    most = found.baseline.content.get("limits", {}).get("max_tokens")
    return told if most is None else f"{told}; answers of at most {most} tokens"


def _experiments(found: Optimization) -> list[Evidence]:
    tried = [trial.evidence for trial in found.trials if trial.evidence is not None]
    return [found.noise, *tried, *(one.evidence for one in found.confirmations)]


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


def _closest(report: OptimizationReport) -> str:
    """What came closest, and how that ended."""
    found, examined = report.optimization, report.examined
    if not found.trials:
        return "There was no time to try a candidate, or none that could be varied."
    if examined is None:
        return _untried(found)
    verdict, least = examined.verdict, examined.verdict.gain_at_least
    proved = "too few pairs to prove a gain" if least is None else f"proved to be at least {percent(least)}"
    return (
        f"What came closest was {listed(found.baseline.content, examined.changes)}: {percent(verdict.gain)} in the "
        f"median of {verdict.pairs} pairs, {proved}. {_ending(examined, report.rules)}"
    )


def _untried(found: Optimization) -> str:
    """Why no candidate tried to prove itself."""
    if promising := sum(trial.promising for trial in found.trials):
        looked = "One looked" if promising == 1 else f"{promising} looked"
        return f"{looked} promising and could not be put to a proof: {OVER}."
    measured = any(trial.gain is not None for trial in found.trials)
    return "None was worth a proof." if measured else "None could be measured: see what was decided."


def _ending(attempt: Confirmation, rules: GateRules) -> str:
    """How an attempt to prove a plan ended that proved none, in a sentence."""
    ending, least = ending_of(attempt, rules), attempt.verdict.gain_at_least
    if ending == "refuted":
        return f"That is not enough: the true gain is {percent(highest_gain(attempt, rules))} at most."
    if ending == "faulty":
        return "It could not be taken, for the reasons given."
    if least is None or least < rules.gain:
        return "Whether there is as much to be gained as is wanted was not decided."
    return "That is enough, but it was not proved to keep all limits."


def _order(gain: float | None) -> float:
    return -1.0 if gain is None else gain
