"""What agents need of an engine to experiment: a port, so that they can be tried on a machine that is simulated."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from protocol.value import Value
from weos_agents.evidence import Evidence
from weos_agents.workload import WorkloadLine

Changes = Mapping[str, Any]
"""Fields of a request, dotted (``execution.threads``), and their values; empty: the engine's own choice of all."""
Enough = Callable[[Evidence], bool]
"""Whether the pairs so far are enough, so that an experiment may be stopped."""


class ResolvedPlan(Value):
    """A plan as the engine made it."""

    fingerprint: str
    content: dict[str, Any]
    """In its JSON form."""

    @property
    def json_text(self) -> str:
        """The content as text."""
        return json.dumps(self.content)


class Laboratory(Protocol):
    """Where plans are tried. Every method may raise an EngineError."""

    def resolve(self, changes: Changes) -> ResolvedPlan:
        """The plan of these changes, with room for every input of the workload."""

    def experiment(
        self, baseline: Changes, candidate: Changes, inputs: Sequence[WorkloadLine], pairs: int, enough: Enough
    ) -> Evidence:
        """Run both plans in interleaved pairs over the inputs, until ``pairs`` are whole or ``enough`` says so."""

    def joules_used(self) -> float | None:
        """What all experiments have used so far; ``None``: nothing measures it."""
