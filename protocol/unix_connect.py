"""Connecting to a Unix socket, with patience where many do at once."""

from __future__ import annotations

import errno
import math
import socket
import struct
import time
from pathlib import Path

_TIMEVAL = struct.Struct("@ll")
_LEAST_S = 0.001
"""The system takes 0 for no bound at all."""


def connect_unix(path: Path, patience_s: float) -> socket.socket:
    """A connected socket, which blocks. Raises OSError, and so TimeoutError where nobody takes the connection.

    A socket that does not block, such as one with a time-out of Python's, would be refused at once where as many wait
    as may. This one waits in their queue, with a bound of the system's own.
    """
    deadline = time.monotonic() + patience_s
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        while not _is_connected(stream):  # a signal ends a wait, and Python takes that for its success
            _bound_sending(stream, max(_LEAST_S, deadline - time.monotonic()))
            stream.connect(str(path))
        _bound_sending(stream, 0.0)
    except BlockingIOError as error:
        stream.close()
        raise TimeoutError(errno.ETIMEDOUT, f"it takes no connection within {patience_s:g} s") from error
    except BaseException:
        stream.close()
        raise
    return stream


def _is_connected(stream: socket.socket) -> bool:
    try:
        stream.getpeername()
    except OSError:
        return False
    return True


def _bound_sending(stream: socket.socket, seconds: float) -> None:
    part, whole = math.modf(seconds)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _TIMEVAL.pack(int(whole), int(part * 1e6)))
