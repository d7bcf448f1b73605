"""The loop by a client in another language, which knows the engine's HTTP alone: ``docs/examples/loop.mjs``."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.experiment_messages import Experiments
from protocol.proposal_messages import GetNamedPlan, Proposals
from tests.requirements.llama import NAME

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "loop.mjs"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not here")


def loop(engine: Path, *options: str) -> str:
    result = subprocess.run(  # noqa: S603  our own script
        ["node", SCRIPT, NAME, "--tokens", "6", "--pairs", "6", *options],  # noqa: S607  whichever node is here
        env={**os.environ, "ENGINE_HTTP_SOCKET": str(engine.with_name("engine-http.sock"))},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_plan_that_passes_is_proposed_validated_applied_run_and_rolled_back(
    client: BlockingClient, engine: Path
) -> None:
    """Any speed passes here: whether another plan is faster is up to this machine."""
    any_speed = ("--gain", "0", "--margin", "1000", "--name", "by-node")
    assert "by-node is version 1" in loop(engine, *any_speed)
    assert "rolled back: by-node is version 3" in loop(engine, *any_speed)
    versions = client.ask(GetNamedPlan(name="by-node")).versions
    assert [one.named_plan.version for one in versions] == [3, 2, 1]
    assert versions[0].named_plan.plan_fingerprint == versions[2].named_plan.plan_fingerprint
    filed = [one for one in client.ask(Proposals()).proposals if one.proposal.agent == "loop.mjs"]
    assert {one.state for one in filed} == {"applied"}


def test_what_is_not_proved_is_not_proposed(client: BlockingClient, engine: Path) -> None:
    before = len(client.ask(Proposals()).proposals)
    shown = loop(engine, "--gain", "1000").splitlines()
    assert shown[-1] == "the baseline stays"
    assert len(client.ask(Proposals()).proposals) == before
    newest = client.ask(Experiments()).experiments[0]
    assert (newest.agent, shown[0]) == ("loop.mjs", f"declared {newest.experiment_id}")
