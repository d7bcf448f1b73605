"""Agents that are killed while they work: what the engine has of it stays whole, and nothing is applied."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.events import EventFilter
from protocol.experiment_messages import Experiments, GetExperiment
from protocol.proposal_messages import NamedPlans
from protocol.requests import Subscribe, VerifyRecords
from tests.agents.command_line import PROGRAM

pytest.importorskip("optuna", reason="optuna is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def kill_after(socket: Path, executions: int, *arguments: str) -> None:
    """Start an optimizer, and kill it once so many executions of the engine have ended."""
    with BlockingClient.connect(socket, timeout=60) as client:
        events = client.follow(Subscribe(wanted=EventFilter(kinds=("ended",))))
        next(events)
        with subprocess.Popen(  # noqa: S603  our own program
            [*PROGRAM, "optimize", *arguments, "--socket", str(socket)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as agent:
            for _ in range(executions):
                next(events)
            agent.kill()


def test_what_a_killed_agent_leaves_is_whole_and_nothing_is_applied(
    socket: Path, tiny: Path, workload: Path, tmp_path: Path
) -> None:
    arguments = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--minutes", "5", "--unknown-load-counts")
    for executions in (3, 8, 17, 26, 40):
        kill_after(socket, executions, *arguments, "--report", str(tmp_path / "report"), "--apply", "chat-default")
    with BlockingClient.connect(socket, timeout=60) as client:
        found = client.ask(Experiments(limit=1000)).experiments
        shown = [client.ask(GetExperiment(experiment_id=one.experiment_id)) for one in found]
        assert client.ask(VerifyRecords()).report.fault is None
        assert client.ask(NamedPlans()).plans == ()
    assert len(found) >= 5
    for one in shown:
        if one.experiment is not None:
            assert one.experiment.ended in ("complete", "stopped")
            pairs = {pair.baseline_execution for pair in one.experiment.pairs}
            assert len(pairs) == len(one.experiment.pairs) <= one.experiment.pairs_declared
    assert not (tmp_path / "report").exists()
