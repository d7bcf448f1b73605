"""Batches through the scheduler and the real run loop: what shares a step, and how many."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from actors.system import open_system, running
from engine.config import EngineConfig
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.requests import Metrics
from tests.actors.engine_factory import record_of
from tests.support.gguf_factory import write_tiny_model

TOKENS = 100


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "wide.gguf", n_embd=64, n_head=2, n_head_kv=1)


def request(model: Path, max_sequences: int, kv_cache: str = "f16") -> RunRequest:
    execution = ExecutionRequest(
        backend="reference",
        threads=1,
        kv_cache=kv_cache,
        max_sequences=max_sequences,
        limits=Limits(max_tokens=TOKENS),
        stop=Stop(eos=False),
    )
    return RunRequest(model=str(model), prompt="Hello", execution=execution)


async def steps_of(requests: list[RunRequest], tmp_path: Path) -> float:
    """How many steps the run loop needs for executions that come at once."""
    config = EngineConfig(models_dir=tmp_path, cache_dir=tmp_path / "cache", data_dir=tmp_path)
    async with running(open_system(config)) as system, system.client() as client:
        async with trio.open_nursery() as nursery:
            for each in requests:
                nursery.start_soon(record_of, client, each)
        families = {family.name: family for family in (await client.ask(Metrics())).families}
        return families["engine_steps_total"].samples[0].value


@pytest.mark.parametrize("max_sequences", [1, 2, 3])
async def test_a_step_holds_as_many_sequences_as_plans_allow_whatever_their_kv_caches(
    max_sequences: int, model: Path, tmp_path: Path
) -> None:
    requests = [request(model, max_sequences, kv_cache) for kv_cache in ("f16", "q8_0") * 3]
    steps, alone = await steps_of(requests, tmp_path), len(requests) * TOKENS
    if max_sequences == 1:
        assert steps == alone
    else:
        assert alone / max_sequences <= steps < alone


async def test_the_least_sociable_plan_decides_for_its_batch_whatever_its_kv_cache(model: Path, tmp_path: Path) -> None:
    assert await steps_of([request(model, 16), request(model, 1, "q8_0")], tmp_path) == 2 * TOKENS
