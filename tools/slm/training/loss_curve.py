"""The loss curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from slm.training.training_log import JudgedEntry, LogEntry, StepEntry

_BLUE: Final = "#1f6feb"
_RED: Final = "#cf222e"
_SMOOTHED: Final = 0.95


def draw_loss_curve(entries: Sequence[LogEntry], path: Path) -> None:
    """Write a PNG: each step's loss, its running mean, and on another axis bits per byte of the held-out text."""
    steps = [entry for entry in entries if isinstance(entry, StepEntry)]
    judged = [entry for entry in entries if isinstance(entry, JudgedEntry)]
    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    axes.plot([one.step for one in steps], [one.loss for one in steps], color=_BLUE, alpha=0.25, linewidth=0.7)
    axes.plot([one.step for one in steps], _running_mean(steps), color=_BLUE, linewidth=1.2, label="training loss")
    axes.set_xlabel("step")
    axes.set_ylabel("nats a token")
    if judged:
        other = axes.twinx()
        places, costs = [one.step for one in judged], [one.bits_per_byte for one in judged]
        other.plot(places, costs, color=_RED, marker=".", label="held-out text")
        other.set_ylabel("bits per byte")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
    begun = path.with_suffix(".begun")
    figure.savefig(begun, format="png")
    begun.replace(path)


def _running_mean(steps: Sequence[StepEntry]) -> list[float]:
    """Exponentially weighted, without the pull towards 0 that its beginning would have."""
    means, mean, weight = [], 0.0, 0.0
    for one in steps:
        mean = _SMOOTHED * mean + (1 - _SMOOTHED) * one.loss
        weight = _SMOOTHED * weight + (1 - _SMOOTHED)
        means.append(mean / weight)
    return means
