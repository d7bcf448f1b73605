"""What the engine knows, put together from its modules for the control plane's worker threads."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import assert_never

from actors.ports import OperationRequest, Prepared
from engine.artifact.footprint import estimate
from engine.cpu.cpu_backend import CpuBackend
from engine.energy.ladder import EnergyLadder
from engine.identity.build import current_build
from engine.models.model_description import describe_model
from engine.models.model_headers import ModelHeaders
from engine.models.model_list import list_models
from engine.models.model_pull import ModelPull
from engine.operation import Operation
from engine.operations.embedding import Embedding
from engine.operations.energy.calibrating import EnergyCalibrating
from engine.operations.evaluation import Evaluation
from engine.operations.file_quantization import FileQuantization
from engine.operations.model_removal import ModelRemoval
from engine.planning.planner import Planner
from engine.planning.prompt import prepare_prompt
from engine.planning.resolve import capabilities, choose_backend
from engine.records.record_answers import answer_about_records, predict_from
from engine.records.records import Records
from engine.weights.weights_cache import CacheEntry, WeightsCache
from protocol.answers import CachedWeightsList, EngineMessage, ModelDescription, ModelRemoved
from protocol.build import Build
from protocol.descriptions import CachedWeightsEntry, ModelSummary
from protocol.errors import CacheUnavailable, RecordStoreUnavailable, RecordStoreUnusable
from protocol.plan import ExecutionPlan, RunRequest
from protocol.prediction import Prediction
from protocol.record import Hardware
from protocol.requests import Calibrate, Embed, Evaluate, PullModel, Quantize, RecordQuestion, RemoveModel


class EngineDomain:
    def __init__(
        self, planner: Planner, cache: WeightsCache, backend: CpuBackend, records: Records, energy: EnergyLadder
    ) -> None:
        self._planner = planner
        self._registry = planner.registry
        self._machine = planner.machine
        self._cache = cache
        self.backend = backend
        """The executor's of the moment."""
        self._records = records
        self._energy = energy
        self._best_backend = choose_backend(None, planner.machine)
        self._headers = ModelHeaders(planner.config, self._best_backend)

    @property
    def build(self) -> Build:
        return current_build()

    def hardware(self, kernel_path: str, threads: int) -> Hardware:
        return Hardware(
            cpu_model=self._machine.cpu_model,
            kernel_path=kernel_path,
            threads=threads,
            cpu_features=self._machine.cpu_features,
            masked_cpu_features=self._machine.masked_cpu_features,
        )

    @property
    def capabilities(self) -> tuple[str, ...]:
        return capabilities(self._machine, self._planner.energy, self._planner.config)

    def prepare(self, request: RunRequest) -> Prepared:
        artifact = self._planner.open(request)
        prompt = prepare_prompt(request, artifact)
        plan, facts = self._planner.plan(request, artifact, prompt)
        return Prepared(plan, prompt.token_ids, estimate(plan, facts, len(prompt.token_ids)))

    def predict(self, plan: ExecutionPlan) -> Prediction:
        try:
            return predict_from(self._records.store, plan, self._machine.cpu_model)
        except (RecordStoreUnavailable, RecordStoreUnusable) as error:
            return Prediction(executions=0, reason=error.message)

    def recorded(self, execution_id: str) -> Prepared:
        record = self._records.store.get(execution_id).decode_execution().record
        facts = self._planner.facts_of(record.plan)
        return Prepared(
            record.plan, record.prompt_token_ids, estimate(record.plan, facts, len(record.prompt_token_ids))
        )

    def about_records(self, question: RecordQuestion) -> EngineMessage:
        return answer_about_records(question, self._records.store)

    def models(self) -> tuple[ModelSummary, ...]:
        return list_models(self._registry.directory, self._headers)

    def describe(self, model: str, request_id: int) -> ModelDescription:
        return describe_model(self._registry.resolve(model), self._best_backend, request_id)

    def cached(self, request_id: int) -> CachedWeightsList:
        with self._typed_cache_errors():
            entries = self._cache.entries()
        return CachedWeightsList(
            request_id=request_id,
            directory=str(self._cache.directory),
            limit_bytes=self._cache.limit_bytes,
            entries=tuple(_told(entry) for entry in entries),
        )

    def remove_cached(self, names: tuple[str, ...]) -> tuple[str, ...]:
        with self._typed_cache_errors():
            chosen = names or tuple(entry.name for entry in self._cache.entries() if not entry.in_use)
            for name in chosen:
                self._cache.remove(name)
            return chosen

    def verify_cached(self, names: tuple[str, ...]) -> dict[str, str]:
        with self._typed_cache_errors():
            chosen = names or tuple(entry.name for entry in self._cache.entries())
            return {name: self._cache.verify(name) for name in chosen}

    def clear_prefix_cache(self) -> None:
        self.backend.clear_prefix_cache()

    def operation(self, request: OperationRequest) -> Operation[EngineMessage]:
        match request:
            case Quantize():
                return FileQuantization(request, self._registry, self._machine)
            case Evaluate():
                return Evaluation(request, self._planner, self.backend)
            case Embed():
                return Embedding(request, self._planner, self.backend, self._energy)
            case Calibrate():
                return EnergyCalibrating(request, self._energy, self._machine)
            case _:
                assert_never(request)

    def pull(self, request: PullModel) -> Operation[EngineMessage]:
        return ModelPull(request, self._registry, self._best_backend)

    def remove_model(self, request: RemoveModel, executions: Mapping[str, Collection[str]]) -> ModelRemoved:
        with self._typed_cache_errors():
            removal = ModelRemoval(request.model, self._registry, self._cache, self.backend, executions)
        if not request.dry_run:
            removal.carry_out()
        return ModelRemoved(
            request_id=request.request_id,
            name=removal.model.name,
            paths=tuple(map(str, removal.files)),
            freed_bytes=removal.freed_bytes,
            derived=tuple(map(_told, removal.derived)),
            dry_run=request.dry_run,
        )

    def tokenize(
        self, model: str, text: str, *, add_special: bool, parse_special: bool
    ) -> tuple[tuple[int, ...], tuple[str, ...]]:
        tokenizer = self._registry.resolve(model).tokenizer
        token_ids = tuple(tokenizer.encode(text, add_special, parse_special))
        return token_ids, tuple(tokenizer.piece(token_id) for token_id in token_ids)

    def detokenize(self, model: str, token_ids: tuple[int, ...]) -> str:
        return self._registry.resolve(model).tokenizer.decode(token_ids)

    @contextmanager
    def _typed_cache_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            directory = str(self._cache.directory)
            raise CacheUnavailable(f"{directory} cannot be used: {error}", directory=directory) from error


def _told(entry: CacheEntry) -> CachedWeightsEntry:
    return CachedWeightsEntry(
        name=entry.name,
        path=str(entry.path),
        model=entry.model,
        content_hash=entry.key.content_hash,
        recipe=entry.key.recipe,
        importance=entry.key.importance,
        quantizer=entry.key.quantizer,
        size_bytes=entry.size_bytes,
        digest=entry.digest,
        used_at=entry.used_at,
        in_use=entry.in_use,
    )
