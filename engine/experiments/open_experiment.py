"""An experiment that has been declared and not ended: its plans, its schedule, and what has come of it so far."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.experiments.arm_evaluations import arm_evaluation, evaluation_key, evaluation_request
from engine.experiments.arms import run_request
from engine.experiments.disturbance import disturbance
from engine.experiments.paired_figures import paired_figure
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from engine.records.comparison import compare_output, paired_ratio
from engine.records.experiment_entries import end_experiment, experiment_record, keep_evaluation, kept_evaluation
from engine.records.record_chain import StoredEntry
from engine.records.record_differences import plan_differences
from engine.records.record_store import RecordStore
from protocol.experiment import (
    ArmEvaluation,
    ArmResult,
    ExperimentDeclaration,
    ExperimentEnd,
    ExperimentExecution,
    ExperimentMetric,
    ExperimentPlace,
    ExperimentRecord,
    ExperimentText,
    KeptEvaluation,
    MeasuredPair,
    ScheduledRun,
)
from protocol.operation_answers import Evaluated
from protocol.record import ExecutionRecord
from protocol.requests import Evaluate

_UNCOUNTED = ("cancelled", "client_gone", "shutdown", "error")
"""Stop reasons of an execution that says nothing of its plan."""


@dataclass(slots=True, eq=False)
class OpenExperiment:
    """Taken through its schedule by one task; :meth:`take` alone does not block."""

    declaration: ExperimentDeclaration
    sequence: int
    """The declaration's, in the chain."""
    planner: Planner
    store: RecordStore
    text: ExperimentText | None = None
    evaluations: list[ArmEvaluation] = field(default_factory=list)
    """Those of the first arms so far."""
    executions: list[ExperimentExecution] = field(default_factory=list)
    pairs: list[MeasuredPair] = field(default_factory=list)
    _half: tuple[ScheduledRun, ExecutionRecord] | None = None

    @property
    def experiment_id(self) -> str:
        """The id by which it is stopped and found."""
        return self.declaration.experiment_id

    def wanted_evaluation(self) -> Evaluate | None:
        """What must be measured before the next arm's evaluation is known; ``None``: nothing, all are."""
        while self.text is not None and len(self.evaluations) < len(self.declaration.plans):
            plan, baseline = self.declaration.plans[len(self.evaluations)], self.declaration.plans[0]
            key = evaluation_key(plan, baseline, self.text, self.declaration.build)
            kept = None if key is None else kept_evaluation(self.store, key)
            if kept is None:
                return evaluation_request(plan, baseline, self.text)
            self.evaluations.append(kept.model_copy(update={"cached": True}))
        return None

    def take_evaluation(self, evaluated: Evaluated) -> None:
        """Take what :meth:`wanted_evaluation` wanted, and keep it for other experiments."""
        if self.text is None:
            raise ValueError("the experiment has no text")
        plan, baseline = self.declaration.plans[len(self.evaluations)], self.declaration.plans[0]
        evaluation = arm_evaluation(evaluated, self.text)
        build = self.declaration.build
        key = evaluation_key(plan, baseline, self.text, build)
        if key is not None and build.arithmetic is not None:
            kept = KeptEvaluation(
                key=key,
                content_hash=plan.model_ref.content_hash,
                arithmetic=build.arithmetic,
                evaluation=evaluation,
            )
            keep_evaluation(self.store, kept)
        self.evaluations.append(evaluation)

    def prepare(self, run: ScheduledRun) -> PlannedExecution:
        """The execution of a scheduled run. Raises what :meth:`Planner.prepare` raises."""
        plan = self.declaration.plans[run.arm]
        planned = self.planner.prepare(run_request(plan, self.declaration.workload[run.input]))
        place = ExperimentPlace(experiment_id=self.experiment_id, **dict(run))
        return dataclasses.replace(planned, experiment=place)

    def take(self, run: ScheduledRun, record: ExecutionRecord) -> MeasuredPair | None:
        """Take what came of a scheduled run; the pair that is whole with it."""
        undisturbed, reason = disturbance(record)
        self.executions.append(
            ExperimentExecution(
                **dict(run),
                execution_id=record.execution_id,
                stop_reason=record.stop_reason,
                tokens_total=record.metrics.tokens_total,
                logits_digest=record.logits_digest,
                others_cpu_share=record.metrics.energy.others_cpu_share,
                undisturbed=undisturbed,
                reason=reason,
            )
        )
        if run.pair is None:
            return None
        first, self._half = self._half, (run, record)
        if first is None or first[0].pair != run.pair:
            return None
        self._half = None
        if any(one.stop_reason in _UNCOUNTED for _, one in (first, (run, record))):
            return None
        pair = measured_pair(first, (run, record), self.declaration.metrics)
        self.pairs.append(pair)
        return pair

    def end(self, ended: ExperimentEnd, reason: str = "") -> tuple[ExperimentRecord, StoredEntry]:
        """Seal what has come of it into the chain. Raises what the store raises."""
        declaration = self.declaration
        record = experiment_record(
            declaration,
            self.sequence,
            ended,
            reason,
            executions=tuple(self.executions),
            pairs=tuple(self.pairs),
            arms=tuple(self._result(arm) for arm in range(1, len(declaration.plans))),
            evaluations=tuple(self.evaluations),
        )
        return record, end_experiment(self.store, record)

    def _result(self, arm: int) -> ArmResult:
        declaration = self.declaration
        pairs = [pair for pair in self.pairs if pair.arm == arm]
        return ArmResult(
            arm=arm,
            plan_fingerprint=declaration.plan_fingerprints[arm],
            differences=plan_differences(declaration.plans[0], declaration.plans[arm]),
            pairs=len(pairs),
            disturbed=sum(pair.undisturbed is False for pair in pairs),
            unknown=sum(pair.undisturbed is None for pair in pairs),
            same_output=all(pair.same_output for pair in pairs) if pairs else None,
            figures=tuple(paired_figure(metric, pairs) for metric in declaration.metrics),
        )


def measured_pair(
    first: tuple[ScheduledRun, ExecutionRecord],
    second: tuple[ScheduledRun, ExecutionRecord],
    metrics: Sequence[ExperimentMetric],
) -> MeasuredPair:
    """What a pair tells, in the order in which its two ran."""
    (_, baseline), (run, candidate) = sorted((first, second), key=lambda one: one[0].arm)
    quotients = {metric: paired_ratio(metric, baseline, candidate) for metric in metrics}
    known = [disturbance(record)[0] for record in (baseline, candidate)]
    return MeasuredPair(
        pair=run.pair or 0,
        arm=run.arm,
        input=run.input,
        baseline_first=first[0].arm == 0,
        baseline_execution=baseline.execution_id,
        candidate_execution=candidate.execution_id,
        undisturbed=False if False in known else None if None in known else True,
        same_output=baseline.token_ids == candidate.token_ids and compare_output(baseline, candidate).same,
        log_ratios={metric: None if ratio is None else math.log(ratio) for metric, (ratio, _) in quotients.items()},
        reasons={metric: reason for metric, (_, reason) in quotients.items() if reason},
    )
