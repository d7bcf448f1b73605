"""Ctrl-C as a message: what runs in the engine ends there, and its record still comes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from protocol.blocking import BlockingClient
from protocol.requests import AskedMessage


@contextmanager
def interrupt_posts(client: BlockingClient, message: AskedMessage) -> Iterator[None]:
    """Within, the first Ctrl-C sends ``message``, and a second one raises KeyboardInterrupt."""

    def post(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        client.post(message)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN:  # a script's background job, which its terminal's Ctrl-C is not meant for
        yield
        return
    signal.signal(signal.SIGINT, post)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
