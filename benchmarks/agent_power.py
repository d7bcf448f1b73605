"""How soon the agents' gate sees a gain, and how often it sees one that is not there, at a machine's own noise.

weos-agents experiment MODEL --workload FILE --pairs 60 --whole --json >pairs.json     # one plan against itself
.venv/bin/python -m benchmarks.agent_power pairs.json

Pairs are drawn from the measured ones, turned around as often as not, and moved by the gain.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from weos_agents.evidence import Evidence
from weos_agents.sample import Metric
from weos_agents.statistics.bootstrap import bootstrap_lower_bound
from weos_agents.statistics.symmetric_bets import log_e_value

EXPERIMENTS = 1000
LOOKS = (10, 20, 40, 60)
GAINS = (0.0, 0.02, 0.05, 0.10)
ALPHA = 0.05
_BOOTSTRAPPED = 200
"""Experiments that the bootstrap judges too; it takes a hundred times as long."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.agent_power", description=__doc__)
    parser.add_argument("pairs", type=Path, help="what weos-agents experiment --json printed")
    parser.add_argument("--metric", default="tokens_per_sec")
    arguments = parser.parse_args()
    content = json.loads(arguments.pairs.read_text(encoding="utf-8"))
    evidence = Evidence.model_validate_json(json.dumps(content.get("evidence", content)))
    ratios = known(evidence, arguments.metric)
    spread = 1.4826 * median(abs(ratio) for ratio in ratios)
    print(f"{len(ratios)} undisturbed pairs of {len(evidence.pairs)}; spread {spread:.2%}")
    print("gain   " + "".join(f"{pairs:>9} pairs" for pairs in LOOKS) + "   half by   bootstrap at 20")
    for gain in GAINS:
        print(row(power(ratios, gain)))


def known(evidence: Evidence, metric: Metric) -> list[float]:
    pairs = evidence.undisturbed(unknown_counts=False)
    return [ratio for pair in pairs if (ratio := pair.log_ratio(metric)) is not None]


class Power(NamedTuple):
    """How many of the experiments have seen a gain."""

    gain: float
    seen: tuple[float, ...]
    """The part of them, after as many pairs as :data:`LOOKS` says."""
    half_by: int | None
    """After how many pairs half of them have; ``None``: never."""
    bootstrap_at_20: float


def power(ratios: Sequence[float], gain: float) -> Power:
    random = np.random.default_rng(20_300_101)
    drawn = [random.choice(ratios, max(LOOKS)) * random.choice((-1.0, 1.0), max(LOOKS)) for _ in range(EXPERIMENTS)]
    runs = [[float(ratio) + math.log1p(gain) for ratio in one] for one in drawn]
    needed = [first_proof(run) for run in runs]
    half = median(needed)
    fixed = sum(bootstrap_lower_bound(run[:20], ALPHA, 1) > 0 for run in runs[:_BOOTSTRAPPED]) / _BOOTSTRAPPED
    seen = tuple(sum(pairs <= look for pairs in needed) / EXPERIMENTS for look in LOOKS)
    return Power(gain, seen, None if math.isinf(half) else math.ceil(half), fixed)


def row(found: Power) -> str:
    told = "-" if found.half_by is None else str(found.half_by)
    seen = "".join(f"{part:>14.1%} " for part in found.seen)
    return f"{found.gain:4.0%}   {seen}{told:>9}   {found.bootstrap_at_20:>13.1%}"


def first_proof(run: list[float]) -> float:
    """After how many pairs it is proved that there is a gain; infinity: never."""
    if log_e_value(run, 0.0) < -math.log(ALPHA):
        return math.inf
    low, high = 0, len(run)
    while high - low > 1:  # the evidence at its highest never falls
        middle = (low + high) // 2
        low, high = (low, middle) if log_e_value(run[:middle], 0.0) >= -math.log(ALPHA) else (middle, high)
    return high


if __name__ == "__main__":
    main()
