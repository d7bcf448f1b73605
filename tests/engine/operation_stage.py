"""A backend and a planner for operations on loaded models, and looks into one that runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from engine.config import EngineConfig
from engine.cpu.cpu_backend import CpuBackend
from engine.energy.ladder import EnergyLadder
from engine.models.registry import ModelRegistry
from engine.operation import Operation
from engine.planning.planner import Planner
from engine.weights.weights_cache import WeightsCache
from protocol.answers import EngineMessage
from protocol.errors import ExecutionCancelled
from protocol.progress import ProgressUnit, StageProgress
from tests.engine.backend_bench import MACHINE


class OperationStage:
    def __init__(self, directory: Path, memory_limit_bytes: int | None = None) -> None:
        config = EngineConfig(directory, directory / "cache", directory)
        registry = ModelRegistry(config)
        self.energy = EnergyLadder([], {"rapl": "not here"})
        self.backend = CpuBackend(registry, WeightsCache.of(config), lambda: None, memory_limit_bytes)
        self.planner = Planner(registry, config, MACHINE, self.energy.availability())

    def in_use(self) -> list[bool]:
        """Whether each model in memory is in use."""
        return [model.in_use for model in self.backend.statistics().models]


def cancel_when_begun(operation: Operation[EngineMessage], unit: ProgressUnit) -> StageProgress:
    """Run it in a thread and end it from here as soon as something of ``unit`` is done; what was seen then."""
    outcome: list[BaseException] = []

    def run() -> None:
        try:
            operation.run()
        except ExecutionCancelled as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    seen = _first_done(operation, unit)
    operation.cancel()
    thread.join(60)
    assert isinstance(outcome[0], ExecutionCancelled)
    return seen


def _first_done(operation: Operation[EngineMessage], unit: ProgressUnit) -> StageProgress:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        progress = operation.progress()
        if progress is not None and progress.unit == unit and progress.done > 0:
            return progress
        time.sleep(0.001)
    pytest.fail(f"nothing in {unit} was ever done")
