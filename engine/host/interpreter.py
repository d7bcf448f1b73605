"""Settings of the interpreter for a process in which an event loop must not wait."""

from __future__ import annotations

import gc
import sys
from typing import Final

_SWITCH_S: Final = 0.001
"""How long another thread may run Python while the event loop waits for its turn; five times as long by default."""
_COLLECTIONS_BETWEEN: Final = 5000
"""Collections of young objects between two of all, unless :func:`collect_garbage` comes first; 10 by default. One of
all takes milliseconds where hundreds are connected, and finds next to nothing: what lives for long is in no circles."""


def keep_pauses_short() -> None:
    """Call it once all modules are imported: collections of garbage do not look at what is there by then, which takes
    tens of milliseconds."""
    sys.setswitchinterval(_SWITCH_S)
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, _COLLECTIONS_BETWEEN)
    gc.collect()
    gc.freeze()


def keep_modules_uncollected() -> None:
    """Call it where more modules were imported, in whatever thread: collections do not look at these either."""
    gc.freeze()


def collect_garbage() -> None:
    """Look at all that was made since the modules were imported: for a moment in which nobody waits."""
    if gc.get_count()[-1]:
        gc.collect()
