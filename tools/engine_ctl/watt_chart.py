"""A text chart of the latest watts."""

from __future__ import annotations

from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_STEPS = (1, 2, 5)


def chart(watts: Sequence[float | None], width: int, height: int) -> list[str]:
    """A column for each of the last ``width`` figures, the latest at the right, ``height`` lines high from 0 W to a
    round number that none exceeds. A figure that is not known leaves its column empty.

    Raises:
        ValueError: no room for a column.
    """
    if width < 1 or height < 1:
        raise ValueError("a chart has at least one column and one line")
    shown = list(watts[-width:])
    top = round_up(max((figure for figure in shown if figure is not None), default=0.0))
    label = len(f"{top:,g} W")
    lines = []
    for line in range(height):
        base = height - 1 - line
        cells = "".join(_cell(figure, top, height, base) for figure in shown)
        scale = f"{top:,g} W" if line == 0 else "0 W" if base == 0 else ""
        lines.append(f"{scale:>{label}} ┤{cells:>{width}}")
    return lines


def round_up(value: float) -> float:
    """The least of 1, 2, 5, 10, 20, … that is no less."""
    magnitude = 1.0
    while True:
        for step in _STEPS:
            if step * magnitude >= value:
                return step * magnitude
        magnitude *= 10


def _cell(figure: float | None, top: float, height: int, base: int) -> str:
    if figure is None:
        return " "
    eighths = round(figure / top * height * 8) - base * 8
    return _EIGHTHS[min(8, max(0, eighths))]
