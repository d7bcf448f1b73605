from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import FrameTooLarge
from protocol.framing import FrameDecoder, encode_frame


@given(payloads=st.lists(st.binary(max_size=50)), cuts=st.lists(st.integers(0, 500)))
def test_frames_survive_any_cutting_of_the_stream(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode_frame(payload) for payload in payloads)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    decoder = FrameDecoder()
    decoded = [frame for start, end in pairwise(edges) for frame in decoder.feed(stream[start:end])]
    assert decoded == payloads
    assert not decoder.partial


def test_a_frame_begun_is_partial_until_its_last_byte() -> None:
    decoder = FrameDecoder()
    frame = encode_frame(b"abc")
    assert decoder.feed(frame[:1]) == []
    assert decoder.partial
    assert decoder.feed(frame[1:-1]) == []
    assert decoder.partial
    assert decoder.feed(frame[-1:]) == [b"abc"]
    assert not decoder.partial


def test_a_length_over_the_cap_is_refused_on_the_prefix_alone() -> None:
    decoder = FrameDecoder(max_frame_bytes=10)
    with pytest.raises(FrameTooLarge, match="11 bytes is over the cap of 10") as refused:
        decoder.feed((11).to_bytes(4, "big"))
    assert refused.value.params == {"length": 11, "max_frame_bytes": 10}


def test_a_frame_of_exactly_the_cap_passes() -> None:
    assert FrameDecoder(max_frame_bytes=10).feed(encode_frame(b"x" * 10, max_frame_bytes=10)) == [b"x" * 10]


def test_no_frame_over_the_cap_is_ever_sent() -> None:
    with pytest.raises(FrameTooLarge):
        encode_frame(b"x" * 11, max_frame_bytes=10)


def test_at_most_so_many_frames_are_cut_at_once() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(encode_frame(b"a") * 3 + b"\x00", most=2) == [b"a", b"a"]
    assert decoder.feed(b"", most=2) == [b"a"]
    assert decoder.feed(b"\x00\x00\x01b") == [b"b"]
    assert not decoder.partial
