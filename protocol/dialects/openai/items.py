"""The items of a response and the life of each: added, filled in, done."""

from __future__ import annotations

from typing import Any, Literal

from protocol.dialects.openai.chat_answer import TokenLogprobs
from protocol.dialects.shape import Told
from protocol.record import ExecutionRecord
from protocol.tool_calls import ToolCallDelta

ItemEvent = tuple[str, dict[str, Any]]
"""An event's type and what it says."""
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(Told):
    """A part of a message."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: tuple[()] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    """Log probabilities of every token beside thinking and calls, where they were asked for."""


class OutputMessage(Told):
    """What the model said."""

    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: tuple[OutputText, ...]


class ReasoningText(Told):
    """A part of what the model thought."""

    type: Literal["reasoning_text"] = "reasoning_text"
    text: str


class OutputReasoning(Told):
    """What the model thought before."""

    type: Literal["reasoning"] = "reasoning"
    id: str
    summary: tuple[()] = ()
    status: ItemStatus
    content: tuple[ReasoningText, ...]


class OutputCall(Told):
    """A call that the model made."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


OutputItem = OutputMessage | OutputReasoning | OutputCall


class ResponseItems:
    """Items as they grow: one of thinking, one of text, and one of each call, in the order in which they begin."""

    def __init__(self, execution_id: str) -> None:
        self._execution_id = execution_id
        self._items: list[OutputItem] = []
        self._texts: dict[type[OutputMessage | OutputReasoning], int] = {}
        """Where the text and the thinking are among the items."""
        self._calls: dict[int, int] = {}
        """Where each call is."""
        self._logprobs: tuple[TokenLogprobs, ...] = ()
        """Log probabilities of tokens whose text is still to be written."""
        self._late: list[ItemEvent] = []
        """The beginning of a message that nothing was written to."""

    def write(self, text: str, *logprobs: tuple[TokenLogprobs, ...]) -> list[ItemEvent]:
        """Add to the text, with log probabilities of its tokens. No event for nothing."""
        self._logprobs = sum(logprobs, self._logprobs)
        if not text:
            return []
        events, place = self._into(OutputMessage, text)
        told = self._take_logprobs(place)
        delta = {**self._place(place), "content_index": 0, "delta": text, "logprobs": told}
        return [*events, ("response.output_text.delta", delta)]

    def think(self, text: str) -> list[ItemEvent]:
        """Add to the thinking. No event for nothing."""
        if not text:
            return []
        events, place = self._into(OutputReasoning, text)
        return [*events, ("response.reasoning_text.delta", {**self._place(place), "content_index": 0, "delta": text})]

    def call(self, delta: ToolCallDelta) -> list[ItemEvent]:
        """Add to a call, which begins with its id."""
        events = [] if delta.index in self._calls else self._begin_call(delta)
        place = self._calls[delta.index]
        if not delta.arguments:
            return events
        call = self._items[place]
        assert isinstance(call, OutputCall)  # noqa: S101  it was put there by _begin_call
        self._items[place] = call.model_copy(update={"arguments": call.arguments + delta.arguments})
        added = {**self._place(place), "delta": delta.arguments}
        return [*events, ("response.function_call_arguments.delta", added)]

    def end(self, record: ExecutionRecord) -> tuple[OutputItem, ...]:
        """The items when the execution has ended; a message at least, if an empty one."""
        if not self._items:
            self._late = self._begin_text(OutputMessage)
        if (message := self._texts.get(OutputMessage)) is not None:
            self._take_logprobs(message)
        whole = record.stop_reason in {"eos", "stop_string", "stop_token"}
        status = "completed" if whole else "incomplete"
        self._items = [item.model_copy(update={"status": status}) for item in self._items]
        return tuple(self._items)

    def ends(self) -> list[ItemEvent]:
        """The events that close every item, after :meth:`end`."""
        events = list(self._late)
        for place, item in enumerate(self._items):
            told = item.model_dump(mode="json")
            at = self._place(place)
            if isinstance(item, OutputCall):
                events.append(("response.function_call_arguments.done", {**at, "arguments": item.arguments}))
            else:
                part = told["content"][0]
                done = {**at, "content_index": 0}
                own = {"logprobs": part["logprobs"]} if "logprobs" in part else {}
                events.append((f"response.{part['type']}.done", {**done, "text": part["text"], **own}))
                events.append(("response.content_part.done", {**done, "part": part}))
            events.append(("response.output_item.done", {"output_index": place, "item": told}))
        return events

    def _into(self, kind: type[OutputMessage | OutputReasoning], text: str) -> tuple[list[ItemEvent], int]:
        """Add to the item of a kind: the events that begin it, if it is new, and where it is."""
        events = [] if kind in self._texts else self._begin_text(kind)
        place = self._texts[kind]
        item = self._items[place]
        assert not isinstance(item, OutputCall)  # noqa: S101  it was put there by _begin_text
        part = item.content[0]
        whole = part.model_copy(update={"text": part.text + text})
        self._items[place] = item.model_copy(update={"content": (whole,)})
        return events, place

    def _take_logprobs(self, place: int) -> list[dict[str, Any]]:
        """Give the message those that wait for it."""
        item, waiting = self._items[place], self._logprobs
        if waiting and isinstance(item, OutputMessage):
            part = item.content[0]
            part = part.model_copy(update={"logprobs": part.logprobs + waiting})
            self._items[place] = item.model_copy(update={"content": (part,)})
            self._logprobs = ()
        return [one.model_dump(mode="json") for one in waiting]

    def _begin_text(self, kind: type[OutputMessage | OutputReasoning]) -> list[ItemEvent]:
        self._texts[kind] = place = len(self._items)
        item: OutputMessage | OutputReasoning
        if kind is OutputMessage:
            empty = OutputText(text="")
            item = OutputMessage(id=f"msg_{self._execution_id}", status="in_progress", content=(empty,))
        else:
            thought = ReasoningText(text="")
            item = OutputReasoning(id=f"rs_{self._execution_id}", status="in_progress", content=(thought,))
        self._items.append(item)
        added = item.model_dump(mode="json") | {"content": []}
        part = {**self._place(place), "content_index": 0, "part": item.content[0].model_dump(mode="json")}
        return [
            ("response.output_item.added", {"output_index": place, "item": added}),
            ("response.content_part.added", part),
        ]

    def _begin_call(self, delta: ToolCallDelta) -> list[ItemEvent]:
        self._calls[delta.index] = place = len(self._items)
        call = OutputCall(
            id=f"fc_{self._execution_id}_{delta.index}",
            call_id=delta.id or "",
            name=delta.name or "",
            arguments="",
            status="in_progress",
        )
        self._items.append(call)
        return [("response.output_item.added", {"output_index": place, "item": call.model_dump(mode="json")})]

    def _place(self, place: int) -> dict[str, Any]:
        return {"item_id": self._items[place].id, "output_index": place}
