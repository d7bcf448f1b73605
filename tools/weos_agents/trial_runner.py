"""Where trials are made: a port, and the engine that proves them too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from protocol.value import Value
from weos_agents.experimenter import Experimenter, Trial
from weos_agents.workload import WorkloadLine


class TrialTask(Value):
    """A candidate to be tried."""

    changes: dict[str, Any]
    """Fields of a request, dotted, and their values."""
    plan_changes: dict[str, Any]
    """The same by the plan's names."""
    same_bits: bool
    pairs: int
    """That count."""


class TrialRunner(Protocol):
    """Every method may raise an EngineError: no engine is left to try on."""

    @property
    def width(self) -> int:
        """How many tasks it takes at a time."""

    def run(self, tasks: Sequence[TrialTask]) -> tuple[Trial, ...]:
        """Try them all; the trials are in the tasks' order."""

    def joules_elsewhere(self) -> float | None:
        """What other engines than the proving one have used; ``None``: one of them does not measure."""


class LocalTrials:
    """One after the other, on the engine that proves too."""

    width = 1

    def __init__(self, experimenter: Experimenter, inputs: Sequence[WorkloadLine]) -> None:
        """``inputs``: those for choosing."""
        self._experimenter = experimenter
        self._inputs = inputs

    def run(self, tasks: Sequence[TrialTask]) -> tuple[Trial, ...]:
        """See :class:`TrialRunner`."""
        return tuple(
            self._experimenter.screen(
                task.changes, task.plan_changes, self._inputs, task.pairs, same_bits=task.same_bits
            )
            for task in tasks
        )

    def joules_elsewhere(self) -> float | None:
        """See :class:`TrialRunner`."""
        return 0.0
