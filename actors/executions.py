"""The executions that have a plan and no record yet. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from actors.execution import Execution


class Executions:
    """The executions in progress, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Execution] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Execution]:
        return iter(self._by_id.values())

    def __getitem__(self, execution_id: str) -> Execution:
        return self._by_id[execution_id]

    def find(self, execution_id: str) -> Execution | None:
        """The execution of an id; ``None`` where it is not in progress."""
        return self._by_id.get(execution_id)

    def add(self, execution: Execution) -> None:
        """Add an execution."""
        self._by_id[execution.execution_id] = execution

    def remove(self, execution: Execution) -> None:
        """Remove an execution. Raises KeyError where it is not there."""
        del self._by_id[execution.execution_id]

    def by_model(self) -> dict[str, list[str]]:
        """Which need a model, by its path."""
        found: dict[str, list[str]] = {}
        for execution in self:
            draft = execution.plan.speculation.model
            for path in {execution.plan.model_ref.path, *(() if draft is None else (draft.path,))}:
                found.setdefault(path, []).append(execution.execution_id)
        return found

    def disturb(self) -> None:
        """Something of this engine that is no execution keeps the machine busy beside what runs."""
        for execution in self:
            if execution.computes:
                execution.disturbed = True
