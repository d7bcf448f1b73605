"""Joules of one setting, their comparison with other settings, and their presentation. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

HEAD = (
    "| model | quantization | threads | batch | tokens/s | ms between tokens | W | J/token, steady | "
    "J/token, whole run | tokens/J, steady | kind | used by others |\n" + 12 * "|---" + "|\n"
)
_FRONT = "**"


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a full batch."""

    steady_s: float
    """Seconds from when each of the batch had its first token to before the first of them ended."""
    steady_tokens: int
    """Generated in that time, by all together."""
    steady_joules: float
    """Joules of the packages in that time."""
    whole_tokens: int
    whole_joules: float
    """Joules in the executions' records: from the first prefill step to the last token, ramp and drain included."""
    gap_p50_ms: float
    """Between two tokens of one sequence; the median over the sequences."""
    rel_uncertainty: float
    used_by_others: float | None
    """Part of the machine's CPU time that others had; ``None`` if unknown."""


@dataclass(frozen=True, slots=True)
class EnergyPoint:
    model: str
    quantization: str
    threads: int
    batch: int
    """Sequences side by side."""
    kind: str
    """``measured`` or ``modelled``: what the joules are worth."""
    source: str
    samples: tuple[Sample, ...]

    @property
    def worth(self) -> str:
        """Stands beside every figure of it."""
        return f"{self.kind}, {self.source}"

    @property
    def tokens_per_joule(self) -> float:
        return self._median(lambda sample: sample.steady_tokens / sample.steady_joules)

    @property
    def gap_p50_ms(self) -> float:
        return self._median(lambda sample: sample.gap_p50_ms)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    def row(self, *, on_front: bool) -> str:
        others = [sample.used_by_others for sample in self.samples if sample.used_by_others is not None]
        mark = _FRONT if on_front else ""
        mean = self._median(lambda sample: sample.steady_joules / sample.steady_s)
        cells = (
            *(self.model, self.quantization, str(self.threads), str(self.batch)),
            f"{self._median(lambda sample: sample.steady_tokens / sample.steady_s):,.1f}",
            f"{self.gap_p50_ms:.1f}",
            f"{self._mark}{mean:.1f}",
            self._spread(lambda sample: sample.steady_joules / sample.steady_tokens),
            self._spread(lambda sample: sample.whole_joules / sample.whole_tokens),
            f"{mark}{self._mark}{self.tokens_per_joule:.2f}{mark}",
            self.worth,
            f"{max(others):.0%}" if others else "unknown",
        )
        return "| " + " | ".join(cells) + " |\n"

    @property
    def _mark(self) -> str:
        return "~ " if self.kind == "modelled" else ""

    def _median(self, figure: Callable[[Sample], float]) -> float:
        return statistics.median(map(figure, self.samples))

    def _spread(self, figure: Callable[[Sample], float]) -> str:
        figures = [figure(sample) for sample in self.samples]
        return f"{self._mark}{statistics.median(figures):.3f} ({min(figures):.3f} to {max(figures):.3f})"


def point_from(content: dict[str, Any]) -> EnergyPoint:
    """The point from the content that ``as_json`` made."""
    return EnergyPoint(**{**content, "samples": tuple(Sample(**sample) for sample in content["samples"])})


def pareto_front(points: Sequence[EnergyPoint]) -> list[EnergyPoint]:
    """Those that no other beats: neither as fast with more tokens a joule, nor faster with as many. Fastest first.

    Points are held only against those whose joules are worth the same.
    """
    front = [
        point for point in points if not any(_beats(other, point) for other in points if other.worth == point.worth)
    ]
    return sorted(front, key=lambda point: point.gap_p50_ms)


def _beats(other: EnergyPoint, point: EnergyPoint) -> bool:
    no_worse = other.gap_p50_ms <= point.gap_p50_ms and other.tokens_per_joule >= point.tokens_per_joule
    return no_worse and (other.gap_p50_ms, other.tokens_per_joule) != (point.gap_p50_ms, point.tokens_per_joule)


def table(result: dict[str, Any]) -> str:
    points = [point_from(content) for content in result["points"]]
    front = pareto_front(points)
    machine = result["machine"]
    rows = "".join(point.row(on_front=point in front) for point in points)
    return (
        f"{machine['cpu']}, engine {machine['engine_version']}, {result['rounds']} rounds of {result['seconds']:g} s, "
        f"bold: on the Pareto front of tokens/J against ms between tokens.\n\n{HEAD}{rows}"
    )
