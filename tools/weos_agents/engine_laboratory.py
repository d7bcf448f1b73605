"""The laboratory of a running engine: experiments that it declares, runs and records, asked for over its socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError
from typing_extensions import assert_never

from protocol.blocking import BlockingClient
from protocol.codec import invalid_request
from protocol.errors import InternalError, InvalidRequest
from protocol.experiment import ExperimentRecord, ExperimentText, MeasuredPair, WorkloadInput
from protocol.experiment_messages import (
    Experiment,
    ExperimentDeclared,
    Experimented,
    ExperimentProgress,
    PairMeasured,
)
from protocol.plan import ExecutionPlan, RunRequest
from protocol.record_entry import FinishedEntry
from protocol.requests import GetExecution, Plan, StopExperiment
from weos_agents.evidence import Evidence, Pair, Quality
from weos_agents.laboratory import Changes, Enough, ResolvedPlan
from weos_agents.sample import METRICS, Metric, Sample
from weos_agents.shelf import AGENT
from weos_agents.workload import Workload, WorkloadLine

_CONTEXT: Final = "execution.context_length"


class EngineLaboratory:
    """One model, one workload, one engine. Plans have room for every input, so that one plan answers them all."""

    def __init__(
        self,
        client: BlockingClient,
        model: str,
        workload: Workload,
        *,
        max_tokens: int,
        bits: frozenset[str],
        quality_text: str | None = None,
        quality_windows: int | None = None,
    ) -> None:
        """``bits``: the fields of a request that change arithmetic. ``quality_windows``: the most that are read of the
        text; ``None``: all. Raises EngineError: an input is refused.
        """
        self._client = client
        self._model = model
        self._bits = bits
        self._evaluation = (
            None if quality_text is None else ExperimentText(text=quality_text, max_windows=quality_windows)
        )
        self._joules: float | None = None
        self._usual: dict[str, Any] = {"execution.limits.max_tokens": max_tokens}
        lines = (*workload.choosing, *workload.confirming)
        self._first = lines[0]
        self._usual[_CONTEXT] = max(self._plan({}, line).batch.context_length for line in lines)

    def resolve(self, changes: Changes) -> ResolvedPlan:
        """See :class:`Laboratory`."""
        plan = self._plan(changes, self._first)
        return ResolvedPlan(fingerprint=plan.fingerprint, content=plan.model_dump(mode="json"))

    def joules_used(self) -> float | None:
        """See :class:`Laboratory`."""
        return self._joules

    def experiment(
        self, baseline: Changes, candidate: Changes, inputs: Sequence[WorkloadLine], pairs: int, enough: Enough
    ) -> Evidence:
        """See :class:`Laboratory`."""
        plans = [self._plan(changes, self._first) for changes in (baseline, candidate)]
        same_arithmetic = not {*baseline, *candidate} & self._bits
        asked = Experiment(
            baseline=plans[0],
            candidates=(plans[1],),
            workload=tuple(WorkloadInput.model_validate_json(line.content) for line in inputs),
            pairs=pairs,
            evaluation=None if same_arithmetic else self._evaluation,
            agent=AGENT,
        )
        found = Evidence(
            experiment="",
            baseline_plan=plans[0].fingerprint,
            candidate_plan=plans[1].fingerprint,
            pairs_declared=pairs,
            complete=False,
            same_arithmetic=same_arithmetic,
            pairs=(),
        )
        return self._followed(asked, found, enough)

    def _followed(self, asked: Experiment, found: Evidence, enough: Enough) -> Evidence:
        stopped = False
        for message in self._client.follow(asked):
            match message:
                case ExperimentDeclared():
                    found = found.model_copy(update={"experiment": message.declaration.experiment_id})
                case ExperimentProgress():
                    pass
                case PairMeasured():
                    found = found.model_copy(update={"pairs": (*found.pairs, self._pair(message.pair))})
                    if not stopped and enough(found):
                        # Not awaited: the experiment may have ended by itself meanwhile, and refuse it.
                        self._client.post(
                            StopExperiment(experiment_id=message.experiment_id, agent=AGENT, reason="its pairs suffice")
                        )
                        stopped = True
                case Experimented():
                    ended, reason = message.experiment.ended, message.experiment.reason
                    failure = "" if ended in ("complete", "stopped") else f"{ended}: {reason}"
                    told = {"quality": _quality(message.experiment), "medians": _medians(message.experiment)}
                    return found.model_copy(update={"complete": ended == "complete", "failure": failure, **told})
                case _:
                    assert_never(message)
        raise InternalError("the experiment had no end")

    def _pair(self, measured: MeasuredPair) -> Pair:
        samples = [self._sample(name) for name in (measured.baseline_execution, measured.candidate_execution)]
        claimed = {metric: measured.log_ratios.get(metric) for metric in METRICS}
        return Pair(baseline=samples[0], candidate=samples[1], baseline_first=measured.baseline_first, claimed=claimed)

    def _sample(self, execution_id: str) -> Sample:
        entry = self._client.ask(GetExecution(execution_id=execution_id)).entry
        if not isinstance(entry, FinishedEntry):
            raise InternalError(f"{execution_id} was interrupted, and is part of a whole pair")
        metrics = entry.record.metrics
        if metrics.energy.kind == "measured" and metrics.joules_total is not None:
            self._joules = (self._joules or 0.0) + metrics.joules_total
        return Sample.of(entry.record)

    def _plan(self, changes: Changes, line: WorkloadLine) -> ExecutionPlan:
        content = _nested({**self._usual, **changes})
        try:
            request = RunRequest.model_validate({"model": self._model, **line.fields, **content}, strict=False)
        except ValidationError as error:
            raise invalid_request(error) from error
        return self._client.ask(Plan(request=request)).plan


def _nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``. Raises InvalidRequest: a field lies within one that has a value."""
    content: dict[str, Any] = {}
    for name, value in dotted.items():
        *groups, last = name.split(".")
        place = content
        for group in groups:
            place = place.setdefault(group, {})
            if not isinstance(place, dict):
                raise InvalidRequest(f"{name} lies within {group}, which has a value itself", field=name)
        place[last] = value
    return content


def _medians(record: ExperimentRecord) -> dict[Metric, float]:
    ratios = {figure.metric: figure.median_ratio for figure in record.arms[0].figures}
    return {metric: ratio for metric in METRICS if (ratio := ratios.get(metric)) is not None}


def _quality(record: ExperimentRecord) -> Quality | None:
    """How the candidate's arithmetic predicts, beside the baseline's; ``None``: that was not evaluated."""
    evaluation = record.evaluations[1] if len(record.evaluations) > 1 else None
    if evaluation is None or evaluation.quality.against_base is None:
        return None
    base = evaluation.quality.against_base
    return Quality(text=evaluation.text_digest, divergence_mean=base.divergence_mean, same_best=base.same_best)
