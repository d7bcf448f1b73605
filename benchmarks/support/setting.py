"""The setting of a benchmark: the model, the threads, and the backends that this machine runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine import _core
from engine.config import default_config
from engine.host.machine import probe_machine
from engine.models.registry import ModelRegistry
from protocol.speculation import Speculation

LOOKUP = Speculation(kind="lookup")


@dataclass(frozen=True, slots=True)
class Setting:
    model: str
    """Registry name or path."""
    threads: int
    backends: tuple[str, ...]
    """Best first, without the scalar reference."""
    quantization: str = "native"
    """The model's, where drafts are measured."""
    speculation: Speculation = LOOKUP
    """What they are made by."""

    @property
    def path(self) -> Path:
        """Raises the registry's typed errors."""
        return ModelRegistry(default_config()).resolve(self.model).path


def setting(model: str, quantization: str = "native", speculation: Speculation = LOOKUP) -> Setting:
    """The default setting: a plan's default number of threads, and every backend but the reference."""
    backends = tuple(name for name, lacking in _core.kernel_tables().items() if not lacking and name != "reference")
    return Setting(model, probe_machine().allowed_cpus, backends, quantization, speculation)
