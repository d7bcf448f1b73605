"""Messages between actors as bytes: each arrives as it was sent, and what is none is refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import msgpack
import numpy as np
import numpy.typing as npt
import pytest

from actors.base import Inbox
from actors.message_codec import MessageCodec, reader_of
from actors.messages import ActorMessage, Drain, Queued, ReadLiveEnergy
from tests.actors.messages_factory import make_messages
from tests.tools.executions import make_record

MESSAGES = make_messages(make_record())


@pytest.fixture(scope="module")
def codec() -> MessageCodec[ActorMessage]:
    return MessageCodec(ActorMessage)


def test_every_message_has_an_example() -> None:
    assert {type(message) for message in MESSAGES} == set(get_args(ActorMessage))


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_sent(codec: MessageCodec[ActorMessage], message: ActorMessage) -> None:
    arrived = codec.decode(codec.encode(message))
    assert arrived is not message
    assert arrived == message
    assert type(arrived) is type(message)
    assert codec.encode(arrived) == codec.encode(message)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (["Nothing"], "no message 'Nothing'"),
        ([["Queued"], "e1"], "no message"),
        ([1, "e1"], "no message 1"),
        ([], "the frame is no message"),
        (7, "the frame is no message"),
        (["Queued"], "Queued has 1 fields"),
        (["Queued", "e1", "e2"], "Queued has 1 fields"),
        (["Queued", None], "None is no str"),
        (["Drain", True], "True is no float"),
        (["ReadLiveEnergy", "sun", 1.0], "'sun' is none of"),
        (["Abandon", 1, {"1": 2}], "is no array"),
        (["Deliver", [[1, {"type": "Nothing"}]]], "no message of the protocol"),
        (["Deliver", [[1, {"type": "Done", "request_id": -1}]]], "request_id"),
        (["BeginRecord", "e1", [{}, "", [], {}, None, None, None], "2030"], "ExecutionPlan"),
        (["StartFailed", "e1", "x", "y", []], "is no map"),
    ],
)
def test_what_is_no_message_is_refused(codec: MessageCodec[ActorMessage], content: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        codec.decode(msgpack.packb(content))


def test_bytes_that_are_no_msgpack_are_refused(codec: MessageCodec[ActorMessage]) -> None:
    with pytest.raises(ValueError, match="the frame is no message"):
        codec.decode(codec.encode(Drain())[:-1])


@pytest.mark.parametrize(
    "annotation",
    [Callable[[], None], threading.Event, npt.NDArray[np.float32], object, int | str, list[int], memoryview],
    ids=str,
)
def test_what_could_not_cross_has_no_codec(annotation: Any) -> None:
    with pytest.raises(TypeError, match="another process"):
        reader_of(annotation)


def test_a_value_that_its_annotation_does_not_allow_is_not_sent(codec: MessageCodec[ActorMessage]) -> None:
    with pytest.raises(TypeError, match="cannot cross"):
        codec.encode(Queued(execution_id=threading.Event()))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Wrapped:
    done: Callable[[], None]


def test_a_message_that_holds_a_callable_is_refused_with_its_codec() -> None:
    with pytest.raises(TypeError, match="cannot cross"):
        MessageCodec[Any](Wrapped | Drain)


async def test_an_inbox_with_a_codec_holds_frames_and_yields_messages(codec: MessageCodec[ActorMessage]) -> None:
    inbox = Inbox[ActorMessage]("some", 2, "a test's", codec)
    sent = ReadLiveEnergy(source="rapl", oldest_s=1.0)
    await inbox.put(sent)
    inbox.put_nowait(sent)
    received = await inbox.__anext__()
    assert received == sent
    assert received is not sent
    assert inbox.take_waiting() == [sent]
