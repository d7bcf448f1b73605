"""An execution's times, memory and CPU time through the real engine: each is its own, and phases leave no gap."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from actors.execution import ended_event
from actors.system import open_system, running
from engine.config import EngineConfig
from protocol.client import Client
from protocol.metrics import PHASES
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.record import ExecutionRecord
from protocol.requests import Cancel
from tests.actors.engine_factory import Stream, record_of, until
from tests.support.gguf_factory import write_tiny_model

pytestmark = pytest.mark.slow

ROUNDING_MS = 1e-6
SAME_MEMORY = 0.02
"""What docs/metrics.md states: figures of memory of equal runs lie within so much of one another."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf", n_layer=4, context_length=4096)


@pytest.fixture
def large_model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "large.gguf", n_layer=12, n_embd=512, n_ff=2048, context_length=4096)


@asynccontextmanager
async def real_client(tmp_path: Path) -> AsyncIterator[Client]:
    nothing = tmp_path / "nothing"
    config = EngineConfig(
        models_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        data_dir=tmp_path,
        powercap_root=nothing,
        power_pmu_root=nothing,
        hwmon_root=nothing,
    )
    async with running(open_system(config)) as system, system.client() as client:
        yield client


def request(model: Path, max_tokens: int = 100, **execution: Any) -> RunRequest:
    execution = {"backend": "reference", "threads": 1, "stop": Stop(eos=False), **execution}
    content = ExecutionRequest(limits=Limits(max_tokens=max_tokens), **execution)
    return RunRequest(model=str(model), prompt="Once upon a time", execution=content)


def require_no_gap(record: ExecutionRecord) -> None:
    lengths = [getattr(record.metrics, name) for name in PHASES]
    reached = [length for length in lengths if length is not None]
    assert lengths[: len(reached)] == reached, "a phase was left out"
    assert record.metrics.wall_ms is not None
    assert min(reached) >= 0.0
    assert abs(sum(reached) - record.metrics.wall_ms) <= ROUNDING_MS


async def test_phases_add_up_to_the_wall_time_whoever_runs_beside(
    model: Path, large_model: Path, tmp_path: Path
) -> None:
    """Loads, queues, shared batches, several choices, and one that loads while another runs."""
    requests = [
        request(model),
        request(model, n=3, max_tokens=20),
        request(large_model, max_tokens=5),
        request(large_model, max_tokens=3, max_sequences=1),
        request(model, max_tokens=1),
    ]
    streams = [Stream() for _ in requests]
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        for stream, each in zip(streams, requests, strict=True):
            nursery.start_soon(stream.follow, client, each)
    for record in (stream.record for stream in streams):
        require_no_gap(record)
        metrics = record.metrics
        assert metrics.finish_ms is not None
        assert metrics.latency_total_ms == pytest.approx((metrics.prefill_ms or 0) + (metrics.decode_ms or 0))
        phases_to_first_token = [getattr(metrics, name) for name in PHASES[: PHASES.index("prefill_ms") + 1]]
        assert metrics.ttft_ms == pytest.approx(sum(phases_to_first_token))
        assert metrics.wall_ms is not None
        assert metrics.ttft_ms is not None
        assert metrics.ttft_ms <= metrics.wall_ms


async def test_phases_of_one_that_was_cancelled_end_where_it_was(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        ahead, behind = Stream(), Stream()
        nursery.start_soon(ahead.follow, client, request(model, max_tokens=4000, max_sequences=1))
        await until(lambda: len(ahead.messages) > 1)
        nursery.start_soon(behind.follow, client, request(model, max_sequences=1))
        await until(lambda: bool(behind.messages))
        for stream in (behind, ahead):
            await client.ask(Cancel(execution_id=stream.execution_id))
            await stream.ended.wait()
    require_no_gap(ahead.record)
    require_no_gap(behind.record)
    assert behind.record.metrics.queue_ms is not None
    assert behind.record.metrics.load_ms is None


async def test_the_same_run_takes_the_same_memory_before_and_after_another_model(
    model: Path, large_model: Path, tmp_path: Path
) -> None:
    async with real_client(tmp_path) as client:
        before = [await record_of(client, request(model)) for _ in range(2)]
        other = await record_of(client, request(large_model))
        after = [await record_of(client, request(model)) for _ in range(2)]
    figures = [record.metrics.memory_peak_mb for record in (*before, *after)]
    assert None not in figures
    assert max(figures) <= (1 + SAME_MEMORY) * min(figures)  # type: ignore[type-var, operator]
    memory = before[0].metrics.memory
    assert memory.growth_bytes is not None
    assert memory.reason is None
    assert other.metrics.memory_peak_mb is not None
    assert figures[0] is not None
    assert other.metrics.memory_peak_mb > figures[0] + 10


async def test_memory_is_the_same_alone_and_in_company(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        alone = await record_of(client, request(model))
        streams = [Stream() for _ in range(4)]
        for stream in streams:
            nursery.start_soon(stream.follow, client, request(model))
    for record in (stream.record for stream in streams):
        assert record.metrics.memory_peak_mb == pytest.approx(alone.metrics.memory_peak_mb, rel=SAME_MEMORY)


async def test_cpu_time_is_that_of_the_process_and_shared_as_the_computing_is(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        alone = (await record_of(client, request(model, max_tokens=400))).metrics
        outer, inner = Stream(), Stream()
        nursery.start_soon(outer.follow, client, request(model, max_tokens=4000))
        await until(lambda: len(outer.messages) > 1)
        nursery.start_soon(inner.follow, client, request(model, max_tokens=400))
        await inner.ended.wait()
        await client.ask(Cancel(execution_id=outer.execution_id))
    assert alone.cpu.share == 1.0
    assert alone.cpu_user_ms == alone.cpu.process_user_ms
    assert alone.latency_total_ms is not None
    assert alone.cpu_user_ms is not None
    assert alone.cpu_system_ms is not None
    assert alone.cpu_user_ms + alone.cpu_system_ms > 0
    assert alone.cpu_share is not None
    assert 0 < alone.cpu_share <= 1
    shared = inner.record.metrics
    assert shared.cpu.share is not None
    assert 0 < shared.cpu.share < 1
    assert shared.cpu_user_ms == shared.cpu.share * (shared.cpu.process_user_ms or 0)
    assert shared.cpu.reason is None


async def test_token_times_are_recorded_where_the_plan_asks(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        plain = await record_of(client, request(model, n=2, max_tokens=10))
        timed = await record_of(client, request(model, n=2, max_tokens=10, token_times=True))
    assert (plain.token_times_ms, plain.other_choices[0].token_times_ms) == (None, None)
    assert timed.plan.token_times
    choices = (timed, *timed.other_choices)
    times = [choice.token_times_ms or () for choice in choices]
    assert [len(each) for each in times] == [len(choice.token_ids) for choice in choices]
    assert all(list(each) == sorted(each) for each in times)
    assert min(each[0] for each in times) == pytest.approx(timed.metrics.ttft_ms, abs=1e-3)
    assert max(each[-1] for each in times) <= (timed.metrics.wall_ms or 0)


async def test_a_record_says_what_its_figures_are_of(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        record = await record_of(client, request(model))
    content = record.model_dump(mode="json")
    named = {name: content[name] for name in ("engine_version", "model", "backend", "quantization")}
    assert named == {
        "engine_version": record.engine_version,
        "model": record.plan.model_ref.name,
        "backend": "reference",
        "quantization": "native",
    }
    assert record.unjudged_limits == ()
    ended = ended_event(record)
    assert (ended.model, ended.backend, ended.quantization) == (record.model, "reference", "native")
