"""The answers of ``/v1/chat/completions``: one piece, and the chunks of a stream."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from protocol.dialects.openai.account import FinishReason, OpenAiUsage
from protocol.dialects.shape import Told


class TopLogprob(Told):
    """A token and how likely the model held it."""

    token: str
    logprob: float
    bytes: tuple[int, ...]


class TokenLogprobs(TopLogprob):
    """The token drawn, and the likeliest beside it."""

    top_logprobs: tuple[TopLogprob, ...]


class ChoiceLogprobs(Told):
    """The log probabilities of a choice, or of a chunk of it."""

    content: tuple[TokenLogprobs, ...]


class ToldFunction(Told):
    """The function that a call names, and its arguments as JSON."""

    name: str = ""
    arguments: str


class ToldCall(Told):
    """A call, or the part of one that a chunk adds: ``id``, ``type`` and name come with the first alone."""

    index: int = 0
    id: str = ""
    type: Literal["function"] = "function"
    function: ToldFunction


class AnswerMessage(Told):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    reasoning_content: str = ""
    tool_calls: tuple[ToldCall, ...] = ()


class ChatChoice(Told):
    """One of the answers."""

    index: int
    message: AnswerMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class ChatCompletion(Told):
    """The whole answer."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[ChatChoice, ...]
    usage: OpenAiUsage
    weos: dict[str, Any] = Field(default_factory=dict)
    """The engine's own account, with ``include_execution`` alone."""
    verbose: dict[str, Any] = Field(default_factory=dict, serialization_alias="__verbose")
    """llama-server's own account, with ``verbose`` alone."""


class Delta(Told):
    """What a chunk adds to a choice."""

    role: Literal["assistant"] = "assistant"
    content: str | None = ""
    """``null`` with the role."""
    reasoning_content: str = ""
    tool_calls: tuple[ToldCall, ...] = ()


class ChunkChoice(Told):
    """A chunk of one of the answers."""

    index: int
    delta: Delta
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason | None


class ChatChunk(Told):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: tuple[ChunkChoice, ...]
    usage: OpenAiUsage | None = None
    timings: dict[str, float | None] = Field(default_factory=dict)
    """In the last chunk, with ``timings_per_token`` alone."""
    weos: dict[str, Any] = Field(default_factory=dict)
