"""Anthropic's ``/v1/messages``: blocks in, blocks out. Defaults: temperature 1, seed 0."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field
from pydantic_core import from_json

from protocol.dialects import weos
from protocol.dialects.generation import Generation, json_grammar, of_one_answer, present, run_request, tool_choice
from protocol.dialects.openai.account import EnergyUsage, energy_usage, require_whole
from protocol.dialects.outcome import Outcome
from protocol.dialects.shape import Asked, Told, read, to_json
from protocol.errors import InvalidPlan, InvalidRequest
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord

DEFAULT_TEMPERATURE = 1.0


class Block(Asked):
    """A part of a message; which fields it has depends on its type."""

    type: str
    text: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | tuple[Block, ...] | None = None


class AnthropicMessage(Asked):
    """A turn of the conversation."""

    role: Literal["user", "assistant", "system"]
    content: str | tuple[Block, ...]


class Tool(Asked):
    """A function that the model may call."""

    name: str
    description: str | None = None
    input_schema: dict[str, Any] = Field(default_factory=dict)


class OutputConfig(Asked):
    """What the answer must be like."""

    format: dict[str, Any] | None = None


class MessagesRequest(Generation):
    """The body of ``/v1/messages``."""

    model: str | None = None
    max_tokens: int | None = None
    messages: tuple[AnthropicMessage, ...] = ()
    system: str | tuple[Block, ...] | None = None
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False
    tools: tuple[dict[str, Any], ...] | None = None
    tool_choice: dict[str, Any] | None = None
    thinking: dict[str, Any] | None = None
    output_config: OutputConfig | None = None
    output_format: dict[str, Any] | None = None
    """The same as ``output_config.format``, by its earlier name."""

    @property
    def form(self) -> dict[str, Any] | None:
        """What the answer must follow, whichever field has it."""
        return self.output_format if self.output_config is None else self.output_config.format


class TextBlock(Told):
    """A text that the model wrote."""

    type: Literal["text"] = "text"
    text: str


class ToolUseBlock(Told):
    """A call that the model made."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]


class ThinkingBlock(Told):
    """What the model thought before."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: Literal[""] = ""
    """Nothing is signed here."""


class AnthropicUsage(Told):
    """Tokens and joules of an answer."""

    input_tokens: int
    cache_creation_input_tokens: int
    cache_read_input_tokens: int | None
    """``None``: not known yet; ``input_tokens`` are all then."""
    output_tokens: int
    energy: EnergyUsage | None = None


class MessageAnswer(Told):
    """The answer, whole or as a stream begins it."""

    id: str
    type: Literal["message"] = "message"
    role: Literal["assistant"] = "assistant"
    model: str
    content: tuple[ThinkingBlock | TextBlock | ToolUseBlock, ...]
    stop_reason: str | None
    stop_sequence: str | None
    usage: AnthropicUsage
    weos: dict[str, Any] | None = None
    """The engine's own account, with ``include_execution``."""

    def content_json(self) -> dict[str, Any]:
        """All of it; ``weos`` where there is one."""
        return self.model_dump(mode="json", exclude=None if self.weos else {"weos"})

    def json_bytes(self) -> bytes:
        """The answer as it is sent."""
        return to_json(self.content_json())


def to_run_request(asked: MessagesRequest, model: str, *, counted: bool = False) -> RunRequest:
    """``counted``: for its tokens alone, so that ``max_tokens`` may be missing. Raises InvalidRequest."""
    if asked.max_tokens is None and not counted:
        raise InvalidRequest("max_tokens: Field required", field="max_tokens", reason="missing")
    if not asked.messages:
        raise InvalidRequest("messages: give one at least", field="messages", reason="missing")
    execution = asked.execution_content(temperature=DEFAULT_TEMPERATURE, max_tokens=asked.max_tokens or 1)
    if asked.stop_sequences:
        execution["stop"]["strings"] = [one for one in asked.stop_sequences if one]
    messages = [{"role": "system", "content": _text(asked.system)}] if asked.system else []
    for message in asked.messages:
        messages += _messages(message)
    tools = [_tool(one) for one in asked.tools or () if "input_schema" in one]
    if asked.thinking is not None:
        execution["reasoning"] = present(
            {"enabled": asked.thinking.get("type") != "disabled", "max_tokens": asked.thinking.get("budget_tokens")}
        )
    if asked.form is not None:
        execution["grammar"] = _grammar(asked.form)
    source: dict[str, Any] = {"messages": messages}
    if tools:
        choice = asked.tool_choice or {}
        source |= {"tools": tools, "tool_choice": tool_choice(asked.tool_choice)}
        source["parallel_tool_calls"] = False if choice.get("disable_parallel_tool_use") else None
    return of_one_answer(run_request(model, present(source), execution, asked.execution))


def bounds_thinking(error: InvalidPlan) -> bool:
    """Whether a plan failed for its bound on thinking alone: the model shows none, or nothing can end it."""
    return error.params.get("field") == "execution.reasoning.max_tokens"


def without_budget(run: RunRequest) -> RunRequest:
    """The run for a model whose thinking cannot be bounded."""
    reasoning = run.execution.reasoning.model_copy(update={"max_tokens": None})
    return run.model_copy(update={"execution": run.execution.model_copy(update={"reasoning": reasoning})})


def _grammar(form: dict[str, Any]) -> dict[str, str]:
    field = "output_config.format"
    if form.get("type") != "json_schema":
        reason = f"{field}: no type {str(form.get('type'))[:40]!r}; there is json_schema"
        raise InvalidRequest(reason, field=field, reason=reason)
    return json_grammar(form.get("schema"), field)


def _messages(message: AnthropicMessage) -> list[dict[str, Any]]:
    """A message; results of tools in it become messages of their own, before what else it says."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    results, calls, texts, thoughts = [], [], [], []
    for block in message.content:
        if block.type == "tool_result":
            content = "" if block.content is None else _text(block.content)
            results.append(present({"role": "tool", "tool_call_id": block.tool_use_id, "content": content}))
        elif block.type == "tool_use":
            calls.append(present({"id": block.id, "function": {"name": block.name, "arguments": block.input or {}}}))
        elif block.type == "thinking":
            thoughts.append(block.thinking or "")
        elif block.type != "redacted_thinking":  # of another model's, which nobody can read
            texts.append(block)
    if not texts and not calls and results:
        return results
    own = {"role": message.role, "content": _text(tuple(texts)), "tool_calls": calls or None}
    if message.role == "assistant":
        own["reasoning_content"] = "".join(thoughts) or None
    return [*results, present(own)]


def _text(content: str | tuple[Block, ...]) -> str:
    if isinstance(content, str):
        return content
    for block in content:
        if block.type != "text" or block.text is None:
            reason = f"the models here read text; a block of type {block.type[:40]!r} is none"
            raise InvalidRequest(reason, field="messages", reason=reason)
    return "".join(block.text or "" for block in content)


def _tool(content: dict[str, Any]) -> dict[str, Any]:
    tool = read(Tool, content)
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {"type": "function", "function": present(function)}


def from_outcome(asked: MessagesRequest, outcome: Outcome) -> MessageAnswer:
    """The answer in one piece. Raises InternalError where the execution failed on its way."""
    record = outcome.record
    require_whole(record)
    stop_reason, stop_sequence = stop_of(asked, record)
    return MessageAnswer(
        id=f"msg_{record.execution_id}",
        model=record.model,
        content=_content(record),
        stop_reason=stop_reason,
        stop_sequence=stop_sequence,
        usage=usage_of(record),
        weos=weos.account(record) if asked.include_execution else None,
    )


def _content(record: ExecutionRecord) -> tuple[ThinkingBlock | TextBlock | ToolUseBlock, ...]:
    """Thinking, text and calls, each where there is some; a text at least."""
    calls = tuple(ToolUseBlock(id=call.id, name=call.name, input=_input(call.arguments)) for call in record.tool_calls)
    thinking = (ThinkingBlock(thinking=record.reasoning),) if record.reasoning else ()
    text = (TextBlock(text=record.result),) if record.result or not calls else ()
    return (*thinking, *text, *calls)


def _input(arguments: str) -> dict[str, Any]:
    """A call's arguments; none of one that was cut in the middle."""
    try:
        content = from_json(arguments)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def stop_of(asked: MessagesRequest, record: ExecutionRecord) -> tuple[str, str | None]:
    """The reason that the answer ended for, and the stop sequence that ended it."""
    if record.stop_reason == "stop_string":
        # The record does not say which of several stop sequences matched.
        return "stop_sequence", asked.stop_sequences[0] if len(asked.stop_sequences) == 1 else None
    if record.stop_reason == "eos" and record.tool_calls:
        return "tool_use", None
    return ("end_turn" if record.stop_reason in ("eos", "stop_token") else "max_tokens"), None


def usage_of(record: ExecutionRecord) -> AnthropicUsage:
    """Tokens read and made, and joules."""
    cached = record.metrics.cached_prompt_tokens or 0
    return AnthropicUsage(
        input_tokens=record.metrics.prompt_tokens - cached,
        cache_creation_input_tokens=0,
        cache_read_input_tokens=cached,
        output_tokens=record.metrics.tokens_total,
        energy=energy_usage([record]),
    )
