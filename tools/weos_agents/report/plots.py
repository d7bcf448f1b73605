"""Pictures of what agents found, as PNG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weos_agents.experimenter import Confirmation, Trial
from weos_agents.observer import PlanFigures
from weos_agents.report.figure_words import called
from weos_agents.sample import MORE_IS_BETTER, Metric

_BLUE: Final = "#1f6feb"
_GREY: Final = "#8b949e"
_RED: Final = "#cf222e"
_GREEN: Final = "#1a7f37"
_LEAST_RIGHT: Final = 2.0
"""Per cent beyond a limit that a picture shows at least."""


def pairs_picture(confirmation: Confirmation, wanted: float, *, unknown_load_counts: bool) -> bytes:
    """Every pair of a proof, in order: how much better the candidate was, what is proved, and what was wanted."""
    figure, axes = _canvas()
    verdict = confirmation.verdict
    sign = 1.0 if verdict.kpi in MORE_IS_BETTER else -1.0
    counting = set(map(id, confirmation.evidence.undisturbed(unknown_counts=unknown_load_counts)))
    for counts, colour, name in ((True, _BLUE, "a pair"), (False, _GREY, "left out")):
        points = [
            (number, 100 * math.expm1(sign * ratio))
            for number, pair in enumerate(confirmation.evidence.pairs, 1)
            if (ratio := pair.log_ratio(verdict.kpi)) is not None and (id(pair) in counting) == counts
        ]
        if points:
            _scatter(axes, points, color=colour, s=18, label=name)
    axes.axhline(0.0, color=_GREY, linewidth=1)
    axes.axhline(100 * wanted, color=_RED, linestyle=":", label=f"wanted: {wanted:+.0%}")
    if verdict.gain is not None:
        axes.axhline(100 * verdict.gain, color=_BLUE, linewidth=1, label=f"median: {verdict.gain:+.1%}")
    if verdict.gain_at_least is not None:
        proved = f"proved: {verdict.gain_at_least:+.1%} or more"
        axes.axhline(100 * verdict.gain_at_least, color=_GREEN, linestyle="--", label=proved)
    return _png(figure, axes, "pair, in order of time", f"{called(verdict.kpi)}: change, %")


def trials_picture(trials: Sequence[Trial], kpi: Metric, chosen: dict[str, object] | None) -> bytes:
    """Every candidate by its number: its gain against the guardrail that it came closest to breaking; and the front of
    those within all limits that no other of these beats in both."""
    figure, axes = _canvas()
    found = [
        (100 * max(trial.worse.values(), default=0.0), 100 * trial.gain, trial)
        for trial in trials
        if trial.gain is not None
    ]
    for same_bits, marker, name in ((True, "o", "same answers"), (False, "s", "other answers")):
        points = [(x, y) for x, y, trial in found if trial.same_bits == same_bits]
        if points:
            _scatter(axes, points, marker=marker, color=_BLUE, s=22, label=name)
    front = front_of([(x, y) for x, y, _ in found if x <= 0])
    if len(front) > 1:
        axes.plot([x for x, _ in front], [y for _, y in front], color=_GREY, linewidth=1, label="best trade-offs")
    for number, trial in enumerate(trials, 1):
        for x, y in ((x, y) for x, y, one in found if one is trial):
            axes.annotate(str(number), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
            if trial.changes == chosen:
                axes.scatter([x], [y], facecolors="none", edgecolors=_GREEN, s=120, linewidths=2, label="proposed")
    axes.axhline(0.0, color=_GREY, linewidth=1)
    right = max(axes.get_xlim()[1], _LEAST_RIGHT)
    axes.axvspan(0.0, right, color=_RED, alpha=0.07, linewidth=0, label="beyond a limit")
    axes.set_xlim(right=right)
    return _png(figure, axes, "distance from the nearest limit, % (left of 0: within all)", f"{called(kpi)}: change, %")


def front_of(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other beats in both: less of the first, more of the second. From the left."""
    front: list[tuple[float, float]] = []
    for point in sorted(points, key=lambda one: (one[0], -one[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front


def history_picture(plans: Sequence[PlanFigures]) -> bytes:
    """Tokens per second of each plan's latest executions."""
    figure, axes = _canvas()
    for plan in plans:
        if plan.history:
            axes.plot(plan.history, linewidth=1, marker=".", label=f"{plan.model} {plan.plan[7:15]}")
    return _png(figure, axes, "execution, the oldest first", "tokens per second")


def _scatter(axes: Axes, points: Sequence[tuple[float, float]], **style: Any) -> None:
    axes.scatter([x for x, _ in points], [y for _, y in points], **style)


def _canvas() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    return figure, figure.subplots()


def _png(figure: Figure, axes: Axes, across: str, up: str) -> bytes:
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    content = BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
