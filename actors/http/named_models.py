"""The models that a message names, wherever in it it does. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.fetch.reference import is_reference
from protocol.experiment_messages import Experiment
from protocol.message import Request
from protocol.plan import ExecutionPlan, GivenPlan, RunRequest
from protocol.proposal_messages import Propose
from protocol.requests import Embed, Evaluate, Plan, Rerank, Run


def named_models(message: Request[Any]) -> Iterator[tuple[str, str]]:
    """The field and the name, or path, of each.

    Where a whole plan says that its model was found, and to what hash, is no name: the engine looks there only if it
    has read that very content before.
    """
    match message:
        case Run() | Plan():
            yield from _of_run(message.request)
        case Embed() | Evaluate() | Rerank():
            yield "model", message.request.model
        case Experiment():
            yield from _of_plan("baseline", message.baseline)
            for number, plan in enumerate(message.candidates):
                yield from _of_plan(f"candidates.{number}", plan)
        case Propose():
            yield from _of_plan("plan", message.plan)
        case _:
            model = getattr(message, "model", None)
            if isinstance(model, str):
                yield "model", model


def is_path(model: str) -> bool:
    """Whether a name means a file by its path."""
    return "/" in model and not is_reference(model)


def _of_run(request: RunRequest) -> Iterator[tuple[str, str]]:
    if request.model:
        yield "model", request.model
    if request.execution.speculation.model is not None:
        yield "execution.speculation.model", request.execution.speculation.model
    if request.plan is not None:
        yield from _of_plan("plan", request.plan)


def _of_plan(field: str, plan: GivenPlan) -> Iterator[tuple[str, str]]:
    if isinstance(plan, ExecutionPlan):
        yield f"{field}.model_ref.name", plan.model_ref.name
        if plan.speculation.model is not None:
            yield f"{field}.speculation.model.name", plan.speculation.model.name
        return
    named = {"model": plan.model, "model_ref": plan.model_ref, "speculation.model": plan.speculation.model}
    yield from ((f"{field}.{name}", model) for name, model in named.items() if model is not None)
