"""The metrics for a person: unknown is a dash, modelled is marked."""

from __future__ import annotations

from io import StringIO
from typing import Any

from rich.console import Console

from engine_ctl.metrics_table import metrics_table, operations_table, warnings
from protocol.metrics import EnergyReport, OperationTimes
from protocol.record import WeightsReport
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
    assert warnings(make_record()) == ()
    plan = make_plan().model_copy(update={"quantization": "q4_k_m", "requantized_from": ("Q4_1", "Q8_0")})
    report = WeightsReport(source="quantized", notices=("the cached weights were made anew",))
    assert warnings(make_record(plan=plan, weights=report)) == (
        "q4_k_m was made from Q4_1, Q8_0, not from the original weights",
        "the cached weights were made anew",
    )
