"""Each metric's formula, its sources and its tolerances, over counters that run with time."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from engine.metrics.metrics import nearest_rank
from engine.records.comparison import compare_repeat
from protocol.blocking import BlockingClient
from protocol.metrics import PHASES, ExecutionMetrics
from protocol.record import ExecutionRecord
from tests.engine.compared_records import first, power, refused, second, speed, verdict_on
from tests.engine.record_factory import measured, plan_with
from tests.requirements.execution import from_json, record_of, run, run_for
from tests.requirements.llama import NAME, environment
from tests.support.gguf_factory import write_tiny_model
from tests.support.running_powercap import RunningPowercap, running_powercap
from tests.test_layers import INCLUDE, sources
from tests.tools.command_line import serving

WATTS = 40.0
"""What the machine draws whatever it does."""


@pytest.fixture(scope="module")
def powercap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPowercap]:
    with running_powercap(tmp_path_factory.mktemp("powercap") / "tree", WATTS) as tree:
        yield tree


@pytest.fixture(scope="module")
def metered(home: Path, powercap: RunningPowercap) -> Iterator[BlockingClient]:
    """A client of an engine whose machine has RAPL."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("ENGINE_")}
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        path = Path(folder) / "engine.sock"
        roots = {**environment(home), "ENGINE_POWERCAP_ROOT": str(powercap.root)}
        with serving(path, env=variables | roots), BlockingClient.connect(path, timeout=60) as client:
            yield client


@pytest.fixture(scope="module")
def computed(metered: BlockingClient) -> ExecutionRecord:
    """Half a second, long enough to have joules: a window under 200 ms has none."""
    return run_for(metered, joules=WATTS / 2, op_times=True)


@pytest.fixture(scope="module")
def metrics(computed: ExecutionRecord) -> ExecutionMetrics:
    return computed.metrics


def test_metric_tokens_total_counts_what_was_generated(computed: ExecutionRecord, metered: BlockingClient) -> None:
    assert computed.metrics.tokens_total == len(computed.token_ids) > 1
    several = run(metered, n=3, sampling={"temperature": 1.0})
    choices = (several, *several.other_choices)
    assert several.metrics.tokens_total == sum(len(choice.token_ids) for choice in choices)


def test_metric_tokens_per_sec_is_the_tokens_by_the_time(metrics: ExecutionMetrics) -> None:
    assert metrics.latency_total_ms
    assert metrics.tokens_per_sec == pytest.approx(metrics.tokens_total / (metrics.latency_total_ms / 1e3))


def test_metric_latency_total_ms_is_the_active_interval(metrics: ExecutionMetrics) -> None:
    """From the first prefill step to the last token: the prefill, and all gaps between tokens."""
    assert metrics.prefill_ms is not None
    assert metrics.decode_tokens_per_sec is not None
    decoding_ms = metrics.latency_gaps / metrics.decode_tokens_per_sec * 1e3
    assert metrics.latency_total_ms == pytest.approx(metrics.prefill_ms + decoding_ms)


def test_metric_latency_total_ms_is_a_part_of_the_whole_time(metrics: ExecutionMetrics) -> None:
    """Phases from request to record leave no gap, so that no total is below the time to first token."""
    phases = [getattr(metrics, name) for name in PHASES]
    assert metrics.wall_ms == pytest.approx(sum(phases))
    assert metrics.latency_total_ms == pytest.approx((metrics.prefill_ms or 0.0) + (metrics.decode_ms or 0.0))
    assert metrics.ttft_ms == pytest.approx(sum(phases[:5]))


def test_metric_latency_total_ms_leaves_out_waiting_and_loading(metered: BlockingClient) -> None:
    began_s = time.monotonic()
    loaded = run(metered, quantization="q6_k", threads=1).metrics
    wall_ms = (time.monotonic() - began_s) * 1e3
    assert loaded.latency_total_ms is not None
    assert loaded.load_ms is not None
    assert loaded.latency_total_ms + loaded.load_ms <= wall_ms


def test_metric_latency_percentiles_are_of_all_gaps_by_nearest_rank(metrics: ExecutionMetrics) -> None:
    assert metrics.latency_gaps == metrics.tokens_total - 1
    assert metrics.latency_p50_ms is not None
    assert metrics.latency_p95_ms is not None
    assert metrics.latency_total_ms is not None
    assert 0 < metrics.latency_p50_ms <= metrics.latency_p95_ms <= metrics.latency_total_ms
    # Half of the gaps are no shorter than the median, so they take at least so long together.
    assert metrics.latency_p50_ms * (metrics.latency_gaps // 2) <= metrics.latency_total_ms


def test_metric_latency_percentiles_follow_from_the_tokens_own_times(metered: BlockingClient) -> None:
    record = run(metered, max_tokens=200, stop={"eos": False}, token_times=True)
    assert record.token_times_ms is not None
    assert len(record.token_times_ms) == 200
    gaps = sorted(after - before for before, after in pairwise(record.token_times_ms))
    # Nearest rank of 199: the 100th and the 190th. Times are in whole microseconds.
    assert record.metrics.latency_p50_ms == pytest.approx(gaps[99], abs=2e-3)
    assert record.metrics.latency_p95_ms == pytest.approx(gaps[189], abs=2e-3)


@pytest.mark.parametrize(
    ("gaps", "p50", "p95"),
    [([5.0], 5.0, 5.0), ([4.0, 1.0, 3.0, 2.0], 2.0, 4.0), ([float(n) for n in range(1, 101)], 50.0, 95.0)],
)
def test_metric_latency_percentiles_are_gaps_that_there_were(gaps: list[float], p50: float, p95: float) -> None:
    assert (nearest_rank(gaps, 50), nearest_rank(gaps, 95)) == (p50, p95)
    assert nearest_rank([], 50) is None


def test_metric_watts_avg_is_the_joules_by_the_active_time(metrics: ExecutionMetrics) -> None:
    assert metrics.joules_total is not None
    assert metrics.latency_total_ms is not None
    assert metrics.watts_avg == pytest.approx(metrics.joules_total / (metrics.latency_total_ms / 1e3))


def test_metric_watts_avg_are_what_the_machine_draws_within_the_uncertainty(
    metrics: ExecutionMetrics, powercap: RunningPowercap
) -> None:
    energy = metrics.energy
    assert energy.package_j is not None
    assert energy.window_ms is not None
    window_s = energy.window_ms / 1e3
    assert energy.package_j == pytest.approx(WATTS * window_s, abs=2 * WATTS * powercap.largest_gap_s)
    assert energy.attributed_j == pytest.approx(energy.package_j * (energy.share or 0.0))


def test_metric_watts_avg_leaves_out_what_came_before_and_after(
    metered: BlockingClient, powercap: RunningPowercap
) -> None:
    time.sleep(0.3)  # idle, at the same watts
    began_s = time.monotonic()
    record = run_for(metered, joules=WATTS / 2)
    wall_s = time.monotonic() - began_s
    assert record.metrics.joules_total is not None
    assert record.metrics.joules_total <= WATTS * (wall_s + powercap.largest_gap_s)


def test_metric_tokens_per_watt_is_the_rate_by_the_watts(metrics: ExecutionMetrics) -> None:
    assert metrics.tokens_per_sec is not None
    assert metrics.watts_avg is not None
    assert metrics.joules_total is not None
    assert metrics.tokens_per_watt == pytest.approx(metrics.tokens_per_sec / metrics.watts_avg)
    # Tokens a second for each watt are tokens for each joule.
    assert metrics.tokens_per_watt == pytest.approx(metrics.tokens_total / metrics.joules_total)


def test_metric_memory_peak_mb_is_the_executions_own_in_millions_of_bytes(metrics: ExecutionMetrics) -> None:
    memory = metrics.memory
    assert memory.weights_bytes is not None
    assert memory.kv_cache_bytes is not None
    assert memory.buffers_bytes is not None
    beside = max(memory.kv_cache_bytes + memory.buffers_bytes, memory.growth_bytes or 0)
    assert metrics.memory_peak_mb == pytest.approx((memory.weights_bytes + beside) / 1e6)


def test_metric_memory_peak_mb_does_not_depend_on_what_ran_before(metered: BlockingClient, tmp_path: Path) -> None:
    before = run(metered).metrics.memory
    larger = write_tiny_model(tmp_path / "larger.gguf", n_layer=8, n_embd=256, n_ff=1024)
    record_of(metered, from_json({"model": str(larger), "prompt": "Olá", "execution": {"limits": {"max_tokens": 4}}}))
    after = run(metered).metrics.memory
    for name in ("weights_bytes", "kv_cache_bytes", "buffers_bytes"):
        assert getattr(after, name) == getattr(before, name)


def test_metric_op_time_ms_splits_the_computing_by_operation(
    metrics: ExecutionMetrics, metered: BlockingClient
) -> None:
    assert metrics.op_time_ms is not None
    times: dict[str, float] = dict(metrics.op_time_ms)
    assert min(times.values()) >= 0
    assert min(times["matmul"], times["attention"], times["norm"], times["activation"], times["logits"]) > 0
    assert run(metered).metrics.op_time_ms is None


def test_metric_op_time_ms_adds_up_to_no_more_than_the_steps(metrics: ExecutionMetrics) -> None:
    """Those from the first to the one in which it was told to stop, which ends after the last token."""
    assert metrics.op_time_ms is not None
    assert metrics.latency_total_ms is not None
    times: dict[str, float] = dict(metrics.op_time_ms)
    assert metrics.finish_ms is not None
    assert sum(times.values()) <= metrics.latency_total_ms + metrics.finish_ms


def test_metric_clock_is_monotonic_and_fine() -> None:
    clock = time.get_clock_info("monotonic")
    assert clock.monotonic
    assert clock.resolution <= 1e-6
    used = "".join(path.read_text(encoding="utf-8") for path in sources())
    assert "steady_clock" in used
    assert "system_clock" not in used
    assert "high_resolution_clock" not in used
    assert not [path for path in sources() if "time.h" in INCLUDE.findall(path.read_text(encoding="utf-8"))]


def test_metric_clock_tells_less_than_a_millisecond(metrics: ExecutionMetrics) -> None:
    told = [metrics.latency_total_ms, metrics.latency_p50_ms, metrics.latency_p95_ms, metrics.ttft_ms]
    assert any(value is not None and value != round(value) for value in told)


def test_metric_energy_readings_are_of_rapl_at_both_ends(metrics: ExecutionMetrics) -> None:
    energy = metrics.energy
    assert (energy.kind, energy.source, energy.domains) == ("measured", "rapl", ("package-0",))
    assert energy.window_ms is not None
    assert metrics.latency_total_ms is not None
    assert energy.rel_uncertainty is not None
    assert energy.rel_uncertainty >= abs(energy.window_ms - metrics.latency_total_ms) / energy.window_ms - 1e-9


def test_metric_unit_is_one_execution(computed: ExecutionRecord, metered: BlockingClient) -> None:
    assert computed.plan.model_ref.name == NAME
    assert computed.plan.backend == computed.hardware.kernel_path == "reference"
    assert computed.hardware.cpu_model
    assert computed.engine_version == metered.welcome.engine_version
    assert computed.plan_fingerprint == computed.plan.fingerprint


@pytest.mark.parametrize(("rate", "within"), [(103.0, True), (97.0, True), (103.1, False), (96.9, False)])
def test_metric_tolerances_of_speed_are_3_percent(rate: float, within: bool) -> None:
    quiet = measured()
    verdict = compare_repeat(first(metrics=speed(100.0, energy=quiet)), second(metrics=speed(rate, energy=quiet)))
    assert verdict_on("tokens_per_sec", verdict).within is within


@pytest.mark.parametrize(("watts", "within"), [(10.5, True), (9.5, True), (10.6, False), (9.4, False)])
def test_metric_tolerances_of_watts_are_5_percent(watts: float, within: bool) -> None:
    pair = first(metrics=power(10.0, measured())), second(metrics=power(watts, measured()))
    assert verdict_on("watts_avg", compare_repeat(*pair)).within is within


def test_metric_tolerances_are_for_the_same_execution_alone() -> None:
    assert "quantization" in refused(first(), second(plan_with(quantization="q8_0")))
    assert "engine_version" in refused(first(), second(engine_version="9.9"))
