"""A model in another recipe's types as a file of its own, for whoever asks by name."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from engine import _core
from engine.artifact import ModelArtifact
from engine.importance import ImportanceError, read_importance
from engine.machine import Machine
from engine.planning import best_backend
from engine.quantization_errors import quantization_errors
from protocol.errors import CacheFull, InvalidRequest


class QuantizedFile:
    """Thread-safe: :meth:`run` blocks, while others look at :attr:`progress` or :meth:`cancel`."""

    def __init__(
        self, artifact: ModelArtifact, recipe: str, importance: Path | None, threads: int | None, machine: Machine
    ) -> None:
        """Read the importance matrix and decide every tensor's type.

        Raises:
            InvalidRequest: the importance matrix cannot be read, or does not fit the model.
            InvalidModel, UnsupportedModel: the recipe cannot be applied to the model.
        """
        self._name = artifact.name
        try:
            values = None if importance is None else read_importance(importance).values
            with quantization_errors(self._name):
                self._quantization = _core.ModelQuantization(
                    artifact.gguf,
                    recipe,
                    importance=values,
                    kernel_table=best_backend(machine),
                    threads=threads or machine.allowed_cpus,
                )
        except (ImportanceError, OSError, ValueError) as error:
            raise InvalidRequest(f"importance {importance}: {error}", field="imatrix", value=str(importance)) from error

    @property
    def size_bytes(self) -> int:
        return self._quantization.file_bytes

    @property
    def tensor_types(self) -> dict[str, int]:
        """How many tensors have each type."""
        return dict(sorted(Counter(self._quantization.tensor_types().values()).items()))

    @property
    def progress(self) -> _core.QuantizationProgress:
        return self._quantization.progress()

    def cancel(self) -> None:
        self._quantization.cancel()

    def run(self, output: Path) -> None:
        """Write the file, once. Where it fails nothing is left of it.

        Raises:
            InvalidRequest: something of that name is there.
            CacheFull: it cannot be written.
            InvalidModel: a tensor holds what is no number.
            QuantizationCancelledError: after :meth:`cancel`.
        """
        try:
            with quantization_errors(self._name):
                self._quantization.run(str(output))
        except FileExistsError as error:
            raise InvalidRequest(
                f"{output} is there already; name a new file", field="output", value=str(output)
            ) from error
        except OSError as error:
            raise CacheFull(f"{output} cannot be written: {error}", path=str(output)) from error
