"""The end of a process that is no child of this one."""

from __future__ import annotations

import time
from pathlib import Path


def has_ended(process: Path) -> bool:
    """Whether the process of that folder of ``/proc`` ends within some seconds.

    Whoever adopted it may have yet to take note of its end.
    """
    for _ in range(1000):
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False
