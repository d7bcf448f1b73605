"""Plans for the models, the machine and the configuration of one engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from engine.artifact.artifact import ModelArtifact
from engine.artifact.footprint import check_memory
from engine.artifact.model_facts import ModelFacts
from engine.artifact.roles import require_decoder
from engine.artifact.same_vocabulary import require_same_vocabulary
from engine.config import EngineConfig
from engine.draft_plan import draft_plan
from engine.host.changed_file import changed_file
from engine.host.machine import Machine
from engine.identity.build import current_build
from engine.models.registry import ModelRegistry
from engine.planned_execution import PlannedExecution
from engine.planning.plan_input import (
    expand_plan_request,
    prepare_prompt_for_plan,
    refusal_of_plan,
    request_for_plan,
    require_plan,
)
from engine.planning.prompt import PreparedPrompt, prepare_prompt, refuse_hopeless
from engine.planning.resolve import (
    CheckedRequest,
    choose_backend,
    choose_threads,
    decide_without_model,
    planned_execution,
    resolve_plan,
)
from engine.planning.sampling_rules import breaker_token_ids
from engine.planning.speculation_rules import draft_quantization
from engine.planning.stop_rules import string_token_ids
from protocol.errors import InvalidPlan, RequestRefused
from protocol.model_ref import ModelRef
from protocol.plan import ExecutionPlan, RunRequest
from protocol.quantization import Quantization
from protocol.speculation import Speculation


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

    def refuse_hopeless(self, request: RunRequest) -> None:
        """Refuse a prompt that cannot fit its model's context whatever its tokens are, where that is known without
        opening a file. Raises PromptTooLong."""
        artifact = self.registry.opened(request.model)
        if artifact is not None:
            refuse_hopeless(request, artifact)

    def plan(self, checked: CheckedRequest, artifact: ModelArtifact, prompt: PreparedPrompt) -> PlannedExecution:
        """The plan for the request's model; its grammar is compiled.

        Raises what :func:`resolve_plan`, ``artifact.facts``, :func:`breaker_token_ids`, :meth:`Grammars.compile` and,
        of a draft model, :meth:`ModelRegistry.resolve` and :func:`require_same_vocabulary` raise.
        """
        execution = checked.request.execution
        facts = artifact.facts(cast("Quantization", execution.quantization))
        breakers = breaker_token_ids(execution.sampling, artifact.tokenizer)
        stops = string_token_ids((*execution.stop.strings, *prompt.stop_strings), artifact.tokenizer)
        draft = self._draft_facts(execution.speculation, artifact)
        planned = resolve_plan(checked, facts, prompt, self.config, breakers, stops, artifact.tokenizer.single, draft)
        if planned.plan.grammar is not None:
            artifact.grammars.compile(planned.plan.grammar)
        return replace(planned, prompt=prompt.text)

    def prepare(self, request: RunRequest) -> PlannedExecution:
        """The plan of a request with its prompt: its own, decided here, or the whole plan that it holds.

        Raises what :meth:`check`, :meth:`ModelRegistry.resolve`, :func:`prepare_prompt` and :meth:`plan` raise; and
        for a whole plan InvalidPlan, whose ``field`` cannot be honoured.
        """
        request = expand_plan_request(request)
        if isinstance(request.plan, ExecutionPlan):
            return self._take(request.plan, request)
        checked = self.check(request)
        artifact = self.registry.resolve(request.model)
        require_decoder(artifact)
        return self.plan(checked, artifact, prepare_prompt(request, artifact))

    def _take(self, plan: ExecutionPlan, request: RunRequest) -> PlannedExecution:
        _require_build(request.build)
        try:
            guessing = plan.speculation.model
            asked = request_for_plan(plan, request, None if guessing is None else self._whereabouts(guessing))
            checked = self.check(asked)
            artifact = self._artifact_of(plan.model_ref, request.model)
            require_decoder(artifact)
            prompt = prepare_prompt_for_plan(plan, asked, artifact)
            planned = self.plan(checked, artifact, prompt)
            check_memory(planned.estimate, self.config.memory_mb)
        except RequestRefused as error:
            raise refusal_of_plan(error, plan) from None
        require_plan(plan, planned.plan)
        return planned

    def _artifact_of(self, wanted: ModelRef, name: str) -> ModelArtifact:
        """The plan's model by the name that is given, else where it was found, else by the plan's name of it.

        Raises InvalidPlan: it is another.
        """
        artifact = self.registry.resolve(name or self._whereabouts(wanted))
        if artifact.content_hash != wanted.content_hash:
            raise InvalidPlan(
                f"the plan is of a model with the hash {wanted.content_hash}, and {artifact.name} has "
                f"{artifact.content_hash}",
                field="plan.model_ref.content_hash",
                given=wanted.content_hash,
                here=artifact.content_hash,
            )
        return artifact

    def _whereabouts(self, wanted: ModelRef) -> str:
        return wanted.path if self.registry.has_hash(wanted.path, wanted.content_hash) else wanted.name

    def _draft_facts(self, asked: Speculation, model: ModelArtifact) -> ModelFacts | None:
        """Those of the model that guesses, where one does."""
        quantization = draft_quantization(asked)
        if quantization is None:
            return None
        if asked.model is None:
            return model.facts(quantization)
        draft = self.registry.resolve(asked.model)
        require_decoder(draft)
        require_same_vocabulary(model, draft)
        return draft.facts(quantization)

    def plan_again(self, plan: ExecutionPlan, prompt_token_ids: tuple[int, ...]) -> PlannedExecution:
        """A plan made earlier, for the same prompt.

        Raises:
            InvalidModel: a model's file is no longer the one the plan was made for.
            UnsupportedBackend, InvalidRequest: this machine cannot carry the plan out.
            What :meth:`ModelRegistry.resolve` raises.
        """
        choose_backend(plan.backend, self.machine)
        choose_threads(plan.threads, self.machine)
        draft = draft_plan(plan)
        guessing = None if draft is None else self._unchanged(draft.model_ref).facts(draft.quantization)
        facts = self._unchanged(plan.model_ref).facts(plan.quantization)
        return planned_execution(plan, facts, prompt_token_ids, guessing)

    def _unchanged(self, wanted: ModelRef) -> ModelArtifact:
        artifact = self.registry.resolve(wanted.path)
        if artifact.content_hash != wanted.content_hash:
            raise changed_file(wanted.path, "since the plan was made")
        return artifact


def _require_build(wanted: str | None) -> None:
    here = current_build().id
    if wanted not in (None, here):
        raise InvalidPlan(
            f"the plan was made by the build {wanted}, and this engine is {here}: leave out build to let this one "
            "carry it out",
            field="build",
            given=wanted,
            here=here,
        )
