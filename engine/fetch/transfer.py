"""Bytes on their way over a network into a partial file, taken up again where a connection broke."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from engine.fetch.partial_file import PartialFile
from engine.fetch.pull_watch import PullWatch
from engine.fetch.read_ahead import CONNECTIONS, RANGE_BYTES, RangesRefusedError, Read, read_ahead
from protocol.errors import DownloadFailed

_RETRIES = 4
"""Without a byte in between."""


class InterruptedTransferError(Exception):
    """What may work a moment later."""

    def __init__(self, failure: DownloadFailed) -> None:
        super().__init__(failure.message)
        self.failure = failure
        """What to tell where it does not."""


class Transfer:
    """Blocking; for one file."""

    def __init__(self, watch: PullWatch, first_pause_s: float = 1.0, range_bytes: int = RANGE_BYTES) -> None:
        """``first_pause_s``: before the first retry; each pause is twice the one before. ``range_bytes``: what one of
        several connections is asked for; a file that gives none of them two ranges comes over one connection."""
        self._watch = watch
        self._first_pause_s = first_pause_s
        self._range_bytes = range_bytes
        self._ranges_refused = False

    def fetch(self, partial: PartialFile, read: Read, tell: Callable[[], None], senseless: DownloadFailed) -> None:
        """What is missing of a file whose part that is there has been checked, up to the checksum of the whole.

        ``tell`` is called as it goes on, and ``senseless`` raised where other bytes come than were asked for.

        Raises:
            DownloadFailed: what ``read`` tells of, or the checksum is wrong, and the part has been removed.
            ExecutionCancelled: the watch was told to cancel.
        """
        pauses = self._pauses()
        while not partial.is_complete:
            before = partial.size_bytes
            try:
                self._receive(partial, read, tell, senseless)
            except RangesRefusedError:
                self._ranges_refused = True
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

    def _receive(self, partial: PartialFile, read: Read, tell: Callable[[], None], senseless: DownloadFailed) -> None:
        """Write what comes until a connection ends."""
        tell()
        first, end = partial.size_bytes, partial.file.size_bytes
        several = not self._ranges_refused and end - first >= 2 * CONNECTIONS * self._range_bytes
        with closing(
            read_ahead(read, first, end, range_bytes=self._range_bytes) if several else read(first, None)
        ) as pieces:
            for position, piece in pieces:
                if position == 0 and partial.size_bytes:
                    partial.restart()
                if position != partial.size_bytes or position + len(piece) > end:
                    raise senseless
                partial.append(piece)
                tell()
        if not partial.is_complete:
            raise InterruptedTransferError(senseless)
