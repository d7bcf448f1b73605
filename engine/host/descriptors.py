"""Descriptors of open files: what it means that the system gives no more."""

from __future__ import annotations

import errno
from typing import Final

from protocol.errors import Overloaded

FULL_TABLES: Final = (errno.EMFILE, errno.ENFILE)
"""Errors of a process, or a system, that has as many open files as it may."""
_RETRY_MS: Final = 1000


def no_descriptors(path: str, reason: str = "") -> Overloaded:
    """The refusal of what needs a file opened. Nothing is wrong with the file."""
    return Overloaded(
        f"{path} cannot be opened now: the engine has as many files open as it may; raise its limit (ulimit -n, "
        "LimitNOFILE=)",
        retry_after_ms=_RETRY_MS,
        **({"reason": reason} if reason else {}),
    )
