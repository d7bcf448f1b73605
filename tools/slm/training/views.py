"""What a person sees of a training while it runs: a bar on the terminal, and TensorBoard's events."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import Self

from slm.training.trainer import Trainer
from slm.training.training_log import LogEntry, StepEntry


class TrainingViews:
    """Nothing is drawn where stderr is no terminal."""

    def __init__(self, folder: Path, trainer: Trainer) -> None:
        self._trainer = trainer
        self._tokens = trainer.configuration.training.tokens_per_step
        # What follows the checkpoint was written before a kill, and is written again.
        self._events = SummaryWriter(str(folder / "events"), purge_step=trainer.step + 1)
        self._bar = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("training", figures="", completed=trainer.step)

    def show(self, entry: LogEntry) -> None:
        """Draw an entry of the log."""
        if not isinstance(entry, StepEntry):
            self._events.add_scalar("held-out/bits_per_byte", entry.bits_per_byte, entry.step)
            return
        figures = f"{entry.loss:.3f} nats, {self._tokens / entry.seconds:,.0f} tokens/s"
        self._bar.update(
            self._task, completed=entry.step, total=self._trainer.configuration.training.max_steps, figures=figures
        )
        self._events.add_scalar("training/loss", entry.loss, entry.step)
        self._events.add_scalar("training/learning_rate", entry.learning_rate, entry.step)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._events.close()
