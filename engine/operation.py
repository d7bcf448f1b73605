"""Something that takes long, carried out in one thread, looked at and ended from others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TypeVar

from protocol.progress import StageProgress

Result_co = TypeVar("Result_co", covariant=True)
_POLL_S = 0.05


class Operation(Protocol[Result_co]):
    """Work with one result, run in one thread and watched from others."""

    def run(self) -> Result_co:
        """Blocking; once. Raises ExecutionCancelled where it was cancelled before it had its result, and more."""

    def progress(self) -> StageProgress | None:
        """``None`` where there is nothing to tell: not yet begun, or about to end. From any thread."""

    def cancel(self) -> None:
        """End it within some milliseconds. From any thread, at any time; without effect once it has its result."""


@contextmanager
def turn(lock: Lock, check: Callable[[], None]) -> Iterator[None]:
    """Hold ``lock``; ``check`` is called while others have it, and may raise to give up."""
    while not lock.acquire(timeout=_POLL_S):
        check()
    try:
        yield
    finally:
        lock.release()
