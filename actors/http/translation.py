"""Executions on behalf of an HTTP client: their messages as they come, or their outcome."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Protocol, TypeVar

import trio

from actors.http.call import Call
from actors.http.text_line import TextLine
from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Planned, Tokens
from protocol.client import Client
from protocol.dialects.event_stream import COMMENTS, MEDIA_TYPES, StreamForm, TextEvent
from protocol.dialects.fault import HttpFault, fault_of
from protocol.dialects.outcome import Outcome, Pieces
from protocol.dialects.prompt_parts import IdsOfTexts, UntokenizedText
from protocol.embedding import EmbeddingRequest
from protocol.errors import EngineError, UnknownModel
from protocol.message import Answer
from protocol.operation_answers import Embedded, Reranked
from protocol.plan import RunRequest
from protocol.requests import Detokenize, Embed, Plan, Rerank, Tokenize
from protocol.reranking import RerankRequest

Answered = TypeVar("Answered")


class Translation(Protocol):
    """A dialect's stream, made of the messages of one execution or more, told apart by their index."""

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The bytes that a message becomes."""

    def texts(self, index: int) -> Sequence[TextEvent]:
        """What further texts of an execution become, choice by choice; empty: each needs :meth:`feed`.

        Asked for once tokens were fed. Texts of plans without tools, thinking and log probabilities may then go past
        :meth:`feed`.
        """

    def fail(self, fault: HttpFault) -> bytes:
        """The bytes that end a stream which cannot be finished."""

    def end(self) -> bytes:
        """The bytes behind the last message."""


def execution_headers(*messages: Answer) -> dict[str, str]:
    """``X-Execution-Id`` and ``X-Plan-Fingerprint``, as far as messages tell them; of several, with commas."""
    ids, fingerprints = [], []
    for message in messages:
        match message:
            case Accepted():
                ids.append(message.execution_id)
                fingerprints.append(message.plan_fingerprint)
            case Finished(record=record):
                ids.append(record.execution_id)
                fingerprints.append(record.plan_fingerprint)
            case Planned():
                fingerprints.append(message.plan_fingerprint)
    headers = {"x-execution-id": ", ".join(ids), "x-plan-fingerprint": ", ".join(fingerprints)}
    return {name: value for name, value in headers.items() if value}


async def follow(client: Client, run: RunRequest, default_model: str | None) -> AsyncGenerator[RunMessage, None]:
    """The messages of an execution; of the default model where the one that is named is not known."""
    try:
        async with aclosing(client.run(run)) as messages:
            async for message in messages:
                yield message
    except UnknownModel:
        if default_model is None or run.model == default_model:
            raise
    else:
        return
    async with aclosing(client.run(run.model_copy(update={"model": default_model}))) as messages:
        async for message in messages:
            yield message


async def answered(call: Call, model: str, ask: Callable[[str], Awaitable[Answered]]) -> Answered:
    """What is asked about a model; about the default one where that is not known."""
    default_model = call.link.rules.default_model
    try:
        return await ask(model)
    except UnknownModel:
        if default_model is None or model == default_model:
            raise
        return await ask(default_model)


async def planned(call: Call, client: Client, run: RunRequest) -> Planned:
    """The plan of a run; see :func:`answered`."""

    async def ask(model: str) -> Planned:
        return await client.ask(Plan(request=run.model_copy(update={"model": model})))

    return await answered(call, run.model, ask)


async def embedded(call: Call, client: Client, request: EmbeddingRequest) -> Embedded:
    """Vectors; see :func:`answered`."""

    async def ask(model: str) -> Embedded:
        return await client.ask(Embed(request=request.model_copy(update={"model": model})))

    return await answered(call, request.model, ask)


async def reranked(call: Call, client: Client, request: RerankRequest) -> Reranked:
    """Documents ranked; see :func:`answered`."""

    async def ask(model: str) -> Reranked:
        return await client.ask(Rerank(request=request.model_copy(update={"model": model})))

    return await answered(call, request.model, ask)


async def token_ids(client: Client, texts: tuple[UntokenizedText, ...], model: str) -> IdsOfTexts:
    """The token ids of texts; what spells a control token is one, as in llama-server's prompts."""
    return {
        one: (
            await client.ask(Tokenize(model=model, text=one.text, add_special=one.begins, parse_special=True))
        ).token_ids
        for one in texts
    }


class TokenPieces:
    """The texts of single tokens of one model, each asked for once."""

    def __init__(self, client: Client, model: str) -> None:
        self._client = client
        self._model = model
        self.known: dict[int, str] = {}

    async def learn(self, message: Tokens) -> None:
        """Ask for the pieces that the log probabilities of a message need."""
        missing = tuple(dict.fromkeys(one for one in _named_tokens(message) if one not in self.known))
        if missing:
            answer = await self._client.ask(Detokenize(model=self._model, token_ids=missing))
            self.known.update(zip(missing, answer.pieces, strict=True))


def _named_tokens(message: Tokens) -> Iterable[int]:
    for drawn in message.logprobs:
        yield drawn.token_id
        for other in drawn.top:
            yield other.token_id


async def outcomes_of(client: Client, runs: Sequence[RunRequest], default_model: str | None) -> list[Outcome]:
    """Run all of them side by side, to the end. The first error ends them all."""
    outcomes: dict[int, Outcome] = {}

    async def run_one(index: int) -> None:
        outcomes[index] = await _outcome_of(client, runs[index], default_model)

    await _side_by_side(run_one, len(runs))
    return [outcomes[index] for index in range(len(runs))]


async def stream_answer(
    call: Call, client: Client, runs: Sequence[RunRequest], translation: Translation, form: StreamForm = "sse"
) -> None:
    """Stream the answer of runs side by side. An error before the first headers is raised; a later one is told."""
    media_type, comment = MEDIA_TYPES[form], COMMENTS[form]

    async with call.stream(media_type, comment) as wire:

        async def run_one(index: int) -> None:
            pieces: TokenPieces | None = None
            line: TextLine | None = None
            async with aclosing(follow(client, runs[index], call.link.rules.default_model)) as messages:
                async for message in messages:
                    if isinstance(message, Accepted):
                        pieces = TokenPieces(client, message.plan.model_ref.path)
                        line = call.text_line(message)
                        await wire.begin_stream(media_type, execution_headers(message))
                    if isinstance(message, Tokens) and pieces is not None:
                        await pieces.learn(message)
                    await wire.write(translation.feed(index, message, {} if pieces is None else pieces.known))
                    if isinstance(message, Tokens) and line is not None:
                        line.passed_on(partial(translation.texts, index))

        try:
            await _side_by_side(run_one, len(runs))
        except EngineError as error:
            if not wire.begun:
                raise
            call.close_text_lines()
            await wire.write(translation.fail(fault_of(error)))
        else:
            await wire.write(translation.end())


_AT_ONCE = 32
"""Executions of one request that run at a time. Each may ask for pieces meanwhile: a connection takes twice as many."""


async def _side_by_side(run_one: Callable[[int], Awaitable[None]], count: int) -> None:
    """Raises the first error as it is; the others are given up."""
    if count == 1:
        await run_one(0)
        return
    failure: Exception | None = None
    turns = trio.CapacityLimiter(_AT_ONCE)

    async def run_guarded(index: int) -> None:
        nonlocal failure
        try:
            async with turns:
                await run_one(index)
        except Exception as error:  # whatever it is, it is raised below: once, and not in a group
            failure = failure or error
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for index in range(count):
            nursery.start_soon(run_guarded, index)
    if failure is not None:
        raise failure


async def _outcome_of(client: Client, run: RunRequest, default_model: str | None) -> Outcome:
    accepted: Accepted | None = None
    tokens: list[Tokens] = []
    async with aclosing(follow(client, run, default_model)) as messages:
        async for message in messages:
            match message:
                case Accepted():
                    accepted = message
                    pieces = TokenPieces(client, accepted.plan.model_ref.path)
                case Tokens():
                    tokens.append(message)
                    await pieces.learn(message)
                case Finished(record=record) if accepted is not None:
                    return Outcome(accepted, tuple(tokens), record, pieces.known)
    raise AssertionError("an execution that did not fail ends with its record")
