"""The gate that does no harm: what opens it, and all that does not."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tests.agents.evidence_factory import (
    GOOD_QUALITY,
    SETTING,
    changed_pair,
    evidence_of,
    make_evidence,
    make_pair,
    with_pair,
)
from weos_agents.evidence import Evidence
from weos_agents.gate import GateRules, Verdict, judge
from weos_agents.guardrail import DEFAULT_GUARDRAILS, MOST_MARGIN, Guardrail, with_margins
from weos_agents.sample import Metric

RULES = GateRules()
NOTHING: frozenset[str] = frozenset()
GOOD = make_evidence(np.random.default_rng(7), 40, {"tokens_per_sec": 0.10, "tokens_per_watt": 0.10})


def verdict_of(evidence: Evidence, rules: GateRules = RULES) -> Verdict:
    return judge(evidence, rules, chosen_on=NOTHING)


def failed(verdict: Verdict) -> set[str]:
    return {check.rule for check in verdict.checks if not check.passed}


def alike(ratios: dict[Metric, float]) -> Evidence:
    """Pairs that all show the same."""
    return evidence_of(tuple(make_pair(number, ratios) for number in range(40)))


def test_a_better_plan_opens_the_gate() -> None:
    verdict = verdict_of(GOOD)
    assert verdict.open, verdict.reasons
    assert verdict.gain == pytest.approx(0.10, abs=0.02)
    assert verdict.gain_at_least is not None
    assert 0.02 <= verdict.gain_at_least < 0.10


def test_two_runs_of_one_plan_open_it_in_one_of_twenty_at_most() -> None:
    """1,000 experiments, of a gate that wants no more than a gain over 0 and has no guardrail in its way."""
    random = np.random.default_rng(20_300_105)
    rules = GateRules(gain=0.0, guardrails=())
    assert sum(verdict_of(make_evidence(random, 40), rules).open for _ in range(1000)) <= 50


def test_as_it_stands_it_does_not_open_for_two_runs_of_one_plan() -> None:
    random = np.random.default_rng(20_300_106)
    assert not any(verdict_of(make_evidence(random, 40)).open for _ in range(200))


@pytest.mark.parametrize("metric", ["ttft_ms", "latency_p95_ms", "joules_per_token"])
def test_a_harmful_plan_is_rejected_every_time(metric: str) -> None:
    """It wins the figure by a fifth and breaks one guardrail: 50 of 50."""
    random = np.random.default_rng(20_300_107)
    for _ in range(50):
        verdict = verdict_of(make_evidence(random, 40, {"tokens_per_sec": 0.2, metric: 0.3}))  # type: ignore[dict-item]
        assert failed(verdict) == {"guardrail"}


def test_a_plan_that_takes_more_memory_is_rejected() -> None:
    pairs = tuple(make_pair(n, {"tokens_per_sec": 0.2, "memory_peak_mb": 0.3}) for n in range(40))
    verdict = verdict_of(evidence_of(pairs))
    assert failed(verdict) == {"guardrail"}
    assert verdict.reasons == ("memory_peak_mb: may be 35.1% worse, allowed 10% worse",)


def test_a_person_may_allow_more_and_what_is_beyond_is_rejected_still() -> None:
    rules = GateRules(guardrails=with_margins({"latency_p95_ms": 1.0}))
    bursts, longer = (alike({"tokens_per_sec": 0.2, "latency_p95_ms": math.log(times)}) for times in (1.5, 2.2))
    assert failed(verdict_of(bursts)) == {"guardrail"}
    assert verdict_of(bursts, rules).open
    verdict = verdict_of(longer, rules)
    (reason,) = verdict.reasons
    assert failed(verdict) == {"guardrail"}
    assert reason == "latency_p95_ms: may be 120.2% worse, allowed 100% worse, own limit instead of 10%"


def test_a_person_may_allow_less() -> None:
    evidence = alike({"tokens_per_sec": 0.2, "memory_peak_mb": 0.05})
    assert verdict_of(evidence).open
    strict = verdict_of(evidence, GateRules(guardrails=with_margins({"memory_peak_mb": 0.005})))
    assert failed(strict) == {"guardrail"}
    assert "allowed 0.5% worse, own limit instead of 10%" in strict.reasons[0]


def test_margins_change_no_other_guardrail_and_switch_none_off() -> None:
    assert with_margins({}) == with_margins({"ttft_ms": 0.1}) == DEFAULT_GUARDRAILS
    widest = with_margins(dict.fromkeys([one.metric for one in DEFAULT_GUARDRAILS], MOST_MARGIN))
    assert [one.name for one in widest] == [one.name for one in DEFAULT_GUARDRAILS]
    assert [one.usual for one in widest] == [one.margin for one in DEFAULT_GUARDRAILS]
    twelvefold = alike({"tokens_per_sec": 0.2, "memory_peak_mb": math.log(12.0)})
    assert failed(verdict_of(twelvefold, GateRules(guardrails=widest))) == {"guardrail"}


@pytest.mark.parametrize(
    ("metric", "margin"),
    [("tokens_per_sec", 0.1), *(("ttft_ms", value) for value in (-0.1, 10.1, math.inf, math.nan))],
)
def test_a_margin_that_would_hold_nothing_is_no_guardrail(metric: str, margin: float) -> None:
    with pytest.raises(ValueError, match=r"no guardrail is of|margin"):
        with_margins({metric: margin})


def test_a_slow_tail_is_found_where_the_middle_is_no_slower() -> None:
    """One of five first tokens comes twice as late."""
    pairs = tuple(make_pair(n, {"tokens_per_sec": 0.2, "ttft_ms": 0.7 if n % 5 == 4 else 0.0}) for n in range(60))
    of_each = GateRules(guardrails=(Guardrail(metric="ttft_ms", margin=0.1),))
    assert verdict_of(evidence_of(pairs), of_each).open
    assert failed(verdict_of(evidence_of(pairs))) == {"guardrail"}


def test_other_answers_need_another_arithmetic_and_its_quality() -> None:
    other = changed_pair(GOOD, 3, "candidate", answer="another")
    assert failed(verdict_of(other)) == {"answers"}
    changed = other.model_copy(update={"same_arithmetic": False})
    assert failed(verdict_of(changed)) == {"answers"}
    assert verdict_of(changed.model_copy(update={"quality": GOOD_QUALITY})).open
    for worse in ({"divergence_mean": 0.2}, {"same_best": 0.5}):
        quality = GOOD_QUALITY.model_copy(update=worse)
        assert failed(verdict_of(changed.model_copy(update={"quality": quality}))) == {"answers"}
    assert failed(verdict_of(other.model_copy(update={"quality": GOOD_QUALITY}))) == {"answers"}


def test_what_it_was_chosen_on_proves_nothing() -> None:
    verdict = judge(GOOD, RULES, chosen_on=frozenset({"input-3"}))
    assert failed(verdict) == {"held_out"}


def test_energy_that_is_not_measured_is_no_guardrail_and_no_gain() -> None:
    pairs = tuple(
        pair.model_copy(
            update={
                side: getattr(pair, side).model_copy(update={"energy_kind": "modelled"})
                for side in ("baseline", "candidate")
            }
        )
        for pair in GOOD.pairs
    )
    verdict = verdict_of(evidence_of(pairs))
    assert verdict.open
    assert [one.held for one in verdict.guardrails if one.guardrail.metric == "joules_per_token"] == [None]
    of_energy = verdict_of(evidence_of(pairs), GateRules(kpi="tokens_per_watt"))
    assert failed(of_energy) == {"evidence", "gain"}
    assert "energy was modelled, not measured" in of_energy.reasons[0]


def test_disturbed_pairs_are_left_out_and_too_few_of_the_others_prove_nothing() -> None:
    few = GOOD
    for number in range(10):
        few = changed_pair(few, number, "baseline", contended=True)
    assert verdict_of(few).disturbed == 10
    assert verdict_of(few).open
    for number in range(10, 36):
        few = changed_pair(few, number, "candidate", contended=None)
    assert failed(verdict_of(few)) == {"gain", "guardrail"}
    assert verdict_of(few, GateRules(unknown_load_counts=True)).disturbed == 10


def claimed(change: float) -> Callable[[Evidence], Evidence]:
    def spoil(evidence: Evidence) -> Evidence:
        pair = evidence.pairs[2]
        told = pair.log_ratio("tokens_per_sec")
        assert told is not None
        return with_pair(evidence, 2, pair.model_copy(update={"claimed": {"tokens_per_sec": told + change}}))

    return spoil


def unmeasured_claim(evidence: Evidence) -> Evidence:
    spoilt = changed_pair(evidence, 2, "candidate", energy_kind="modelled")
    pair = spoilt.pairs[2]
    return with_pair(spoilt, 2, pair.model_copy(update={"claimed": {"tokens_per_watt": 0.2}}))


def unpaired(evidence: Evidence) -> Evidence:
    return with_pair(evidence, 3, evidence.pairs[3].model_copy(update={"baseline_first": True}))


MUTATIONS: dict[str, tuple[Callable[[Evidence], Evidence], str]] = {
    "figures": (claimed(0.01), "the ratio of tokens_per_sec is not what the records give"),
    "energy": (unmeasured_claim, "not measured"),
    "other hardware": (
        lambda e: changed_pair(e, 5, "candidate", setting=SETTING.model_copy(update={"cpu_model": "another"})),
        "differ in cpu_model",
    ),
    "other build": (
        lambda e: changed_pair(e, 5, "baseline", setting=SETTING.model_copy(update={"build": "another"})),
        "differ in build",
    ),
    "other model": (
        lambda e: changed_pair(e, 5, "baseline", setting=SETTING.model_copy(update={"model_hash": "another"})),
        "differ in model_hash",
    ),
    "unknown build": (
        lambda e: changed_pair(e, 5, "baseline", setting=SETTING.model_copy(update={"build": None})),
        "does not say which build",
    ),
    "other plan": (lambda e: changed_pair(e, 0, "candidate", plan="sha256:other"), "by another plan"),
    "other proposal": (lambda e: e.model_copy(update={"candidate_plan": "sha256:other"}), "by another plan"),
    "other input": (lambda e: changed_pair(e, 0, "candidate", input="input-9"), "the same input"),
    "pairs left out": (lambda e: e.model_copy(update={"pairs": e.pairs[:-2]}), "40 pairs were declared and 38"),
    "pairs added": (lambda e: e.model_copy(update={"pairs_declared": 39, "complete": False}), "more pairs"),
    "counted twice": (
        lambda e: changed_pair(e, 4, "candidate", execution_id=e.pairs[2].candidate.execution_id),
        "counted twice",
    ),
    "failed": (
        lambda e: e.model_copy(update={"failure": "failed: no memory"}),
        "the experiment failed: failed: no memory",
    ),
    "no turns": (unpaired, "did not take turns"),
    "cut short": (lambda e: changed_pair(e, 4, "candidate", stop_reason="cancelled"), "ended from outside"),
    "no figure": (lambda e: changed_pair(e, 4, "candidate", figures={"tokens_per_sec": None}), "is not known"),
    "no number": (lambda e: changed_pair(e, 4, "candidate", figures={"tokens_per_sec": math.inf}), "is not known"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_false_evidence_is_refused_with_its_reason(name: str) -> None:
    spoil, reason = MUTATIONS[name]
    verdict = verdict_of(spoil(GOOD))
    assert not verdict.open
    assert any(reason in told for told in verdict.reasons), verdict.reasons


def test_evidence_of_another_plan_than_the_one_proposed_is_refused() -> None:
    verdict = judge(GOOD, RULES, chosen_on=NOTHING, plan="sha256:proposed")
    assert failed(verdict) == {"evidence"}
    assert judge(GOOD, RULES, chosen_on=NOTHING, plan=GOOD.candidate_plan).open


def test_true_claims_are_no_fault() -> None:
    assert verdict_of(claimed(0.0)(GOOD)).open
