"""How far something that takes long has come."""

from __future__ import annotations

from typing import Literal

from protocol.value import Value

ProgressUnit = Literal["bytes", "windows", "tokens", "seconds", "executions"]


class StageProgress(Value):
    """How far one stage has come."""

    stage: str
    """Such as ``quantizing``. A new one begins from nothing."""
    done: int
    total: int | None
    """``None`` where it is not known."""
    unit: ProgressUnit = "bytes"
    """The unit of ``done`` and ``total``."""
    tensors_done: int | None = None
    """``None``, with the next, where the stage does not go by tensors."""
    tensors_total: int | None = None
    eta_s: float | None = None
    """Seconds to the stage's end at its mean speed so far; ``None`` before there is one."""
