"""An engine that is killed in the middle of an experiment, or of a step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.errors import EngineError
from protocol.experiment_messages import ExperimentDeclared, GetExperiment, PairMeasured
from protocol.proposal_messages import ApplyPlan, GetNamedPlan, GetProposal, MoveProposal, RollBackPlan
from protocol.requests import VerifyRecords
from tests.loop.test_experiments import make_experiment
from tests.loop.test_proposals import make_proposal
from tests.requirements.llama import DECLARED, environment
from tests.tools.command_line import serving


@pytest.mark.parametrize("after_pairs", [0, 2])
def test_a_killed_engines_experiment_is_interrupted_and_nothing_of_it_is_counted(
    after_pairs: int, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    socket = tmp_path_factory.mktemp("s") / "e.sock"
    variables = os.environ | environment(home) | DECLARED
    with serving(socket, env=variables) as process, BlockingClient.connect(socket, timeout=60) as client:
        replies = client.follow(make_experiment(pairs=500))
        declared = next(replies)
        assert isinstance(declared, ExperimentDeclared)
        while after_pairs:
            after_pairs -= isinstance(next(replies), PairMeasured)
        process.kill()
        with pytest.raises(EngineError):
            list(replies)
    with serving(socket, env=variables), BlockingClient.connect(socket, timeout=60) as client:
        shown = client.ask(GetExperiment(experiment_id=declared.declaration.experiment_id))
        assert shown.experiment is not None
        assert shown.experiment.ended == "interrupted"
        assert (shown.experiment.pairs, shown.experiment.arms, shown.experiment.executions) == ((), (), ())
        assert shown.declaration == declared.declaration
        assert client.ask(VerifyRecords()).report.fault is None


@pytest.mark.parametrize("told", [1, 3])
def test_a_killed_engine_loses_no_version_that_it_told_of_and_keeps_no_half(
    told: int, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    socket = tmp_path_factory.mktemp("s") / "e.sock"
    variables = os.environ | environment(home) | DECLARED
    name = f"killed-{told}"
    with serving(socket, env=variables) as process, BlockingClient.connect(socket, timeout=60) as client:
        experiment = client.ask(make_experiment(pairs=1)).experiment
        for _ in range(2):
            proposal = client.ask(make_proposal(experiment)).status.proposal.proposal_id
            client.ask(MoveProposal(proposal_id=proposal, state="validated"))
            client.ask(ApplyPlan(name=name, proposal=proposal))
        known = [client.ask(RollBackPlan(name=name, version=1)).version.named_plan.version for _ in range(told)]
        client.post(RollBackPlan(name=name, version=1))  # it may or may not come to be
        process.kill()
    with serving(socket, env=variables), BlockingClient.connect(socket, timeout=60) as client:
        versions = [one.named_plan.version for one in client.ask(GetNamedPlan(name=name)).versions]
        assert set(known) <= set(versions)
        assert versions == list(range(len(versions), 0, -1))
        assert client.ask(GetProposal(proposal_id=proposal)).status.state == "applied"
        assert client.ask(VerifyRecords()).report.fault is None
