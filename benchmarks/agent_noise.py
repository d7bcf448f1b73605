"""One plan against itself on this machine, again and again: how often the agents' gate opens, and what it would see.

    .venv/bin/python -m benchmarks.agent_noise [--model NAME] [--minutes 40] [--experiments 40] [--json FILE]

Each experiment is what ``weos-agents experiment`` runs, of at most ``--pairs`` pairs of executions. Its pairs are this
machine's noise, from which :mod:`benchmarks.agent_power` draws what gains of 2, 5 and 10 % would look like.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.agent_power import GAINS, LOOKS, power
from benchmarks.support.disturbance import Disturbance
from benchmarks.support.served import served_from
from engine import _core
from protocol.blocking import BlockingClient
from weos_agents.budget import Budget
from weos_agents.commands.session import Session
from weos_agents.evidence import Evidence
from weos_agents.experimenter import Experimenter
from weos_agents.gate import GateRules, Verdict

BEGINNINGS = tuple(f"The history of the number {number} begins" for number in range(2, 18))
"""The models go on with these for as long as they may: an answer that ends at once is too short to count."""
MOST_OPENED = 0.05


@dataclass(frozen=True, slots=True)
class Run:
    """One experiment of a plan with itself."""

    opened: bool
    gain_seen: bool
    """Whether it saw any gain over 0, which is not there."""
    pairs: int
    disturbed: int
    unknown: int
    """Pairs of which it is not known whether others disturbed them."""
    spread: float | None
    log_ratios: tuple[float, ...]


def run_of(evidence: Evidence, verdict: Verdict) -> Run:
    counted = evidence.undisturbed(unknown_counts=False)
    ratios = tuple(ratio for pair in counted if (ratio := pair.log_ratio("tokens_per_sec")) is not None)
    return Run(
        opened=verdict.open,
        gain_seen=verdict.gain_at_least is not None and verdict.gain_at_least > 0,
        pairs=len(counted),
        disturbed=sum(pair.disturbed is True for pair in evidence.pairs),
        unknown=sum(pair.disturbed is None for pair in evidence.pairs),
        spread=1.4826 * median(abs(ratio) for ratio in ratios) if ratios else None,
        log_ratios=ratios,
    )


def measure(arguments: argparse.Namespace, folder: Path) -> list[Run]:
    """Run experiments until the time is over."""
    workload = folder / "workload.jsonl"
    workload.write_text("".join(json.dumps({"prompt": beginning}) + "\n" for beginning in BEGINNINGS))
    ends = time.monotonic() + arguments.minutes * 60
    found: list[Run] = []
    with served_from(folder) as engine, BlockingClient.connect(engine.socket) as client:
        session = Session(client, arguments.model, workload, arguments.tokens, None)
        inputs = (*session.workload.choosing, *session.workload.confirming)
        rules = GateRules()
        while len(found) < arguments.experiments and time.monotonic() < ends:
            budget = Budget.starting(ends - time.monotonic(), time.monotonic)
            made = Experimenter(session.laboratory, rules, budget).confirm(
                {}, {}, inputs, arguments.pairs, chosen_on=frozenset(), alpha=rules.alpha, stops_early=False
            )
            found.append(run_of(made.evidence, made.verdict))
            one = found[-1]
            print(
                f"{len(found):3}: {'OPEN  ' if one.opened else 'closed'} {one.pairs} pairs, {one.disturbed} disturbed, "
                f"{one.unknown} unknown, spread {one.spread if one.spread is None else round(one.spread, 4)}",
                flush=True,
            )
    return found


def result_of(arguments: argparse.Namespace, runs: Sequence[Run], others: float) -> dict[str, object]:
    ratios = [ratio for run in runs for ratio in run.log_ratios]
    return {
        "cpu": _core.cpu_model(),
        "model": arguments.model,
        "tokens": arguments.tokens,
        "others_cpu_share": others,
        "experiments": len(runs),
        "opened": sum(run.opened for run in runs),
        "gain_seen": sum(run.gain_seen for run in runs),
        "pairs": len(ratios),
        "disturbed": sum(run.disturbed for run in runs),
        "unknown": sum(run.unknown for run in runs),
        "spread": 1.4826 * median(abs(ratio) for ratio in ratios) if ratios else None,
        "power": [power(ratios, gain)._asdict() for gain in GAINS] if ratios else [],
        "power_looks": list(LOOKS),
        "log_ratios": [list(run.log_ratios) for run in runs],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--minutes", type=float, default=40.0)
    parser.add_argument("--experiments", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=320, help="of each answer; half a second of them at the least")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    disturbance = Disturbance()
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        runs = measure(arguments, Path(folder))
    result = result_of(arguments, runs, disturbance.share())
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shown = {name: value for name, value in result.items() if name not in ("log_ratios", "power")}
    print(json.dumps(shown, indent=1))
    for row in result["power"]:  # type: ignore[attr-defined]
        print(row)
    if sum(run.opened for run in runs) > MOST_OPENED * max(len(runs), 20):
        sys.exit("the gate opened too often for a plan against itself")


if __name__ == "__main__":
    main()
