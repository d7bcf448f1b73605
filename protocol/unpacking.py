"""Msgpack from a stranger, turned into plain values within bounds.

The payload is scanned first, without allocating: binary and extension types are refused, the container sizes it claims
may not add up to more elements than it has bytes, and the scan ends where strings, containers or elements pass their
caps. What a hostile frame costs is bounded by the caps, not by its size. Only then is it unpacked, and its depth and
keys checked. Both go piece by piece, so that a thread that does this lets others have their turns.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgpack

from protocol.errors import BadFrame
from protocol.value import JSON_DEPTH

MAX_DEPTH = JSON_DEPTH + 8
"""The deepest message of the protocol nests 6 levels of its own around what a client nests in it."""
MAX_ARRAY_ELEMENTS = 2**20
"""Elements of an answer's array: eight times the longest context in use (131,072 tokens)."""


@dataclass(frozen=True, slots=True)
class FrameBounds:
    """What a frame may hold."""

    map_entries: int
    """In one map."""
    array_elements: int
    """In one array."""
    elements: int
    """In all containers together."""
    parts: int
    """Strings and containers. One takes 1 us."""


REQUEST_BOUNDS = FrameBounds(map_entries=1024, array_elements=2**18, elements=2**18 + 2**16, parts=65_536)
"""A prompt's tokens, twice the longest context; a conversation of 1,024 messages has about ten parts for each. The
largest map is that of a message's fields, or of a tool's parameters."""
ANSWER_BOUNDS = FrameBounds(
    map_entries=65_536, array_elements=MAX_ARRAY_ELEMENTS, elements=2 * MAX_ARRAY_ELEMENTS, parts=2 * MAX_ARRAY_ELEMENTS
)
"""An engine's answer may hold a text for each token of a long context."""
_SMALL_BYTES = 4096
_PIECE_BYTES = 16_384
"""Unpacked at a time: a millisecond at most, in which no other thread has its turn."""

# A run of numbers, booleans and nil; bounded, as the matcher remembers each of its elements. (Python 3.10 has no
# possessive repeats, which would need no memory.)
_SCALARS = re.compile(
    rb"(?s:[\x00-\x7f\xe0-\xff\xc0\xc2\xc3]|[\xcc\xd0].|[\xcd\xd1]..|[\xca\xce\xd2].{4}|[\xcb\xcf\xd3].{8}){1,4096}"
)
_STRING_PREFIX = {0xD9: 1, 0xDA: 2, 0xDB: 4}
_CONTAINER_PREFIX = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}
"""(bytes of the length, elements for each unit of it)"""


def unpack(payload: bytes, bounds: FrameBounds = REQUEST_BOUNDS) -> dict[str, Any]:
    """The map in ``payload``; arrays come as tuples.

    Raises:
        BadFrame: not msgpack, not one map, a duplicate key, binary or extension types, or beyond the bounds.
    """
    _scan(payload, bounds)
    return _content(payload, bounds)


def unpack_answer(payload: bytes) -> dict[str, Any]:
    """:func:`unpack` an engine's answer. Most are small, and are not scanned first, which takes most of the time: what
    one can claim, a container of as many elements as it has bytes on each of the library's 1,024 levels, is 32 MB for a
    moment. The types of its values are left to who reads it.

    Raises BadFrame.
    """
    size = len(payload)
    if size <= _SMALL_BYTES:
        with suppress(BadFrame):
            return _content(payload, FrameBounds(map_entries=size, array_elements=size, elements=size, parts=size))
    return unpack(payload, ANSWER_BOUNDS)  # a small one that is wrong too: it says in what


def _content(payload: bytes, bounds: FrameBounds) -> dict[str, Any]:
    """Raises BadFrame, for all that a scan does not see."""
    try:
        content = _unpacked(payload, bounds)
    except BadFrame:
        raise
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise BadFrame(f"the frame is not msgpack within bounds: {error}") from error
    if not isinstance(content, dict):
        raise BadFrame(f"a frame holds a map, not {type(content).__name__}")
    _check_depth(content, 1)
    return content


def _unpacked(payload: bytes, bounds: FrameBounds) -> Any:
    """Raises what the library raises, for all but a map that is not whole: BadFrame."""
    unpacker = msgpack.Unpacker(
        use_list=False,
        object_pairs_hook=_unique,
        max_map_len=bounds.map_entries,
        max_array_len=bounds.array_elements,
        max_buffer_size=len(payload),
    )
    for start in range(0, len(payload), _PIECE_BYTES):
        unpacker.feed(payload[start : start + _PIECE_BYTES])
        try:
            content = unpacker.unpack()
        except msgpack.OutOfData:
            continue
        if unpacker.tell() != len(payload):
            raise BadFrame("the frame is not msgpack within bounds: more follows its map")
        return content
    raise BadFrame("the frame is not msgpack within bounds: it ends inside its map")


def _scan(payload: bytes, bounds: FrameBounds) -> None:
    elements = parts = position = 0
    while (position := _scalars_end(payload, position)) < len(payload):
        position, claimed = _next_part(payload, position)
        parts += 1
        elements += claimed
        if elements > len(payload):
            raise BadFrame("the frame claims more elements than it has bytes")
        if elements > bounds.elements:
            raise BadFrame(f"the frame holds more than {bounds.elements} elements")
        if parts > bounds.parts:
            raise BadFrame(f"the frame holds more than {bounds.parts} strings and containers")


def _scalars_end(payload: bytes, position: int) -> int:
    while run := _SCALARS.match(payload, position):
        position = run.end()
    return position


def _next_part(payload: bytes, position: int) -> tuple[int, int]:
    """(where the string or container header at ``position`` ends, how many elements it claims)."""
    tag = payload[position]
    body = position + 1
    if 0xA0 <= tag <= 0xBF:
        return body + (tag & 0x1F), 0
    if 0x80 <= tag <= 0x8F:
        return body, 2 * (tag & 0x0F)
    if 0x90 <= tag <= 0x9F:
        return body, tag & 0x0F
    if width := _STRING_PREFIX.get(tag):
        return body + width + int.from_bytes(payload[body : body + width], "big"), 0
    if tag in _CONTAINER_PREFIX:
        width, factor = _CONTAINER_PREFIX[tag]
        return body + width, factor * int.from_bytes(payload[body : body + width], "big")
    raise BadFrame(f"byte {position} of the frame (0x{tag:02x}) is cut short, or of a type the protocol does not use")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise BadFrame("a map in the frame has the same key twice")
    return content


def _check_depth(container: dict[str, Any] | tuple[Any, ...], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise BadFrame(f"the frame nests deeper than {MAX_DEPTH} levels")
    children = container.values() if isinstance(container, dict) else container
    # Most containers hold none: asking for their types at C speed spares a walk over, say, every token id.
    if {dict, tuple}.isdisjoint(map(type, children)):
        return
    for child in children:
        if isinstance(child, dict | tuple):
            _check_depth(child, depth + 1)
