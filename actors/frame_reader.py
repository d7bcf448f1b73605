"""What a client sends, as messages: within bounds of time, memory and turns, whatever the bytes are.

The event loop decodes what takes it less than a few milliseconds; larger frames are decoded in a thread, and while one
arrives its bytes are counted against the room for requests.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import trio

from actors.entrance import Entrance
from actors.policies.requester import Requester
from actors.request_room import UNCOUNTED_BYTES
from protocol.codec import client_message, request_id_of
from protocol.errors import BadFrame, Overloaded, RequestRefused, UnsupportedProtocol
from protocol.framing import FrameDecoder
from protocol.requests import ClientMessage
from protocol.transport import ByteTransport
from protocol.unpacking import unpack

AT_ONCE_BYTES = 1024
"""A frame so long is decoded on the event loop: 1 ms at most, where it is full of empty messages."""
_CUT_AT_ONCE = 64
"""Frames of what arrived in one piece: thousands may have."""
_RETRY_MS = 1000


@dataclass(frozen=True, slots=True)
class Received:
    """One message, or what is wrong with it."""

    message: ClientMessage | RequestRefused
    request_id: int | None
    """The id of a wrong message, where it can be told."""
    size: int
    """Bytes of its frame."""
    held: int
    """Bytes of the room for requests that were taken for it, and are the receiver's to give back."""
    received_ns: int
    """``time.monotonic_ns`` when it was whole."""


class FrameReader:
    """The messages of one connection, in order."""

    def __init__(self, transport: ByteTransport, requester: Requester, entrance: Entrance) -> None:
        self._transport = transport
        self._requester = requester
        self._room = entrance.room
        self._decoding = entrance.decoding
        self._turns = entrance.turns
        self._refuse_hopeless = entrance.refuse_hopeless
        self._limits = entrance.limits
        self._decoder = FrameDecoder(self._limits.max_request_bytes)
        self._frames: deque[tuple[bytes, int, int]] = deque()
        """Each with what is held for it, and when it was whole."""
        self._uncut = False
        """More frames may be whole than were cut."""
        self._received_ns = 0
        self._reserved = 0
        self._greeted = False
        self._deadline = trio.current_time() + self._limits.greeting_s

    def greeted(self) -> None:
        """The client has said who it is, and may be silent from now on."""
        self._greeted = True
        self._deadline = math.inf

    def close(self) -> None:
        """Give back the room of what is not whole, or was not asked for."""
        held = self._reserved + sum(held for _, held, _ in self._frames)
        self._frames.clear()
        self._reserved = 0
        if held:
            self._room.give_back_bytes(self._requester, held)

    async def next(self) -> Received:
        """The next message.

        Raises:
            TransportClosed: the client hung up.
            ProtocolViolation: what came is no message, or did not come in time.
            Overloaded: there was no room for a frame that has begun, all the time it has.
        """
        if self._frames or self._uncut:  # others may have their turn between two frames that came in one piece
            await self._turns.next()
        while not self._frames:
            await self._receive()
        frame, held, received_ns = self._frames.popleft()
        try:
            message, request_id = await self._decoded(frame)
        except BaseException:
            self._room.give_back_bytes(self._requester, held)
            raise
        return Received(message, request_id, len(frame), held, received_ns)

    async def _receive(self) -> None:
        with trio.CancelScope(deadline=self._deadline):
            data = b""
            if not self._uncut:
                await self._reserve()
                data = await self._transport.receive()
                self._received_ns = time.monotonic_ns()
            frames = self._decoder.feed(data, _CUT_AT_ONCE)
            self._uncut = len(frames) == _CUT_AT_ONCE
            for index, frame in enumerate(frames):
                self._frames.append((frame, 0 if index else self._reserved, self._received_ns))
            if frames:
                self._reserved = 0
            if self._greeted:
                self._set_deadline(begun=bool(frames) or self._deadline == math.inf)
            return
        self._refuse_late()

    def _set_deadline(self, *, begun: bool) -> None:
        if not self._decoder.partial:
            self._deadline = math.inf
        elif begun:
            self._deadline = trio.current_time() + self._limits.partial_frame_s

    def _refuse_late(self) -> None:
        if not self._greeted:
            raise UnsupportedProtocol(f"no Hello came within {self._limits.greeting_s:g} s")
        if self._reserved < self._wanted:
            raise Overloaded(
                f"no room for a request of {self._wanted} bytes: others that wait hold it", retry_after_ms=_RETRY_MS
            )
        raise BadFrame(f"a frame was not completed within {self._limits.partial_frame_s:g} s")

    @property
    def _wanted(self) -> int:
        begun = self._decoder.begun_bytes
        return begun if begun > UNCOUNTED_BYTES else 0

    async def _reserve(self) -> None:
        """Room for the frame that has begun."""
        if self._wanted > self._reserved:
            await self._room.take_bytes(self._requester, self._wanted)
            self._reserved = self._wanted

    async def _decoded(self, frame: bytes) -> tuple[ClientMessage | RequestRefused, int | None]:
        if len(frame) <= AT_ONCE_BYTES:
            return _decode(frame)
        async with self._decoding.turn(self._requester):
            return await trio.to_thread.run_sync(_decode, frame, self._refuse_hopeless)


def _decode(
    frame: bytes, check: Callable[[ClientMessage], None] | None = None
) -> tuple[ClientMessage | RequestRefused, int | None]:
    content = unpack(frame)
    try:
        message = client_message(content)
        if check is not None:
            check(message)
    except RequestRefused as error:
        # Its cause refers to all that was read, in cycles that only a garbage collection would break.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None), request_id_of(content)
    return message, None
