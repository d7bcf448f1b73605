"""Tokens per joule as the goal, on a machine whose meter is simulated: real executions, measured by it."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.support.power_plant import PowerPlant
from protocol.blocking import BlockingClient
from tests.tools.command_line import serving
from weos_agents.commands.session import Session
from weos_agents.evidence import Evidence, faults_of


def experiment(folder: Path, model: Path, workload: Path, plant: PowerPlant | None) -> Evidence:
    """Two plans in two pairs, each execution long enough for a window of energy."""
    roots = {f"ENGINE_{name}_ROOT": str(folder / "nothing") for name in ("POWER_PMU", "HWMON", "POWERCAP")}
    meter = {} if plant is None else {"ENGINE_POWERCAP_ROOT": str(plant.root)}
    to_the_end = {"execution.stop.eos": False}
    socket = folder / "engine.sock"
    with serving(socket, env=os.environ | roots | meter) as engine:
        if plant is not None:
            plant.watch(engine.pid)
        with BlockingClient.connect(socket, timeout=60) as client:
            session = Session(client, str(model), workload, 2000, None)
            slower = to_the_end | {"execution.threads": 1}
            inputs = session.workload.choosing
            return session.laboratory.experiment(to_the_end, slower, inputs, 2, lambda found: False)


def test_joules_that_a_meter_shows_are_evidence(
    long_model: Path, workload: Path, short_folder: Path, tmp_path: Path
) -> None:
    with PowerPlant(tmp_path / "powercap", idle_watts=10.0, core_watts=20.0) as plant:
        found = experiment(short_folder, long_model, workload, plant)
    kinds = {sample.energy_kind for pair in found.pairs for sample in (pair.baseline, pair.candidate)}
    assert kinds == {"measured"}
    assert faults_of(found, "tokens_per_watt") == ()


def test_without_a_meter_there_is_no_evidence_of_joules(long_model: Path, workload: Path, short_folder: Path) -> None:
    told = faults_of(experiment(short_folder, long_model, workload, None), "tokens_per_watt")
    assert told == ("pairs 0, 1: tokens_per_watt is not known: energy was unavailable, not measured",)
