"""The optimizer on a simulated machine: what it finds, what it rejects, and that it stays within its limits."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.errors import EngineUnreachable, InvalidRequest
from weos_agents.budget import Budget
from weos_agents.experimenter import Experimenter
from weos_agents.gate import GateRules
from weos_agents.guardrail import with_margins
from weos_agents.sample import Metric
from weos_agents.search_fields import SearchField
from weos_agents.workload import Workload

pytest.importorskip("optuna", reason="optuna is not installed")

from tests.agents.simulated_laboratory import (
    CHUNK,
    FIELDS,
    THREADS,
    WORKLOAD,
    SimulatedLaboratory,
)
from weos_agents.candidate_search import CandidateSearch
from weos_agents.optimization import Optimization
from weos_agents.optimizer import Optimizer, OptimizerOptions

SPEED_FIELDS = (THREADS, CHUNK)


def more_threads_are_slower(values: dict[str, Any]) -> dict[Metric, float]:
    """Four threads are the best of this machine, by a quarter."""
    speed = {1: 0.6, 2: 0.9, 4: 1.25, 8: 1.0}[values["execution.threads"]]
    return {"tokens_per_sec": speed, "tokens_per_watt": speed}


def bursts(values: dict[str, Any]) -> dict[Metric, float]:
    """Four threads are faster, and their slowest tokens take half as long again."""
    return more_threads_are_slower(values) | ({"latency_p95_ms": 1.5} if values["execution.threads"] == 4 else {})


def optimize(
    laboratory: SimulatedLaboratory,
    *,
    seconds: float = 1200.0,
    fields: tuple[SearchField, ...] = SPEED_FIELDS,
    rules: GateRules | None = None,
    joules: float | None = None,
    seed: int = 0,
) -> Optimization:
    budget = Budget.starting(seconds, laboratory.now, joules)
    experimenter = Experimenter(laboratory, rules or GateRules(), budget)
    return Optimizer(laboratory, experimenter, WORKLOAD, fields, OptimizerOptions(seed=seed)).run()


def test_a_search_begins_with_one_change_at_a_time() -> None:
    found = optimize(SimulatedLaboratory(more_threads_are_slower))
    assert [trial.changes for trial in found.trials[:2]] == [{"threads": 4}, {"batch.prefill_chunk": 64}]


def test_a_better_plan_is_found_and_proved_on_other_inputs() -> None:
    found = optimize(SimulatedLaboratory(more_threads_are_slower))
    assert found.chosen is not None
    proved = found.confirmations[found.chosen]
    assert proved.changes["threads"] == 4
    assert proved.verdict.gain == pytest.approx(0.25, abs=0.03)
    assert proved.evidence.inputs == {line.content for line in WORKLOAD.confirming}
    assert not proved.evidence.inputs & {
        name for trial in found.trials if trial.evidence for name in trial.evidence.inputs
    }
    assert found.candidate is not None
    assert found.candidate.content["threads"] == 4
    assert found.decisions[-1].what.startswith("proved")


def test_equal_seeds_try_equal_candidates() -> None:
    tried = [optimize(SimulatedLaboratory(more_threads_are_slower)).trials for _ in range(2)]
    assert [trial.changes for trial in tried[0]] == [trial.changes for trial in tried[1]]


def test_where_nothing_is_better_the_baseline_stays() -> None:
    found = optimize(SimulatedLaboratory(lambda values: {}))
    assert (found.chosen, found.candidate) == (None, None)
    assert found.decisions[-1].what == "the baseline stays"


def test_a_plan_that_wins_and_breaks_a_guardrail_is_never_chosen() -> None:
    def harmful(values: dict[str, Any]) -> dict[Metric, float]:
        speed = more_threads_are_slower(values)
        return speed | ({"ttft_ms": 1.4} if values["execution.threads"] == 4 else {})

    for seed in range(10):
        found = optimize(SimulatedLaboratory(harmful), seed=seed, seconds=600)
        assert found.chosen is None
        assert any("worse in ttft_ms p95" in decision.what for decision in found.decisions)


def test_a_person_who_allows_bursts_is_given_the_plan_that_makes_them() -> None:
    found = optimize(SimulatedLaboratory(bursts))
    assert found.chosen is None
    assert any("worse in latency_p95_ms" in decision.what for decision in found.decisions)
    rules = GateRules(guardrails=with_margins({"latency_p95_ms": 1.0}))
    allowed = optimize(SimulatedLaboratory(bursts), rules=rules)
    assert allowed.chosen is not None
    assert allowed.confirmations[allowed.chosen].changes["threads"] == 4
    assert {one.guardrail for one in allowed.confirmations[allowed.chosen].verdict.guardrails} == {*rules.guardrails}
    assert not any("worse in latency_p95_ms" in decision.what for decision in allowed.decisions)


def test_another_arithmetic_is_taken_within_the_bound_of_quality() -> None:
    def small_is_fast(values: dict[str, Any]) -> dict[Metric, float]:
        speed = 1.5 if values["execution.quantization"] == "q4" else 1.0
        return {"tokens_per_sec": speed}

    found = optimize(SimulatedLaboratory(small_is_fast), fields=FIELDS)
    assert found.chosen is not None
    assert found.confirmations[found.chosen].changes["quantization"] == "q4"


def test_other_answers_beyond_the_bound_are_neither_promising_nor_put_to_a_proof() -> None:
    def small_is_fast(values: dict[str, Any]) -> dict[Metric, float]:
        return {"tokens_per_sec": 1.5 if values["execution.quantization"] == "q4" else 1.0}

    rules = GateRules.model_validate({"quality": {"divergence_mean": 0.001, "same_best": 0.9}})
    found = optimize(SimulatedLaboratory(small_is_fast), fields=FIELDS, rules=rules)
    others = [trial for trial in found.trials if trial.gain is not None and not trial.same_bits]
    assert others
    for trial in others:
        assert trial.worse["mean divergence"] == pytest.approx(0.009)
        assert trial.worse["same best token"] == pytest.approx(-0.07)
        assert not trial.promising
    assert all("quantization" not in attempt.changes for attempt in found.confirmations)
    assert any("but worse in mean divergence" in decision.what for decision in found.decisions)


def test_a_search_ends_when_every_combination_was_tried() -> None:
    field = THREADS.model_copy(update={"values": tuple(range(1, 10))})
    search = CandidateSearch([field], {"threads": 8}, seed=0)
    asked = []
    while (candidate := search.ask()) is not None:
        search.tell(candidate, 0.0, {})
        asked.append(candidate.changes["execution.threads"])
    assert sorted(asked) == [1, 2, 3, 4, 5, 6, 7, 9]
    pairs = CandidateSearch([field, CHUNK], {"threads": 8, "batch.prefill_chunk": 256}, seed=0)
    waiting = iter(pairs.ask, None)
    assert len(list(waiting)) == 9 * 3 - 1


def test_other_answers_of_the_same_arithmetic_are_a_fault_and_no_gain() -> None:
    laboratory = SimulatedLaboratory(more_threads_are_slower)
    laboratory.other_answers = True
    assert optimize(laboratory).chosen is None


@pytest.mark.parametrize("limit", ["seconds", "joules"])
def test_it_stays_within_its_budget(limit: str) -> None:
    laboratory = SimulatedLaboratory(more_threads_are_slower, spread=0.2)
    if limit == "seconds":
        optimize(laboratory, seconds=300.0)
    else:
        optimize(laboratory, joules=300.0 * 20.0)
    one_pair_and_the_noise = 20.0
    assert laboratory.seconds <= 300.0 + one_pair_and_the_noise


def test_energy_that_is_not_measured_is_no_goal_and_the_report_says_so() -> None:
    rules = GateRules(kpi="tokens_per_watt")
    found = optimize(SimulatedLaboratory(more_threads_are_slower, energy_kind="modelled"), rules=rules)
    assert found.kpi == "tokens_per_sec"
    assert "energy is modelled here, not measured" in found.kpi_note
    assert found.chosen is not None
    measured = optimize(SimulatedLaboratory(more_threads_are_slower), rules=rules)
    assert (measured.kpi, measured.kpi_note) == ("tokens_per_watt", "")


def test_disturbed_pairs_are_made_again_and_not_counted() -> None:
    found = optimize(SimulatedLaboratory(more_threads_are_slower, busy=0.2))
    assert found.chosen is not None
    verdict = found.confirmations[found.chosen].verdict
    assert verdict.disturbed > 0
    assert verdict.pairs + verdict.disturbed == len(found.confirmations[found.chosen].evidence.pairs)


def test_a_refused_candidate_is_told_and_not_tried_again() -> None:
    found = optimize(SimulatedLaboratory(more_threads_are_slower))
    refused = [trial for trial in found.trials if trial.refusal]
    assert [(trial.changes, trial.refusal) for trial in refused] == [
        ({"threads": 1, "batch.prefill_chunk": 16}, "invalid_plan: this machine refuses that")
    ]


def test_hopeless_candidates_are_given_up_early() -> None:
    laboratory = SimulatedLaboratory(more_threads_are_slower)
    optimize(laboratory)
    given_up = [pairs for changes, pairs in laboratory.experiments if changes.get("execution.threads") == 2]
    assert given_up
    assert set(given_up) == {3}


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (['{"prompt": "a"}'] * 9, "1 different inputs"),
        (["{"], "line 1 of the workload is not JSON"),
        (['{"model": "m"}'], "no prompt and no messages"),
        (['{"prompt": "a", "model": "m"}'], "has model"),
        (["[]"], "no prompt"),
        (['{"prompt": "a"}', '{"messages": [{"role": "user", "content": "a"}]}'], "mixes inputs"),
    ],
)
def test_a_workload_that_proves_nothing_is_refused(lines: list[str], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        Workload.of(lines)


def test_a_workload_is_halved_by_its_contents_alone() -> None:
    lines = [f'{{"prompt": "{number}"}}' for number in range(9)]
    assert Workload.of(lines) == Workload.of([*lines[::-1], lines[0], " "])


def test_an_engine_that_is_gone_ends_the_search_and_is_no_refusal() -> None:
    class GoneLaboratory(SimulatedLaboratory):
        def experiment(self, *arguments: Any) -> Any:
            if self.experiments:
                raise EngineUnreachable("the engine hung up")
            return super().experiment(*arguments)

    with pytest.raises(EngineUnreachable):
        optimize(GoneLaboratory(more_threads_are_slower))


def test_an_experiment_that_fails_is_no_gain() -> None:
    class FailingLaboratory(SimulatedLaboratory):
        def experiment(self, baseline: Any, candidate: Any, *rest: Any) -> Any:
            found = super().experiment(baseline, candidate, *rest)
            return found.model_copy(update={"failure": "failed: no memory"}) if candidate else found

    found = optimize(FailingLaboratory(more_threads_are_slower))
    assert found.chosen is None
    assert {trial.refusal for trial in found.trials if trial.evidence} == {"failed: no memory"}


def test_a_whole_search_for_what_is_not_there_finds_it_in_one_of_twenty_at_most() -> None:
    """Every candidate is the baseline's equal; the gate wants no more than a gain over 0, and three may try."""
    chosen = 0
    for seed in range(20):
        laboratory = SimulatedLaboratory(lambda values: {}, spread=0.03, seed=seed)
        experimenter = Experimenter(
            laboratory, GateRules(gain=0.0, guardrails=()), Budget.starting(1e6, laboratory.now)
        )
        options = OptimizerOptions(seed=seed, most_trials=8, confirm_pairs=40)
        chosen += Optimizer(laboratory, experimenter, WORKLOAD, SPEED_FIELDS, options).run().chosen is not None
    assert chosen <= 1
