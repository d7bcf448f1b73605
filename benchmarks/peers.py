"""The engine beside other engines: same file, same threads, in turn, on one machine in one run.

python -m benchmarks.peers [--smollm2 GGUF] [--qwen GGUF] [--json FILE] [--only TEXT] [--work TEXT]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.disturbance import Disturbance
from benchmarks.llama_cpp import LlamaCpp
from benchmarks.quantized_copy import quantized_copy
from benchmarks.report import Figure, print_figures
from engine import _core
from engine.measured_loop import MeasuredLoop
from engine.version import ENGINE_VERSION
from engine.work import Work, decode, decode_side_by_side, prefill

THREADS = 2
BUILDS = {"cpu_avx2": "avx2", "cpu_avx512": "avx512"}
# A turn in which others had more than this of the machine is taken again, as often as there are rounds; what counts in
# the end are the least disturbed.
DISTURBED = 0.03

PREFILL = prefill(256, repetitions=3)
DECODE = decode(128)
SIDE_BY_SIDE = decode_side_by_side(16, 32)
DEEP = decode(32, depth=4096, repetitions=3, rounds=3)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model file, and for each work the ratio to hold on each backend; None where none is set."""

    name: str
    path: Callable[[argparse.Namespace], Path]
    works: Mapping[Work, Mapping[str, float] | None]


def _bounds(avx2: float, avx512: float) -> dict[str, float]:
    return {"cpu_avx2": avx2, "cpu_avx512": avx512}


SUBJECTS = (
    Subject(
        "SmolLM2-135M Q4_1 (as shipped)",
        lambda a: a.smollm2,
        {DECODE: _bounds(1.7, 1.9), PREFILL: _bounds(2.5, 7.5), SIDE_BY_SIDE: _bounds(2.5, 5), DEEP: _bounds(2.5, 3)},
    ),
    Subject(
        "SmolLM2-135M Q8_0",
        lambda a: quantized_copy(a.smollm2, "Q8_0"),
        {DECODE: _bounds(1.5, 1.6), PREFILL: _bounds(1.5, 4), SIDE_BY_SIDE: _bounds(2.5, 5)},
    ),
    Subject(
        "SmolLM2-135M Q6_K",
        lambda a: quantized_copy(a.smollm2, "Q6_K"),
        {DECODE: _bounds(1.5, 1.6), PREFILL: None, SIDE_BY_SIDE: _bounds(2.5, 5)},
    ),
    Subject(
        "SmolLM2-135M Q4_K_M",
        lambda a: quantized_copy(a.smollm2, "Q4_K_M"),
        {DECODE: _bounds(1.7, 1.9), PREFILL: _bounds(1.5, 4), SIDE_BY_SIDE: _bounds(2.5, 5)},
    ),
    Subject(
        "Qwen2.5-Coder-1.5B Q4_K_M",
        lambda a: a.qwen,
        {DECODE: _bounds(1.25, 1.25), prefill(256): _bounds(1.6, 3.2), decode_side_by_side(16, 16): _bounds(2, 4)},
    ),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens a second of either engine, one right after the other."""

    ours: float
    theirs: float
    used_by_others: float


@dataclass
class Comparison:
    subject: str
    backend: str
    work: str
    at_least: float | None
    turns: list[Turn] = field(default_factory=list)
    flash_attention: str = ""

    @property
    def undisturbed(self) -> int:
        return sum(turn.used_by_others <= DISTURBED for turn in self.turns)

    def keep_least_disturbed(self, count: int) -> None:
        self.turns = sorted(self.turns, key=lambda turn: turn.used_by_others)[:count]

    def rates(self, engine: Literal["ours", "theirs"]) -> Figure:
        return Figure(f"{self.name}: {engine}", "tokens/s", [getattr(turn, engine) for turn in self.turns])

    @property
    def name(self) -> str:
        return f"{self.subject}, {self.backend}, {self.work}"

    @property
    def ratio(self) -> Figure:
        return Figure(self.name, "ratio", [turn.ours / turn.theirs for turn in self.turns], at_least=self.at_least)

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.subject,
            "backend": self.backend,
            "work": self.work,
            "threads": THREADS,
            "peer": f"llama.cpp {BUILDS[self.backend]}",
            "peer_flash_attention": self.flash_attention,
            "ours": self.rates("ours").as_json(),
            "theirs": self.rates("theirs").as_json(),
            "ratio": self.ratio.as_json(),
            "used_by_others": [turn.used_by_others for turn in self.turns],
        }


def compare(subject: Subject, path: Path, only: str) -> Iterator[Comparison]:
    """Every work on every backend that runs here; backends take turns too."""
    with ExitStack() as stack:
        ours = {
            backend: stack.enter_context(MeasuredLoop(path, backend, THREADS))
            for backend in BUILDS
            if not _core.kernel_tables()[backend]
        }
        theirs = {backend: LlamaCpp(BUILDS[backend], path, THREADS) for backend in ours}
        for work, bounds in subject.works.items():
            if only not in work.name:
                continue
            pairs = {
                backend: Comparison(subject.name, backend, work.name, bounds[backend] if bounds else None)
                for backend in ours
            }
            for _ in range(2 * work.rounds):
                for backend, pair in pairs.items():
                    if pair.undisturbed < work.rounds:
                        pair.turns.append(_turn(ours[backend], theirs[backend], work))
                        pair.flash_attention = theirs[backend].flash_attention(work)
            for pair in pairs.values():
                pair.keep_least_disturbed(work.rounds)
                yield pair


def _turn(ours: MeasuredLoop, theirs: LlamaCpp, work: Work) -> Turn:
    disturbance = Disturbance()
    return Turn(ours.rate(work), theirs.rate(work), disturbance.share())


def main() -> None:
    models = Path(os.environ.get("ENGINE_TEST_MODELS", "."))
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--smollm2", type=Path, default=models / "SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--qwen", type=Path, default=models / "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")
    parser.add_argument("--json", type=Path, help="write all samples here")
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--work", default="", help="only work whose name contains this")
    arguments = parser.parse_args()
    comparisons = []
    for subject in SUBJECTS:
        if arguments.only.lower() in subject.name.lower():
            for comparison in compare(subject, subject.path(arguments), arguments.work):
                comparisons.append(comparison)
                _print(comparison)
    print_figures(comparison.ratio for comparison in comparisons)
    if arguments.json:
        machine = {"cpu": _core.cpu_model(), "cpus": len(os.sched_getaffinity(0)), "engine_version": ENGINE_VERSION}
        result = {"machine": machine, "comparisons": [comparison.as_json() for comparison in comparisons]}
        arguments.json.write_text(json.dumps(result, indent=1))


def _print(comparison: Comparison) -> None:
    ours, theirs = comparison.rates("ours").median, comparison.rates("theirs").median
    disturbed = max(turn.used_by_others for turn in comparison.turns)
    sys.stdout.write(
        f"{comparison.name}: {ours:.1f} / {theirs:.1f} tokens/s = {comparison.ratio.median:.2f}"
        f" (flash attention {comparison.flash_attention}, others used up to {disturbed:.0%})\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
