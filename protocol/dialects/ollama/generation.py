"""``/api/chat`` and ``/api/generate``: lines of JSON unless ``stream`` is off.

Defaults: temperature 0.8, top-k 40, top-p 0.9, 2,048 tokens at most, seed 0.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic_core import from_json

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.dialects import weos
from protocol.dialects.event_stream import TextEvent
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.generation import Generation, json_grammar, of_one_answer, present, run_request
from protocol.dialects.openai.account import EnergyUsage, energy_usage, finish_reason, require_whole
from protocol.dialects.openai.chat import choice_logprobs
from protocol.dialects.openai.chat_answer import TokenLogprobs
from protocol.dialects.openai.messages import AskedCall, OpenAiMessage, message_content
from protocol.dialects.outcome import Outcome, Pieces
from protocol.dialects.shape import Asked, Told, to_json
from protocol.errors import InvalidRequest
from protocol.logprobs import DrawnLogprobs
from protocol.metrics import ExecutionMetrics
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord
from protocol.tool_calls import MadeCall

DEFAULT_MAX_TOKENS = 2048
_DEFAULTS = {"top_k": 40, "top_p": 0.9}
DEFAULT_TEMPERATURE = 0.8


class Options(Generation):
    """How tokens are drawn and where the answer ends."""

    num_predict: int | None = None
    """Below 0: the dialect's default."""
    num_ctx: int | None = None


class OllamaMessage(Asked):
    """A turn of the conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str = ""
    thinking: str | None = None
    images: tuple[str, ...] | None = None
    tool_calls: tuple[AskedCall, ...] | None = None
    tool_name: str | None = None


class OllamaRequest(Asked):
    """What both routes have in common."""

    model: str | None = None
    stream: bool = True
    think: bool | str | None = None
    format: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    keep_alive: int | float | str | None = None
    """0 without input unloads the model. Else it is not heeded: models stay in memory until others need it."""
    options: Options = Field(default_factory=Options)
    execution: dict[str, Any] = Field(default_factory=dict)
    include_execution: bool = False


class OllamaChatRequest(OllamaRequest):
    """The body of ``/api/chat``."""

    messages: tuple[OllamaMessage, ...] = ()
    tools: tuple[dict[str, Any], ...] | None = None


class GenerateRequest(OllamaRequest):
    """The body of ``/api/generate``."""

    prompt: str = ""
    system: str | None = None
    suffix: str | None = None
    template: str | None = None
    images: tuple[str, ...] | None = None
    raw: bool = False
    """The prompt as it is, without the model's template."""


class LineFunction(Told):
    """The function that a call names."""

    name: str
    arguments: dict[str, Any]


class LineCall(Told):
    """A call that the model made."""

    function: LineFunction


class LineMessage(Told):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str
    thinking: str = ""
    tool_calls: tuple[LineCall, ...] = ()


class AnswerLine(Told):
    """A line of a stream, or the whole answer. Durations are in nanoseconds."""

    model: str
    created_at: str
    message: LineMessage = LineMessage(content="")
    """A chat's; other requests have none."""
    response: str = ""
    """A generate's; other requests have none."""
    thinking: str = ""
    """The same."""
    logprobs: tuple[TokenLogprobs, ...] = ()
    """Log probabilities of the line's tokens, where they were asked for."""
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"] = "stop"
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None
    energy: EnergyUsage | None = None
    weos: dict[str, Any] = Field(default_factory=dict)
    """The engine's own account, with ``include_execution`` alone."""


def is_load(asked: OllamaChatRequest | GenerateRequest) -> bool:
    """Whether there is nothing to answer: such a request has the model loaded, or unloaded."""
    return not asked.messages if isinstance(asked, OllamaChatRequest) else not asked.prompt


def is_unload(asked: OllamaChatRequest | GenerateRequest) -> bool:
    """Whether it has the model unloaded: a time of 0, and nothing to answer."""
    kept = asked.keep_alive
    return is_load(asked) and kept is not None and str(kept).rstrip("smh").strip("0.") == ""


def unloaded(asked: OllamaChatRequest | GenerateRequest, model: str, created_at: str) -> AnswerLine:
    """The answer once it is."""
    return Writer(asked).unloaded(model, created_at)


def to_run_request(asked: OllamaChatRequest | GenerateRequest, model: str) -> RunRequest:
    """One without input reads a single token: weights are loaded by executions alone. Raises InvalidRequest."""
    if is_load(asked):
        return run_request(model, {"prompt_token_ids": [0]}, {"limits": {"max_tokens": 1}}, asked.execution)
    options = asked.options
    limit = DEFAULT_MAX_TOKENS if options.num_predict is None or options.num_predict < 0 else options.num_predict
    execution = options.execution_content(temperature=DEFAULT_TEMPERATURE, max_tokens=limit)
    execution["sampling"] = _DEFAULTS | execution["sampling"]
    if options.num_ctx is not None:
        execution["context_length"] = options.num_ctx
    if asked.format:
        execution["grammar"] = _grammar(asked.format)
    if asked.think is not None:
        execution["reasoning"] = {"enabled": bool(asked.think)}
    if asked.logprobs:
        execution["logprobs"] = asked.top_logprobs or 0
    return of_one_answer(run_request(model, _source(asked), execution, asked.execution))


def _grammar(form: str | dict[str, Any]) -> dict[str, str]:
    if isinstance(form, str) and form != "json":
        reason = f"format: no {form[:40]!r}; there is json, or a schema"
        raise InvalidRequest(reason, field="format", reason=reason)
    return json_grammar({"type": "object"} if isinstance(form, str) else form)


def _source(asked: OllamaChatRequest | GenerateRequest) -> dict[str, Any]:
    if isinstance(asked, OllamaChatRequest):
        messages = [_message(one) for one in asked.messages]
        return present({"messages": messages, "tools": list(asked.tools) if asked.tools else None})
    for field in ("suffix", "template", "images"):
        if getattr(asked, field):
            reason = f"{field}: not supported here"
            raise InvalidRequest(reason, field=field, reason=reason)
    if asked.raw:
        return {"prompt": asked.prompt}
    system = [{"role": "system", "content": asked.system}] if asked.system else []
    return {"messages": [*system, {"role": "user", "content": asked.prompt}]}


def _message(message: OllamaMessage) -> dict[str, Any]:
    if message.images:
        reason = "the models here read text, and no images"
        raise InvalidRequest(reason, field="messages", reason=reason)
    name = message.tool_name if message.role == "tool" else None
    return message_content(
        OpenAiMessage(
            role=message.role,
            content=message.content,
            tool_calls=message.tool_calls,
            name=name,
            reasoning_content=message.thinking or None if message.role == "assistant" else None,
        )
    )


def _durations(**milliseconds: float | None) -> dict[str, int]:
    """Durations in nanoseconds. Unknown ones are left out: clients do arithmetic with those that are present."""
    return {f"{name}_duration": round(value * 1e6) for name, value in milliseconds.items() if value is not None}


class Writer:
    """Makes lines of one kind of request."""

    def __init__(self, asked: OllamaChatRequest | GenerateRequest) -> None:
        self._asked = asked

    @property
    def loads(self) -> bool:
        """What the model writes is no answer: it was to be loaded."""
        return is_load(self._asked)

    def part(self, model: str, created_at: str, message: Tokens, pieces: Pieces) -> AnswerLine | None:
        """A line in the middle of a stream; ``None``: a message has nothing for one."""
        logprobs = self._logprobs(message.logprobs, pieces)
        if self.loads or not (message.text or message.reasoning or logprobs):
            return None
        text = self._text(message.text, message.reasoning)
        return AnswerLine(model=model, created_at=created_at, **text, **logprobs, done=False)

    def text_event(self, model: str, created_at: str) -> TextEvent | None:
        """The line of a text alone; ``None``: lines have more than that."""
        if self.loads or self._asked.logprobs:
            return None

        def line(text: str) -> bytes:
            return _line(AnswerLine(model=model, created_at=created_at, **self._text(text, ""), done=False))

        return TextEvent(line)

    def whole(self, outcome: Outcome, created_at: str) -> AnswerLine:
        """The answer in one piece. Raises InternalError where the execution failed on its way."""
        record = outcome.record
        logprobs = self._logprobs(outcome.logprobs(0), outcome.pieces)
        return self.last(record, created_at, record.result, record.reasoning, **logprobs)

    def last(
        self, record: ExecutionRecord, created_at: str, text: str = "", thinking: str = "", **own: Any
    ) -> AnswerLine:
        """Raises InternalError where the execution failed on its way. ``own``: further fields."""
        require_whole(record)
        metrics: ExecutionMetrics = record.metrics
        if self._asked.include_execution:
            own["weos"] = weos.account(record)
        own |= _durations(total=metrics.wall_ms, load=metrics.load_ms)
        common: dict[str, Any] = {"model": record.model, "created_at": created_at, "done": True}
        if self.loads:
            return AnswerLine(**common, **self._text("", ""), done_reason="load", **own)
        return AnswerLine(
            **common,
            **self._text(text, thinking, record.tool_calls),
            done_reason="length" if finish_reason(record, record.plan) == "length" else "stop",
            prompt_eval_count=metrics.prompt_tokens,
            eval_count=metrics.tokens_total,
            energy=energy_usage([record]),
            **_durations(prompt_eval=metrics.prefill_ms, eval=metrics.decode_ms),
            **own,
        )

    def unloaded(self, model: str, created_at: str) -> AnswerLine:
        """The only line of a request that has the model unloaded."""
        return AnswerLine(model=model, created_at=created_at, done=True, **self._text("", ""), done_reason="unload")

    def _logprobs(self, drawn: tuple[DrawnLogprobs, ...], pieces: Pieces) -> dict[str, Any]:
        wanted = self._asked.logprobs and drawn and not self.loads
        return {"logprobs": choice_logprobs(drawn, pieces).content} if wanted else {}

    def _text(self, text: str, thinking: str, calls: tuple[MadeCall, ...] = ()) -> dict[str, Any]:
        own: dict[str, Any] = {"thinking": thinking} if thinking else {}
        if isinstance(self._asked, GenerateRequest):
            return {"response": text, **own}
        if calls:
            own["tool_calls"] = tuple(map(_call, calls))
        return {"message": LineMessage(role="assistant", content=text, **own)}


def _call(call: MadeCall) -> LineCall:
    """The call with its arguments as an object, which is empty if the call was cut off."""
    try:
        arguments = from_json(call.arguments)
    except ValueError:
        arguments = None
    content = arguments if isinstance(arguments, dict) else {}
    return LineCall(function=LineFunction(name=call.name, arguments=content))


def from_outcome(asked: OllamaChatRequest | GenerateRequest, outcome: Outcome, created_at: str) -> AnswerLine:
    """The answer in one piece. Raises InternalError where the execution failed on its way."""
    return Writer(asked).whole(outcome, created_at)


class LineStream:
    """Lines of one execution's answer. Calls come whole, with the last line: these clients do not join parts."""

    def __init__(self, asked: OllamaChatRequest | GenerateRequest, created_at: str) -> None:
        self._writer = Writer(asked)
        self._created_at = created_at
        self._model = ""

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The lines that a message becomes. ``index`` is 0: a request is one execution."""
        match message:
            case Accepted():
                self._model = message.plan.model_ref.name
                return b""
            case Progress():
                return b""
            case Tokens():
                part = self._writer.part(self._model, self._created_at, message, pieces)
                return b"" if part is None else _line(part)
            case Finished(record=record):
                return _line(self._writer.last(record, self._created_at))

    def texts(self, index: int) -> tuple[TextEvent, ...]:
        """What further texts become; empty: each needs :meth:`feed`."""
        event = self._writer.text_event(self._model, self._created_at)
        return () if event is None else (event,)

    def fail(self, fault: HttpFault) -> bytes:
        """The line that ends a stream which cannot be finished."""
        return to_json(error_content("ollama", fault)) + b"\n"

    def end(self) -> bytes:
        """Nothing: the last message ends the stream."""
        return b""


def _line(line: AnswerLine) -> bytes:
    return line.json_bytes() + b"\n"
