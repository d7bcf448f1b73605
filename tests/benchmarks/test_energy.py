"""The energy benchmarks' figures, checked by hand, and the simulated machine that one of them runs on."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.energy import UnmeasuredError, steady_state
from benchmarks.power_cap import HEAD as CAP_HEAD
from benchmarks.power_cap import CappedRun, problems
from benchmarks.support.energy_point import HEAD, EnergyPoint, Sample, pareto_front, point_from, table
from benchmarks.support.power_plant import PowerPlant, average_watts, highest_average
from engine.energy.sources.rapl import RaplSource
from protocol.answers import LiveEnergy
from protocol.live_energy import PowerReport, RunningEnergy
from protocol.metrics import EnergyReport

SECOND = 1_000_000_000
SAMPLE = Sample(
    steady_s=10.0,
    steady_tokens=1000,
    steady_joules=200.0,
    whole_tokens=1200,
    whole_joules=300.0,
    gap_p50_ms=10.0,
    rel_uncertainty=0.001,
    used_by_others=0.01,
)
POINT = EnergyPoint("tiny", "native", 2, 1, "measured", "rapl", (SAMPLE,))
CAPPED = CappedRun("throttle", "max_tokens", 100, same_output=True, seconds=4.0, average_watts=24.0, highest_watts=26.0)


def make_point(gap_ms: float, tokens_per_joule: float, **more: Any) -> EnergyPoint:
    sample = replace(SAMPLE, gap_p50_ms=gap_ms, steady_tokens=round(tokens_per_joule * SAMPLE.steady_joules))
    return replace(POINT, samples=(sample,), **more)


def make_answer(watts: float | None, seconds: float, *tokens: int) -> LiveEnergy:
    energy = EnergyReport(kind="attributed", source="rapl")
    power = PowerReport(kind="measured", source="rapl", watts=watts, window_ms=seconds * 1e3, reason="no meter")
    executions = tuple(
        RunningEnergy(
            execution_id=f"exec-{number}", model="tiny", tokens_total=count, energy=energy,
            tokens_per_watt=None, share=None, watts=None,
        )
        for number, count in enumerate(tokens)
    )  # fmt: skip
    return LiveEnergy(request_id=1, power=power, executions=executions)


# --- joules a token ---------------------------------------------------------------------------------------------------


def test_the_steady_state_is_that_of_the_full_batch() -> None:
    ramp, begun = make_answer(99, 1, 7), make_answer(99, 5, 10, 20)
    first, second, drain = make_answer(20, 1, 20, 40), make_answer(30, 2, 40, 80), make_answer(99, 1, 90)
    steady = steady_state([ramp, begun, first, second, drain], batch=2)
    assert (steady.seconds, steady.tokens, steady.joules) == (3.0, 90, 80.0)


def test_without_watts_there_is_no_steady_state() -> None:
    with pytest.raises(UnmeasuredError, match="no meter"):
        steady_state([make_answer(9, 1, 1), make_answer(None, 1, 2)], batch=1)


def test_a_row_tells_steady_state_and_whole_run_and_what_they_are_worth() -> None:
    row = POINT.row(on_front=False)
    assert row.count("|") == HEAD.splitlines()[0].count("|") == HEAD.splitlines()[1].count("|")
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[4:] == [
        "100.0",
        "10.0",
        "20.0",
        "0.200 (0.200 to 0.200)",
        "0.250 (0.250 to 0.250)",
        "5.00",
        "measured, rapl",
        "1%",
    ]


def test_modelled_joules_are_marked_wherever_they_stand() -> None:
    row = replace(POINT, kind="modelled", source="model").row(on_front=True)
    assert "modelled, model" in row
    for figure in ("20.0", "0.200 (", "0.250 (", "5.00"):
        assert f"~ {figure}" in row


def test_the_front_holds_what_nothing_beats() -> None:
    fast, thrifty, both_worse, slower = (make_point(*at) for at in ((5, 2), (20, 8), (6, 1), (25, 8)))
    assert pareto_front([both_worse, thrifty, slower, fast]) == [fast, thrifty]


def test_what_was_measured_is_not_held_against_what_a_model_says() -> None:
    measured, modelled = make_point(10, 5), make_point(5, 9, kind="modelled", source="model")
    assert pareto_front([measured, modelled]) == [modelled, measured]


def test_a_result_is_read_back_and_told_as_a_table() -> None:
    assert point_from(POINT.as_json()) == POINT
    machine = {"cpu": "a processor", "engine_version": "0"}
    told = table({"machine": machine, "rounds": 1, "seconds": 10, "points": [POINT.as_json()]})
    assert "**5.00**" in told


# --- the simulated machine --------------------------------------------------------------------------------------------


def test_a_plant_draws_its_idle_and_its_busy_watts(tmp_path: Path) -> None:
    busy_s = [0.0]
    with PowerPlant(tmp_path / "powercap", idle_watts=10.0, core_watts=20.0, busy_s=lambda: busy_s[0]) as plant:
        source = RaplSource(tmp_path / "powercap")
        before = source.read()
        busy_s[0] += 3.0
        time.sleep(0.1)
        after = source.read()
    elapsed_s = (after.time_ns - before.time_ns) / 1e9
    joules = ((after.package_uj or 0) - (before.package_uj or 0)) / 1e6
    # Counters move only now and then, so the moments are not quite those of the readings.
    assert joules == pytest.approx(3 * 20.0 + 10.0 * elapsed_s, rel=0.05)
    assert plant.trace[-1][1] >= joules
    assert (after.dram_uj or 0) - (before.dram_uj or 0) == pytest.approx(joules * 1e6 * 0.1, rel=0.01)


def test_averages_of_a_trace() -> None:
    trace = [(0, 0.0), (SECOND, 10.0), (2 * SECOND, 40.0), (3 * SECOND, 50.0)]
    assert average_watts(trace) == pytest.approx(50 / 3)
    assert highest_average(trace, SECOND) == 30.0
    assert highest_average(trace, 2 * SECOND) == 20.0
    with pytest.raises(ValueError, match="empty"):
        highest_average(trace, 4 * SECOND)


def test_a_limit_that_was_not_kept_is_a_problem() -> None:
    assert problems([CAPPED], max_watts=25.0) == []
    assert "over the limit" in problems([replace(CAPPED, highest_watts=26.3)], 25.0)[0]
    assert "other output" in problems([replace(CAPPED, same_output=False)], 25.0)[0]
    assert "other processes" in problems([replace(CAPPED, mode="no limit")], 25.0)[0]
    assert "ended with max_tokens" in problems([replace(CAPPED, mode="stop")], 25.0)[0]
    assert CAPPED.row().count("|") == CAP_HEAD.splitlines()[0].count("|") == CAP_HEAD.splitlines()[1].count("|")
