"""A measured figure: its samples, its median, and the bound it is held against."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    unit: str
    samples: Sequence[float]
    at_most: float | None = None
    at_least: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def holds(self) -> bool | None:
        """``None`` where there is no bound."""
        if self.at_most is None and self.at_least is None:
            return None
        above = self.at_most is not None and self.median > self.at_most
        below = self.at_least is not None and self.median < self.at_least
        return not (above or below)

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "samples": list(self.samples),
            "at_most": self.at_most,
            "at_least": self.at_least,
            "holds": self.holds,
        }


def print_figures(figures: Iterable[Figure]) -> None:
    row = "{:76} {:>9} {:>9} {:>9} {:8} {:>10} {}\n"
    sys.stdout.write(row.format("figure (n)", "median", "min", "max", "unit", "bound", ""))
    for figure in figures:
        bound = "" if figure.at_most is None else f"<= {figure.at_most:g}"
        bound = bound if figure.at_least is None else f">= {figure.at_least:g}"
        numbers = [f"{value:.4g}" for value in (figure.median, min(figure.samples), max(figure.samples))]
        verdict = {True: "holds", False: "FAILS", None: ""}[figure.holds]
        sys.stdout.write(row.format(f"{figure.name} ({len(figure.samples)})", *numbers, figure.unit, bound, verdict))
