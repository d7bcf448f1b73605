"""Plans for the models, the machine and the configuration of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from engine.artifact.artifact import ModelArtifact, ModelFacts
from engine.config import EngineConfig
from engine.host.changed_file import changed_file
from engine.host.machine import Machine
from engine.models.registry import ModelRegistry
from engine.planning.prompt import PreparedPrompt
from engine.planning.resolve import check_request, choose_backend, choose_threads, resolve_plan
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

    def open(self, request: RunRequest) -> ModelArtifact:
        """The request's model. What needs none is refused before a file is opened, however large it is.

        Raises what :func:`check_request` and :meth:`ModelRegistry.resolve` raise.
        """
        check_request(request, self.machine, self.energy, self.config)
        return self.registry.resolve(request.model)

    def plan(
        self, request: RunRequest, artifact: ModelArtifact, prompt: PreparedPrompt
    ) -> tuple[ExecutionPlan, ModelFacts]:
        """The plan, and the facts it was made of; its grammar is compiled.

        Raises what :func:`resolve_plan`, ``artifact.facts``, :func:`breaker_token_ids` and :meth:`Grammars.compile`
        raise.
        """
        check_request(request, self.machine, self.energy, self.config)
        facts = artifact.facts(cast("Quantization", request.execution.quantization))
        breakers = breaker_token_ids(request.execution.sampling, artifact.tokenizer)
        plan = resolve_plan(request, facts, prompt, self.machine, self.energy, self.config, breakers)
        if plan.grammar is not None:
            artifact.grammars.compile(plan.grammar)
        return plan, facts

    def facts_of(self, plan: ExecutionPlan) -> ModelFacts:
        """Of a plan made earlier.

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
        return artifact.facts(plan.quantization)
