"""What a message between actors costs, as the object that it is and as a frame of msgpack.

CPU time from putting messages into an inbox to taking them out, a message. The load of a step of a run loop is one
``Advanced`` with the events of each sequence and one ``Deliver`` with the tokens for each client; the rest are the
messages that come once an execution.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from actors.base import Codec, Inbox
from actors.message_codec import MessageCodec
from actors.messages import (
    ActorMessage,
    Addressed,
    Advance,
    Advanced,
    ClientRequest,
    Deliver,
    Enqueue,
    FinishRecord,
    Start,
)
from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from protocol.answers import Tokens
from tests.actors.messages_factory import TOKENS, make_messages
from tests.tools.executions import make_record

ROUNDS = 25
AT_A_TIME = 64
SEQUENCES = (1, 16, 64)
ONCE_AN_EXECUTION = (ClientRequest, Enqueue, Start, FinishRecord)
"""The largest of them."""


def measure(setting: Setting) -> list[Figure]:
    """Figures without a bound: they say what the default is chosen by. The setting does not matter."""
    forms: dict[str, Codec[Any] | None] = {"object": None, "frame": MessageCodec[Any](ActorMessage)}
    return [
        Figure(f"{name}, {form}", "us", [_microseconds(message, codec) for _ in range(ROUNDS)])
        for name, message in _messages()
        for form, codec in forms.items()
    ]


def _messages() -> Iterator[tuple[str, ActorMessage]]:
    for count in SEQUENCES:
        yield f"Advanced, {count} x 1 token", Advanced(advances=tuple(map(_advance, range(count))))
        yield f"Deliver, {count} x 1 token", Deliver(replies=tuple(map(_reply, range(count))))
    examples: dict[type, ActorMessage] = {type(one): one for one in reversed(make_messages(make_record()))}
    for cls in ONCE_AN_EXECUTION:
        yield cls.__name__, examples[cls]


def _advance(number: int) -> Advance:
    events = replace(TOKENS, sequence_id=number, token_ids=(3,), token_times_ns=(10**18,), logprobs=(), text=" word")
    return Advance(execution_id=_execution_id(number), events=events)


def _reply(number: int) -> Addressed:
    tokens = Tokens(request_id=number, execution_id=_execution_id(number), token_ids=(3,), text=" word")
    return Addressed(connection_id=number, message=tokens)


def _execution_id(number: int) -> str:
    return f"{number:032x}"


def _microseconds(message: ActorMessage, codec: Codec[Any] | None) -> float:
    inbox = Inbox[Any]("some", AT_A_TIME, "a measurement's", codec)
    return _cpu_ns(lambda: _pass(inbox, message)) / AT_A_TIME / 1e3


def _pass(inbox: Inbox[Any], message: ActorMessage) -> None:
    for _ in range(AT_A_TIME):
        inbox.put_nowait(message)
    if len(inbox.take_waiting()) != AT_A_TIME:
        raise RuntimeError("messages were lost")


def _cpu_ns(work: Callable[[], None]) -> int:
    begin_ns = time.thread_time_ns()
    work()
    return time.thread_time_ns() - begin_ns
