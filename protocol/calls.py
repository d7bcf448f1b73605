"""A method for each message: ``client.tokenize(model="m", text="a")`` is ``client.ask(Tokenize(model="m", text="a"))``.

Its parameters are the message's fields, by their names; its result is what ``ask`` or ``follow`` returns, typed. For
``Run`` each client has ``run``, which takes the request itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from protocol.cached_weights_messages import ListCached, RemoveCached, VerifyCached
from protocol.experiment_messages import Experiment, Experiments, GetExperiment
from protocol.message import AnswerT, InterimT, Request, StreamRequest
from protocol.proposal_messages import (
    ApplyPlan,
    GetNamedPlan,
    GetProposal,
    MoveProposal,
    NamedPlans,
    Proposals,
    Propose,
    RollBackPlan,
)
from protocol.requests import (
    Calibrate,
    Cancel,
    ClearPrefixCache,
    CompareExecutions,
    Detokenize,
    Embed,
    Energy,
    Evaluate,
    GetExecution,
    ListExecutions,
    ListModels,
    Metrics,
    ModelAdvice,
    ModelInfo,
    Plan,
    PruneRecords,
    PullModel,
    Quantize,
    RemoveModel,
    Replay,
    Rerank,
    Shutdown,
    Status,
    StopExperiment,
    Subscribe,
    Tokenize,
    UnloadModel,
    Unsubscribe,
    VerifyRecords,
)

Fields = ParamSpec("Fields")
Method = TypeVar("Method", bound=Callable[..., Any])


class Asynchronous(Protocol):
    """What the asynchronous methods call."""

    def ask(self, request: Request[AnswerT]) -> Coroutine[Any, Any, AnswerT]:
        """The last answer to a request."""

    def follow(self, request: StreamRequest[InterimT, AnswerT]) -> AsyncGenerator[InterimT | AnswerT, None]:
        """All answers to a request."""


class Blocking(Protocol):
    """What the blocking methods call."""

    def ask(self, request: Request[AnswerT]) -> AnswerT:
        """The last answer to a request."""

    def follow(self, request: StreamRequest[InterimT, AnswerT]) -> Iterator[InterimT | AnswerT]:
        """All answers to a request."""


def _asks(
    kind: Callable[Fields, Request[AnswerT]],
) -> Callable[Concatenate[Asynchronous, Fields], Coroutine[Any, Any, AnswerT]]:
    def method(client: Asynchronous, /, *args: Fields.args, **fields: Fields.kwargs) -> Coroutine[Any, Any, AnswerT]:
        return client.ask(kind(*args, **fields))

    return _named(method, kind)


def _follows(
    kind: Callable[Fields, StreamRequest[InterimT, AnswerT]],
) -> Callable[Concatenate[Asynchronous, Fields], AsyncGenerator[InterimT | AnswerT, None]]:
    def method(
        client: Asynchronous, /, *args: Fields.args, **fields: Fields.kwargs
    ) -> AsyncGenerator[InterimT | AnswerT, None]:
        return client.follow(kind(*args, **fields))

    return _named(method, kind)


def _asks_and_waits(kind: Callable[Fields, Request[AnswerT]]) -> Callable[Concatenate[Blocking, Fields], AnswerT]:
    def method(client: Blocking, /, *args: Fields.args, **fields: Fields.kwargs) -> AnswerT:
        return client.ask(kind(*args, **fields))

    return _named(method, kind)


def _follows_and_waits(
    kind: Callable[Fields, StreamRequest[InterimT, AnswerT]],
) -> Callable[Concatenate[Blocking, Fields], Iterator[InterimT | AnswerT]]:
    def method(client: Blocking, /, *args: Fields.args, **fields: Fields.kwargs) -> Iterator[InterimT | AnswerT]:
        return client.follow(kind(*args, **fields))

    return _named(method, kind)


def _named(method: Method, kind: Callable[..., Any]) -> Method:
    """The method as help shows it: with its message's description."""
    method.__doc__ = kind.__doc__
    return method


class AsyncCalls:
    """The methods of the asynchronous client."""

    plan = _asks(Plan)
    cancel = _asks(Cancel)
    stop_experiment = _asks(StopExperiment)
    status = _asks(Status)
    metrics = _asks(Metrics)
    energy = _asks(Energy)
    list_models = _asks(ListModels)
    model_info = _asks(ModelInfo)
    model_advice = _asks(ModelAdvice)
    pull_model = _follows(PullModel)
    remove_model = _asks(RemoveModel)
    unload_model = _asks(UnloadModel)
    tokenize = _asks(Tokenize)
    detokenize = _asks(Detokenize)
    quantize = _follows(Quantize)
    evaluate = _follows(Evaluate)
    embed = _follows(Embed)
    rerank = _follows(Rerank)
    calibrate = _follows(Calibrate)
    clear_prefix_cache = _asks(ClearPrefixCache)
    replay = _follows(Replay)
    list_executions = _asks(ListExecutions)
    get_execution = _asks(GetExecution)
    compare_executions = _asks(CompareExecutions)
    verify_records = _asks(VerifyRecords)
    prune_records = _asks(PruneRecords)
    subscribe = _follows(Subscribe)
    unsubscribe = _asks(Unsubscribe)
    shutdown = _asks(Shutdown)
    list_cached = _asks(ListCached)
    remove_cached = _asks(RemoveCached)
    verify_cached = _asks(VerifyCached)
    experiment = _follows(Experiment)
    experiments = _asks(Experiments)
    get_experiment = _asks(GetExperiment)
    propose = _asks(Propose)
    proposals = _asks(Proposals)
    get_proposal = _asks(GetProposal)
    move_proposal = _asks(MoveProposal)
    apply_plan = _asks(ApplyPlan)
    roll_back_plan = _asks(RollBackPlan)
    named_plans = _asks(NamedPlans)
    get_named_plan = _asks(GetNamedPlan)


class BlockingCalls:
    """The methods of the blocking client."""

    plan = _asks_and_waits(Plan)
    cancel = _asks_and_waits(Cancel)
    stop_experiment = _asks_and_waits(StopExperiment)
    status = _asks_and_waits(Status)
    metrics = _asks_and_waits(Metrics)
    energy = _asks_and_waits(Energy)
    list_models = _asks_and_waits(ListModels)
    model_info = _asks_and_waits(ModelInfo)
    model_advice = _asks_and_waits(ModelAdvice)
    pull_model = _follows_and_waits(PullModel)
    remove_model = _asks_and_waits(RemoveModel)
    unload_model = _asks_and_waits(UnloadModel)
    tokenize = _asks_and_waits(Tokenize)
    detokenize = _asks_and_waits(Detokenize)
    quantize = _follows_and_waits(Quantize)
    evaluate = _follows_and_waits(Evaluate)
    embed = _follows_and_waits(Embed)
    rerank = _follows_and_waits(Rerank)
    calibrate = _follows_and_waits(Calibrate)
    clear_prefix_cache = _asks_and_waits(ClearPrefixCache)
    replay = _follows_and_waits(Replay)
    list_executions = _asks_and_waits(ListExecutions)
    get_execution = _asks_and_waits(GetExecution)
    compare_executions = _asks_and_waits(CompareExecutions)
    verify_records = _asks_and_waits(VerifyRecords)
    prune_records = _asks_and_waits(PruneRecords)
    subscribe = _follows_and_waits(Subscribe)
    unsubscribe = _asks_and_waits(Unsubscribe)
    shutdown = _asks_and_waits(Shutdown)
    list_cached = _asks_and_waits(ListCached)
    remove_cached = _asks_and_waits(RemoveCached)
    verify_cached = _asks_and_waits(VerifyCached)
    experiment = _follows_and_waits(Experiment)
    experiments = _asks_and_waits(Experiments)
    get_experiment = _asks_and_waits(GetExperiment)
    propose = _asks_and_waits(Propose)
    proposals = _asks_and_waits(Proposals)
    get_proposal = _asks_and_waits(GetProposal)
    move_proposal = _asks_and_waits(MoveProposal)
    apply_plan = _asks_and_waits(ApplyPlan)
    roll_back_plan = _asks_and_waits(RollBackPlan)
    named_plans = _asks_and_waits(NamedPlans)
    get_named_plan = _asks_and_waits(GetNamedPlan)
