"""What the engine knows, put together from its modules for the control plane's worker threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from actors.ports import Prepared, ReportProgress
from engine.config import EngineConfig
from engine.machine import Machine
from engine.models import ModelRegistry
from engine.planning import capabilities, check_request, estimate, resolve_plan
from engine.prompt import prepare_prompt
from protocol.messages import ModelDescription, ModelSummary
from protocol.plan import Quantization, RunRequest


class EngineDomain:
    """``energy`` holds every energy source: ``""`` where it works, else the reason why not."""

    def __init__(
        self, config: EngineConfig, machine: Machine, energy: Mapping[str, str], registry: ModelRegistry
    ) -> None:
        self._config = config
        self._machine = machine
        self._energy = energy
        self._registry = registry

    @property
    def cpu_model(self) -> str:
        return self._machine.cpu_model

    @property
    def capabilities(self) -> tuple[str, ...]:
        return capabilities(self._machine, self._energy)

    def prepare(self, request: RunRequest) -> Prepared:
        # What needs no model is refused before a file is opened, however large it is.
        check_request(request, self._machine, self._energy)
        artifact = self._registry.resolve(request.model)
        prompt = prepare_prompt(request, artifact)
        facts = artifact.facts(cast("Quantization", request.execution.quantization))
        plan = resolve_plan(request, facts, prompt, self._machine, self._energy, self._config)
        return Prepared(plan, prompt.token_ids, estimate(plan, facts, len(prompt.token_ids)))

    def models(self) -> tuple[ModelSummary, ...]:
        return self._registry.summaries()

    def describe(self, model: str, request_id: int) -> ModelDescription:
        return self._registry.describe(model, request_id)

    def pull(self, model: str, progress: ReportProgress) -> None:
        self._registry.pull(model, progress)

    def tokenize(
        self, model: str, text: str, *, add_special: bool, parse_special: bool
    ) -> tuple[tuple[int, ...], tuple[str, ...]]:
        tokenizer = self._registry.resolve(model).tokenizer
        token_ids = tuple(tokenizer.encode(text, add_special, parse_special))
        return token_ids, tuple(tokenizer.piece(token_id) for token_id in token_ids)

    def detokenize(self, model: str, token_ids: tuple[int, ...]) -> str:
        return self._registry.resolve(model).tokenizer.decode(token_ids)
