"""One client's connection: its frames in, its replies out through a bounded outbox.

The engine never waits for a reader. When unread replies pass the outbox's bound, the requests in flight are answered
with ``slow_consumer`` and given up; the connection lives on. Whatever ends a connection, its requests are given up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from actors.base import Inbox
from actors.entrance import OPERATOR_MESSAGES, Entrance, log_refusal
from actors.frame_reader import FrameReader, Received
from actors.messages import Abandon, ClientRequest, ControlRequest
from actors.outbox import Outbox
from actors.policies.requester import Requester
from engine.host.client_socket import ClientSocket
from protocol.answer_checks import is_last
from protocol.answers import EngineMessage, Failed, Tokens, Welcome
from protocol.codec import failed
from protocol.errors import (
    BadFrame,
    EngineError,
    Overloaded,
    ProtocolViolation,
    RequestRefused,
    ShuttingDown,
    SlowConsumer,
    UnsupportedProtocol,
)
from protocol.large_message import is_large
from protocol.message import UNNUMBERED
from protocol.requests import PROTOCOL_VERSION, ClientMessage, Hello
from protocol.transport import EagerTransport, TransportClosed

_RETRY_MS = 100


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """The state of one connection."""

    in_flight: int
    """Requests without their last reply."""
    outbox_bytes: int
    """Replies that the transport has not taken yet."""


class Connection:
    """One client's connection, served by :meth:`serve` in a task of its own."""

    def __init__(
        self,
        connection_id: int,
        transport: EagerTransport,
        control_plane: Inbox[ControlRequest],
        welcome: Welcome,
        client_socket: ClientSocket | None,
        requester: Requester,
        entrance: Entrance,
        *,
        for_operator: bool,
    ) -> None:
        """``client_socket``: the transport's, where tokens are written to it beside this connection. ``for_operator``:
        it is one of those kept for when all others are busy, and takes what an operator needs alone."""
        self.connection_id = connection_id
        self._requester = requester
        self._entrance = entrance
        self._room = entrance.room
        self._limits = entrance.limits
        self._reader = FrameReader(transport, requester, entrance)
        self._for_operator = for_operator
        self._transport = transport
        self._control_plane = control_plane
        self._welcome = welcome
        self._client_socket = client_socket
        self._greeted = False
        self._in_flight: dict[int, int | None] = {}
        """With the bytes of its frame, where it takes room."""
        self._idle_since = trio.current_time()
        self._outbox = Outbox(transport, client_socket, self._limits.max_frame_bytes)
        self._reading = trio.CancelScope()
        self._nursery: trio.Nursery

    def statistics(self) -> ConnectionStatistics:
        """The requests in flight and the bytes that wait to be sent."""
        return ConnectionStatistics(in_flight=len(self._in_flight), outbox_bytes=self._outbox.waiting_bytes)

    async def serve(self) -> None:
        """Until the client hangs up, breaks the protocol, or :meth:`finish` is called."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._write)
                with self._reading:
                    await self._read()
                await self._take_leave()
                self._nursery.cancel_scope.cancel()
        finally:
            if trio.current_effective_deadline() == -math.inf:
                await self._answer_at_last()
            abandoned = tuple(self._in_flight)
            self._forget(abandoned)
            self._reader.close()
            await self._transport.aclose()
            if abandoned:
                await self._abandon(abandoned)

    @property
    def requester(self) -> Requester:
        """The client at the other end."""
        return self._requester

    @property
    def idle_since(self) -> tuple[bool, float] | None:
        """Since when it waits for nothing and nothing waits for it, after whether it has said ``Hello``: the least of
        these is missed least. ``None``: it is busy."""
        return None if self._in_flight or self._outbox.waiting_bytes else (self._greeted, self._idle_since)

    def finish(self, farewell: EngineError | None = None) -> None:
        """Read no more requests, answer those in flight with ``shutting_down``, and hang up once all is sent.

        Without any in flight, ``farewell`` is told.
        """
        if farewell is not None:
            self.post(failed(None, farewell))
        self._reading.cancel()

    def post(self, *messages: EngineMessage) -> None:
        """Queue replies without waiting, in one write as far as they fit. One whose request was given up is dropped."""
        frames: list[bytes] = []
        streamed: list[str] = []
        room = self._limits.outbox_bytes - self._outbox.waiting_bytes
        for message in messages:
            if not self._is_awaited(message):
                continue
            if isinstance(message, Failed):
                log_refusal(message, self._requester, self.connection_id)
            if is_last(message) and is_large(message):
                self._outbox.add(b"".join(frames))
                frames.clear()
                self._outbox.add_large(message)
                room = self._limits.outbox_bytes - self._outbox.waiting_bytes
                continue
            frame = self._outbox.frame(message)
            if len(frame) > room:
                self._outbox.add(b"".join(frames))
                frames.clear()
                room = self._limits.outbox_bytes - self._outbox.waiting_bytes
            if len(frame) > room and not is_last(message):
                self._give_up_slow_consumer()
                continue
            frames.append(frame)
            room -= len(frame)
            if isinstance(message, Tokens):
                streamed.append(message.execution_id)
        self._outbox.add(b"".join(frames))
        if self._client_socket is not None:
            for execution_id in streamed:
                self._client_socket.mark_posted(execution_id)

    def _is_awaited(self, message: EngineMessage) -> bool:
        """Whether the client waits for the message; the last reply to a request ends its waiting."""
        request_id = getattr(message, "request_id", None)
        if request_id is None:
            return True
        if request_id not in self._in_flight:
            return False
        if is_last(message):
            self._forget((request_id,))
        return True

    def _forget(self, request_ids: tuple[int, ...]) -> None:
        """These requests are answered, or will not be."""
        for request_id in request_ids:
            size = self._in_flight.pop(request_id)
            if size is not None:
                self._room.give_back(self._requester, size)
        self._idle_since = trio.current_time()

    def _give_up_slow_consumer(self) -> None:
        abandoned = tuple(self._in_flight)
        self._fail_in_flight(
            SlowConsumer(
                f"{self._outbox.waiting_bytes} bytes of replies wait unread; the limit is {self._limits.outbox_bytes}",
                outbox_bytes=self._outbox.waiting_bytes,
            )
        )
        self._nursery.start_soon(self._abandon, abandoned)

    def _fail_in_flight(self, error: EngineError) -> None:
        for request_id in sorted(self._in_flight):
            message = failed(request_id, error)
            self._entrance.count_failure(error.code)
            log_refusal(message, self._requester, self.connection_id)
            self._outbox.add(self._outbox.frame(message))
        self._forget(tuple(self._in_flight))
        if self._client_socket is not None:
            self._client_socket.give_up()

    async def _abandon(self, request_ids: tuple[int, ...]) -> None:
        await self._control_plane.put(Abandon(connection_id=self.connection_id, request_ids=request_ids))

    async def _answer_at_last(self) -> None:
        """Answer what is in flight while the engine goes down: no other actor will."""
        self._fail_in_flight(ShuttingDown("the engine is stopping"))
        await self._outbox.write_at_last(self._limits.flush_s)

    # --- out ----------------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        try:
            await self._outbox.write()
        except TransportClosed:
            self._nursery.cancel_scope.cancel()

    async def _take_leave(self) -> None:
        """Answer what is in flight and give the client a moment to take its last replies."""
        if self._reading.cancel_called:
            self._fail_in_flight(ShuttingDown("the engine is stopping"))
        with trio.move_on_after(self._limits.flush_s):
            await self._outbox.wait_empty()

    # --- in -----------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while True:
                await self._on_received(await self._reader.next())
        except TransportClosed:
            self._nursery.cancel_scope.cancel()
        except (ProtocolViolation, Overloaded) as error:
            self._entrance.count_failure(error.code)
            self.post(failed(None, error))

    async def _on_received(self, received: Received) -> None:
        request = None
        try:
            if isinstance(received.message, RequestRefused):
                self._refuse(received.request_id, received.message)
            else:
                request = self._request(received.message, received)
        finally:
            if request is None and received.held:
                self._room.give_back_bytes(self._requester, received.held)
        if request is not None:
            await self._control_plane.put(request)
        # Refusals are not in flight: a client that reads none of them is not read from either.
        if self._outbox.waiting_bytes > self._limits.outbox_bytes:
            await self._outbox.wait_empty()

    def _refuse(self, request_id: int | None, error: EngineError) -> None:
        if not self._greeted:
            raise UnsupportedProtocol(f"the first message must be a valid Hello: {error.message}")
        if request_id is None:
            raise BadFrame(error.message, **error.params) from error
        self._require_new(request_id)
        self._in_flight[request_id] = None
        self._entrance.count_failure(error.code)
        self.post(failed(request_id, error))

    def _request(self, message: ClientMessage, received: Received) -> ClientRequest | None:
        """What the control plane is asked; ``None`` where that is nothing. The room that was held is the request's."""
        if isinstance(message, Hello) or not self._greeted:
            self._greet(message)
            return None
        if message.request_id == UNNUMBERED:
            raise BadFrame(f"a {message.type} came without its request_id", field="request_id")
        self._require_new(message.request_id)
        crowded = self._entrance.why_crowded(message, len(self._in_flight), for_operator=self._for_operator)
        takes_room = received.held > 0 or not isinstance(message, OPERATOR_MESSAGES)
        if crowded is None and takes_room and not self._room.take(self._requester, received.size - received.held):
            crowded = "too many requests wait to be answered, or too many bytes of them, and this client has its share"
        if crowded is not None:
            self._refuse(message.request_id, Overloaded(crowded, retry_after_ms=_RETRY_MS))
            return None
        self._in_flight[message.request_id] = received.size if takes_room else None
        return ClientRequest(
            connection_id=self.connection_id,
            requester=self._requester,
            received_ns=received.received_ns,
            message=message,
        )

    def _require_new(self, request_id: int) -> None:
        if request_id in self._in_flight:
            raise BadFrame(f"request_id {request_id} is in flight already", request_id=request_id)

    def _greet(self, message: ClientMessage) -> None:
        if not isinstance(message, Hello):
            raise UnsupportedProtocol(f"the first message must be Hello, not {message.type}")
        if self._greeted:
            raise UnsupportedProtocol("Hello was sent before")
        if message.protocol_version != PROTOCOL_VERSION:
            raise UnsupportedProtocol(
                f"this engine speaks protocol {PROTOCOL_VERSION}, not {message.protocol_version}",
                protocol_version=PROTOCOL_VERSION,
            )
        self._greeted = True
        self._reader.greeted()
        self._idle_since = trio.current_time()
        self.post(self._welcome)
