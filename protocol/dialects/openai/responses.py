"""``/v1/responses``: items in, items out. Nothing is kept between two of them.

Defaults: temperature 1, 2,048 tokens at most, seed 0. Tools of kinds that are not functions are skipped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from pydantic import Field

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.build import Build
from protocol.dialects import weos
from protocol.dialects.event_stream import TextEvent, sse
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.generation import Generation, of_one_answer, present, run_request, tool_choice
from protocol.dialects.openai.account import (
    EnergyUsage,
    energy_usage,
    fingerprint,
    finish_reason,
    reasoning_tokens,
    require_whole,
)
from protocol.dialects.openai.chat import DEFAULT_MAX_TOKENS, DEFAULT_TEMPERATURE, choice_logprobs, grammar_of
from protocol.dialects.openai.chat_answer import TokenLogprobs
from protocol.dialects.openai.items import ItemEvent, OutputItem, ResponseItems
from protocol.dialects.openai.messages import (
    AskedCall,
    CalledFunction,
    ContentPart,
    OpenAiMessage,
    message_content,
    text_of,
)
from protocol.dialects.outcome import Outcome, Pieces
from protocol.dialects.shape import Asked, Told, read, to_json
from protocol.errors import InvalidRequest
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord
from protocol.tool_calls import ToolCallDelta

_SKIPPED = frozenset({"reasoning", "item_reference", "web_search_call", "file_search_call", "computer_call"})
"""Items that an answer may hold and a prompt has no words for."""


class TextOptions(Asked):
    """The form of the text."""

    format: dict[str, Any] | None = None


class ReasoningOptions(Asked):
    """How long the model is to think."""

    effort: str | None = None
    """``none`` turns thinking off; other words leave it to the model."""


class ResponsesRequest(Generation):
    """The body of ``/v1/responses``."""

    model: str | None = None
    input: str | tuple[dict[str, Any], ...] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    text: TextOptions | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    top_logprobs: int | None = None
    include: tuple[str, ...] | None = None
    """``message.output_text.logprobs`` asks for log probabilities; there is nothing else to add here."""
    reasoning: ReasoningOptions | None = None
    stream: bool = False
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    background: bool | None = None
    metadata: dict[str, str] | None = None
    """The client's own notes, which the response repeats."""
    prompt: dict[str, Any] | None = None
    """A template that OpenAI's servers keep."""

    @property
    def logprobs(self) -> int | None:
        """How many alternatives of each token are wanted; ``None``: no log probabilities."""
        wanted = "message.output_text.logprobs" in (self.include or ())
        return 0 if self.top_logprobs is None and wanted else self.top_logprobs


class ResponsesUsage(Told):
    """Tokens and joules of a response."""

    input_tokens: int
    input_tokens_details: dict[str, int]
    output_tokens: int
    output_tokens_details: dict[str, int]
    total_tokens: int
    energy: EnergyUsage


class Response(Told):
    """A response, whole or as a stream begins it."""

    id: str
    object: Literal["response"] = "response"
    created_at: int
    status: Literal["in_progress", "completed", "incomplete", "failed"]
    error: dict[str, Any] | None = None
    incomplete_details: dict[str, str] | None = None
    instructions: str | None = None
    max_output_tokens: int | None = None
    model: str
    output: tuple[OutputItem, ...] = ()
    parallel_tool_calls: bool
    previous_response_id: None = None
    temperature: float
    top_p: float
    tool_choice: str | dict[str, Any]
    tools: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, str] = Field(default_factory=dict)
    system_fingerprint: str
    usage: ResponsesUsage | None = None
    weos: dict[str, Any] | None = None
    """The engine's own account, with ``include_execution``."""

    def content(self) -> dict[str, Any]:
        """All of it, as the typed clients of this route want it; ``weos`` where there is one."""
        return self.model_dump(mode="json", exclude=None if self.weos else {"weos"})

    def json_bytes(self) -> bytes:
        """The response as it is sent."""
        return to_json(self.content())


def to_run_request(asked: ResponsesRequest, model: str) -> RunRequest:
    """Raises InvalidRequest."""
    for field in ("previous_response_id", "conversation", "background", "prompt"):
        if getattr(asked, field):
            reason = f"{field}: nothing is kept between executions; send the whole conversation as input"
            raise InvalidRequest(reason, field=field, reason=reason)
    messages = _messages(asked)
    if not messages:
        raise InvalidRequest("input: give one item at least", field="input", reason="missing")
    limit = asked.max_output_tokens
    execution = asked.execution_content(
        temperature=DEFAULT_TEMPERATURE, max_tokens=DEFAULT_MAX_TOKENS if limit is None else limit
    )
    grammar = grammar_of(None if asked.text is None else asked.text.format, None, None)
    if grammar is not None:
        execution["grammar"] = grammar
    if asked.logprobs is not None:
        execution["logprobs"] = asked.logprobs
    if asked.reasoning is not None and asked.reasoning.effort == "none":
        execution["reasoning"] = {"enabled": False}
    source: dict[str, Any] = {"messages": [message_content(one) for one in messages], "tools": _tools(asked)}
    if source["tools"]:
        source |= {"tool_choice": tool_choice(asked.tool_choice), "parallel_tool_calls": asked.parallel_tool_calls}
    return of_one_answer(run_request(model, present(source), execution, asked.execution))


def _messages(asked: ResponsesRequest) -> list[OpenAiMessage]:
    messages = [OpenAiMessage(role="system", content=asked.instructions)] if asked.instructions else []
    if isinstance(asked.input, str):
        return [*messages, OpenAiMessage(role="user", content=asked.input)]
    for item in asked.input or ():
        kind = item.get("type", "message")
        if kind == "message":
            messages.append(read(OpenAiMessage, item))
        elif kind == "function_call":
            function = CalledFunction(name=str(item.get("name", "")), arguments=item.get("arguments") or "")
            call = AskedCall(id=item.get("call_id"), function=function)
            messages.append(OpenAiMessage(role="assistant", tool_calls=(call,)))
        elif kind == "function_call_output":
            messages.append(OpenAiMessage(role="tool", tool_call_id=item.get("call_id"), content=_output(item)))
        elif kind not in _SKIPPED:
            reason = f"input: no item of type {str(kind)[:40]!r}"
            raise InvalidRequest(reason, field="input", reason=reason)
    return messages


def _output(item: dict[str, Any]) -> str:
    """What a tool gave back: a text, or parts of one."""
    output = item.get("output")
    if isinstance(output, list):
        return text_of(tuple(read(ContentPart, part) for part in output if isinstance(part, dict)))
    return output if isinstance(output, str) else to_json(output).decode()


def _tools(asked: ResponsesRequest) -> list[dict[str, Any]] | None:
    """Functions, which lie flat here, as templates expect them."""
    names = ("name", "description", "parameters", "strict")
    functions = [
        {"type": "function", "function": {name: tool[name] for name in names if name in tool}}
        for tool in asked.tools or ()
        if tool.get("type") == "function"
    ]
    return functions or None


def from_outcome(asked: ResponsesRequest, outcome: Outcome, created: int) -> Response:
    """The answer in one piece. Raises InternalError where the execution failed on its way."""
    items = ResponseItems(outcome.record.execution_id)
    items.think(outcome.record.reasoning)
    items.write(outcome.record.result, *(_logprobs(asked, one, outcome.pieces) for one in outcome.tokens))
    for index, call in enumerate(outcome.record.tool_calls):
        items.call(ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments))
    return _response(asked, outcome.record, created, items.end(outcome.record))


def _response(asked: ResponsesRequest, record: ExecutionRecord, created: int, items: Sequence[OutputItem]) -> Response:
    require_whole(record)
    whole = finish_reason(record, record.plan) != "length"
    metrics = record.metrics
    usage = ResponsesUsage(
        input_tokens=metrics.prompt_tokens,
        input_tokens_details={"cached_tokens": metrics.cached_prompt_tokens or 0},
        output_tokens=metrics.tokens_total,
        output_tokens_details={"reasoning_tokens": reasoning_tokens(record)},
        total_tokens=metrics.prompt_tokens + metrics.tokens_total,
        energy=energy_usage([record]),
    )
    return Response(
        id=f"resp_{record.execution_id}",
        created_at=created,
        status="completed" if whole else "incomplete",
        incomplete_details=None if whole else {"reason": "max_output_tokens"},
        max_output_tokens=record.plan.limits.max_tokens,
        model=record.model,
        output=tuple(items),
        temperature=record.plan.sampling.temperature,
        top_p=record.plan.sampling.top_p,
        **_repeated(asked),
        system_fingerprint=fingerprint(record.build, record.plan_fingerprint),
        usage=usage,
        weos=weos.account(record) if asked.include_execution else None,
    )


def _logprobs(asked: ResponsesRequest, message: Tokens, pieces: Pieces) -> tuple[TokenLogprobs, ...]:
    """Those of a message's tokens; none of thinking and calls, which have no place for them."""
    if asked.logprobs is None or message.reasoning or message.tool_calls:
        return ()
    return choice_logprobs(message.logprobs, pieces).content


def _repeated(asked: ResponsesRequest) -> dict[str, Any]:
    """What a response repeats of its request."""
    return {
        "instructions": asked.instructions,
        "tools": asked.tools or (),
        "tool_choice": asked.tool_choice or "auto",
        "parallel_tool_calls": asked.parallel_tool_calls is not False,
        "metadata": asked.metadata or {},
    }


class ResponsesStream:
    """The events of a response, numbered, from ``created`` to ``completed``."""

    def __init__(self, asked: ResponsesRequest, build: Build | None, created: int) -> None:
        self._asked = asked
        self._build = build
        self._created = created
        self._sequence = 0
        self._items = ResponseItems("")

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The events that a message becomes. ``index`` is 0: a response is one execution."""
        match message:
            case Accepted():
                return self._begin(message)
            case Progress():
                return b""
            case Tokens():
                events = self._items.think(message.reasoning)
                events += self._items.write(message.text, _logprobs(self._asked, message, pieces))
                for delta in message.tool_calls:
                    events += self._items.call(delta)
                return self._told(events)
            case Finished(record=record):
                return self._finish(record)

    def texts(self, index: int) -> tuple[TextEvent, ...]:
        """None: every event has a number of its own."""
        return ()

    def fail(self, fault: HttpFault) -> bytes:
        """The event that ends a stream which cannot be finished."""
        told = error_content("openai", fault)["error"]
        return self._event("error", code=told["code"], message=told["message"], param=told["param"])

    def end(self) -> bytes:
        """Nothing: the last message ends the stream."""
        return b""

    def _begin(self, accepted: Accepted) -> bytes:
        plan = accepted.plan
        self._items = ResponseItems(accepted.execution_id)
        response = Response(
            id=f"resp_{accepted.execution_id}",
            created_at=self._created,
            status="in_progress",
            max_output_tokens=plan.limits.max_tokens,
            model=plan.model_ref.name,
            temperature=plan.sampling.temperature,
            top_p=plan.sampling.top_p,
            **_repeated(self._asked),
            system_fingerprint=fingerprint(self._build, accepted.plan_fingerprint),
        ).content()
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def _finish(self, record: ExecutionRecord) -> bytes:
        items = self._items.end(record)
        response = _response(self._asked, record, self._created, items)
        return self._told(self._items.ends()) + self._event(f"response.{response.status}", response=response.content())

    def _told(self, events: Iterable[ItemEvent]) -> bytes:
        return b"".join(self._event(kind, **content) for kind, content in events)

    def _event(self, kind: str, **content: Any) -> bytes:
        numbered = {"type": kind, "sequence_number": self._sequence, **content}
        self._sequence += 1
        return sse(to_json(numbered), kind)
