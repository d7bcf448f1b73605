"""Joules are divided among executions: the real run loop and RAPL reader, over counters that run with time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from actors.system import open_system, running
from engine.config import EngineConfig
from protocol.client import Client
from protocol.metrics import OperationTimes
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.record import ExecutionRecord
from protocol.requests import Cancel
from tests.actors.engine_factory import Stream, record_of, until
from tests.support.gguf_factory import write_tiny_model
from tests.support.running_powercap import RunningPowercap, running_powercap

pytestmark = pytest.mark.slow

WATTS = 50.0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "slow.gguf", n_layer=6, n_embd=128, n_ff=256, context_length=8192)


@pytest.fixture
def powercap(tmp_path: Path) -> Iterator[RunningPowercap]:
    with running_powercap(tmp_path / "powercap", WATTS) as tree:
        yield tree


@asynccontextmanager
async def metered_client(powercap: RunningPowercap, tmp_path: Path) -> AsyncIterator[Client]:
    config = EngineConfig(
        models_dir=tmp_path, cache_dir=tmp_path / "cache", data_dir=tmp_path, powercap_root=powercap.root
    )
    async with running(open_system(config)) as system, system.client() as client:
        yield client


def request(
    model: Path, prompt: str = "Hello", max_tokens: int = 250, max_sequences: int = 16, source: str = "rapl"
) -> RunRequest:
    execution = ExecutionRequest(
        backend="reference",
        threads=1,
        max_sequences=max_sequences,
        limits=Limits(max_tokens=max_tokens),
        stop=Stop(eos=False),
        energy_source=source,
        op_times=True,
    )
    return RunRequest(model=str(model), prompt=prompt, execution=execution)


def computed_ms(record: ExecutionRecord) -> float:
    """The execution's parts of all its steps."""
    assert record.metrics.op_time_ms is not None
    times: dict[str, float] = dict(record.metrics.op_time_ms)
    return sum(times.values())


def rounding_ms(record: ExecutionRecord) -> float:
    """Largest error from rounding: each operation's part of each step is a whole number of nanoseconds."""
    parts = len(OperationTimes.model_fields) * (record.metrics.tokens_total + 3)
    return 3 * parts / share_of(record) / 1e6


def share_of(record: ExecutionRecord) -> float:
    assert record.metrics.energy.share is not None
    return record.metrics.energy.share


def package_j(record: ExecutionRecord) -> float:
    assert record.metrics.energy.package_j is not None
    return record.metrics.energy.package_j


async def test_alone_an_execution_has_all_joules_of_its_window(
    model: Path, powercap: RunningPowercap, tmp_path: Path
) -> None:
    async with metered_client(powercap, tmp_path) as client:
        record = await record_of(client, request(model))
    energy = record.metrics.energy
    assert (energy.kind, energy.source, energy.domains, energy.share) == ("measured", "rapl", ("package-0",), 1.0)
    assert energy.attributed_j == energy.package_j == record.metrics.joules_total
    assert package_j(record) > 0
    assert energy.idle_j is None  # nothing was calibrated
    assert energy.window_ms is not None
    assert record.metrics.latency_total_ms is not None
    assert energy.rel_uncertainty is not None
    beside_ms = abs(energy.window_ms - record.metrics.latency_total_ms)
    assert energy.rel_uncertainty >= (2 + beside_ms) / energy.window_ms - 1e-9


async def test_shares_of_those_side_by_side_add_up_to_all_that_was_computed(
    model: Path, powercap: RunningPowercap, tmp_path: Path
) -> None:
    """One runs from before the others' first step to after their last, so that its window holds theirs."""
    async with metered_client(powercap, tmp_path) as client, trio.open_nursery() as nursery:
        outer, inner = Stream(), [Stream(), Stream()]
        nursery.start_soon(outer.follow, client, request(model, max_tokens=8000))
        await until(lambda: any(message.type == "Tokens" for message in outer.messages))
        for stream, prompt in zip(inner, ("one", "another one"), strict=True):
            nursery.start_soon(stream.follow, client, request(model, prompt))
        for stream in inner:
            await stream.ended.wait()
        await client.ask(Cancel(execution_id=outer.execution_id))
        await outer.ended.wait()
    records = [outer.record, *(stream.record for stream in inner)]
    for record in records:
        energy = record.metrics.energy
        assert (energy.kind, energy.reason) == ("attributed", None)
        assert 0 < share_of(record) < 1
        assert energy.attributed_j == package_j(record) * share_of(record)
    # The run loop was busy for so long in each one's window.
    busy_ms = [computed_ms(record) / share_of(record) for record in records]
    assert busy_ms[0] == pytest.approx(sum(computed_ms(record) for record in records), abs=rounding_ms(outer.record))
    # All joules of the window are attributed, except for unsteady power while they shared it.
    watts = [package_j(record) / busy for record, busy in zip(records, busy_ms, strict=True)]
    unsteady_j = sum(
        computed_ms(record) * abs(its_watts - watts[0]) for record, its_watts in zip(records, watts, strict=True)
    )
    attributed_j = sum(record.metrics.joules_total or 0.0 for record in records)
    assert abs(attributed_j - package_j(outer.record)) <= unsteady_j + watts[0] * rounding_ms(outer.record)
    assert attributed_j > package_j(outer.record) * share_of(outer.record)


async def test_the_time_in_the_queue_is_nobodys(model: Path, powercap: RunningPowercap, tmp_path: Path) -> None:
    async with metered_client(powercap, tmp_path) as client, trio.open_nursery() as nursery:
        ahead = Stream()
        nursery.start_soon(ahead.follow, client, request(model, max_tokens=600, max_sequences=1))
        await until(lambda: any(message.type == "Tokens" for message in ahead.messages))
        asked_s = time.monotonic()
        behind = await record_of(client, request(model, max_sequences=1))
        answered_s = time.monotonic()
        await ahead.ended.wait()
    metrics = behind.metrics
    assert (metrics.energy.kind, metrics.energy.share) == ("measured", 1.0)
    assert metrics.queue_ms is not None
    assert metrics.energy.window_ms is not None
    served_s = answered_s - asked_s - metrics.queue_ms / 1e3
    assert metrics.queue_ms > metrics.energy.window_ms
    assert metrics.energy.window_ms / 1e3 <= served_s
    assert package_j(behind) <= WATTS * (served_s + powercap.largest_gap_s)


async def test_a_window_too_short_has_no_joules(model: Path, powercap: RunningPowercap, tmp_path: Path) -> None:
    async with metered_client(powercap, tmp_path) as client:
        record = await record_of(client, request(model, max_tokens=1))
    energy = record.metrics.energy
    if energy.kind != "unavailable":
        pytest.skip("one token took this machine as long as a window needs")
    assert "too short" in (energy.reason or "")
    assert (energy.package_j, energy.attributed_j, record.metrics.watts_avg) == (None, None, None)


async def test_a_run_shorter_than_its_window_says_that_its_limit_was_never_judged(
    model: Path, powercap: RunningPowercap, tmp_path: Path
) -> None:
    limits = Limits(max_tokens=2, max_watts=1000.0, max_joules=1e6, watt_window_ms=10_000)
    async with metered_client(powercap, tmp_path) as client:
        short = request(model).execution.model_copy(update={"limits": limits})
        record = await record_of(client, RunRequest(model=str(model), prompt="Hello", execution=short))
        longer = short.model_copy(update={"limits": limits.model_copy(update={"max_tokens": 1500})})
        judged = await record_of(client, RunRequest(model=str(model), prompt="Hello", execution=longer))
    assert record.unjudged_limits is not None
    assert "max_watts" in [each.limit for each in record.unjudged_limits]
    assert judged.metrics.latency_total_ms is not None
    assert judged.unjudged_limits is not None
    if judged.metrics.latency_total_ms > 2 * limits.energy_sample_ms:
        assert "max_joules" not in [each.limit for each in judged.unjudged_limits]


async def test_a_plan_may_name_a_model_beside_a_meter(model: Path, powercap: RunningPowercap, tmp_path: Path) -> None:
    config = EngineConfig(
        models_dir=tmp_path,
        cache_dir=tmp_path / "cache",
        data_dir=tmp_path,
        powercap_root=powercap.root,
        tdp_watts=40.0,
    )
    async with running(open_system(config)) as system, system.client() as client:
        measured = await record_of(client, request(model))
        modelled = await record_of(client, request(model, source="model"))
    assert (measured.metrics.energy.kind, modelled.metrics.energy.kind) == ("measured", "modelled")
    assert modelled.plan.energy_source == modelled.metrics.energy.source == "model"
    assert modelled.metrics.energy.rel_uncertainty is not None
    assert modelled.metrics.energy.rel_uncertainty > 0.5
    assert modelled.metrics.joules_total is not None
    assert modelled.logits_digest == measured.logits_digest
