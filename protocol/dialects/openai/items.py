"""The items of a response and the life of each: added, filled in, done."""

from __future__ import annotations

from typing import Any, Literal

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
    logprobs: tuple[()] = ()


class OutputMessage(Told):
    """What the model said."""

    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: ItemStatus
    content: tuple[OutputText, ...]


class OutputCall(Told):
    """A call that the model made."""

    type: Literal["function_call"] = "function_call"
    id: str
    call_id: str
    name: str
    arguments: str
    status: ItemStatus


OutputItem = OutputMessage | OutputCall


class ResponseItems:
    """Items as they grow: one of text, and one of each call, in the order in which they begin."""

    def __init__(self, execution_id: str) -> None:
        self._execution_id = execution_id
        self._items: list[OutputItem] = []
        self._message: int | None = None
        """Where the text is among the items."""
        self._calls: dict[int, int] = {}
        """Where each call is."""
        self._late: list[ItemEvent] = []
        """The beginning of a message that nothing was written to."""

    def write(self, text: str) -> list[ItemEvent]:
        """Add to the text. No event for nothing."""
        if not text:
            return []
        events = [] if self._message is not None else self._begin_message()
        place = self._message or 0
        message = self._items[place]
        assert isinstance(message, OutputMessage)  # noqa: S101  it was put there by _begin_message
        whole = OutputText(text=message.content[0].text + text)
        self._items[place] = message.model_copy(update={"content": (whole,)})
        delta = {**self._place(place), "content_index": 0, "delta": text, "logprobs": []}
        return [*events, ("response.output_text.delta", delta)]

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
            self._late = self._begin_message()
        whole = record.stop_reason in {"eos", "stop_string"}
        status = "completed" if whole else "incomplete"
        self._items = [item.model_copy(update={"status": status}) for item in self._items]
        return tuple(self._items)

    def ends(self) -> list[ItemEvent]:
        """The events that close every item, after :meth:`end`."""
        events = list(self._late)
        for place, item in enumerate(self._items):
            told = item.model_dump(mode="json")
            at = self._place(place)
            if isinstance(item, OutputMessage):
                part = told["content"][0]
                done = {**at, "content_index": 0}
                events.append(("response.output_text.done", {**done, "text": part["text"], "logprobs": []}))
                events.append(("response.content_part.done", {**done, "part": part}))
            else:
                events.append(("response.function_call_arguments.done", {**at, "arguments": item.arguments}))
            events.append(("response.output_item.done", {"output_index": place, "item": told}))
        return events

    def _begin_message(self) -> list[ItemEvent]:
        self._message = place = len(self._items)
        empty = OutputText(text="")
        message = OutputMessage(id=f"msg_{self._execution_id}", status="in_progress", content=(empty,))
        self._items.append(message)
        added = message.model_dump(mode="json") | {"content": []}
        part = {**self._place(place), "content_index": 0, "part": empty.model_dump(mode="json")}
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
