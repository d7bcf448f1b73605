"""The executions that have a plan and no record yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from actors.execution import Execution
from actors.messages import Started


class Executions:
    def __init__(self) -> None:
        self._by_id: dict[str, Execution] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._by_id.values())

    def __getitem__(self, execution_id: str) -> Execution:
        return self._by_id[execution_id]

    def find(self, execution_id: str) -> Execution | None:
        return self._by_id.get(execution_id)

    def add(self, execution: Execution) -> None:
        self._by_id[execution.execution_id] = execution

    def remove(self, execution: Execution) -> None:
        del self._by_id[execution.execution_id]

    def start(self, execution: Execution, event: Started, *, alone: bool) -> None:
        """It begins to compute; ``alone`` as far as others than executions go."""
        execution.start(event)
        execution.alone = alone
        for other in self:
            if other is not execution and other.computes:
                other.alone = execution.alone = False

    def disturb(self) -> None:
        """Something else of this engine keeps the machine busy: what runs is no longer alone."""
        for execution in self:
            if execution.computes:
                execution.alone = False
