"""What the engine knows, put together from its modules for the control plane's worker threads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from actors.ports import Table, on
from engine.artifact.content_hash import unread_files_told
from engine.cpu.cpu_backend import CpuBackend
from engine.energy.ladder import EnergyLadder
from engine.experiments.declaration import open_experiment
from engine.experiments.open_experiment import OpenExperiment
from engine.host.event_log import log_event
from engine.identity.build import current_build
from engine.models.model_advice import advise
from engine.models.model_description import describe_model
from engine.models.model_headers import ModelHeaders
from engine.models.model_list import list_models
from engine.models.model_pull import ModelPull
from engine.operation import Operation
from engine.operations.embedding import Embedding
from engine.operations.energy.machine_calibration import MachineCalibration
from engine.operations.evaluation import Evaluation
from engine.operations.file_quantization import FileQuantization
from engine.operations.model_removal import ModelRemoval, weights_in_use
from engine.operations.reranking import Reranking
from engine.planned_execution import PlannedExecution
from engine.planning.planner import Planner
from engine.planning.resolve import capabilities, choose_backend
from engine.proposals.proposal_answers import ProposalAnswers
from engine.records.named_plan_entries import named_plan
from engine.records.record_answers import RECORD_ANSWERS, predict_from, prune_records
from engine.records.record_store import RecordStore
from engine.records.records import Records
from engine.weights.weights_cache import CacheEntry, WeightsCache
from protocol.answers import (
    AnswerMessage,
    Done,
    ModelDescription,
    ModelList,
    ModelRemoved,
    Planned,
    Text,
    TokenIds,
)
from protocol.build import Build
from protocol.cached_weights_messages import (
    CachedWeightsList,
    CachedWeightsRemoved,
    CachedWeightsVerified,
    ListCached,
    RemoveCached,
    VerifyCached,
)
from protocol.errors import CacheUnavailable, InvalidRequest, NotPermitted, RecordStoreUnavailable, RecordStoreUnusable
from protocol.experiment_messages import Experiment
from protocol.message import Request
from protocol.named_plan import NamedPlanUse
from protocol.plan import ExecutionPlan, RunRequest
from protocol.prediction import Prediction
from protocol.record import Hardware
from protocol.record_answers import RecordsPruned
from protocol.requests import (
    Calibrate,
    ClearPrefixCache,
    ClientMessage,
    Detokenize,
    Embed,
    Evaluate,
    ListModels,
    ModelAdvice,
    ModelInfo,
    Plan,
    PruneRecords,
    PullModel,
    Quantize,
    RemoveModel,
    Rerank,
    Run,
    Tokenize,
    UnloadModel,
)
from protocol.sandbox import Sandbox
from protocol.summaries import CachedWeightsEntry
from protocol.unpacking import REQUEST_BOUNDS

_MOST_TOKENS = REQUEST_BOUNDS.array_elements
"""Tokens of a text that one answer holds: as many as one request may."""


class EngineDomain:
    """The domain of this machine: see :class:`actors.ports.Domain`."""

    def __init__(
        self, planner: Planner, cache: WeightsCache, backend: CpuBackend, records: Records, energy: EnergyLadder
    ) -> None:
        self._planner = planner
        self._registry = planner.registry
        self._machine = planner.machine
        self._cache = cache
        self.backend = backend
        """The executor's of the moment."""
        self.sandbox = Sandbox(reason="this process serves no others")
        self._records = records
        self._energy = energy
        self._best_backend = choose_backend(None, planner.machine)
        self._proposals = ProposalAnswers(planner, records)
        self._headers = ModelHeaders(planner.config, self._best_backend)
        self.answers = self._make_answers()
        self.operations: Table[Operation[AnswerMessage]] = dict(
            (
                on(Quantize, lambda request: FileQuantization(request, self._registry, self._machine)),
                on(Evaluate, lambda request: Evaluation(request, self._planner, self.backend)),
                on(Embed, lambda request: Embedding(request, self._planner, self.backend, self._energy)),
                on(Rerank, lambda request: Reranking(request, self._planner, self.backend, self._energy)),
                on(Calibrate, lambda request: MachineCalibration(request, self._energy, self._machine)),
            )
        )
        self.downloads: Table[Operation[AnswerMessage]] = dict(
            (on(PullModel, lambda request: ModelPull(request, self._registry, self._best_backend)),)
        )

    def _make_answers(self) -> Table[AnswerMessage]:
        return dict(
            (
                on(Plan, self._plan),
                on(ListModels, self._list_models),
                on(ModelInfo, self._describe),
                on(ModelAdvice, lambda request: advise(self._registry.resolve(request.model))),
                on(Tokenize, self._tokenize),
                on(Detokenize, self._detokenize),
                on(ListCached, self._list_cached),
                on(RemoveCached, self._remove_cached),
                on(VerifyCached, self._verify_cached),
                on(ClearPrefixCache, self._clear_prefix_cache),
                on(UnloadModel, self._unload_model),
                on(PruneRecords, self._prune_records),
                *self._proposals.table.items(),
                *((kind, partial(self._answer_about_records, answer)) for kind, answer in RECORD_ANSWERS.items()),
            )
        )

    @property
    def build(self) -> Build:
        """The build of this engine."""
        return current_build()

    def hardware(self, kernel_path: str, threads: int) -> Hardware:
        """The machine, and the part of it that an execution used."""
        return Hardware(
            cpu_model=self._machine.cpu_model,
            kernel_path=kernel_path,
            threads=threads,
            cpu_features=self._machine.cpu_features,
            masked_cpu_features=self._machine.masked_cpu_features,
        )

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What this engine offers, as ``kind:name``."""
        return (
            *capabilities(self._machine, self._planner.energy, self._planner.config),
            *(f"sandbox:{wall}" for wall in self.sandbox.in_force),
        )

    def prepare(self, request: RunRequest) -> PlannedExecution:
        """Plan a request. Raises UnknownEntry: no plan is behind its name; UnreadFiles; and what
        :meth:`Planner.prepare` raises."""
        with unread_files_told():
            return self._prepare(request)

    def _prepare(self, request: RunRequest) -> PlannedExecution:
        if request.plan_name is None:
            return self._planner.prepare(request)
        with self._records.store.reading() as chain:
            named = named_plan(chain, request.plan_name)
        asked = request.model_copy(update={"plan_name": None, "plan": named.plan})
        use = NamedPlanUse(name=named.name, version=named.version, plan_fingerprint=named.plan_fingerprint)
        return dataclasses.replace(self._planner.prepare(asked), named_plan=use)

    def refuse_hopeless(self, message: ClientMessage) -> None:
        """See :meth:`actors.ports.Domain.refuse_hopeless`."""
        if isinstance(message, Run | Plan):
            self._planner.refuse_hopeless(message.request)

    def recorded(self, execution_id: str) -> PlannedExecution:
        """A recorded execution's plan and prompt. Raises UnreadFiles; and what the store and :meth:`Planner.plan_again`
        raise."""
        record = self._records.store.get(execution_id).decode_execution().record
        with unread_files_told():
            return self._planner.plan_again(record.plan, record.prompt_token_ids)

    def open_experiment(self, asked: Experiment) -> OpenExperiment:
        """Declare an experiment. Raises what :func:`declaration.open_experiment` raises."""
        return open_experiment(asked, self._planner, self._records.store)

    def _plan(self, request: Plan) -> Planned:
        planned = self.prepare(request.request)
        return Planned(
            plan=planned.plan,
            plan_fingerprint=planned.fingerprint,
            build=self.build,
            estimate=planned.estimate,
            prediction=self._predict(planned.plan),
            prompt=planned.prompt,
        )

    def _predict(self, plan: ExecutionPlan) -> Prediction:
        try:
            return predict_from(self._records.store, plan, self._machine.cpu_model)
        except (RecordStoreUnavailable, RecordStoreUnusable) as error:
            return Prediction(executions=0, reason=error.message)

    def _list_models(self, request: ListModels) -> ModelList:
        cached: dict[str, set[str]] = {}
        with suppress(OSError):  # the list of models does not depend on the cache
            for entry in self._cache.entries():
                cached.setdefault(entry.model, set()).add(entry.key.recipe)
        return ModelList(models=list_models(self._registry.directory, self._headers, cached))

    def _describe(self, request: ModelInfo) -> ModelDescription:
        with unread_files_told():
            return describe_model(self._registry.resolve(request.model), self._best_backend)

    def _tokenize(self, request: Tokenize) -> TokenIds:
        tokenizer = self._registry.resolve(request.model).tokenizer
        token_ids = tuple(tokenizer.encode(request.text, request.add_special, request.parse_special))
        if len(token_ids) > _MOST_TOKENS:
            raise InvalidRequest(
                f"the text has {len(token_ids)} tokens and a reply holds {_MOST_TOKENS}; send it in parts",
                field="text",
                maximum=_MOST_TOKENS,
            )
        return TokenIds(token_ids=token_ids, pieces=tuple(map(tokenizer.piece, token_ids)))

    def _detokenize(self, request: Detokenize) -> Text:
        tokenizer = self._registry.resolve(request.model).tokenizer
        pieces = tuple(tokenizer.piece(token_id) for token_id in request.token_ids)
        decode = tokenizer.spelled if request.control_tokens else tokenizer.decode
        return Text(text=decode(request.token_ids), pieces=pieces)

    def _list_cached(self, request: ListCached) -> CachedWeightsList:
        with self._typed_cache_errors():
            entries = self._cache.entries()
        return CachedWeightsList(
            directory=str(self._cache.directory),
            limit_bytes=self._cache.limit_bytes,
            entries=tuple(map(_described, entries)),
        )

    def _remove_cached(self, request: RemoveCached) -> CachedWeightsRemoved:
        with self._typed_cache_errors():
            names = request.names or tuple(entry.name for entry in self._cache.entries() if not entry.in_use)
            for name in names:
                self._cache.remove(name)
        return CachedWeightsRemoved(names=names)

    def _verify_cached(self, request: VerifyCached) -> CachedWeightsVerified:
        with self._typed_cache_errors():
            names = request.names or tuple(entry.name for entry in self._cache.entries())
            return CachedWeightsVerified(damages={name: self._cache.verify(name) for name in names})

    def _clear_prefix_cache(self, request: ClearPrefixCache) -> Done:
        self.backend.clear_prefix_cache()
        return Done()

    def _unload_model(self, request: UnloadModel) -> Done:
        model = self._registry.resolve(request.model)
        if not self.backend.let_weights_go(model.path):
            raise weights_in_use(model.name)
        return Done()

    def _answer_about_records(
        self, answer: Callable[[Any, RecordStore], AnswerMessage], request: Request[Any]
    ) -> AnswerMessage:
        return answer(request, self._records.store)

    def _prune_records(self, request: PruneRecords) -> RecordsPruned:
        permitted = self._planner.config.allow_prune
        if not (permitted or request.dry_run):
            raise NotPermitted(
                "this engine removes no records: its operator may start it with `serve --allow-prune`, or remove them "
                "from the records' own file with `engine-ctl executions prune --direct`",
                permission="allow_prune",
            )
        pruned = prune_records(request, self._records.store)
        if request.dry_run:
            return pruned.model_copy(update={"permitted": permitted})
        log_event("warning", "pruned", recorded_before=request.recorded_before, executions=pruned.executions)
        return pruned

    def remove_model(self, request: RemoveModel, executions: Mapping[str, Collection[str]]) -> ModelRemoved:
        """Remove a model, or with ``dry_run`` say what would go. Raises ModelInUse, UnknownModel, CacheUnavailable."""
        with self._typed_cache_errors():
            removal = ModelRemoval(request.model, self._registry, self._cache, self.backend, executions)
        if not request.dry_run:
            removal.carry_out()
        return ModelRemoved(
            name=removal.model.name,
            paths=tuple(map(str, removal.files)),
            freed_bytes=removal.freed_bytes,
            derived=tuple(map(_described, removal.derived)),
            dry_run=request.dry_run,
        )

    @contextmanager
    def _typed_cache_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            directory = str(self._cache.directory)
            raise CacheUnavailable(f"{directory} cannot be used: {error}", directory=directory) from error


def _described(entry: CacheEntry) -> CachedWeightsEntry:
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
