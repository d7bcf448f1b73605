"""Engines and agents killed at random moments while one optimizes and another rolls a plan back.

    .venv/bin/python -m benchmarks.killed_loop [--kills 50] [--seed 0] [--json FILE]

Every other kill is the agent's, the others are the engine's; the next engine is started on the same records. No version
of a named plan that a client was told of may be missing or half there, no experiment may count in part, and the
chain must be whole.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from benchmarks.support.served import ServedEngine, served_from
from engine import _core
from protocol.blocking import BlockingClient
from protocol.errors import EngineError
from protocol.experiment import ExperimentRecord
from protocol.experiment_messages import Experiments, GetExperiment
from protocol.proposal_messages import GetNamedPlan, RollBackPlan
from protocol.requests import VerifyRecords
from tests.support.gguf_factory import write_tiny_model
from weos_agents.commands.session import Session
from weos_agents.shelf import EngineShelf

AGENTS = str(Path(sys.executable).with_name("weos-agents"))
NAME = "chat-default"
_TOKENS = 4
_LONGEST_S = 8.0
_MOST_EXPERIMENTS = 1000


def apply_two(engine: ServedEngine, model: Path, workload: Path) -> None:
    """Put two plans behind the name, so that there is something to roll back to."""
    with BlockingClient.connect(engine.socket) as client:
        session, shelf = Session(client, str(model), workload, _TOKENS, None), EngineShelf(client)
        rules = session.rules("tokens_per_sec", 0.02, unknown_load_counts=True)
        for changes in ({}, {"execution.prefill_chunk": 16}):
            evidence = session.laboratory.experiment({}, changes, session.workload.choosing, 6, lambda found: False)
            proposal = shelf.propose(session.laboratory.resolve(changes), evidence, rules, "to be rolled back")
            shelf.validate(proposal, "to be rolled back")
            shelf.apply(NAME, proposal, "to be rolled back")


def roll_back(socket: Path, told: set[int], ended: threading.Event) -> None:
    """Until the engine is gone, or the time."""
    try:
        with BlockingClient.connect(socket) as client:
            while not ended.wait(0.2):
                told.add(client.ask(RollBackPlan(name=NAME, version=1)).version.named_plan.version)
    except EngineError:
        return  # it was killed


def until_killed(engine: ServedEngine, command: list[str], seconds: float, told: set[int], *, agent: bool) -> None:
    ended = threading.Event()
    client = threading.Thread(target=roll_back, args=(engine.socket, told, ended))
    client.start()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as optimizer:
        time.sleep(seconds)
        (optimizer if agent else engine.process).kill()
        engine.process.wait() if not agent else optimizer.wait()
        ended.set()
        optimizer.kill()
    client.join()


def faults(engine: ServedEngine, told: set[int], counts: Counter[str]) -> list[str]:
    """What is not as it must be, in the records of an engine that was started after a kill."""
    counts.clear()
    with BlockingClient.connect(engine.socket) as client:
        report = client.ask(VerifyRecords()).report
        found = [] if report.fault is None else [f"the chain is broken at {report.fault.sequence}"]
        versions = {one.named_plan.version for one in client.ask(GetNamedPlan(name=NAME)).versions}
        counts["versions"], counts["told"] = len(versions), len(told)
        if missing := sorted(told - versions):
            found.append(f"versions {missing} were told of and are not there")
        if versions != set(range(1, len(versions) + 1)):
            found.append(f"there are gaps in the versions {sorted(versions)}")
        for summary in client.ask(Experiments(limit=_MOST_EXPERIMENTS)).experiments:
            shown = client.ask(GetExperiment(experiment_id=summary.experiment_id)).experiment
            if shown is None:
                found.append(f"{summary.experiment_id} has no end")
                continue
            counts[shown.ended] += 1
            found += half_counted(shown)
    return found


def half_counted(experiment: ExperimentRecord) -> list[str]:
    name, pairs = experiment.experiment_id, len(experiment.pairs)
    if experiment.ended == "interrupted" and (experiment.executions or pairs or experiment.arms):
        return [f"{name} was interrupted and counts {pairs} pairs"]
    if experiment.ended == "complete" and pairs != experiment.pairs_declared:
        return [f"{name} is complete with {pairs} of {experiment.pairs_declared} pairs"]
    executions = [one for pair in experiment.pairs for one in (pair.baseline_execution, pair.candidate_execution)]
    return [f"{name} counts an execution twice"] if len(set(executions)) != 2 * pairs else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)  # noqa: S311  moments, not secrets
    told: set[int] = set()
    counts: Counter[str] = Counter()
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        model = write_tiny_model(folder / "tiny.gguf")
        workload = folder / "workload.jsonl"
        workload.write_text("".join(json.dumps({"prompt": f"Once upon a time {one}"}) + "\n" for one in range(8)))
        command = [AGENTS, "optimize", str(model), "--workload", str(workload), "--max-tokens", str(_TOKENS)]
        command += [
            "--minutes",
            "5",
            "--unknown-load-counts",
            "--apply",
            "by-agent",
            "--report",
            str(folder / "report"),
        ]
        command += ["--socket", str(folder / "engine.sock")]
        with served_from(folder) as engine:
            apply_two(engine, model, workload)
        for kill in range(arguments.kills):
            with served_from(folder) as engine:
                found += [f"before kill {kill}: {fault}" for fault in faults(engine, told, counts)]
                until_killed(engine, command, chance.uniform(0.0, _LONGEST_S), told, agent=kill % 2 == 1)
        with served_from(folder) as engine:
            found += [f"at the end: {fault}" for fault in faults(engine, told, counts)]
    result = {"cpu": _core.cpu_model(), "kills": arguments.kills, **counts, "faults": found}
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
