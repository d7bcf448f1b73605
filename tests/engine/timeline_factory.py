"""The times of an execution, as the engine takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.metrics.phases import Timeline

MS = 1_000_000


def make_timeline(**changes: Any) -> Timeline:
    """Received at 0 ms, queued 1, admitted 3, loaded 3 to 5, prefill from 10; tokens at 30, 40, 50, 60 and 110 ms,
    and the end at 111; but for the changes."""
    timeline = Timeline(
        received_ns=0,
        prompt_tokens=20,
        queued_ns=1 * MS,
        admitted_ns=3 * MS,
        load_start_ns=3 * MS,
        load_end_ns=5 * MS,
        prefill_start_ns=10 * MS,
        token_times_ns=tuple(time * MS for time in (30, 40, 50, 60, 110)),
        ended_ns=111 * MS,
    )
    return replace(timeline, **changes)
