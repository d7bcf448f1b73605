"""The order in which executions of several clients are considered: their due times, moved by what each has already.

    moved due = due + min(n x 1 s, what the delay leaves of 20 s)

``n`` counts the executions that the client had in the engine when this one came. One who comes with a first request is
thus ahead of another's hundredth, and a moved due time lies within the same bounds as a due time, and as still: the
aging bound holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from actors.policies.candidate import Candidate
from actors.policies.due_time import latest_due_ns
from actors.policies.requester import Requester

SHARE_NS = 1_000_000_000
"""What an execution that the same client had already costs."""


def in_turn(queued: Iterable[Candidate], due: Mapping[str, int]) -> list[Candidate]:
    """The earliest moved due time first; between equals, the earlier due. Where one client waits alone, nothing is
    moved, and else none of its own goes before one that is due earlier. ``due``: by the executions' ids.
    """
    by_due = sorted(queued, key=lambda one: due[one.execution_id])
    if len({one.requester for one in by_due}) < 2:
        return by_due
    moved: dict[str, int] = {}
    last: dict[Requester, int] = {}
    for one in by_due:
        shifted = max(due[one.execution_id] + one.ahead * SHARE_NS, last.get(one.requester, 0))
        last[one.requester] = moved[one.execution_id] = max(due[one.execution_id], min(shifted, latest_due_ns(one)))
    return sorted(by_due, key=lambda one: moved[one.execution_id])
