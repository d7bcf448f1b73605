"""A line through points, and how far they lie from it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line."""

    intercept: float
    slope: float

    def at(self, x: float) -> float:
        """The line's y at ``x``."""
        return self.intercept + self.slope * x

    def largest_rel_residual(self, points: Sequence[tuple[float, float]]) -> float:
        """The largest distance in y from the line, as a part of y, over the points whose y is not 0."""
        return max((abs(self.at(x) - y) / abs(y) for x, y in points if y), default=0.0)


def least_squares(points: Sequence[tuple[float, float]]) -> Line | None:
    """The line with the least sum of squared distances in y; ``None`` where all x are the same."""
    if not points:
        return None
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    if not spread:
        return None
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return Line(mean_y - slope * mean_x, slope)
