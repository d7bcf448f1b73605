"""Frames on a byte stream: a 4-byte big-endian length, then that many bytes."""

from __future__ import annotations

from protocol.errors import FrameTooLarge

PROTOCOL_VERSION = 1
GREETING_S = 30.0
"""Seconds for a connection and the answer to ``Hello``: a service manager may have to start the engine first."""
MAX_FRAME_BYTES = 16 * 2**20
"""Bytes of an answer; it bounds what one peer can make the other hold."""
MAX_REQUEST_BYTES = 4 * 2**20
"""Bytes of a request: 32 for each token of the longest context in use. A text of that length is copied, encoded and
searched in milliseconds, for which nothing else may run."""

_PREFIX_BYTES = 4


def encode_frame(payload: bytes, max_frame_bytes: int = MAX_FRAME_BYTES) -> bytes:
    """The payload behind its length. Raises FrameTooLarge."""
    _check_length(len(payload), max_frame_bytes)
    return len(payload).to_bytes(_PREFIX_BYTES, "big") + payload


class FrameDecoder:
    """Cuts a byte stream into frames as it comes. The length is checked before anything is kept for it."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    @property
    def partial(self) -> bool:
        """A frame has begun and not ended."""
        return bool(self._buffer)

    @property
    def begun_bytes(self) -> int:
        """The length that the frame says to have that has begun; 0 where none has, or has not said it yet."""
        if len(self._buffer) < _PREFIX_BYTES:
            return 0
        return int.from_bytes(self._buffer[:_PREFIX_BYTES], "big")

    def feed(self, data: bytes, most: int | None = None) -> list[bytes]:
        """The payloads that ``data`` completes, in order; at most so many, and the others with the next call.

        Raises:
            FrameTooLarge: a length prefix is over the cap; the stream cannot be read any further.
        """
        if not self._buffer and self._is_one_frame(data):
            return [data[_PREFIX_BYTES:]]
        self._buffer += data
        frames: list[bytes] = []
        start = 0
        with memoryview(self._buffer) as view:
            while len(frames) != most and (end := self._frame_end(start)) is not None:
                frames.append(bytes(view[start + _PREFIX_BYTES : end]))
                start = end
        if start:
            self._buffer = self._buffer[start:]
        return frames

    def _is_one_frame(self, data: bytes) -> bool:
        """Whether it is exactly that, as nearly always where messages are small."""
        length = len(data) - _PREFIX_BYTES
        return 0 <= length <= self._max_frame_bytes and int.from_bytes(data[:_PREFIX_BYTES], "big") == length

    def _frame_end(self, start: int) -> int | None:
        """Where the frame at ``start`` ends, or ``None`` while it is not whole."""
        body = start + _PREFIX_BYTES
        if len(self._buffer) < body:
            return None
        length = int.from_bytes(self._buffer[start:body], "big")
        _check_length(length, self._max_frame_bytes)
        return body + length if len(self._buffer) >= body + length else None


def _check_length(length: int, max_frame_bytes: int) -> None:
    if length > max_frame_bytes:
        raise FrameTooLarge(
            f"a frame of {length} bytes is over the cap of {max_frame_bytes}",
            length=length,
            max_frame_bytes=max_frame_bytes,
        )
