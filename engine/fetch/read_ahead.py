"""Several connections for one file: ranges are read side by side and handed on in their order.

A single connection to a store far away is slower than the line, by the time that a packet takes to come back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing
from threading import Event
from typing import Final, TypeAlias

Pieces: TypeAlias = Generator[tuple[int, bytes], None, None]
"""Consecutive pieces of a file, each with its position."""
Read: TypeAlias = Callable[[int, int | None], Pieces]
"""A file from a position up to another (``None``: its end), or all of it where the sender will have it so."""

CONNECTIONS: Final = 4
RANGE_BYTES: Final = 8 << 20
"""Four of them wait in memory at the most."""
_POLL_S: Final = 0.1


class RangesRefusedError(Exception):
    """The sender gives the whole file, whatever it is asked for."""


def read_ahead(
    read: Read, first: int, end: int, connections: int = CONNECTIONS, range_bytes: int = RANGE_BYTES
) -> Pieces:
    """The bytes from ``first`` up to ``end``, a range at a time, and an empty piece now and then while one is awaited.

    It ends early behind a range that did. What ``read`` raises for a range is raised in its turn.

    Raises:
        RangesRefusedError: before any byte of the range that was refused.
    """
    ended = Event()
    starts = iter(range(first, end, range_bytes))
    with ThreadPoolExecutor(connections, thread_name_prefix="pull") as pool:
        waiting: deque[tuple[int, Future[bytes]]] = deque()

        def ask() -> None:
            start = next(starts, None)
            if start is not None:
                waiting.append((start, pool.submit(_range, read, start, min(start + range_bytes, end), ended)))

        try:
            for _ in range(connections):
                ask()
            while waiting:
                start, future = waiting[0]
                while not wait((future,), timeout=_POLL_S).done:
                    yield start, b""
                content = future.result()
                waiting.popleft()
                ask()
                yield start, content
                if len(content) < min(range_bytes, end - start):
                    return
        finally:
            ended.set()
            for _, future in waiting:
                future.cancel()


def _range(read: Read, start: int, end: int, ended: Event) -> bytes:
    """Shorter where the sender ends early, or nobody waits for it any more."""
    content = bytearray()
    with closing(read(start, end)) as pieces:
        for position, piece in pieces:
            if position != start + len(content) or position + len(piece) > end:
                raise RangesRefusedError
            content += piece
            if ended.is_set():
                break
    return bytes(content)
