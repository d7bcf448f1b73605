from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import unpacking
from protocol.errors import BadFrame
from protocol.unpacking import (
    ANSWER_BOUNDS,
    MAX_DEPTH,
    REQUEST_BOUNDS,
    unpack,
)

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def packed(value: object) -> bytes:
    data: bytes = msgpack.packb(value)
    return data


def nested(depth: int) -> bytes:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return packed({"a": value})


@pytest.mark.slow
@given(content=st.dictionaries(st.text(), VALUES, max_size=8))
def test_every_plain_map_comes_back_with_tuples_for_arrays(content: dict[str, Any]) -> None:
    assert unpack(packed(content)) == content


@given(payload=st.binary(max_size=400))
def test_garbage_is_a_bad_frame_and_nothing_else(payload: bytes) -> None:
    try:
        content = unpack(payload)
    except BadFrame:
        return
    assert isinstance(content, dict)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "not msgpack"),
        (packed(5), "holds a map, not int"),
        (packed([1]), "holds a map, not tuple"),
        (packed({"a": b"bytes"}), "of a type the protocol does not use"),
        (packed({"a": msgpack.ExtType(1, b"x")}), "of a type the protocol does not use"),
        (packed({"a": msgpack.Timestamp(1)}), "of a type the protocol does not use"),
        (packed({1: 2}), "not msgpack within bounds"),
        (packed({"a": 1}) + b"\x00", "not msgpack within bounds"),
        (packed({"a": 1})[:-1], "not msgpack within bounds"),
        (packed({"a": 2**40})[:-1], "cut short"),
        (b"\x81\xa1a\xa1\xff", "not msgpack within bounds"),
        (b"\x82\xa1a\x01\xa1a\x02", "same key twice"),
        (b"\xdf\xff\xff\xff\xff", "more elements than it has bytes"),
        (b"\x81\xa1a" + b"\xdd\x00\x00\x40\x00" * 100 + b"\x01" * 20_000, "more elements than it has bytes"),
        (b"\x91" * 5000 + b"\x01", "not msgpack within bounds"),
    ],
)
def test_what_is_not_a_plain_map_is_refused_with_its_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(BadFrame, match=reason):
        unpack(payload)


def test_nesting_is_capped() -> None:
    assert unpack(nested(MAX_DEPTH - 1))
    with pytest.raises(BadFrame, match="nests deeper than 72 levels"):
        unpack(nested(MAX_DEPTH))


def test_array_sizes_are_capped() -> None:
    for bounds in (REQUEST_BOUNDS, ANSWER_BOUNDS):
        most = bounds.array_elements
        assert len(unpack(packed({"a": [1] * most}), bounds)["a"]) == most
        with pytest.raises(BadFrame):
            unpack(packed({"a": [1] * (most + 1)}), bounds)


def test_map_sizes_are_capped() -> None:
    entries = {f"{number}": 1 for number in range(REQUEST_BOUNDS.map_entries)}
    assert unpack(packed(entries)) == entries
    with pytest.raises(BadFrame, match="exceeds max_map_len"):
        unpack(packed(entries | {"one more": 1}))


FRAME_BYTES = 16 * 2**20
KEY = b"\x81\xa1a"


def arrays_of(element: bytes) -> bytes:
    """A frame of the largest size, full of one element, in arrays of the largest size."""
    array = b"\xdd" + (2**20).to_bytes(4, "big") + element * 2**20
    return KEY + b"\xdd" + (16).to_bytes(4, "big") + array * 16


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(arrays_of(b"\x90"), id="empty arrays"),
        pytest.param(arrays_of(b"\x80"), id="empty maps"),
        pytest.param(arrays_of(b"\xa0"), id="empty strings"),
        pytest.param(arrays_of(b"\x01"), id="numbers"),
        pytest.param(KEY + b"\x91" * FRAME_BYTES, id="nested arrays"),
        pytest.param(KEY + b"\x81\xa1a" * (FRAME_BYTES // 3), id="nested maps"),
    ],
)
def test_a_hostile_frame_costs_what_the_caps_allow_and_not_what_its_size_would(
    hostile: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    next_part = unpacking._next_part

    def counted(payload: bytes, position: int) -> tuple[int, int]:
        nonlocal looks
        looks += 1
        return next_part(payload, position)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(unpacking, "_next_part", counted)
    monkeypatch.setattr(msgpack, "Unpacker", refused)
    with pytest.raises(BadFrame, match="the frame holds more than"):
        unpack(hostile)
    assert looks <= REQUEST_BOUNDS.parts + 1


def test_elements_are_capped_in_all_arrays_together() -> None:
    with pytest.raises(BadFrame, match=f"more than {REQUEST_BOUNDS.elements} elements"):
        unpack(arrays_of(b"\x01"))


def test_an_answer_may_hold_a_text_for_each_token_of_a_long_context() -> None:
    pieces = packed({"pieces": ["a"] * 131_072})
    assert len(unpack(pieces, ANSWER_BOUNDS)["pieces"]) == 131_072
    with pytest.raises(BadFrame, match="strings and containers"):
        unpack(pieces)
