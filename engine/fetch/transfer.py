"""Bytes on their way over a network into a partial file, taken up again where a connection broke."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from engine.fetch.hub.partial_file import PartialFile
from engine.fetch.pull_watch import PullWatch
from protocol.errors import DownloadFailed

Pieces = Generator[tuple[int, bytes], None, None]
"""Consecutive pieces of a file, each with its position."""

_RETRIES = 4
"""Without a byte in between."""


class InterruptedTransferError(Exception):
    """What may work a moment later."""

    def __init__(self, failure: DownloadFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure
        """What to tell where it does not."""


class Transfer:
    """Blocking."""

    def __init__(self, watch: PullWatch, first_pause_s: float = 1.0) -> None:
        """``first_pause_s``: before the first retry; each pause is twice the one before."""
        self._watch = watch
        self._first_pause_s = first_pause_s

    def fetch(
        self, partial: PartialFile, read: Callable[[int], Pieces], tell: Callable[[], None], senseless: DownloadFailed
    ) -> None:
        """What is missing of a file whose part that is there has been checked, up to the checksum of the whole.

        ``read`` begins where it is told to, or at 0 where the sender will have it so. ``tell`` is called as it goes on,
        and ``senseless`` raised where other bytes come than those that were asked for.

        Raises:
            DownloadFailed: what ``read`` tells of, or the checksum is wrong, and the part has been removed.
            ExecutionCancelled: the watch was told to cancel.
        """
        pauses = self._pauses()
        while not partial.is_complete:
            before = partial.size_bytes
            try:
                _receive(partial, read, tell, senseless)
            except InterruptedTransferError as interruption:
                if partial.size_bytes > before:
                    pauses = self._pauses()
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise interruption.failure from interruption
                self._watch.pause(pause_s)
        partial.finish()

    def _pauses(self) -> Iterator[float]:
        return (self._first_pause_s * 2**retry for retry in range(_RETRIES))


def _receive(
    partial: PartialFile, read: Callable[[int], Pieces], tell: Callable[[], None], senseless: DownloadFailed
) -> None:
    """Write what one connection brings."""
    tell()
    with closing(read(partial.size_bytes)) as pieces:
        for position, piece in pieces:
            if position == 0 and partial.size_bytes:
                partial.restart()
            if position != partial.size_bytes or position + len(piece) > partial.file.size_bytes:
                raise senseless
            partial.append(piece)
            tell()
    if not partial.is_complete:
        raise InterruptedTransferError(senseless)
