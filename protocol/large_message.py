"""Messages that take long to encode: which they are, and how they are encoded piece by piece.

While one call of msgpack runs, no other thread runs Python: encoding in another thread alone would not help.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgpack
from pydantic import BaseModel

from protocol.codec import packable
from protocol.value import Value

_LARGE = 4096
"""Values, each of which takes a microsecond at most, or as many times 64 characters."""
_CHARACTERS = 64
_PIECE = 1024
"""Elements of a sequence that are packed at a time."""


def is_large(message: Value) -> bool:
    """Whether encoding it takes more than a few milliseconds."""
    weight = 0
    ahead: list[Any] = [message]
    while ahead and weight <= _LARGE:
        value = ahead.pop()
        if isinstance(value, BaseModel):
            value = value.__dict__
        if isinstance(value, str):
            weight += len(value) // _CHARACTERS
        elif isinstance(value, dict):
            weight += len(value)
            ahead += value.values()
        elif isinstance(value, list | tuple):
            weight += len(value)
            # What has numbers has numbers alone, and thousands of them are not worth a look at each.
            if value and weight <= _LARGE and not isinstance(value[0], int | float):
                ahead += value
    return weight > _LARGE


def encode_in_pieces(message: Value) -> bytes:
    """What :func:`protocol.codec.encode` gives, so that other threads have their turns meanwhile."""
    return b"".join(_pieces(message.__dict__))


def _pieces(fields: dict[str, Any]) -> Iterator[bytes]:
    packer = msgpack.Packer(default=packable, unicode_errors="backslashreplace")
    yield packer.pack_map_header(len(fields))
    for name, value in fields.items():
        yield packer.pack(name)
        if not isinstance(value, list | tuple) or len(value) <= _PIECE:
            yield packer.pack(value)
            continue
        yield packer.pack_array_header(len(value))
        for begin in range(0, len(value), _PIECE):
            piece = value[begin : begin + _PIECE]
            yield packer.pack(piece)[len(packer.pack_array_header(len(piece))) :]
