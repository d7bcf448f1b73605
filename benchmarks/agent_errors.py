"""How often the agents' gate errs, counted on simulated machines; it takes a minute.

    .venv/bin/python -m benchmarks.agent_errors [--experiments 1000] [--json FILE]

A plan against itself, a thousand times on each of three machines, through the whole gate and by its bound alone,
beside a bootstrap that is looked at once and one that is looked at as the pairs come; a plan that wins the KPI and
breaks a guardrail, fifty times for each; and evidence that is false in one place.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.agents.evidence_factory import changed_pair, make_evidence
from weos_agents.evidence import Evidence, faults_of
from weos_agents.gate import GateRules, judge
from weos_agents.sample import Metric
from weos_agents.statistics.bootstrap import bootstrap_lower_bound
from weos_agents.statistics.noise import Noise, paired_log_ratios
from weos_agents.statistics.symmetric_bets import log_e_value

SEED = 20_300_401
MACHINES = {
    "usual": Noise(),
    "quiet": Noise(spread=0.005, drift=0.002, outliers=0.0),
    "held up often": Noise(spread=0.05, outliers=0.3, outlier_size=1.5),
}
PAIRS = 60
LOOKS = range(6, PAIRS + 1, 6)
ALPHA = 0.05
HARMS: dict[Metric, float] = {"ttft_ms": 0.25, "latency_p95_ms": 0.25, "joules_per_token": 0.15}
"""How much worse the harmful plan is in each guardrail's figure."""
HARMFUL = 50
_BOOTSTRAPPED = 100


def false_alarms(machine: Noise, experiments: int) -> dict[str, float]:
    """Parts of experiments of a plan with itself in which a gain was seen."""
    random = np.random.default_rng(SEED)
    runs = [paired_log_ratios(random, PAIRS, machine) for _ in range(experiments)]
    some = runs[:_BOOTSTRAPPED]
    bounds = [[bootstrap_lower_bound(run[:pairs], ALPHA, 1) > 0 for pairs in LOOKS] for run in some]
    return {
        "bound, looked at after every pair": sum(log_e_value(run, 0.0) >= -math.log(ALPHA) for run in runs)
        / experiments,
        f"bootstrap at {PAIRS} pairs, looked at once": sum(looks[-1] for looks in bounds) / len(some),
        "bootstrap, looked at after every sixth pair": sum(any(looks) for looks in bounds) / len(some),
    }


def gate_opened(machine: Noise, experiments: int) -> float:
    """The part of such experiments that opens the whole gate, were any gain over 0 enough."""
    random, rules = np.random.default_rng(SEED), GateRules(gain=0.0)
    made = (make_evidence(random, PAIRS, noise=machine) for _ in range(experiments))
    return sum(judge(one, rules, chosen_on=frozenset()).open for one in made) / experiments


def harmful_rejected(harmed: Metric) -> int:
    random = np.random.default_rng(SEED)
    gains: dict[Metric, float] = {"tokens_per_sec": 0.2, "tokens_per_watt": 0.2, harmed: HARMS[harmed]}
    made = (make_evidence(random, PAIRS, gains) for _ in range(HARMFUL))
    return sum(not judge(one, GateRules(), chosen_on=frozenset()).open for one in made)


def falsehoods() -> dict[str, str]:
    """Evidence with one thing made false, by what that is: why it is refused; empty where it is not."""
    whole = make_evidence(np.random.default_rng(SEED), 12, {"tokens_per_sec": 0.2, "tokens_per_watt": 0.2})
    setting, figures = whole.pairs[0].candidate.setting, whole.pairs[0].candidate.figures
    other = {name: setting.model_copy(update={name: "another"}) for name in ("cpu_model", "build", "model_hash")}
    claimed = whole.pairs[0].model_copy(update={"claimed": {"tokens_per_sec": 0.5}})
    unmeasured = changed_pair(whole, 3, "candidate", energy_kind="model")
    spoilt: dict[str, tuple[Evidence, Metric]] = {
        "a mutated ratio": (whole.model_copy(update={"pairs": (claimed, *whole.pairs[1:])}), "tokens_per_sec"),
        "other hardware": (changed_pair(whole, 3, "candidate", setting=other["cpu_model"]), "tokens_per_sec"),
        "another build": (changed_pair(whole, 3, "candidate", setting=other["build"]), "tokens_per_sec"),
        "another model": (changed_pair(whole, 3, "candidate", setting=other["model_hash"]), "tokens_per_sec"),
        "another plan": (changed_pair(whole, 3, "candidate", plan="sha256:other"), "tokens_per_sec"),
        "another input": (changed_pair(whole, 3, "candidate", input="input-99"), "tokens_per_sec"),
        "an execution twice": (changed_pair(whole, 3, "candidate", execution_id="exec-0"), "tokens_per_sec"),
        "an execution that was cancelled": (
            changed_pair(whole, 3, "candidate", stop_reason="cancelled"),
            "tokens_per_sec",
        ),
        "pairs left out": (whole.model_copy(update={"pairs": whole.pairs[:-2]}), "tokens_per_sec"),
        "one plan always first": (
            whole.model_copy(
                update={"pairs": tuple(one.model_copy(update={"baseline_first": True}) for one in whole.pairs)}
            ),
            "tokens_per_sec",
        ),
        "energy that was not measured": (unmeasured, "tokens_per_watt"),
        "a figure that is unknown": (
            changed_pair(whole, 3, "candidate", figures={**figures, "tokens_per_sec": None}),
            "tokens_per_sec",
        ),
    }
    if faults_of(whole, "tokens_per_sec"):
        raise RuntimeError("the evidence was false before anything was made so")
    return {name: "; ".join(faults_of(evidence, kpi)) for name, (evidence, kpi) in spoilt.items()}


def contended_counts() -> int:
    """Count how many of twelve pairs that other processes disturbed are taken as evidence."""
    whole = make_evidence(np.random.default_rng(SEED), 12, {"tokens_per_sec": 0.2})
    for number in range(12):
        whole = changed_pair(whole, number, "candidate", contended=True)
    return judge(whole, GateRules(), chosen_on=frozenset()).pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    result: dict[str, Any] = {
        "experiments": arguments.experiments,
        "false_alarms": {name: false_alarms(noise, arguments.experiments) for name, noise in MACHINES.items()},
        "gate_opened": {name: gate_opened(noise, arguments.experiments) for name, noise in MACHINES.items()},
        "harmful_rejected": {name: harmful_rejected(name) for name in HARMS},
        "harmful": HARMFUL,
        "refused": falsehoods(),
        "contended_pairs_that_count": contended_counts(),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    alarms = [one["bound, looked at after every pair"] for one in result["false_alarms"].values()]
    if max(*alarms, *result["gate_opened"].values()) > ALPHA or min(result["harmful_rejected"].values()) < HARMFUL:
        sys.exit("the gate errs more often than it says")
    if not all(result["refused"].values()) or result["contended_pairs_that_count"]:
        sys.exit("false evidence was taken")


if __name__ == "__main__":
    main()
