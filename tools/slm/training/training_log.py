"""The log of a training: a line for each step, cut back to the checkpoint when it goes on after a kill."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import Self


class StepEntry(BaseModel):
    """What a step came to."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["step"] = "step"
    step: int
    loss: float
    """Nats a token, before the step."""
    learning_rate: float
    gradient_norm: float
    seconds: float
    """Time of the step alone."""


class JudgedEntry(BaseModel):
    """What the held-out text cost after a step."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["judged"] = "judged"
    step: int
    bits_per_byte: float


LogEntry = StepEntry | JudgedEntry


class TrainingLog:
    """A file of JSON lines."""

    def __init__(self, path: Path, step: int) -> None:
        """Forgets what is behind ``step`` steps, and a line that was not written to its end."""
        kept = [entry for entry in read_log(path) if entry.step <= step] if path.exists() else []
        begun = path.with_suffix(".begun")
        begun.write_text("".join(f"{entry.model_dump_json()}\n" for entry in kept), encoding="utf-8")
        begun.replace(path)
        self._file = path.open("a", encoding="utf-8")

    def add(self, entry: LogEntry) -> None:
        """Append a line."""
        self._file.write(f"{entry.model_dump_json()}\n")
        self._file.flush()

    def sync(self) -> None:
        """Have all lines on the disk."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def read_log(path: Path) -> list[LogEntry]:
    """The entries up to the first line that is not whole."""
    found: list[LogEntry] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(_entry(line))
        except ValidationError:
            break
    return found


def _entry(line: str) -> LogEntry:
    kind = JudgedEntry if '"kind":"judged"' in line else StepEntry
    return kind.model_validate_json(line)
