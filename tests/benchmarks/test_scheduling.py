"""The comparison of policies: traces that repeat, figures checked by hand, and what the simulation shows."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from benchmarks.support.arrivals import SYNTHETIC, Arrival, read_trace, write_trace
from benchmarks.support.outcomes import COLUMNS, HEAD, Comparison, Outcome, compare
from benchmarks.support.simulated_machine import CostModel, SimulatedMachine
from protocol.plan import SchedulerPolicy

REQUESTS = 520


@cache
def simulated(trace: str, policy: SchedulerPolicy = "default", max_sequences: int = 16) -> Comparison:
    return compare(*SimulatedMachine(SYNTHETIC[trace](REQUESTS), policy, max_sequences).run())


def make_outcome(at_ms: float = 0, admitted_ms: float = 0, times_ms: tuple[float, ...] = (10, 20, 40)) -> Outcome:
    return Outcome(Arrival(at_ms, 5, len(times_ms)), admitted_ms, times_ms, alone_ms=20)


# --- traces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SYNTHETIC)
def test_a_trace_is_the_same_each_time_and_in_order(name: str) -> None:
    trace = SYNTHETIC[name](REQUESTS)
    assert trace == SYNTHETIC[name](REQUESTS)
    assert len(trace) == REQUESTS
    assert [arrival.at_ms for arrival in trace] == sorted(arrival.at_ms for arrival in trace)
    assert all(arrival.prompt_tokens >= 1 and arrival.max_tokens >= 1 for arrival in trace)


def test_few_of_the_giants_trace_are_giants() -> None:
    assert 5 <= sum(arrival.prompt_tokens >= 3000 for arrival in SYNTHETIC["giants"](REQUESTS)) <= REQUESTS // 40


def test_a_recorded_trace_is_read_as_it_was_written(tmp_path: Path) -> None:
    trace = SYNTHETIC["bursty"](50)
    write_trace(tmp_path / "trace.jsonl", trace)
    assert read_trace(tmp_path / "trace.jsonl") == trace
    (tmp_path / "other.jsonl").write_text('{"when": 3}\n')
    with pytest.raises(ValueError, match="not a trace"):
        read_trace(tmp_path / "other.jsonl")


# --- figures ---------------------------------------------------------------------------------------------------------


def test_the_figures_of_a_run() -> None:
    outcomes = [make_outcome(), make_outcome(at_ms=20, admitted_ms=25, times_ms=(60, 100))]
    figures = compare(outcomes, proxy_joules=10)
    assert figures.ttft_ms == (10, 40, 40)
    assert figures.gap_ms == (20, 40, 40)
    assert figures.tokens_per_sec == 50
    assert figures.proxy_joules_per_token == 2
    assert figures.longest_wait_s == 0.005
    assert figures.fairness == pytest.approx((0.5 + 0.25) ** 2 / (2 * (0.5**2 + 0.25**2)))
    assert figures.overtaken_late == 0


def test_being_overtaken_counts_once_the_other_came_later_than_the_aging_bound() -> None:
    patient = make_outcome(at_ms=0, admitted_ms=50_000, times_ms=(50_010, 50_020))
    soon = make_outcome(at_ms=39_000, admitted_ms=39_500, times_ms=(39_510, 39_520))
    late = make_outcome(at_ms=41_000, admitted_ms=41_500, times_ms=(41_510, 41_520))
    assert compare([patient, soon], 1).overtaken_late == 0
    assert compare([patient, soon, late], 1).overtaken_late == 1


def test_a_row_has_a_cell_for_each_column() -> None:
    row = simulated("steady").row("default")
    assert row.count("|") == HEAD.splitlines()[0].count("|") == HEAD.splitlines()[1].count("|") == len(COLUMNS) + 1


# --- the simulated machine -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("prompt", "answer"), [(1, 1), (256, 8), (257, 8), (600, 30)])
def test_a_request_by_itself_takes_what_the_cost_model_says(prompt: int, answer: int) -> None:
    (outcome,), joules = SimulatedMachine([Arrival(5, prompt, answer)], "default", 16).run()
    assert len(outcome.token_times_ms) == answer
    took_ms = outcome.token_times_ms[-1] - 5
    assert took_ms == pytest.approx(CostModel().alone_ms(Arrival(5, prompt, answer)), rel=0.01)
    assert joules == pytest.approx(20 * took_ms / 1e3)


@pytest.mark.parametrize("trace", SYNTHETIC)
def test_latency_keeps_its_promise(trace: str) -> None:
    share = 0.5 if trace == "giants" else 1.0
    assert simulated(trace, "latency").ttft_ms[1] <= share * simulated(trace).ttft_ms[1]


@pytest.mark.parametrize("trace", SYNTHETIC)
@pytest.mark.parametrize("policy", ["cost", "energy"])
def test_cost_and_energy_keep_theirs(trace: str, policy: SchedulerPolicy) -> None:
    alone = simulated(trace, "default", 1)
    assert simulated(trace, policy).tokens_per_sec >= 1.3 * alone.tokens_per_sec
    assert simulated(trace, policy).proxy_joules_per_token < alone.proxy_joules_per_token


@pytest.mark.parametrize("trace", SYNTHETIC)
@pytest.mark.parametrize("policy", ["latency", "cost", "energy", "latency_energy_balanced"])
def test_nobody_is_overtaken_late(trace: str, policy: SchedulerPolicy) -> None:
    assert simulated(trace, policy).overtaken_late == 0
