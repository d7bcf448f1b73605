"""What a monitoring system is told: of the past by records, of the present by counting."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from actors.metrics_report import Snapshot, report_metrics
from actors.system import running
from engine.backend import ComputeTime
from engine.host.process_usage import ProcessUsage
from engine.metrics.exposition import exposition
from engine.metrics.metric_totals import MetricTotals
from protocol.answers import MetricsReport
from protocol.errors import UnknownModel
from protocol.metrics import OperationTimes
from protocol.plan import ExecutionRequest, RunRequest
from protocol.requests import Metrics, ModelInfo
from tests.actors.engine_factory import Stream, make_client, make_request, make_system, record_of, until
from tests.actors.fake_backend import KV_BYTES, FakeBackend
from tests.actors.fake_domain import FakeDomain
from tests.actors.fake_energy import make_meter


def values(report: MetricsReport, name: str) -> dict[tuple[str, ...], float]:
    """Values of a family's samples, by the values of their labels."""
    (family,) = (each for each in report.families if each.name == name)
    return {tuple(sample.labels.values()): sample.value for sample in family.samples}


async def test_a_new_engine_has_done_nothing() -> None:
    async with make_client(FakeBackend()) as client:
        report = await client.ask(Metrics())
    assert values(report, "engine_executions_in_progress") == {("queued",): 0, ("loading",): 0, ("running",): 0}
    assert values(report, "engine_executions_total") == {}
    assert values(report, "engine_memory_bytes") == {("weights",): 0, ("kv_cache",): 0}
    assert values(report, "engine_memory_peak_bytes")[()] > 2**20
    assert values(report, "engine_memory_private_bytes")[()] > 2**20
    assert values(report, "engine_uptime_seconds")[()] > 0


async def test_the_text_says_the_same_and_is_understood() -> None:
    async with make_client(FakeBackend(answer=("a", "b"))) as client:
        await record_of(client, make_request())
        report = await client.ask(Metrics())
    assert report.exposition == exposition(report.families)
    families = {family.name: family for family in text_string_to_metric_families(report.exposition)}
    assert families["engine_executions"].type == "counter"
    assert families["engine_inter_token_seconds"].type == "histogram"
    samples = {sample.name: sample.value for sample in families["engine_time_to_first_token_seconds"].samples}
    assert samples["engine_time_to_first_token_seconds_count"] == 1


async def test_what_runs_and_what_was_computed_is_told() -> None:
    backend = FakeBackend()
    async with make_client(backend) as client, trio.open_nursery() as nursery:
        stream = Stream()
        nursery.start_soon(stream.follow, client, make_request())
        await until(lambda: bool(backend.live))
        report = await client.ask(Metrics())
        backend.emit(1, "x", stop="eos")
        await stream.ended.wait()
        later = await client.ask(Metrics())
    assert values(report, "engine_executions_in_progress")["running",] == 1
    assert values(report, "engine_batch_sequences") == {(): 1}
    assert values(report, "engine_memory_bytes") == {("weights",): 5000, ("kv_cache",): KV_BYTES}
    assert values(report, "engine_step_rows_total") == {("prefill",): 30, ("decode",): 4}
    assert values(report, "engine_steps_total") == {(): 7}
    assert values(report, "engine_busy_seconds_total") == {(): 1.5}
    assert values(later, "engine_executions_in_progress")["running",] == 0
    assert values(later, "engine_executions_total") == {("tiny", "native", "default", "eos"): 1}


def test_a_backend_that_is_gone_has_no_count() -> None:
    gone = replace(FakeBackend().statistics(), work=None)
    usage = ProcessUsage(1, user_ns=3_000_000_000, system_ns=500_000_000, private_bytes=None)
    report = report_metrics(Snapshot(2.0, (), gone, usage, None, None), MetricTotals())
    names = {family.name for family in report.families}
    assert "engine_batch_sequences" in names
    assert names.isdisjoint({"engine_steps_total", "engine_step_rows_total", "engine_busy_seconds_total"})
    assert values(report, "engine_memory_peak_bytes") == values(report, "engine_memory_private_bytes") == {}
    assert values(report, "engine_cpu_seconds_total") == {("user",): 3.0, ("system",): 0.5}


async def test_refusals_are_counted_by_code() -> None:
    async with make_client(FakeBackend()) as client:
        for _ in range(2):
            with pytest.raises(UnknownModel):
                await client.ask(ModelInfo(model="nobody"))
        assert values(await client.ask(Metrics()), "engine_failures_total") == {("unknown_model",): 2}


async def test_joules_are_added_up_by_their_worth() -> None:
    system = make_system(FakeBackend(answer=("a",)), FakeDomain(energy_source="rapl"), make_meter())
    async with running(system) as system, system.client() as client:
        for _ in range(2):
            await record_of(client, make_request())
        assert values(await client.ask(Metrics()), "engine_energy_joules_total") == {("attributed", "rapl"): 10.0}


async def test_times_of_operations_reach_record_and_totals() -> None:
    operation_ns = {**dict.fromkeys(OperationTimes.model_fields, 0), "matmul": 750_000_000, "wait": 250_000_000}
    backend = FakeBackend(answer=("a",), compute_times={1: ComputeTime(10**9, 10**9, operation_ns)})
    request = RunRequest(model="tiny", prompt="abc", execution=ExecutionRequest(op_times=True))
    async with make_client(backend) as client:
        record = await record_of(client, request)
        seconds = values(await client.ask(Metrics()), "engine_operation_seconds_total")
    assert record.plan.op_times
    assert record.metrics.op_time_ms is not None
    assert (record.metrics.op_time_ms.matmul, seconds["matmul",], seconds["wait",]) == (750.0, 0.75, 0.25)


async def test_nobody_asked_for_times_of_operations() -> None:
    async with make_client(FakeBackend(answer=("a",))) as client:
        record = await record_of(client, make_request())
    assert not record.plan.op_times
    assert record.metrics.op_time_ms is None
