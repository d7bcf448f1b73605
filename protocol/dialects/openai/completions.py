"""``/v1/completions``: texts, or token ids, continued as they are.

Defaults: temperature 1, 16 tokens at most, seed 0. Each prompt of a list is an execution of its own; with ``n`` choices
each, the choices of the first prompt come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from pydantic import Field

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.build import Build
from protocol.dialects import weos
from protocol.dialects.event_stream import DONE, TextEvent, sse
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.generation import Generation, run_request
from protocol.dialects.openai.account import FinishReason, OpenAiUsage, fingerprint, finish_reason, require_whole, usage
from protocol.dialects.openai.chat import StreamOptions, grammar_of
from protocol.dialects.outcome import Outcome, Pieces
from protocol.dialects.shape import Told, to_json
from protocol.errors import InvalidRequest
from protocol.logprobs import DrawnLogprobs
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord

DEFAULT_TEMPERATURE = 1.0
DEFAULT_MAX_TOKENS = 16
MAX_PROMPTS = 128
"""The most prompts of one request: each is an execution."""


class CompletionRequest(Generation):
    """The body of ``/v1/completions``."""

    model: str | None = None
    prompt: str | tuple[str, ...] | tuple[int, ...] | tuple[tuple[int, ...], ...] | None = None
    max_tokens: int | None = None
    logprobs: int | None = None
    echo: bool = False
    suffix: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    response_format: dict[str, Any] | None = None
    json_schema: dict[str, Any] | bool | None = None
    grammar: str | None = None


class CompletionLogprobs(Told):
    """Log probabilities of a choice, in columns."""

    tokens: tuple[str, ...]
    token_logprobs: tuple[float, ...]
    top_logprobs: tuple[dict[str, float], ...]
    """The alternatives of each token: the likeliest, and the one drawn."""
    text_offset: tuple[int, ...]
    """Where each token begins, in characters of the answer."""


class CompletionChoice(Told):
    """One of the answers, or a chunk of it."""

    text: str
    index: int
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason | None


class Completion(Told):
    """The whole answer, or a chunk of it."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[CompletionChoice, ...]
    usage: OpenAiUsage | None = None
    weos: tuple[dict[str, Any], ...] = Field(default=())
    """The engine's own account of each execution, with ``include_execution`` alone."""


def to_run_requests(asked: CompletionRequest, model: str) -> tuple[RunRequest, ...]:
    """One for each prompt. Raises InvalidRequest."""
    if asked.suffix:
        raise InvalidRequest("suffix: no model here fills in a middle", field="suffix", reason="not supported")
    if asked.echo and asked.logprobs is not None:
        reason = "echo with logprobs asks for those of the prompt, which are not computed"
        raise InvalidRequest(reason, field="echo", reason=reason)
    limit = DEFAULT_MAX_TOKENS if asked.max_tokens is None or asked.max_tokens < 0 else asked.max_tokens
    execution = asked.execution_content(temperature=DEFAULT_TEMPERATURE, max_tokens=limit)
    if asked.logprobs is not None:
        execution["logprobs"] = asked.logprobs
    if (grammar := grammar_of(asked.response_format, asked.json_schema, asked.grammar)) is not None:
        execution["grammar"] = grammar
    return tuple(run_request(model, source, execution, asked.execution) for source in _sources(asked))


def _sources(asked: CompletionRequest) -> list[dict[str, Any]]:
    prompt = asked.prompt
    if prompt is None or prompt == ():
        raise InvalidRequest("prompt: give one at least", field="prompt", reason="missing")
    if isinstance(prompt, str):
        return [{"prompt": prompt}]
    if isinstance(prompt[0], int):
        return [{"prompt_token_ids": list(prompt)}]
    if len(prompt) > MAX_PROMPTS:
        reason = f"{len(prompt)} prompts; the limit is {MAX_PROMPTS}"
        raise InvalidRequest(reason, field="prompt", reason=reason)
    return [{"prompt": one} if isinstance(one, str) else {"prompt_token_ids": list(one)} for one in prompt]


def from_outcomes(asked: CompletionRequest, outcomes: Sequence[Outcome], created: int) -> Completion:
    """The answer in one piece. Raises InternalError where an execution failed on its way."""
    records = [outcome.record for outcome in outcomes]
    for record in records:
        require_whole(record)
    own: dict[str, Any] = {"weos": tuple(map(weos.account, records))} if asked.include_execution else {}
    return Completion(
        id=f"cmpl-{records[0].execution_id}",
        object="text_completion",
        created=created,
        model=records[0].model,
        system_fingerprint=fingerprint(records[0].build, records[0].plan_fingerprint),
        choices=tuple(choice for at, outcome in enumerate(outcomes) for choice in _choices(asked, at, outcome)),
        usage=usage(records),
        **own,
    )


def _choices(asked: CompletionRequest, at: int, outcome: Outcome) -> list[CompletionChoice]:
    told = []
    n = len(outcome.choices)
    for index, choice in enumerate(outcome.choices):
        logprobs = None
        if asked.logprobs is not None:
            logprobs = completion_logprobs(outcome.logprobs(index), outcome.pieces, 0)
        told.append(
            CompletionChoice(
                text=echoed(asked, at) + choice.result,
                index=at * n + index,
                logprobs=logprobs,
                finish_reason=finish_reason(choice, outcome.record.plan),
            )
        )
    return told


def echoed(asked: CompletionRequest, at: int) -> str:
    """The prompt that an answer begins with, where that was asked for. Token ids are echoed as no text."""
    if not asked.echo:
        return ""
    prompt = asked.prompt if isinstance(asked.prompt, str) else (asked.prompt or ("",))[at]
    return prompt if isinstance(prompt, str) else ""


def completion_logprobs(drawn: Sequence[DrawnLogprobs], pieces: Pieces, offset: int) -> CompletionLogprobs:
    """Log probabilities with the text of each token; the first begins at ``offset``."""
    offsets = []
    for one in drawn:
        offsets.append(offset)
        offset += len(pieces[one.token_id])
    return CompletionLogprobs(
        tokens=tuple(pieces[one.token_id] for one in drawn),
        token_logprobs=tuple(one.logprob for one in drawn),
        top_logprobs=tuple({pieces[other.token_id]: other.logprob for other in (one, *one.top)} for one in drawn),
        text_offset=tuple(offsets),
    )


class CompletionStream:
    """Chunks of the answers to all prompts, as server-sent events; ``index`` says whose a message is."""

    def __init__(self, asked: CompletionRequest, build: Build | None, created: int) -> None:
        self._asked = asked
        self._build = build
        self._created = created
        self._stamp: dict[str, Any] = {}
        self._n = 1
        self._records: list[ExecutionRecord] = []
        self._offsets: dict[int, int] = {}
        """Characters sent so far, by choice."""
        self._texts: dict[int, TextEvent] = {}
        """The event of a text, by choice."""

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The events that a message becomes; often none."""
        match message:
            case Accepted():
                return self._begin(index, message)
            case Progress():
                return b""
            case Tokens():
                return self._tokens(index, message, pieces)
            case Finished(record=record):
                require_whole(record)
                self._records.append(record)
                choices = enumerate((record, *record.other_choices))
                return b"".join(
                    self._chunk(index * self._n + at, "", finish=finish_reason(choice, record.plan))
                    for at, choice in choices
                )

    def texts(self, index: int) -> tuple[TextEvent, ...]:
        """What further texts of a prompt's answer become, choice by choice; empty: each needs :meth:`feed`."""
        if self._asked.logprobs is not None:
            return ()
        return tuple(self._event(index * self._n + at) for at in range(self._n))

    def fail(self, fault: HttpFault) -> bytes:
        """The event that ends a stream which cannot be finished."""
        return sse(to_json(error_content("openai", fault)))

    def end(self) -> bytes:
        """The usage where it was asked for, and the event that ends the stream."""
        options = self._asked.stream_options
        content: dict[str, Any] = {}
        if options is not None and options.include_usage and self._records:
            content["usage"] = usage(self._records)
        if self._asked.include_execution:
            content["weos"] = tuple(map(weos.account, self._records))
        last = sse(Completion(**self._stamp, choices=(), **content).json_bytes()) if content else b""
        return last + DONE

    def _begin(self, index: int, accepted: Accepted) -> bytes:
        self._n = accepted.plan.n
        self._stamp = self._stamp or {
            "id": f"cmpl-{accepted.execution_id}",
            "object": "text_completion",
            "created": self._created,
            "model": accepted.plan.model_ref.name,
            "system_fingerprint": fingerprint(self._build, accepted.plan_fingerprint),
        }
        echo = echoed(self._asked, index)
        return b"".join(self._chunk(index * self._n + at, echo) for at in range(self._n)) if echo else b""

    def _tokens(self, index: int, message: Tokens, pieces: Pieces) -> bytes:
        choice = index * self._n + message.choice
        if self._asked.logprobs is None or not message.logprobs:
            return self._event(choice).with_text(message.text) if message.text else b""
        offset = self._offsets.get(choice, 0)
        logprobs = completion_logprobs(message.logprobs, pieces, offset)
        self._offsets[choice] = offset + sum(len(piece) for piece in logprobs.tokens)
        return self._chunk(choice, message.text, logprobs)

    def _event(self, choice: int) -> TextEvent:
        if (event := self._texts.get(choice)) is None:
            event = self._texts[choice] = TextEvent(partial(self._chunk, choice))
        return event

    def _chunk(
        self, index: int, text: str, logprobs: CompletionLogprobs | None = None, finish: FinishReason | None = None
    ) -> bytes:
        choice = CompletionChoice(text=text, index=index, logprobs=logprobs, finish_reason=finish)
        return sse(Completion(**self._stamp, choices=(choice,)).json_bytes())
