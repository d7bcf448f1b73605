"""``/v1/chat/completions``: a conversation in, the next message out, in one piece or in chunks.

Defaults: temperature 1, 2,048 tokens at most, seed 0. Everything else is the engine's own default, and in the plan.
"""

from __future__ import annotations

from typing import Any

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.build import Build
from protocol.dialects import weos
from protocol.dialects.event_stream import DONE, TextEvent, sse
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.generation import Generation, json_grammar, present, run_request, tool_choice
from protocol.dialects.llama_server.timings import timings
from protocol.dialects.openai.account import FinishReason, fingerprint, finish_reason, require_whole, usage
from protocol.dialects.openai.chat_answer import (
    AnswerMessage,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChoiceLogprobs,
    ChunkChoice,
    Delta,
    TokenLogprobs,
    ToldCall,
    ToldFunction,
    TopLogprob,
)
from protocol.dialects.openai.messages import OpenAiMessage, message_content
from protocol.dialects.outcome import Outcome, Pieces
from protocol.dialects.shape import Asked, to_json
from protocol.errors import InvalidRequest
from protocol.logprobs import DrawnLogprobs, TokenLogprob
from protocol.plan import RunRequest
from protocol.record import ChoiceRecord, ExecutionRecord
from protocol.tool_calls import ToolCallDelta

DEFAULT_TEMPERATURE = 1.0
DEFAULT_MAX_TOKENS = 2048


_REFUSED = {
    "functions": "long superseded by tools, which are here",
    "function_call": "long superseded by tool_choice, which is here",
    "audio": "the models here write text",
}
"""Fields that would change the answer, and why they cannot."""


class StreamOptions(Asked):
    """What a stream is to tell beside its text."""

    include_usage: bool = False


class ChatRequest(Generation):
    """The body of ``/v1/chat/completions``."""

    model: str | None = None
    messages: tuple[OpenAiMessage, ...] = ()
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    response_format: dict[str, Any] | None = None
    json_schema: dict[str, Any] | bool | None = None
    grammar: str | None = None
    """In GBNF, as llama-server takes it."""
    tools: tuple[dict[str, Any], ...] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: Any = None
    function_call: Any = None
    audio: Any = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    """``none`` turns thinking off; other words leave it to the model."""
    chat_template_kwargs: dict[str, Any] | None = None
    """Variables of the template; ``enable_thinking`` is the only one that counts."""
    continue_final_message: bool = False
    timings_per_token: bool = False
    """Tell what the execution took in the last chunk of a stream, as llama-server does in each."""
    verbose: bool = False
    """Add llama-server's own account, ``__verbose``, to an answer in one piece."""


def to_run_request(asked: ChatRequest, model: str) -> RunRequest:
    """Raises InvalidRequest."""
    for field, why in _REFUSED.items():
        if getattr(asked, field) is not None:
            reason = f"{field}: {why}"
            raise InvalidRequest(reason, field=field, reason=reason)
    if not asked.messages:
        raise InvalidRequest("messages: give one at least", field="messages", reason="missing")
    if asked.continue_final_message:
        reason = "continue_final_message: answers begin anew; send the whole text as a prompt instead"
        raise InvalidRequest(reason, field="continue_final_message", reason=reason)
    limit = asked.max_completion_tokens if asked.max_completion_tokens is not None else asked.max_tokens
    execution = asked.execution_content(
        temperature=DEFAULT_TEMPERATURE, max_tokens=DEFAULT_MAX_TOKENS if limit is None or limit < 0 else limit
    )
    if asked.logprobs:
        execution["logprobs"] = asked.top_logprobs or 0
    if (grammar := grammar_of(asked.response_format, asked.json_schema, asked.grammar)) is not None:
        execution["grammar"] = grammar
    messages = [message_content(message) for message in asked.messages]
    if (thinking := _thinking(asked)) is not None:
        execution["reasoning"] = {"enabled": thinking}
    source: dict[str, Any] = {"messages": messages}
    if asked.tools:
        source |= {"tools": list(asked.tools), "tool_choice": tool_choice(asked.tool_choice)}
        source["parallel_tool_calls"] = asked.parallel_tool_calls
    return run_request(model, present(source), execution, asked.execution)


def _thinking(asked: ChatRequest) -> bool | None:
    """Whether the template is to have the model think; ``None``: as the template has it."""
    enabled = (asked.chat_template_kwargs or {}).get("enable_thinking")
    if isinstance(enabled, bool):
        return enabled
    return False if asked.reasoning_effort == "none" else None


def grammar_of(response_format: dict[str, Any] | None, schema: Any, gbnf: str | None) -> dict[str, str] | None:
    """What the answer must follow, or ``None``. Raises InvalidRequest for a form that there is not."""
    kind = (response_format or {}).get("type", "text")
    if response_format is not None and kind == "json_schema":
        nested = response_format.get("json_schema")
        return json_grammar(nested.get("schema") if isinstance(nested, dict) else response_format.get("schema"))
    if response_format is not None and kind == "json_object":
        return json_grammar(response_format.get("schema", {"type": "object"}))
    if kind != "text":
        raise InvalidRequest(
            f"response_format: no type {str(kind)[:40]!r}; there is text, json_object and json_schema",
            field="response_format",
            reason="unknown type",
        )
    if schema is not None:
        return json_grammar(schema)
    return {"kind": "gbnf", "source": gbnf} if gbnf else None


def from_outcome(asked: ChatRequest, outcome: Outcome, created: int) -> ChatCompletion:
    """The answer in one piece. Raises InternalError where the execution failed on its way."""
    record = outcome.record
    require_whole(record)
    own: dict[str, Any] = {"weos": weos.account(record)} if asked.include_execution else {}
    return ChatCompletion(
        id=f"chatcmpl-{record.execution_id}",
        object="chat.completion",
        created=created,
        model=record.model,
        system_fingerprint=fingerprint(record.build, record.plan_fingerprint),
        choices=tuple(
            ChatChoice(
                index=index,
                message=answer_message(choice),
                logprobs=choice_logprobs(outcome.logprobs(index), outcome.pieces) if asked.logprobs else None,
                finish_reason=finish_reason(choice, record.plan),
            )
            for index, choice in enumerate(outcome.choices)
        ),
        usage=usage([record]),
        **own,
    )


def answer_message(choice: ChoiceRecord) -> AnswerMessage:
    """What a choice came to. Without a word beside its calls, its content is ``null``."""
    own: dict[str, Any] = {}
    if choice.reasoning:
        own["reasoning_content"] = choice.reasoning
    if choice.tool_calls:
        own["tool_calls"] = tuple(
            ToldCall(id=call.id, type="function", function=ToldFunction(name=call.name, arguments=call.arguments))
            for call in choice.tool_calls
        )
    content = choice.result if choice.result or not choice.tool_calls else None
    return AnswerMessage(role="assistant", content=content, **own)


def delta_of(message: Tokens) -> Delta | None:
    """What a message adds to its choice; ``None``: nothing."""
    own: dict[str, Any] = {}
    if message.text:
        own["content"] = message.text
    if message.reasoning:
        own["reasoning_content"] = message.reasoning
    if message.tool_calls:
        own["tool_calls"] = tuple(map(_call_delta, message.tool_calls))
    return Delta(**own) if own else None


def _call_delta(delta: ToolCallDelta) -> ToldCall:
    if delta.id is None:
        return ToldCall(index=delta.index, function=ToldFunction(arguments=delta.arguments))
    function = ToldFunction(name=delta.name or "", arguments=delta.arguments)
    return ToldCall(index=delta.index, id=delta.id, type="function", function=function)


def choice_logprobs(drawn: tuple[DrawnLogprobs, ...], pieces: Pieces) -> ChoiceLogprobs:
    """Log probabilities with the text of each token, of which ``pieces`` holds all."""

    def told(one: TokenLogprob) -> dict[str, Any]:
        piece = pieces[one.token_id]
        return {"token": piece, "logprob": one.logprob, "bytes": tuple(piece.encode("utf-8", "replace"))}

    return ChoiceLogprobs(
        content=tuple(
            TokenLogprobs(**told(one), top_logprobs=tuple(TopLogprob(**told(other)) for other in one.top))
            for one in drawn
        )
    )


class ChatStream:
    """Chunks of one execution's answer, as server-sent events. Feed it every message in order, then :meth:`end`."""

    def __init__(self, asked: ChatRequest, build: Build | None, created: int) -> None:
        self._asked = asked
        self._build = build
        self._created = created
        self._stamp: dict[str, Any] = {}
        """What every chunk has."""
        self._n = 1
        self._texts: dict[int, TextEvent] = {}
        """The event of a text, by choice."""

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The events that a message becomes; often none. ``index`` is 0: a conversation is one execution."""
        match message:
            case Accepted():
                return self._begin(message)
            case Progress():
                return b""
            case Tokens():
                return self._tokens(message, pieces)
            case Finished(record=record):
                return self._finish(record)

    def texts(self, index: int) -> tuple[TextEvent, ...]:
        """What further texts become, choice by choice; empty: each needs :meth:`feed`."""
        return () if self._asked.logprobs else tuple(map(self._event, range(self._n)))

    def fail(self, fault: HttpFault) -> bytes:
        """The event that ends a stream which cannot be finished."""
        return sse(to_json(error_content("openai", fault)))

    def end(self) -> bytes:
        """The event that ends the stream."""
        return DONE

    def _begin(self, accepted: Accepted) -> bytes:
        self._stamp = {
            "id": f"chatcmpl-{accepted.execution_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": accepted.plan.model_ref.name,
            "system_fingerprint": fingerprint(self._build, accepted.plan_fingerprint),
        }
        self._n = accepted.plan.n
        first = Delta(role="assistant", content=None)
        return b"".join(self._chunk(choice, first) for choice in range(self._n))

    def _tokens(self, message: Tokens, pieces: Pieces) -> bytes:
        if not (self._asked.logprobs or message.reasoning or message.tool_calls):
            return self._event(message.choice).with_text(message.text) if message.text else b""
        logprobs = choice_logprobs(message.logprobs, pieces) if self._asked.logprobs else None
        delta = delta_of(message)
        if delta is None and not (logprobs and logprobs.content):
            return b""
        return self._chunk(message.choice, delta or Delta(content=""), logprobs)

    def _event(self, choice: int) -> TextEvent:
        if (event := self._texts.get(choice)) is None:
            event = self._texts[choice] = TextEvent(lambda text: self._chunk(choice, Delta(content=text)))
        return event

    def _finish(self, record: ExecutionRecord) -> bytes:
        require_whole(record)
        choices = (record, *record.other_choices)
        ends = [
            self._chunk(index, Delta(), finish=finish_reason(choice, record.plan))
            for index, choice in enumerate(choices)
        ]
        return b"".join(ends) + self._last(record)

    def _last(self, record: ExecutionRecord) -> bytes:
        """The chunk without choices that tells what it took, for those who asked."""
        options = self._asked.stream_options
        content: dict[str, Any] = {}
        if options is not None and options.include_usage:
            content["usage"] = usage([record])
        if self._asked.timings_per_token:
            content["timings"] = timings(record)
        if self._asked.include_execution:
            content["weos"] = weos.account(record)
        if not content:
            return b""
        return sse(ChatChunk(**self._stamp, choices=(), **content).json_bytes())

    def _chunk(
        self, index: int, delta: Delta, logprobs: ChoiceLogprobs | None = None, finish: FinishReason | None = None
    ) -> bytes:
        choice = ChunkChoice(index=index, delta=delta, logprobs=logprobs, finish_reason=finish)
        return sse(ChatChunk(**self._stamp, choices=(choice,)).json_bytes())
