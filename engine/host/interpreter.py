"""Settings of the interpreter for a process in which an event loop must not wait."""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_S: Final = 0.001
"""How long another thread may run Python while the event loop waits for its turn; five times as long by default."""


def keep_pauses_short() -> None:
    """Call it once all modules are imported: collections of garbage do not look at what is there by then, which takes
    tens of milliseconds."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
