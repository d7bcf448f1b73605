"""What a client sends becomes messages in pieces that the event loop can bear."""

from __future__ import annotations

import threading

import msgpack
import pytest

from actors.entrance import make_entrance
from actors.frame_reader import AT_ONCE_BYTES, FrameReader
from actors.limits import ServiceLimits
from actors.loopback import loopback_pair
from actors.policies.requester import Requester
from protocol.framing import FrameDecoder, encode_frame
from protocol.requests import ClientMessage

REQUESTER = Requester(user="uid:1", client="pid:1")


def status(request_id: int) -> bytes:
    return encode_frame(msgpack.packb({"type": "Status", "request_id": request_id}))


async def test_what_is_longer_than_a_kilobyte_is_read_by_a_thread() -> None:
    threads: list[int] = []

    def check(_: ClientMessage) -> None:
        threads.append(threading.get_ident())

    ours, theirs = loopback_pair()
    reader = FrameReader(ours, REQUESTER, make_entrance(ServiceLimits(), lambda _: None, check))
    asked = {"type": "Tokenize", "request_id": 1, "model": "m", "text": "a" * AT_ONCE_BYTES}
    await theirs.send(encode_frame(msgpack.packb(asked)))
    assert (await reader.next()).request_id is None
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert AT_ONCE_BYTES == 1024


async def test_of_thousands_of_frames_in_one_piece_few_are_cut_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[int] = []
    feed = FrameDecoder.feed

    def counted(decoder: FrameDecoder, data: bytes, most: int | None = None) -> list[bytes]:
        frames = feed(decoder, data, most)
        cut.append(len(frames))
        return frames

    monkeypatch.setattr(FrameDecoder, "feed", counted)
    ours, theirs = loopback_pair()
    reader = FrameReader(ours, REQUESTER, make_entrance(ServiceLimits(), lambda _: None, lambda _: None))
    reader.greeted()
    await theirs.send(b"".join(map(status, range(1, 2001))))
    received = [(await reader.next()).message for _ in range(2000)]
    assert [getattr(message, "request_id", None) for message in received] == list(range(1, 2001))
    assert max(cut) == 64
