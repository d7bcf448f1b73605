"""Who observes all executions, the events they were sent, and those that are pending. Pure.

Each event goes to dozens of observers, and a step of a batch makes dozens of events: they are sent piece by piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from actors.execution import Execution
from actors.messages import Addressed
from actors.policies.requester import Requester
from actors.policies.shares import Shares
from protocol.answers import Done, Event, Subscribed
from protocol.errors import Overloaded
from protocol.events import LASTING, EventBody, EventFilter, EventKind
from protocol.record_entry import timestamp_now
from protocol.requests import Subscribe

KEPT_EVENTS = 4096
"""Lasting events that can be replayed, those of the last thousand executions; and as many may be about to be told."""
MOST_SUBSCRIPTIONS = 64
"""Each costs tens of microseconds for every event that concerns it."""
_MOST_PASSING = 1024
"""Events about to be told beyond which those that do not last are left out."""
_RETRY_MS = 1000
_Key = tuple[int, int]
"""A connection, and the request of its subscription."""


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
    """The subscriptions, the lasting events that can be replayed, and what is about to be told."""

    def __init__(self, on_pending: Callable[[], None]) -> None:
        """``on_pending`` is called when something is about to be told: see :meth:`take`."""
        self._on_pending = on_pending
        self._subscriptions: dict[_Key, EventFilter] = {}
        self._subscribers: dict[_Key, Requester] = {}
        self._shares = Shares(MOST_SUBSCRIPTIONS)
        self._pending: deque[Iterator[tuple[_PublishedEvent, _Key]]] = deque(maxlen=KEPT_EVENTS)
        """In the order in which it is told. The first go where too many come: gaps in the sequence show it."""
        self._lasting: deque[_PublishedEvent] = deque(maxlen=KEPT_EVENTS)
        self._sequence = 0

    @property
    def present(self) -> bool:
        """Whether anybody observes: what does not last need not be made else."""
        return bool(self._subscriptions)

    def want(self, kind: EventKind) -> bool:
        """Whether anybody observes events of this kind."""
        return any(wanted.kinds is None or kind in wanted.kinds for wanted in self._subscriptions.values())

    @property
    def pending(self) -> bool:
        """Whether anything is about to be told."""
        return bool(self._pending)

    def subscribe(self, connection_id: int, requester: Requester, request: Subscribe) -> Addressed:
        """What to tell at once, that it is subscribed; what it asked to have replayed is about to be told.

        Raises:
            Overloaded: there are as many subscriptions as there may be, or the requester has its share of them.
        """
        if not self._shares.take(requester):
            message = f"{len(self._subscriptions)} clients observe already, or this one has its share of subscriptions"
            raise Overloaded(message, retry_after_ms=_RETRY_MS)
        key = (connection_id, request.request_id)
        self._subscriptions[key] = request.wanted
        self._subscribers[key] = requester
        if request.after is not None:
            replayed = [one for one in self._lasting if one.sequence > request.after and one.concerns(request.wanted)]
            self._tell_later((told, key) for told in replayed)
        oldest = self._lasting[0].sequence if self._lasting else self._sequence + 1
        begun = Subscribed(
            request_id=request.request_id,
            last_sequence=self._sequence,
            missed=0 if request.after is None else max(0, oldest - 1 - request.after),
        )
        return Addressed(connection_id=connection_id, message=begun)

    def unsubscribe(self, connection_id: int, request_ids: Container[int]) -> list[Addressed]:
        """The last answers of those that were subscribed."""
        ended = [key for key in self._subscriptions if key[0] == connection_id and key[1] in request_ids]
        return [self._end(key) for key in ended]

    def end(self) -> list[Addressed]:
        """What is about to be told, and the last answers of all."""
        told = []
        while self._pending:
            told += self.take(KEPT_EVENTS)
        return told + [self._end(key) for key in tuple(self._subscriptions)]

    def _end(self, key: _Key) -> Addressed:
        del self._subscriptions[key]
        self._shares.give_back(self._subscribers.pop(key))
        return Addressed(connection_id=key[0], message=Done(request_id=key[1]))

    def tell_of(self, execution: Execution, body: EventBody) -> None:
        """An event, which each observer whom it concerns is about to be told. A lasting one takes the next sequence
        number."""
        if body.kind in LASTING:
            self._sequence += 1
        elif not self._subscriptions or len(self._pending) >= _MOST_PASSING:
            return
        model = execution.plan.model_ref.name
        told = _PublishedEvent(self._sequence, timestamp_now(), execution.execution_id, model, body)
        if body.kind in LASTING:
            self._lasting.append(told)
        if concerned := [key for key, wanted in self._subscriptions.items() if told.concerns(wanted)]:
            self._tell_later((told, key) for key in concerned)

    def take(self, most: int) -> list[Addressed]:
        """What is told next, at most so much; nothing to those who have left meanwhile."""
        taken: list[Addressed] = []
        for _ in range(most):
            while self._pending and (following := next(self._pending[0], None)) is None:
                self._pending.popleft()
            if not self._pending or following is None:
                break
            told, key = following
            if key in self._subscriptions:
                taken.append(told.addressed(*key))
        return taken

    def _tell_later(self, told: Iterator[tuple[_PublishedEvent, _Key]]) -> None:
        self._pending.append(told)
        self._on_pending()
