"""The engine beside other engines: same file, same threads, in turn, on one machine in one run.

python -m benchmarks.peers [--smollm2 GGUF] [--gemma GGUF] [--qwen GGUF] [--json FILE] [--only TEXT] [--work TEXT]
    [--rounds N]

ik_llama.cpp takes part where ENGINE_IK_BENCH names its llama-bench.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from benchmarks.support.disturbance import Disturbance, wait_for_quiet
from benchmarks.support.ik_llama_cpp import IkLlamaCpp, ik_program
from benchmarks.support.llama_cpp import LlamaCpp
from benchmarks.support.openvino import OpenVino, UnreadableModelError
from benchmarks.support.quantized_copy import quantized_copy
from benchmarks.support.report import Figure, print_figures
from engine import _core
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import Work, decode, decode_side_by_side, prefill
from engine.identity.version import ENGINE_VERSION

THREADS = 2
BUILDS = {"cpu_avx2": "avx2", "cpu_avx512": "avx512"}
# A turn in which others had more than this of the machine is taken again, as often as there are rounds; what counts in
# the end are the least disturbed.
DISTURBED = 0.03

PREFILL = prefill(256, repetitions=3)
DECODE = decode(128)
SIDE_BY_SIDE = decode_side_by_side(16, 32)
DEEP = decode(32, depth=4096, repetitions=3, rounds=2)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Ratios to hold to llama.cpp on each backend, and to ik_llama.cpp, whose anchor is AVX2."""

    llama_cpp: Mapping[str, float]
    ik_llama_cpp: Mapping[str, float]


def _bounds(avx2: float, avx512: float | None = None, ik: float | None = None) -> Bounds:
    llama_cpp = {"cpu_avx2": avx2} if avx512 is None else {"cpu_avx2": avx2, "cpu_avx512": avx512}
    return Bounds(llama_cpp, {} if ik is None else {"cpu_avx2": ik})


@dataclass(frozen=True, slots=True)
class Subject:
    """A model file, and for each work the ratios to hold."""

    name: str
    path: Callable[[argparse.Namespace], Path]
    works: Mapping[Work, Bounds]


SUBJECTS = (
    Subject(
        "SmolLM2-135M Q4_1 (as shipped)",
        lambda a: a.smollm2,
        {
            DECODE: _bounds(1.7, 1.9, ik=1.25),
            PREFILL: _bounds(2.5, 7.5, ik=1.6),
            SIDE_BY_SIDE: _bounds(2.5, 5),
            DEEP: _bounds(2.5, 3),
        },
    ),
    Subject(
        "SmolLM2-135M Q8_0",
        lambda a: quantized_copy(a.smollm2, "Q8_0"),
        {DECODE: _bounds(1.5, 1.6), PREFILL: _bounds(1.5, 4), SIDE_BY_SIDE: _bounds(2.5, 5)},
    ),
    Subject(
        "SmolLM2-135M Q6_K",
        lambda a: quantized_copy(a.smollm2, "Q6_K"),
        {DECODE: _bounds(1.5, 1.6), SIDE_BY_SIDE: _bounds(2.5, 5)},
    ),
    Subject(
        "SmolLM2-135M Q4_K_M",
        lambda a: quantized_copy(a.smollm2, "Q4_K_M"),
        {DECODE: _bounds(1.7, 1.9), PREFILL: _bounds(1.5, 4), SIDE_BY_SIDE: _bounds(2.5, 5)},
    ),
    Subject(
        "Gemma-3-270m Q4_K_M",
        lambda a: a.gemma,
        {DECODE: _bounds(1.4, ik=1.1), PREFILL: _bounds(3.3, ik=1.8), SIDE_BY_SIDE: _bounds(2.6)},
    ),
    Subject(
        "Qwen2.5-Coder-1.5B Q4_K_M",
        lambda a: a.qwen,
        {
            DECODE: _bounds(1.25, 1.25, ik=1.08),
            prefill(256): _bounds(1.6, 3.2, ik=1.5),
            decode_side_by_side(16, 16): _bounds(2, 4),
        },
    ),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """Tokens a second of either engine, one right after the other."""

    ours: float
    theirs: float
    used_by_others: float


class Peer(Protocol):
    name: str

    def rate(self, work: Work) -> float: ...
    def setting(self, work: Work) -> str: ...


@dataclass
class Comparison:
    subject: str
    backend: str
    peer: str
    work: Work
    at_least: float | None
    turns: list[Turn] = field(default_factory=list)
    peer_setting: str = ""

    def keep_least_disturbed(self, count: int) -> None:
        self.turns = sorted(self.turns, key=lambda turn: turn.used_by_others)[:count]

    @property
    def undisturbed(self) -> int:
        return sum(turn.used_by_others <= DISTURBED for turn in self.turns)

    @property
    def name(self) -> str:
        return f"{self.subject}, {self.work.name}, {self.backend} / {self.peer}"

    def rates(self, engine: Literal["ours", "theirs"]) -> Figure:
        return Figure(f"{self.name}: {engine}", "tokens/s", [getattr(turn, engine) for turn in self.turns])

    @property
    def ratio(self) -> Figure:
        return Figure(self.name, "ratio", [turn.ours / turn.theirs for turn in self.turns], at_least=self.at_least)

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.subject,
            "work": self.work.name,
            "backend": self.backend,
            "peer": self.peer,
            "peer_setting": self.peer_setting,
            "threads": THREADS,
            "ours": self.rates("ours").as_json(),
            "theirs": self.rates("theirs").as_json(),
            "ratio": self.ratio.as_json(),
            "used_by_others": [turn.used_by_others for turn in self.turns],
        }


class Match:
    """One model file in every engine that takes part."""

    def __init__(self, subject: Subject, path: Path, rounds: int, patience: Patience) -> None:
        """``rounds`` is the most that any work gets."""
        program = ik_program()
        self._subject = subject
        self._rounds = rounds
        self._patience = patience
        self._ours = {
            backend: MeasuredLoop(path, backend, THREADS) for backend in BUILDS if not _core.kernel_tables()[backend]
        }
        self._llama = {backend: LlamaCpp(BUILDS[backend], path, THREADS) for backend in self._ours}
        self._ik = None if program is None else IkLlamaCpp(program, path, THREADS)
        self._path = path

    def play(self, work: Work, bounds: Bounds) -> list[Comparison]:
        """The work on every backend that runs here; all engines take turns."""
        pairs: list[tuple[Comparison, Peer]] = [
            (Comparison(self._subject.name, backend, peer.name, work, bounds.llama_cpp.get(backend)), peer)
            for backend, peer in self._llama.items()
        ]
        if self._ik is not None and self._ik.takes(work):
            for backend in self._ours:  # one build, which meets every backend
                bound = bounds.ik_llama_cpp.get(backend)
                pairs.append((Comparison(self._subject.name, backend, self._ik.name, work, bound), self._ik))
        with ExitStack() as stack:
            if work.is_prefill:
                pairs += self._openvino(stack, work)
            rounds = min(work.rounds, self._rounds)
            for _ in range(2 * rounds):
                for pair, peer in pairs:
                    if pair.undisturbed < rounds:
                        pair.turns.append(self._turn(self._ours[pair.backend], peer, work))
                        pair.peer_setting = peer.setting(work)
            for pair, _ in pairs:
                pair.keep_least_disturbed(rounds)
        return [pair for pair, _ in pairs]

    def _openvino(self, stack: ExitStack, work: Work) -> list[tuple[Comparison, Peer]]:
        """openvino-genai picks the best instructions itself, so it is compared with our best backend."""
        best = list(self._ours)[-1]
        try:
            peer = OpenVino(self._path, THREADS)
        except UnreadableModelError as error:
            sys.stdout.write(f"{self._subject.name}: openvino-genai cannot read it: {error}\n")
            return []
        stack.callback(peer.close)
        return [(Comparison(self._subject.name, best, peer.name, work, None), peer)]

    def _turn(self, ours: MeasuredLoop, theirs: Peer, work: Work) -> Turn:
        self._patience.wait()
        disturbance = Disturbance()
        return Turn(ours.rate(work), theirs.rate(work), disturbance.share())

    def close(self) -> None:
        for loop in self._ours.values():
            loop.close()


@dataclass
class Patience:
    """Time that a whole run may still wait for other programs to finish."""

    seconds: float

    def wait(self) -> None:
        self.seconds -= wait_for_quiet(DISTURBED, self.seconds)


def main() -> None:
    arguments = _arguments()
    patience = Patience(arguments.patience)
    comparisons = []
    for subject in SUBJECTS:
        if arguments.only.lower() not in subject.name.lower():
            continue
        with closing(Match(subject, subject.path(arguments), arguments.rounds, patience)) as match:
            for work, bounds in subject.works.items():
                for comparison in match.play(work, bounds) if arguments.work in work.name else ():
                    comparisons.append(comparison)
                    _print(comparison)
                    _keep(arguments.json, comparisons)
    print_figures(comparison.ratio for comparison in comparisons)


def _keep(path: Path | None, comparisons: Sequence[Comparison]) -> None:
    """Write the samples, after each comparison, so that a run that is ended early leaves them."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    machine = {"cpu": _core.cpu_model(), "threads": THREADS, "engine_version": ENGINE_VERSION}
    result = {"machine": machine, "comparisons": [comparison.as_json() for comparison in comparisons]}
    path.write_text(json.dumps(result, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    models = Path(os.environ.get("ENGINE_TEST_MODELS", "."))
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=__doc__)
    parser.add_argument("--smollm2", type=Path, default=models / "SmolLM2-135M-Instruct.Q4_1.gguf")
    parser.add_argument("--gemma", type=Path, default=models / "gemma-3-270m-q4_k_m.gguf")
    parser.add_argument("--qwen", type=Path, default=models / "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf")
    parser.add_argument("--json", type=Path, help="write all samples here")
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--work", default="", help="only work whose name contains this")
    parser.add_argument("--rounds", type=int, default=5, help="largest number of turns of each, for a quick look")
    parser.add_argument("--patience", type=float, default=120, help="seconds to wait, in all, for a quiet machine")
    return parser.parse_args()


def _print(comparison: Comparison) -> None:
    ours, theirs = comparison.rates("ours").median, comparison.rates("theirs").median
    disturbed = max(turn.used_by_others for turn in comparison.turns)
    sys.stdout.write(
        f"{comparison.name}: {ours:.1f} / {theirs:.1f} tokens/s = {comparison.ratio.median:.2f}"
        f" ({comparison.peer_setting}, others used up to {disturbed:.0%})\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
