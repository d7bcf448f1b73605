"""Tokens a joule against latency, drawn: which settings are worth choosing, and which are beaten.

    .venv/bin/python -m benchmarks.energy_plot RESULT.json PICTURE.png

RESULT.json is what ``benchmarks.energy --json`` wrote. Needs the extra [plots]. What the joules are worth stands on
both axes; points of another kind or source have a panel of their own, since they cannot be compared.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.support.energy_point import EnergyPoint, pareto_front, point_from

_WIDTH_IN, _HEIGHT_IN, _DPI = 8.0, 5.5, 120


def plot(points: Sequence[EnergyPoint], path: Path) -> None:
    """Write a picture of the kind that the path's ending names. Raises ValueError: no points."""
    worths = sorted({point.worth for point in points})
    if not worths:
        raise ValueError("there is nothing to draw")
    mpl.use("agg")
    figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN * len(worths)), dpi=_DPI, layout="constrained")
    panels = figure.subplots(len(worths), squeeze=False)
    for panel, worth in zip(panels[:, 0], worths, strict=True):
        draw(panel, [point for point in points if point.worth == worth])
    figure.savefig(path)


def draw(panel: Axes, points: Sequence[EnergyPoint]) -> None:
    """Points whose joules are worth the same."""
    worth = points[0].worth
    front = pareto_front(points)
    for quantization in sorted({point.quantization for point in points}):
        chosen = [point for point in points if point.quantization == quantization]
        panel.plot(
            [point.gap_p50_ms for point in chosen],
            [point.tokens_per_joule for point in chosen],
            "o",
            label=quantization,
        )
    panel.plot(
        [point.gap_p50_ms for point in front],
        [point.tokens_per_joule for point in front],
        "k--",
        linewidth=1,
        label="Pareto front",
    )
    for point in points:
        panel.annotate(
            f"threads {point.threads}, batch {point.batch}",
            (point.gap_p50_ms, point.tokens_per_joule),
            textcoords="offset points",
            xytext=(5, 4),
            fontsize=7,
            fontweight="bold" if point in front else "normal",
        )
    panel.set_xlabel(f"ms between two tokens of a sequence, median (joules: {worth})")
    panel.set_ylabel(f"tokens per joule in the steady state ({worth})")
    panel.set_title(f"{points[0].model}: tokens per joule against latency")
    panel.grid(visible=True, alpha=0.3)
    panel.legend()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    content = json.loads(arguments.result.read_text(encoding="utf-8"))
    plot([point_from(point) for point in content["points"]], arguments.picture)


if __name__ == "__main__":
    main()
