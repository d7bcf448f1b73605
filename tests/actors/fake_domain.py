"""A domain of one model, ``tiny``, whose tokens are characters."""

from __future__ import annotations

import threading
from base64 import b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.ports import Table, on
from engine.experiments.open_experiment import OpenExperiment
from engine.operation import Operation
from engine.planned_execution import PlannedExecution
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
from protocol.cached_weights_messages import CachedWeightsList, ListCached
from protocol.embedding import EmbeddedText
from protocol.errors import (
    ExecutionCancelled,
    InvalidPlan,
    ModelInUse,
    PromptTooLong,
    UnknownModel,
    UnsupportedBackend,
)
from protocol.experiment_messages import Experiment
from protocol.message import Request
from protocol.metrics import EnergyReport
from protocol.operation_answers import Embedded, Quantized, Reranked
from protocol.plan import (
    EnergySourceName,
    RunRequest,
)
from protocol.prediction import Prediction
from protocol.progress import StageProgress
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
from protocol.reranking import RankedDocument
from protocol.sandbox import Sandbox
from protocol.summaries import ModelSummary
from tests.actors.fake_plans import make_plan, make_planned


def make_embedded(request: Embed, dimension: int = 2) -> Embedded:
    """Vectors of zeros."""
    asked = request.request
    vector = b64encode(bytes(4 * dimension)).decode()
    return Embedded(
        plan=make_plan(RunRequest(model=asked.model, prompt="")),
        kernel_path="reference",
        pooling=asked.pooling or "mean",
        pooling_from="default" if asked.pooling is None else "request",
        normalized=asked.normalize,
        dimension=dimension,
        texts=tuple(EmbeddedText(vector=vector, tokens=len(text)) for text in asked.texts or asked.token_ids or ()),
        digest="sha256:0",
        duration_s=0.1,
        energy=EnergyReport(kind="unavailable", source="none", reason="nothing measures"),
    )


def make_reranked(request: Rerank) -> Reranked:
    """The longest document first."""
    asked = request.request
    order = sorted(range(len(asked.documents)), key=lambda index: -len(asked.documents[index]))
    results = (RankedDocument(index=index, score=float(-place), tokens=4) for place, index in enumerate(order))
    return Reranked(
        plan=make_plan(RunRequest(model=asked.model, prompt="")),
        kernel_path="reference",
        results=tuple(results)[: asked.top_n],
        tokens=4 * len(order),
        duration_s=0.1,
        energy=EnergyReport(kind="unavailable", source="none", reason="nothing measures"),
    )


class FakeOperation:
    """Goes on until a test lets it end, or it is cancelled."""

    def __init__(self, request: Request[Any]) -> None:
        self._request = request
        self.dimension = 2
        """Number of channels in the vectors of an ``Embed``."""
        self.may_end = threading.Event()
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    def run(self) -> AnswerMessage:
        self.begun.set()
        while not self.may_end.wait(0.001):
            if self.cancelled.is_set():
                raise ExecutionCancelled("cancelled")
        if isinstance(self._request, Embed):
            return make_embedded(self._request, self.dimension)
        if isinstance(self._request, Rerank):
            return make_reranked(self._request)
        output = self._request.output if isinstance(self._request, Quantize) else ""
        return Quantized(path=output, size_bytes=7, tensor_types={"Q8_0": 1})

    def progress(self) -> StageProgress | None:
        return StageProgress(stage="quantizing", done=1, total=4, tensors_done=0, tensors_total=1)

    def cancel(self) -> None:
        self.cancelled.set()


class FakePull:
    """Waits for the network until a test lets it go on, whether or not it is cancelled."""

    def __init__(self, request: PullModel, domain: FakeDomain) -> None:
        self._request = request
        self._domain = domain
        self.may_end = threading.Event()
        self.cancelled = threading.Event()
        self.ended = threading.Event()

    def run(self) -> AnswerMessage:
        described = self._domain.describe(self._request.model)
        self.may_end.wait()
        self.ended.set()
        return described

    def progress(self) -> StageProgress | None:
        return StageProgress(stage="download", done=10, total=20, eta_s=4.0)

    def cancel(self) -> None:
        self.cancelled.set()


BUILD = Build(id="0" * 32, arithmetic="1" * 32, compiler="none", flags="")


@dataclass
class FakeDomain:
    energy_source: EnergySourceName = "none"
    build: Build = BUILD
    capabilities: tuple[str, ...] = ("backend:reference", "quantization:native")
    pulls: list[FakePull] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    operations_begun: list[FakeOperation] = field(default_factory=list)
    prefix_cache_clears: int = 0
    longest_prompt: int | None = None
    """Characters; a longer one is refused at once."""
    unloaded: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.may_prepare = threading.Event()
        self.may_prepare.set()
        self.prepared: list[RunRequest] = []
        self.preparing = threading.Event()

        self.answers: Table[AnswerMessage] = dict(
            (
                on(Plan, self.plan),
                on(ListModels, self.list_models),
                on(ModelInfo, lambda request: self.describe(request.model)),
                on(Tokenize, self.tokenize),
                on(Detokenize, self.detokenize),
                on(ClearPrefixCache, self.clear_prefix_cache),
                on(UnloadModel, self.unload_model),
                on(ListCached, lambda _: CachedWeightsList(directory="/cache", limit_bytes=1000, entries=())),
                on(PruneRecords, lambda _: RecordsPruned(executions=0)),
            )
        )
        kinds = (Quantize, Evaluate, Embed, Rerank, Calibrate)
        self.operations: Table[Operation[AnswerMessage]] = dict.fromkeys(kinds, self.begin_operation)
        self.downloads: Table[Operation[AnswerMessage]] = dict((on(PullModel, self.begin_pull),))

    sandbox = Sandbox(reason="a fake")

    def hardware(self, kernel_path: str, threads: int) -> Hardware:
        return Hardware(cpu_model="Fake CPU", kernel_path=kernel_path, threads=threads)

    def prepare(self, request: RunRequest) -> PlannedExecution:
        self.prepared.append(request)
        self.preparing.set()
        self.may_prepare.wait()
        self._find(request.model)
        if request.execution.backend not in (None, "reference"):
            allowed = ["reference"]
            raise UnsupportedBackend(f"no backend {request.execution.backend!r}", allowed=allowed)
        if request.execution.reasoning.max_tokens is not None:
            raise InvalidPlan("thinking cannot be bounded", field="execution.reasoning.max_tokens")
        token_ids = request.prompt_token_ids or tuple(map(ord, request.prompt or ""))
        return make_planned(make_plan(request, self.energy_source), token_ids)

    def plan(self, request: Plan) -> Planned:
        planned = self.prepare(request.request)
        return Planned(
            plan=planned.plan,
            plan_fingerprint=planned.fingerprint,
            estimate=planned.estimate,
            prediction=Prediction(executions=0, reason="nothing is known"),
            prompt=request.request.prompt,
        )

    def list_models(self, request: ListModels) -> ModelList:
        return ModelList(models=(ModelSummary(name="tiny", path="/models/tiny.gguf", size_bytes=5000, installed=True),))

    def describe(self, model: str) -> ModelDescription:
        self._find(model)
        return ModelDescription(
            name=model,
            path=f"/models/{model}.gguf",
            size_bytes=5000,
            gguf_version=3,
            architecture="llama",
            metadata={"general.name": model},
            tensors=(),
            parameters_total=1250,
            recipes=(),
            memory=None,
        )

    def clear_prefix_cache(self, request: ClearPrefixCache) -> Done:
        self.prefix_cache_clears += 1
        return Done()

    def unload_model(self, request: UnloadModel) -> Done:
        self._find(request.model)
        self.unloaded.append(request.model)
        return Done()

    def refuse_hopeless(self, message: ClientMessage) -> None:
        prompt = message.request.prompt or "" if isinstance(message, Run) else ""
        if self.longest_prompt is not None and len(prompt) > self.longest_prompt:
            raise PromptTooLong(f"the prompt has at least {len(prompt)} tokens", trained=self.longest_prompt)

    def recorded(self, execution_id: str) -> PlannedExecution:
        """Every execution is known, and ran this."""
        return self.prepare(RunRequest(model="tiny", prompt=execution_id))

    def open_experiment(self, asked: Experiment) -> OpenExperiment:
        raise UnknownModel(f"no model of {asked.baseline!r} is experimented with here")

    def begin_operation(self, request: Request[Any]) -> Operation[AnswerMessage]:
        self.operations_begun.append(FakeOperation(request))
        return self.operations_begun[-1]

    def begin_pull(self, request: PullModel) -> Operation[AnswerMessage]:
        self.pulls.append(FakePull(request, self))
        return self.pulls[-1]

    def remove_model(self, request: RemoveModel, executions: Mapping[str, Collection[str]]) -> ModelRemoved:
        path = self.describe(request.model).path
        if path in executions:
            raise ModelInUse(f"{request.model} is in use", executions=list(executions[path]))
        if not request.dry_run:
            self.removed.append(request.model)
        return ModelRemoved(
            name=request.model,
            paths=(path,),
            freed_bytes=5000,
            derived=(),
            dry_run=request.dry_run,
        )

    def tokenize(self, request: Tokenize) -> TokenIds:
        self._find(request.model)
        return TokenIds(token_ids=tuple(map(ord, request.text)), pieces=tuple(request.text))

    def detokenize(self, request: Detokenize) -> Text:
        self._find(request.model)
        pieces = tuple(map(chr, request.token_ids))
        return Text(text="".join(pieces), pieces=pieces)

    def _find(self, model: str) -> None:
        if not model.startswith(("tiny", "/models/tiny")):
            raise UnknownModel(f"there is no model {model!r}", model=model)
