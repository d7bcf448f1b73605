"""Plans for the models, the machine and the configuration of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from engine.artifact.artifact import ModelArtifact
from engine.config import EngineConfig
from engine.host.changed_file import changed_file
from engine.host.machine import Machine
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.planning.prompt import PreparedPrompt
from engine.planning.resolve import (
    CheckedRequest,
    choose_backend,
    choose_threads,
    decide_without_model,
    planned_execution,
    resolve_plan,
)
from engine.planning.sampling_rules import breaker_token_ids
from protocol.plan import ExecutionPlan, Quantization, RunRequest


@dataclass(frozen=True, slots=True)
class Planner:
    """Methods block; thread-safe."""

    registry: ModelRegistry
    config: EngineConfig
    machine: Machine
    energy: Mapping[str, str]
    """Every energy source: ``""`` where it works, else the reason why not."""

    def check(self, request: RunRequest) -> CheckedRequest:
        """What needs no model is refused before a file is opened. Raises what :func:`decide_without_model` raises."""
        return decide_without_model(request, self.machine, self.energy, self.config)

    def plan(self, checked: CheckedRequest, artifact: ModelArtifact, prompt: PreparedPrompt) -> PlannedExecution:
        """The plan for the request's model; its grammar is compiled.

        Raises what :func:`resolve_plan`, ``artifact.facts``, :func:`breaker_token_ids` and :meth:`Grammars.compile`
        raise.
        """
        execution = checked.request.execution
        facts = artifact.facts(cast("Quantization", execution.quantization))
        breakers = breaker_token_ids(execution.sampling, artifact.tokenizer)
        planned = resolve_plan(checked, facts, prompt, self.config, breakers)
        if planned.plan.grammar is not None:
            artifact.grammars.compile(planned.plan.grammar)
        return planned

    def plan_again(self, plan: ExecutionPlan, prompt_token_ids: tuple[int, ...]) -> PlannedExecution:
        """A plan made earlier, for the same prompt.

        Raises:
            InvalidModel: the model's file is no longer the one the plan was made for.
            UnsupportedBackend, InvalidRequest: this machine cannot carry the plan out.
            What :meth:`ModelRegistry.resolve` raises.
        """
        choose_backend(plan.backend, self.machine)
        choose_threads(plan.threads, self.machine)
        artifact = self.registry.resolve(plan.model_ref.path)
        if artifact.content_hash != plan.model_ref.content_hash:
            raise changed_file(plan.model_ref.path, "since the plan was made")
        return planned_execution(plan, artifact.facts(plan.quantization), prompt_token_ids)
