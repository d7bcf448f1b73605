"""The real backend: plans to the C++ run loop, events back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import cast

from engine import _core
from engine.backend import BackendStatistics, BackendStopReason, LoadedModel, SequenceEvents
from engine.models import ModelRegistry
from protocol.errors import InternalError, InvalidModel, OutOfMemoryBudget, UnsupportedModel
from protocol.plan import ExecutionPlan

_KERNEL_TABLES = {"cpu_avx2": "avx2", "reference": "reference"}


@dataclass(frozen=True, slots=True)
class CpuModel:
    """Weights packed for one kernel table, and the vocabulary that turns their ids into text."""

    model: _core.Model
    vocabulary: _core.Vocabulary

    @property
    def weights_bytes(self) -> int:
        return self.model.weights_bytes

    @property
    def kernel_path(self) -> str:
        return self.model.kernel_path


class CpuBackend:
    """Implements :class:`engine.backend.Backend`."""
