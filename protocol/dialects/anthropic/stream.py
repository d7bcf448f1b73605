"""A message of Anthropic's as a stream of events.

The first event counts the whole prompt; how much of it the prefix cache held is known at the end.
"""

from __future__ import annotations

from typing import Any

from protocol.answer_checks import RunMessage
from protocol.answers import Accepted, Finished, Progress, Tokens
from protocol.dialects import weos
from protocol.dialects.anthropic.messages import AnthropicUsage, MessageAnswer, MessagesRequest, stop_of, usage_of
from protocol.dialects.event_stream import TextEvent, sse
from protocol.dialects.fault import HttpFault, error_content
from protocol.dialects.openai.account import require_whole
from protocol.dialects.outcome import Pieces
from protocol.dialects.shape import to_json
from protocol.record import ExecutionRecord


class MessagesStream:
    """The events of a message. Feed it every message in order, then :meth:`end`."""

    def __init__(self, asked: MessagesRequest) -> None:
        self._asked = asked
        self._index = -1
        """The block that is open, by its place."""
        self._open: str | int | None = None
        """What it holds: ``text``, ``thinking``, or the call of that index."""

    def feed(self, index: int, message: RunMessage, pieces: Pieces) -> bytes:
        """The events that a message becomes. ``index`` is 0: a message is one execution."""
        match message:
            case Accepted():
                return self._begin(message)
            case Progress():
                return b""
            case Tokens():
                return self._tokens(message)
            case Finished(record=record):
                return self._finish(record)

    def _tokens(self, message: Tokens) -> bytes:
        sent = b""
        if message.reasoning:
            sent += self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            sent += self._delta({"type": "thinking_delta", "thinking": message.reasoning})
        if message.text:
            sent += self._into("text", {"type": "text", "text": ""})
            sent += self._delta({"type": "text_delta", "text": message.text})
        for call in message.tool_calls:
            block = {"type": "tool_use", "id": call.id or "", "name": call.name or "", "input": {}}
            sent += self._into(call.index, block)
            if call.arguments:
                sent += self._delta({"type": "input_json_delta", "partial_json": call.arguments})
        return sent

    def _into(self, what: str | int, block: dict[str, Any]) -> bytes:
        """Open the block that the next delta belongs to, and close the one before it, unless it is open already."""
        if what == self._open:
            return b""
        closed = self._close()
        self._open = what
        self._index += 1
        return closed + _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        return b"" if self._open is None else _event("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def texts(self, index: int) -> tuple[TextEvent, ...]:
        """What further texts become, once a block of text is open; empty: each needs :meth:`feed`."""
        if self._open != "text":
            return ()
        return (TextEvent(lambda text: self._delta({"type": "text_delta", "text": text})),)

    def fail(self, fault: HttpFault) -> bytes:
        """The event that ends a stream which cannot be finished."""
        return sse(to_json(error_content("anthropic", fault)), "error")

    def end(self) -> bytes:
        """Nothing: the last message ends the stream."""
        return b""

    def _begin(self, accepted: Accepted) -> bytes:
        read = AnthropicUsage(
            input_tokens=accepted.prompt_tokens,
            cache_creation_input_tokens=0,
            cache_read_input_tokens=None,
            output_tokens=0,
        )
        message = MessageAnswer(
            id=f"msg_{accepted.execution_id}",
            model=accepted.plan.model_ref.name,
            content=(),
            stop_reason=None,
            stop_sequence=None,
            usage=read,
        )
        return _event("message_start", message=message.content_json()) + _event("ping")

    def _finish(self, record: ExecutionRecord) -> bytes:
        require_whole(record)
        stop_reason, stop_sequence = stop_of(self._asked, record)
        own = {"weos": weos.account(record)} if self._asked.include_execution else {}
        empty = self._into("text", {"type": "text", "text": ""}) if self._open is None else b""
        return (
            empty
            + self._close()
            + _event(
                "message_delta",
                delta={"stop_reason": stop_reason, "stop_sequence": stop_sequence},
                usage=usage_of(record).model_dump(mode="json"),
                **own,
            )
            + _event("message_stop")
        )


def _event(kind: str, **content: Any) -> bytes:
    return sse(to_json({"type": kind, **content}), kind)
