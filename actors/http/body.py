"""The body of one request on its way in: within bounds of size, time and room."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from itertools import count
from typing import Any

import trio

from actors.http.http_error import HttpError
from actors.http.limits import HttpLimits
from actors.loop_turns import LoopTurns
from actors.policies.requester import Requester
from actors.request_room import UNCOUNTED_BYTES, RequestRoom
from protocol.dialects.fault import HttpFault

_PARTS_IN_TURN = 64


class Body:
    """A body that takes room as a frame does, from before it arrives until it has become a message or is refused."""

    def __init__(self, room: RequestRoom, turns: LoopTurns, requester: Requester, limits: HttpLimits) -> None:
        self._room = room
        self._turns = turns
        self._requester = requester
        self._limits = limits
        self._held = 0
        self.content: bytes | bytearray = b""
        """What has arrived; empty again once it was released."""
        self.size = 0
        """Bytes that have arrived."""

    async def receive(
        self, headers: Mapping[str, str], receive: Callable[[], Awaitable[MutableMapping[str, Any]]]
    ) -> bool:
        """Whether all of it came; else its client left. Raises HttpError, where it can before anything has arrived."""
        declared = int(headers.get("content-length", "0"))
        self._check_head(headers.get("content-encoding", "identity"), declared)
        with trio.move_on_after(self._limits.body_s):
            await self._reserve(declared)
            arrived = bytearray()  # a list of small parts would take many times their bytes
            for number in count():
                message = await receive()
                if message["type"] == "http.disconnect":
                    return False
                arrived += message.get("body", b"")
                self.size = len(arrived)
                if self.size > self._limits.max_body_bytes:
                    raise self._too_large()
                if not message.get("more_body", False):
                    self.content = arrived
                    return True
                await self._reserve(self.size)
                if number % _PARTS_IN_TURN == 0:  # others may have theirs between parts that came in one piece
                    await self._turns.next()
        raise self._too_slow(declared)

    def release(self) -> None:
        """It is a message now, which takes room of its own, or it will be none. Idempotent."""
        self.content = b""
        if self._held:
            self._room.give_back_bytes(self._requester, self._held)
            self._held = 0

    async def _reserve(self, size: int) -> None:
        if size > max(self._held, UNCOUNTED_BYTES):
            await self._room.take_bytes(self._requester, size - self._held)
            self._held = size

    def _check_head(self, encoding: str, declared: int) -> None:
        """Raises HttpError where it need not be waited for."""
        if encoding != "identity":
            reason = f"Content-Encoding {encoding[:40]!r}: send the body as it is"
            raise HttpError(HttpFault(415, "body_encoded", reason, {"field": "body"}))
        if declared > self._limits.max_body_bytes:
            raise self._too_large()

    def _too_large(self) -> HttpError:
        reason = f"the body has more than {self._limits.max_body_bytes} bytes"
        return HttpError(HttpFault(413, "body_too_large", reason, {"field": "body"}))

    def _too_slow(self, declared: int) -> HttpError:
        if max(self.size, declared) > max(self._held, UNCOUNTED_BYTES):
            reason = f"no room for a body of {max(self.size, declared)} bytes: requests that wait hold it"
            return HttpError(HttpFault(503, "overloaded", reason))
        reason = f"the body did not arrive within {self._limits.body_s:g} s"
        return HttpError(HttpFault(408, "body_too_slow", reason))
