"""Ctrl-C as a message: what runs in the engine ends there, and its record still comes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupt_posts(send: Callable[[], None]) -> Iterator[None]:
    """Within, the first Ctrl-C calls ``send``, which posts a message, and a second one raises KeyboardInterrupt."""

    def post(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        send()

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # a script's background job, which its terminal's Ctrl-C is not meant for
        yield
        return
    signal.signal(signal.SIGINT, post)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
