"""Who observes the executions of all, and what has been told. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass

from actors.execution import Execution
from actors.messages import Addressed
from protocol.answers import Done, Event, Subscribed
from protocol.events import LASTING, EventBody, EventFilter, EventKind
from protocol.record_entry import timestamp_now
from protocol.requests import Subscribe

KEPT_EVENTS = 4096
"""Lasting events that can be replayed: those of the last thousand executions."""


@dataclass(frozen=True, slots=True)
class _PublishedEvent:
    sequence: int
    at: str
    execution_id: str
    model: str
    body: EventBody

    def concerns(self, wanted: EventFilter) -> bool:
        return (
            (wanted.kinds is None or self.body.kind in wanted.kinds)
            and wanted.execution_id in {None, self.execution_id}
            and wanted.model in {None, self.model}
        )

    def addressed(self, connection_id: int, request_id: int) -> Addressed:
        event = Event(
            request_id=request_id,
            sequence=self.sequence,
            at=self.at,
            execution_id=self.execution_id,
            model=self.model,
            body=self.body,
        )
        return Addressed(connection_id=connection_id, message=event)


class Observers:
    """The subscriptions, and the lasting events that can be replayed."""

    def __init__(self) -> None:
        self._subscriptions: dict[tuple[int, int], EventFilter] = {}
        self._lasting: deque[_PublishedEvent] = deque(maxlen=KEPT_EVENTS)
        self._sequence = 0

    @property
    def present(self) -> bool:
        """Whether anybody observes: what does not last need not be made else."""
        return bool(self._subscriptions)

    def want(self, kind: EventKind) -> bool:
        """Whether anybody observes events of this kind."""
        return any(wanted.kinds is None or kind in wanted.kinds for wanted in self._subscriptions.values())

    def subscribe(self, connection_id: int, request: Subscribe) -> list[Addressed]:
        """What to tell at once: that it is subscribed, and what it asked to have replayed."""
        self._subscriptions[connection_id, request.request_id] = request.wanted
        replayed = [] if request.after is None else [told for told in self._lasting if told.sequence > request.after]
        oldest = self._lasting[0].sequence if self._lasting else self._sequence + 1
        begun = Subscribed(
            request_id=request.request_id,
            last_sequence=self._sequence,
            missed=0 if request.after is None else max(0, oldest - 1 - request.after),
        )
        return [
            Addressed(connection_id=connection_id, message=begun),
            *(told.addressed(connection_id, request.request_id) for told in replayed if told.concerns(request.wanted)),
        ]

    def unsubscribe(self, connection_id: int, request_ids: Container[int]) -> list[Addressed]:
        """The last answers of those that were subscribed."""
        ended = [key for key in self._subscriptions if key[0] == connection_id and key[1] in request_ids]
        for key in ended:
            del self._subscriptions[key]
        return [Addressed(connection_id=connection_id, message=Done(request_id=request_id)) for _, request_id in ended]

    def end(self) -> list[Addressed]:
        """The last answers of all."""
        subscriptions, self._subscriptions = self._subscriptions, {}
        return [
            Addressed(connection_id=connection_id, message=Done(request_id=request_id))
            for connection_id, request_id in subscriptions
        ]

    def tell_of(self, execution: Execution, body: EventBody) -> list[Addressed]:
        """An event, to each observer whom it concerns. A lasting one takes the next sequence number."""
        if body.kind in LASTING:
            self._sequence += 1
        elif not self._subscriptions:
            return []
        model = execution.plan.model_ref.name
        told = _PublishedEvent(self._sequence, timestamp_now(), execution.execution_id, model, body)
        if body.kind in LASTING:
            self._lasting.append(told)
        return [
            told.addressed(connection_id, request_id)
            for (connection_id, request_id), wanted in self._subscriptions.items()
            if told.concerns(wanted)
        ]
