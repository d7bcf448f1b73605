"""The plans of an experiment: each whole, and able to answer every input."""

from __future__ import annotations

from engine.planning.planner import Planner
from protocol.errors import InvalidRequest, RequestRefused
from protocol.experiment import WorkloadInput
from protocol.experiment_messages import Experiment
from protocol.plan import ExecutionPlan, GivenPlan, PlanRequest, RunRequest


def arm_plans(asked: Experiment, planner: Planner) -> tuple[ExecutionPlan, ...]:
    """The plan of the baseline and of each candidate. Blocking.

    Raises:
        InvalidRequest: a candidate is of another model than the baseline.
        What :meth:`Planner.prepare` raises, its ``params["arm"]`` and ``params["input"]`` naming the plan, from 0 the
        baseline, and the input, as its message does.
    """
    plans = tuple(_arm_plan(number, given, asked, planner) for number, given in enumerate(asked.plan_inputs))
    for number, plan in enumerate(plans):
        if plan.model_ref.content_hash != plans[0].model_ref.content_hash:
            raise InvalidRequest(
                f"candidate {number} is of the model {plan.model_ref.name}, and the baseline of "
                f"{plans[0].model_ref.name}: an experiment has one model",
                field=f"candidates.{number - 1}.model_ref",
            )
    return plans


def run_request(plan: GivenPlan, answered: WorkloadInput, build: str | None = None) -> RunRequest:
    """The request of one execution."""
    return RunRequest(plan=plan, build=build, **dict(answered))


def _arm_plan(number: int, given: GivenPlan, asked: Experiment, planner: Planner) -> ExecutionPlan:
    plan = given if isinstance(given, ExecutionPlan) else _filled(number, given, asked, planner)
    taken = [
        _prepared(number, place, run_request(plan, answered, asked.build), planner)
        for place, answered in enumerate(asked.workload)
    ]
    return taken[0]


def _filled(number: int, given: PlanRequest, asked: Experiment, planner: Planner) -> ExecutionPlan:
    """The plan for the input that needs the longest context."""
    plans = [_prepared(number, place, run_request(given, each), planner) for place, each in enumerate(asked.workload)]
    return max(plans, key=lambda plan: plan.batch.context_length)


def _prepared(number: int, place: int, request: RunRequest, planner: Planner) -> ExecutionPlan:
    try:
        return planner.prepare(request).plan
    except RequestRefused as error:
        error.params.update(arm=number, input=place)
        error.message = f"{_arm_name(number)}, input {place}: {error.message}"
        error.args = (error.message,)
        raise


def _arm_name(number: int) -> str:
    return f"candidate {number}" if number else "baseline"
