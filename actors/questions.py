"""Requests that need no execution: the engine's knowledge answers them in a worker thread."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import assert_never

import trio

from actors.executions import Executions
from actors.limits import Limits
from actors.operations import Tell, carry_out
from actors.ports import Domain, OperationRequest
from protocol.answers import (
    CachedWeightsRemoved,
    CachedWeightsVerified,
    Done,
    EngineMessage,
    ModelList,
    Planned,
    Progress,
    Text,
    TokenIds,
)
from protocol.errors import InvalidRequest
from protocol.panic import panics_contained
from protocol.progress import StageProgress
from protocol.requests import (
    Calibrate,
    ClearPrefixCache,
    Detokenize,
    Embed,
    Evaluate,
    ListCached,
    ListModels,
    ModelInfo,
    Plan,
    PullModel,
    Quantize,
    RecordQuestion,
    RemoveCached,
    RemoveModel,
    Tokenize,
    VerifyCached,
)
from protocol.unpacking import MAX_ARRAY_ELEMENTS

CacheQuestion = ListCached | RemoveCached | VerifyCached | ClearPrefixCache
PlainQuestion = Plan | ListModels | ModelInfo | Tokenize | Detokenize | CacheQuestion | RecordQuestion
Question = PlainQuestion | PullModel | RemoveModel | OperationRequest


class Questions:
    """Answers to clients, each in a task of whoever calls. A cancelled caller ends the work with it."""

    def __init__(
        self,
        domain: Domain,
        workers: trio.CapacityLimiter,
        limits: Limits,
        reply: Callable[[int, EngineMessage], Awaitable[None]],
        executions: Executions,
    ) -> None:
        """``reply`` takes a connection."""
        self._domain = domain
        self._workers = workers
        self._downloads = trio.CapacityLimiter(limits.downloads)
        self._reply = reply
        self._executions = executions
        self._operations = trio.Lock()

    @property
    def operating(self) -> bool:
        """Something of this engine, and no execution, keeps the machine busy."""
        return self._operations.locked()

    async def answer(self, connection_id: int, question: Question) -> None:
        """Raises EngineError."""

        async def tell(progress: StageProgress) -> None:
            await self._reply(connection_id, Progress(request_id=question.request_id, **dict(progress)))

        match question:
            case Quantize() | Evaluate() | Embed() | Calibrate():
                told = await self._operate(question, tell)
            case PullModel():
                # Its thread may wait for the network: nobody waits for the thread.
                told = await carry_out(self._domain.pull(question), tell, self._downloads, await_end=False)
            case RemoveModel():
                needed = self._executions.by_model()
                told = await self._in_thread(partial(self._domain.remove_model, question, needed))
            case _:
                told = await self._in_thread(partial(answer, question, self._domain))
        await self._reply(connection_id, told)

    async def _operate(self, request: OperationRequest, tell: Tell) -> EngineMessage:
        """Carry out what keeps the machine busy, one at a time."""
        async with self._operations:
            self._executions.disturb()
            return await carry_out(self._domain.operation(request), tell)

    async def _in_thread(self, work: Callable[[], EngineMessage]) -> EngineMessage:
        return await trio.to_thread.run_sync(panics_contained(work), limiter=self._workers, abandon_on_cancel=True)


def answer(question: PlainQuestion, domain: Domain) -> EngineMessage:
    """The one last reply to a question. Blocking. Raises EngineError."""
    request_id = question.request_id
    match question:
        case Plan():
            prepared = domain.prepare(question.request)
            return Planned(
                request_id=request_id,
                plan=prepared.plan,
                plan_fingerprint=prepared.plan.fingerprint,
                estimate=prepared.estimate,
                prediction=domain.predict(prepared.plan),
            )
        case ListModels():
            return ModelList(request_id=request_id, models=domain.models())
        case ModelInfo():
            return domain.describe(question.model, request_id)
        case Tokenize():
            return _tokenize(question, domain)
        case Detokenize():
            return Text(request_id=request_id, text=domain.detokenize(question.model, question.token_ids))
        case ListCached() | RemoveCached() | VerifyCached() | ClearPrefixCache():
            return _answer_about_cache(question, domain)
        case _:
            return domain.about_records(question)


def _answer_about_cache(question: CacheQuestion, domain: Domain) -> EngineMessage:
    request_id = question.request_id
    match question:
        case ListCached():
            return domain.cached(request_id)
        case RemoveCached():
            return CachedWeightsRemoved(request_id=request_id, names=domain.remove_cached(question.names))
        case VerifyCached():
            return CachedWeightsVerified(request_id=request_id, damages=domain.verify_cached(question.names))
        case ClearPrefixCache():
            domain.clear_prefix_cache()
            return Done(request_id=request_id)
        case _:
            assert_never(question)


def _tokenize(question: Tokenize, domain: Domain) -> TokenIds:
    token_ids, pieces = domain.tokenize(
        question.model, question.text, add_special=question.add_special, parse_special=question.parse_special
    )
    if len(token_ids) > MAX_ARRAY_ELEMENTS:
        raise InvalidRequest(
            f"the text has {len(token_ids)} tokens and a reply holds {MAX_ARRAY_ELEMENTS}; send it in parts",
            field="text",
            maximum=MAX_ARRAY_ELEMENTS,
        )
    return TokenIds(request_id=question.request_id, token_ids=token_ids, pieces=pieces)
