"""A client that asks for much and reads nothing of it for long, on a connection of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import trio

from protocol.answer_checks import is_last
from protocol.answers import EngineMessage, Failed
from protocol.codec import decode_engine, encode
from protocol.errors import SlowConsumer
from protocol.events import EventFilter
from protocol.framing import FrameDecoder, encode_frame
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.requests import PROTOCOL_VERSION, Hello, Run, Subscribe
from protocol.value import Value

_STALL_S = 20.0
_RUN = 1
_SUBSCRIPTIONS = range(2, 10)
"""Enough subscriptions that the events of dozens of streams fill the outbox in a second or two."""


@dataclass
class StalledReader:
    """Runs one execution, and observes those of all."""

    socket: Path
    model: str
    outcomes: Counter[str] = field(default_factory=Counter)
    """Counts of how its requests ended."""
    most_unread_bytes: int = 0
    """Bytes that the engine and the socket had kept for it when it read at last."""

    async def stall(self) -> None:
        while True:
            stream = await trio.open_unix_socket(str(self.socket))
            async with stream:
                execution = ExecutionRequest(max_sequences=64, limits=Limits(max_tokens=4000), stop=Stop(eos=False))
                request = RunRequest(model=self.model, prompt="Count.", execution=execution)
                await _send(stream, Hello(protocol_version=PROTOCOL_VERSION))
                await _send(stream, Run(request_id=_RUN, request=request))
                for request_id in _SUBSCRIPTIONS:
                    await _send(stream, Subscribe(request_id=request_id, wanted=EventFilter()))
                await trio.sleep(_STALL_S)
                await self._read(stream)

    async def _read(self, stream: trio.SocketStream) -> None:
        decoder, unread_bytes, waiting = FrameDecoder(), 0, {_RUN, *_SUBSCRIPTIONS}
        while waiting:
            data = await stream.receive_some()
            if not data:
                raise RuntimeError("the engine hung up on the reader that stalled")
            unread_bytes += len(data)
            for frame in decoder.feed(bytes(data)):
                message = decode_engine(frame)
                request_id = getattr(message, "request_id", None)
                if request_id in waiting and is_last(message):
                    waiting.remove(request_id)
                    self.outcomes[_outcome(message)] += 1
        self.most_unread_bytes = max(self.most_unread_bytes, unread_bytes)

    @property
    def problems(self) -> list[str]:
        """Ends that a reader that stalls should not have seen."""
        return [f"stalled reader: {end} {n} times" for end, n in self.outcomes.items() if end != SlowConsumer.code]


async def _send(stream: trio.SocketStream, message: Value) -> None:
    await stream.send_all(encode_frame(encode(message)))


def _outcome(message: EngineMessage) -> str:
    return message.code if isinstance(message, Failed) else type(message).__name__
