"""The agent that optimizes: it searches on some inputs, proves on others, and proposes what the gate lets through.

It stays within its budget, and what it proposes is a plan with the evidence for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

from protocol.errors import InvalidRequest
from protocol.value import Value
from weos_agents.candidate_search import CandidateSearch
from weos_agents.evidence import TOO_SHORT, Evidence
from weos_agents.experimenter import Confirmation, Experimenter, Trial
from weos_agents.laboratory import Laboratory, ResolvedPlan
from weos_agents.optimization import MOST_ATTEMPTS, Decision, Optimization
from weos_agents.sample import OF_ENERGY, Metric
from weos_agents.search_fields import SearchField
from weos_agents.trial_runner import LocalTrials, TrialRunner, TrialTask
from weos_agents.workload import Workload

SEARCH_PART: Final = 0.6
"""Share of the budget that is for searching; the rest is for proofs."""
_NOISE_PAIRS: Final = 6


class OptimizerOptions(Value):
    """How thoroughly to search."""

    screen_pairs: int = 6
    confirm_pairs: int = 60
    most_trials: int = 200
    seed: int = 0


class Optimizer:
    """One search for one workload."""

    def __init__(
        self,
        laboratory: Laboratory,
        experimenter: Experimenter,
        workload: Workload,
        fields: Sequence[SearchField],
        options: OptimizerOptions,
        tell: Callable[[Decision], object] = lambda decision: None,
        trial_runner: TrialRunner | None = None,
    ) -> None:
        """``experimenter``: with the rules of the gate, and the budget. ``tell`` is told every decision at once.
        ``trial_runner``: where candidates are tried; ``None``: in the laboratory that proves them, one by one.
        """
        self._tell = tell
        self._laboratory = laboratory
        self._experimenter = experimenter
        self._workload = workload
        self._trial_runner = trial_runner or LocalTrials(experimenter, workload.choosing)
        self._fields = tuple(fields)
        self._options = options
        self._decisions: list[Decision] = []
        self._trials: list[Trial] = []

    def run(self) -> Optimization:
        """Search, prove, and tell.

        Raises EngineError: the baseline itself was refused, its executions are too short to count, the engine is gone.
        """
        baseline = self._laboratory.resolve({})
        noise = self._experimenter.measure_noise(self._workload.choosing, _NOISE_PAIRS)
        if noise.pairs and noise.too_short == len(noise.pairs) and not self._experimenter.rules.unknown_load_counts:
            raise InvalidRequest(f"this workload proves nothing: {TOO_SHORT}", field="workload")
        note = self._settle_kpi(noise)
        self._decide(f"the baseline is {baseline.fingerprint[:19]}; runs of it lie {_spread(noise, self._kpi)} apart")
        self._search(baseline)
        confirmations, chosen = self._prove()
        candidate = None
        if chosen is not None:
            candidate = self._laboratory.resolve(confirmations[chosen].asked)
        return Optimization(
            kpi=self._kpi,
            kpi_note=note,
            fields=self._fields,
            baseline=baseline,
            noise=noise,
            trials=tuple(self._trials),
            confirmations=tuple(confirmations),
            decisions=tuple(self._decisions),
            chosen=chosen,
            candidate=candidate,
            seconds=self._experimenter.elapsed,
            joules=self._joules(),
        )

    @property
    def _kpi(self) -> Metric:
        return self._experimenter.rules.kpi

    def _joules(self) -> float | None:
        here, elsewhere = self._laboratory.joules_used(), self._trial_runner.joules_elsewhere()
        return None if here is None or elsewhere is None else here + elsewhere

    def _settle_kpi(self, noise: Evidence) -> str:
        """Energy that is not measured is no goal: tokens per second take its place."""
        if self._kpi not in OF_ENERGY or any(pair.log_ratio(self._kpi) is not None for pair in noise.pairs):
            return ""
        kinds = sorted({sample.energy_kind for pair in noise.pairs for sample in (pair.baseline, pair.candidate)})
        note = f"energy is {' and '.join(kinds)} here, not measured, so that tokens per second are the goal"
        self._experimenter.rules = self._experimenter.rules.model_copy(update={"kpi": "tokens_per_sec"})
        self._decide(note)
        return note

    def _search(self, baseline: ResolvedPlan) -> None:
        usual = {field.name: _at(baseline.content, field.name) for field in self._fields}
        search = CandidateSearch(self._fields, usual, self._options.seed)
        while len(self._trials) < self._options.most_trials and not self._experimenter.over(SEARCH_PART):
            asked = (search.ask() for _ in range(self._trial_runner.width))
            candidates = [candidate for candidate in asked if candidate is not None]
            if not candidates:
                self._decide("there is nothing left to try")
                return
            pairs = self._options.screen_pairs
            tasks = [TrialTask(**dict(candidate), pairs=pairs) for candidate in candidates]
            for candidate, trial in zip(candidates, self._trial_runner.run(tasks), strict=True):
                search.tell(candidate, None if trial.gain is None else math.log1p(trial.gain), trial.worse)
                self._trials.append(trial)
                self._decide(f"tried {_named(trial.changes)}: {_told(trial)}")

    def _prove(self) -> tuple[list[Confirmation], int | None]:
        """The most promising first. Each attempt may err half as often as the one before it, so that all of them
        together err as often as the rules allow."""
        promising = sorted((trial for trial in self._trials if trial.promising), key=lambda one: -(one.gain or 0.0))
        confirmations: list[Confirmation] = []
        chosen_on = frozenset(name for trial in self._trials if trial.evidence for name in trial.evidence.inputs)
        for attempt, trial in enumerate(promising[:MOST_ATTEMPTS], 1):
            if self._experimenter.over():
                self._decide("the budget is used up")
                break
            made = self._experimenter.confirm(
                trial.asked,
                trial.changes,
                self._workload.confirming,
                self._options.confirm_pairs,
                chosen_on=chosen_on,
                alpha=self._experimenter.rules.alpha / 2**attempt,
            )
            confirmations.append(made)
            if made.verdict.open:
                self._decide(f"proved {_named(trial.changes)}")
                return confirmations, len(confirmations) - 1
            self._decide(f"rejected {_named(trial.changes)}: {'; '.join(made.verdict.reasons)}")
        self._decide("the baseline stays")
        return confirmations, None

    def _decide(self, what: str) -> None:
        decision = Decision(at_s=self._experimenter.elapsed, what=what)
        self._decisions.append(decision)
        self._tell(decision)


def _at(content: dict[str, Any], name: str) -> Any:
    value: Any = content
    for part in name.split("."):
        value = value[part]
    return value


def _named(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in changes.items())


def _told(trial: Trial) -> str:
    if trial.gain is None:
        return trial.refusal or "no pair counts"
    broken = [name for name, value in trial.worse.items() if value > 0]
    return f"{trial.gain:+.1%}" + (f", but worse in {', '.join(broken)}" if broken else "")


def _spread(noise: Evidence, kpi: Metric) -> str:
    """The median distance of two runs of one plan."""
    ratios = [abs(ratio) for pair in noise.pairs if (ratio := pair.log_ratio(kpi)) is not None]
    return f"{math.expm1(median(ratios)):.1%}" if ratios else "an unknown distance"
