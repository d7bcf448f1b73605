"""A quantization that one thread carries out, as others see it and end it."""

from __future__ import annotations

from threading import Event

from engine import _core
from protocol.errors import ExecutionCancelled
from protocol.progress import StageProgress


class QuantizationWatch:
    """Made before the quantization, and cancelled before it, during it or after it."""

    def __init__(self) -> None:
        self._cancelled = Event()
        self._quantization: _core.ModelQuantization | None = None

    def follow(self, quantization: _core.ModelQuantization) -> None:
        """Called before the quantization runs."""
        self._quantization = quantization
        if self._cancelled.is_set():
            quantization.cancel()

    def check(self) -> None:
        """Raises ExecutionCancelled where it was cancelled."""
        if self._cancelled.is_set():
            raise ExecutionCancelled("cancelled while weights were made ready")

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        self._cancelled.set()
        if self._quantization is not None:
            self._quantization.cancel()

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        if self._quantization is None:
            return None
        made = self._quantization.progress()
        return StageProgress(
            stage="quantizing",
            done=made.bytes_done,
            total=made.bytes_total,
            tensors_done=made.tensors_done,
            tensors_total=made.tensors_total,
        )
