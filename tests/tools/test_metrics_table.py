"""The metrics for a person: unknown is a dash, modelled is marked."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from engine_ctl.energy_figure import energy_lines
from engine_ctl.figures_line import run_warnings
from engine_ctl.metrics_table import limit_lines, metrics_table, operations_table, usage_lines
from protocol.metrics import PHASES, CpuReport, EnergyReport, MemoryReport, OperationTimes
from protocol.power_curve import PowerCurve
from protocol.record import UnjudgedLimit, WeightsReport
from tests.tools.executions import make_metrics, make_plan, make_record


def shown(**metrics: Any) -> dict[str, str]:
    """Every metric's name and figure, as printed."""
    console = Console(file=StringIO(), width=100)
    with console.capture() as captured:
        console.print(metrics_table(make_metrics(**metrics)))
    rows = [line.split("│") for line in captured.get().splitlines() if line.startswith("│")]
    return {row[1].strip(): row[2].strip() for row in rows}


def test_unknown_is_a_dash_and_never_zero() -> None:
    figures = shown()
    assert figures["ttft_ms"] == "12.50"
    assert figures["tokens_total"] == "3"
    assert figures["watts_avg"] == figures["joules_total"] == figures["tokens_per_sec"] == "-"


def test_modelled_energy_is_marked_and_measured_is_not() -> None:
    modelled = EnergyReport(kind="modelled", source="model", rel_uncertainty=0.3)
    figures = shown(energy=modelled, watts_avg=21.5, tokens_per_sec=80.0)
    assert (figures["watts_avg"], figures["tokens_per_sec"]) == ("~21.50", "80.00")
    measured = EnergyReport(kind="attributed", source="rapl")
    assert shown(energy=measured, watts_avg=21.5)["watts_avg"] == "21.50"


def test_a_modelled_figure_names_the_model_beside_its_unit() -> None:
    console = Console(file=StringIO(), width=100)
    with console.capture() as captured:
        console.print(metrics_table(make_metrics(energy=EnergyReport(kind="modelled", source="model"), watts_avg=21.5)))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in captured.get().splitlines() if "│" in line]
    assert ["watts_avg", "~21.50", "W (model)"] in rows
    assert ["joules_total", "-", "J"] in rows
    assert sum("(model)" in unit for *_, unit in rows) == 1


@pytest.mark.parametrize("kind", ["measured", "attributed", "modelled"])
def test_energy_is_shown_in_its_parts_with_its_uncertainty(kind: str) -> None:
    report: dict[str, Any] = {
        "kind": kind,
        "source": "rapl",
        "package_j": 40.0,
        "idle_j": 12.0,
        "attributed_j": 10.0,
        "share": 0.25,
    }
    lines = energy_lines(EnergyReport(**report, rel_uncertainty=0.126, calibration_age_s=43_200.0))
    tilde, model = ("~", " (model)") if kind == "modelled" else ("", "")
    assert lines == [
        f"energy: {'~ ' if tilde else ''}{kind} (rapl), ±13 %",
        f"  {tilde}40.00 J{model} of all packages; of them {tilde}12.00 J{model} idle, measured 0.5 days before; "
        f"{tilde}10.00 J{model} this execution's, a share of 25.0%",
    ]


@pytest.mark.parametrize(("age_s", "basis"), [(None, "declared watts"), (60.0, "a calibration")])
def test_what_a_modelled_joule_rests_on_is_said(age_s: float | None, basis: str) -> None:
    curve = PowerCurve(idle_watts=4.0, busy_watts=18.0, rel_error=0.5)
    lines = energy_lines(EnergyReport(kind="modelled", source="model", curve=curve, calibration_age_s=age_s))
    assert lines == ["energy: ~ modelled (model)", f"  by {basis}: 4.00 W + 18.00 W a busy CPU"]


def test_what_takes_from_energys_worth_is_said() -> None:
    stale: dict[str, Any] = {"calibration_stale": "it is 40 days old", "contended": True, "others_cpu_share": 0.3}
    lines = energy_lines(EnergyReport(kind="unavailable", source="none", reason="no meter", **stale))
    assert lines == [
        "energy: unavailable (none): no meter",
        "  calibration: it is 40 days old",
        "  contended: other processes had 30% of the CPU time",
    ]


def test_operations_are_shown_with_their_shares_the_longest_first() -> None:
    times = OperationTimes(**{**dict.fromkeys(OperationTimes.model_fields, 0.0), "attention": 25.0, "matmul": 75.0})
    console = Console(file=StringIO(), width=100)
    with console.capture() as captured:
        console.print(operations_table(times))
    rows = [line.split("│")[1:-1] for line in captured.get().splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows[:2]] == [
        ["matmul", "75.00", "75.0%"],
        ["attention", "25.00", "25.0%"],
    ]
    assert len(rows) == len(OperationTimes.model_fields)


def test_what_was_lost_and_what_happened_to_the_weights_is_said() -> None:
    assert run_warnings(make_record()) == ()
    plan = make_plan().model_copy(update={"quantization": "q4_k_m", "requantized_from": ("Q4_1", "Q8_0")})
    report = WeightsReport(source="quantized", notices=("the cached weights were made anew",))
    assert run_warnings(make_record(plan=plan, weights=report)) == (
        "q4_k_m was made from Q4_1, Q8_0, not from the original weights",
        "the cached weights were made anew",
    )


def test_no_total_is_met_before_what_it_is_made_of() -> None:
    names = list(shown())
    assert names[names.index("wall_ms") + 1 :][: len(PHASES)] == list(PHASES)
    assert names.index("wall_ms") < names.index("ttft_ms") < names.index("latency_total_ms")


def test_memory_is_told_in_its_parts_and_what_is_unknown_with_its_reason() -> None:
    memory = MemoryReport(weights_bytes=126_500_000, kv_cache_bytes=2_900_000, buffers_bytes=None, reason="why")
    assert usage_lines(make_metrics(memory=memory)) == ["memory: weights 126.5 MB, KV cache 2.9 MB; why"]
    lines = usage_lines(make_metrics(memory=MemoryReport(growth_bytes=10**6), cpu=CpuReport(reason="no share")))
    assert lines == ["memory: growth of the engine 1.0 MB", "cpu: no share"]


def test_a_limit_that_was_never_judged_is_said() -> None:
    limits = (UnjudgedLimit(limit="max_watts", reason="it is first judged after 1000 ms"),)
    told = ["limit: max_watts was never judged: it is first judged after 1000 ms"]
    assert limit_lines(make_record(unjudged_limits=limits)) == told
    assert limit_lines(make_record(unjudged_limits=())) == limit_lines(make_record()) == []
