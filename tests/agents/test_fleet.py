"""Trials on a fleet: which engines take part, and whose trials are made once more elsewhere."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="distributed is not installed")

from protocol.blocking import BlockingClient
from protocol.errors import EngineUnreachable
from tests.agents.command_line import weos_agents
from tests.agents.evidence_factory import SETTING
from tests.tools.command_line import serving
from weos_agents.budget import Budget
from weos_agents.commands.session import Session
from weos_agents.experimenter import Experimenter
from weos_agents.fleet.fleet_member import Membership, membership
from weos_agents.fleet.fleet_trials import FleetTrials, comparable, connected
from weos_agents.trial_runner import TrialTask

OWN = Membership(setting=SETTING, baseline="sha256:base")


def test_engines_that_are_not_alike_are_never_compared() -> None:
    other_machine = OWN.model_copy(update={"setting": SETTING.model_copy(update={"cpu_model": "another"})})
    other_build = OWN.model_copy(update={"setting": SETTING.model_copy(update={"build": "another"})})
    other_plan = OWN.model_copy(update={"baseline": "sha256:another"})
    found: dict[str, Membership | BaseException] = {
        "a": OWN,
        "b": other_machine,
        "c": other_build,
        "d": other_plan,
        "e": OSError("no engine"),
        "f": OWN,
    }
    members, left_out = comparable(OWN, found)
    assert members == ("a", "f")
    assert left_out == [
        "b is left out: its cpu_model is another",
        "c is left out: its build is another",
        "d is left out: its plan is another",
        "e is left out: no engine",
    ]


@dataclass(frozen=True)
class Fleet:
    """A scheduler, and two workers with an engine each."""

    address: str
    sockets: tuple[Path, ...]
    workers: tuple[subprocess.Popen[bytes], ...]
    engines: tuple[subprocess.Popen[str], ...]


def started(held: ExitStack, *command: str, **variables: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(  # noqa: S603  the package's own programs
        [sys.executable, "-m", *command],
        env={**os.environ, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    held.callback(process.wait)
    held.callback(process.kill)
    return process


@pytest.fixture
def fleet(tiny: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    # Workers import the agents as they are here.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        free.close()
        started(held, "distributed.cli.dask_scheduler", "--host", address, "--no-dashboard")
        folders = [short_folder / str(number) for number in range(2)]
        for folder in folders:
            folder.mkdir(mode=0o700)
        sockets = tuple(folder / "engine.sock" for folder in folders)
        places = [{"ENGINE_DATA_DIR": str(folder / "data")} for folder in folders]
        engines = tuple(
            held.enter_context(serving(path, env={**os.environ, **place}))
            for path, place in zip(sockets, places, strict=True)
        )
        flags = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        workers = tuple(
            started(held, "distributed.cli.dask_worker", address, *flags, ENGINE_SOCKET=str(path)) for path in sockets
        )
        yield Fleet(address, sockets, workers, engines)


@pytest.fixture
def trials(fleet: Fleet, tiny: Path, workload: Path, told: list[str]) -> Iterator[FleetTrials]:
    with BlockingClient.connect(fleet.sockets[0], timeout=60) as client, connected(fleet.address) as dask:
        dask.wait_for_workers(2, timeout=60)
        session = Session(client, str(tiny), workload, 4, None)
        rules = session.rules("tokens_per_sec", 0.02, unknown_load_counts=True)
        experimenter = Experimenter(session.laboratory, rules, Budget.starting(120.0, time.monotonic))
        own = membership(session.job, client)
        yield FleetTrials(dask, session.job, own, experimenter, told.append)


@pytest.fixture
def told() -> list[str]:
    return []


def tasks(count: int) -> list[TrialTask]:
    chunks = [16 * (number + 1) for number in range(count)]
    return [
        TrialTask(
            changes={"execution.prefill_chunk": chunk},
            plan_changes={"batch.prefill_chunk": chunk},
            same_bits=True,
            pairs=2,
        )
        for chunk in chunks
    ]


def test_trials_of_a_lost_engine_and_of_a_lost_worker_are_made_elsewhere(
    trials: FleetTrials, fleet: Fleet, told: list[str]
) -> None:
    assert (told, trials.width) == (["2 workers try candidates"], 2)
    asked = tasks(4)
    first = trials.run(asked)
    assert [trial.changes for trial in first] == [task.plan_changes for task in asked]
    assert len({trial.tried_on for trial in first}) == 2
    fleet.engines[1].kill()
    again = trials.run(tasks(4))
    assert all(trial.evidence is not None for trial in again)
    assert (len({trial.tried_on for trial in again}), trials.width) == (1, 1)
    assert "is lost, and its trial is made elsewhere" in told[-1]
    fleet.engines[0].kill()
    with pytest.raises(EngineUnreachable, match="no worker of the fleet is left"):
        trials.run(tasks(1))


def test_a_worker_that_is_killed_in_the_middle_loses_no_trial(trials: FleetTrials, fleet: Fleet) -> None:
    assert trials.width == 2
    fleet.workers[1].kill()
    found = trials.run(tasks(3))
    assert [trial.evidence is not None for trial in found] == [True] * 3


def test_an_optimizer_searches_with_a_fleet(fleet: Fleet, tiny: Path, workload: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    asked = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--fields", "threads,batch.prefill_chunk")
    limits = ("--minutes", "0.1", "--unknown-load-counts", "--report", str(tmp_path / "report"))
    with connected(fleet.address) as dask:
        dask.wait_for_workers(2, timeout=60)
    result = weos_agents("optimize", *asked, *limits, "--fleet", fleet.address, "--socket", str(fleet.sockets[0]))
    assert result.exit_code == 0, result.output
    assert "2 workers try candidates" in result.stderr
    joules = weos_agents("optimize", *asked, *limits, "--fleet", fleet.address, "--joules", "5")
    assert joules.exit_code == 2
