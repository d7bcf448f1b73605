"""The policies: pure decisions over frozen data, in virtual time."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.policies.admission import Decision, decide
from actors.policies.candidate import Candidate, Cost, candidate_of
from actors.policies.due_time import AGING_BOUND_MS, MAX_DELAY_MS
from actors.policies.requester import ENGINE
from protocol.plan import SchedulerPolicy
from tests.actors.candidate_factory import MS, make_candidate
from tests.actors.engine_factory import make_request
from tests.actors.fake_plans import make_plan

POLICIES: tuple[SchedulerPolicy, ...] = get_args(SchedulerPolicy)
CANDIDATES = st.lists(
    st.builds(
        make_candidate,
        st.uuids().map(str),
        st.sampled_from("ab"),
        policy=st.sampled_from(POLICIES),
        priority=st.integers(-10, 10),
        max_sequences=st.integers(1, 5),
        prompt_tokens=st.sampled_from([1, 50, 3000]),
        max_tokens=st.sampled_from([1, 100, 10_000]),
        nominal_watts=st.sampled_from([5.0, 20.0, 100.0]),
        queued_ms=st.integers(0, 60_000),
    ),
    max_size=12,
    unique_by=lambda one: one.execution_id,
)
FOREVER_NS = 10**18


def names(decision: Decision) -> list[str]:
    return [admission.execution_id for admission in decision.admitted]


# --- first come, first served ----------------------------------------------------------------------------------------


def test_the_first_that_fit_are_admitted_in_order() -> None:
    queued = [make_candidate(name) for name in "abc"]
    assert names(decide(0, queued, ())) == ["a", "b"]
    assert names(decide(0, queued, [make_candidate("x")])) == ["a"]
    assert decide(0, queued, [make_candidate("x"), make_candidate("y")]) == Decision(admitted=(), wake_ns=None)


def test_choices_take_a_place_each_and_wait_until_there_are_enough() -> None:
    pair, one = make_candidate("pair", sequences=2, max_sequences=3), make_candidate("one", max_sequences=3)
    assert names(decide(0, [pair, one], ())) == ["pair", "one"]
    running = [make_candidate("x", sequences=2, max_sequences=3)]
    assert names(decide(0, [one], running)) == ["one"]
    assert names(decide(0, [pair, one], running)) == []


def test_nobody_overtakes_within_a_group_and_groups_do_not_wait_for_each_other() -> None:
    queued = [make_candidate("alone", max_sequences=1), make_candidate("b"), make_candidate("other", model="n")]
    assert names(decide(0, queued, [make_candidate("x")])) == ["other"]


def test_a_batch_is_as_small_as_its_least_sociable_member_wants() -> None:
    running = [make_candidate("alone", max_sequences=1)]
    assert names(decide(0, [make_candidate("a", max_sequences=16)], running)) == []


# --- who goes first --------------------------------------------------------------------------------------------------


def test_latency_lets_short_prompts_pass_long_ones() -> None:
    long = make_candidate("long", policy="latency", max_sequences=1, prompt_tokens=200)
    short = make_candidate("short", policy="latency", max_sequences=1, prompt_tokens=10, queued_ms=500)
    assert names(decide(600 * MS, [long, short], ())) == ["short"]


@pytest.mark.parametrize("policy", ["cost", "energy"])
def test_cost_and_energy_let_small_work_pass_large(policy: SchedulerPolicy) -> None:
    large = make_candidate("large", policy=policy, max_sequences=1, max_tokens=1000)
    small = make_candidate("small", policy=policy, max_sequences=1, max_tokens=10, queued_ms=500)
    assert names(decide(1000 * MS, [large, small], ())) == ["small"]


def test_a_plan_that_takes_the_machine_to_draw_more_is_more_patient_under_energy() -> None:
    def first(watts: float) -> list[str]:
        one = make_candidate("a", policy="energy", max_sequences=1, max_tokens=200, nominal_watts=watts)
        other = make_candidate("b", max_sequences=1, queued_ms=1000)
        return names(decide(2000 * MS, [one, other], ()))

    assert first(10.0) == first(20.0) == ["a"]
    assert first(100.0) == ["b"]


def test_a_step_of_priority_is_worth_a_second() -> None:
    def first(later_ms: int) -> list[str]:
        urgent = make_candidate("urgent", max_sequences=1, priority=2, queued_ms=later_ms)
        return names(decide(FOREVER_NS, [make_candidate("plain", max_sequences=1), urgent], ()))

    assert first(1999) == ["urgent"]
    assert first(2001) == ["plain"]


def test_executions_of_several_policies_are_ranked_on_one_scale() -> None:
    queued = [
        make_candidate("energy", policy="energy", max_sequences=3),
        make_candidate("latency", policy="latency", max_sequences=3, prompt_tokens=20),
        make_candidate("default", max_sequences=3, queued_ms=100),
    ]
    decision = decide(FOREVER_NS, queued, ())
    assert names(decision) == ["default", "latency", "energy"]
    ranks = [admission.prefill_rank for admission in decision.admitted]
    assert ranks == sorted(ranks)


# --- who waits by choice ---------------------------------------------------------------------------------------------


def test_latency_keeps_a_quarter_of_the_slots_for_short_prompts_until_the_long_one_is_due() -> None:
    running = [make_candidate(name, max_sequences=4) for name in "xyz"]
    long = make_candidate("long", policy="latency", max_sequences=4, prompt_tokens=600, max_tokens=400)
    short = make_candidate("short", policy="latency", max_sequences=4)
    assert names(decide(0, [long, short], running)) == ["short"]
    decision = decide(0, [long], running)
    assert decision == Decision(admitted=(), wake_ns=7000 * MS)
    assert names(decide(7000 * MS, [long], running)) == ["long"]
    assert names(decide(0, [long], running[:2])) == ["long"]


@pytest.mark.parametrize("policy", POLICIES)
def test_long_prompts_leave_most_of_a_step_to_others_where_their_policy_stands_back(policy: SchedulerPolicy) -> None:
    def share(prompt_tokens: int) -> int:
        candidate = make_candidate("a", policy=policy, prompt_tokens=prompt_tokens)
        (admission,) = decide(FOREVER_NS, [candidate], ()).admitted
        return admission.prefill_share

    stands_back = policy in ("latency", "latency_energy_balanced")
    assert share(499) == 256
    assert share(500) == (16 if stands_back else 256)


@pytest.mark.parametrize(("policy", "gather_ms"), [("cost", 100), ("energy", 400), ("latency_energy_balanced", 100)])
def test_some_wait_a_moment_for_company_in_their_batch(policy: SchedulerPolicy, gather_ms: int) -> None:
    alone = make_candidate("a", policy=policy, max_sequences=3, max_tokens=100)
    assert decide(0, [alone], ()) == Decision(admitted=(), wake_ns=gather_ms * MS)
    assert names(decide(gather_ms * MS, [alone], ())) == ["a"]
    others = [make_candidate(name, policy=policy, max_sequences=3) for name in "bc"]
    assert set(names(decide(0, [alone, *others], ()))) == {"a", "b", "c"}
    assert names(decide(0, [alone], [make_candidate("x", max_sequences=3)])) == ["a"]
    assert names(decide(0, [alone, make_candidate("b", max_sequences=3)], ())) == ["b", "a"]


def test_energy_runs_one_group_at_a_time_until_the_other_is_due() -> None:
    running = [make_candidate("x", model="n")]
    waiting = make_candidate("a", policy="energy", max_sequences=1, max_tokens=200)
    decision = decide(500 * MS, [waiting], running)
    assert decision.admitted == ()
    assert decision.wake_ns is not None
    assert names(decide(decision.wake_ns, [waiting], running)) == ["a"]
    assert names(decide(500 * MS, [waiting], ())) == ["a"]


# --- what holds for all ----------------------------------------------------------------------------------------------


@given(queued=CANDIDATES, running=CANDIDATES)
def test_no_batch_grows_too_large_and_what_is_due_runs(queued: list[Candidate], running: list[Candidate]) -> None:
    admitted = set(names(decide(FOREVER_NS, queued, running)))
    for group in {candidate.batch_key for candidate in queued}:
        members = [one for one in running if one.batch_key == group]
        joined = [one for one in queued if one.batch_key == group and one.execution_id in admitted]
        if not members:
            assert joined
        if joined:
            assert len(members) + len(joined) <= min(one.max_sequences for one in (*members, *joined))


@given(queued=CANDIDATES, running=CANDIDATES, now_ms=st.integers(0, 120_000))
def test_deciding_again_changes_nothing_before_the_moment_it_names(
    queued: list[Candidate], running: list[Candidate], now_ms: int
) -> None:
    decision = decide(now_ms * MS, queued, running)
    admitted = set(names(decision))
    left = [one for one in queued if one.execution_id not in admitted]
    now_running = [*running, *(one for one in queued if one.execution_id in admitted)]
    just_before = FOREVER_NS if decision.wake_ns is None else decision.wake_ns - 1
    assert now_ms * MS <= just_before
    assert decide(just_before, left, now_running).admitted == ()


@given(arriving=CANDIDATES, durations_ms=st.lists(st.integers(1, 20_000), min_size=12, max_size=12))
def test_everybody_is_admitted_and_never_after_one_who_came_later_than_the_aging_bound(
    arriving: list[Candidate], durations_ms: list[int]
) -> None:
    """Any arrivals, policies, priorities and costs: the world goes on until nothing is left."""
    arriving = sorted(arriving, key=lambda one: one.queued_ns)
    ends: dict[str, int] = {}
    queued: list[Candidate] = []
    running: list[Candidate] = []
    coming, now = list(arriving), 0
    while coming or queued:
        queued += [one for one in coming if one.queued_ns <= now]
        coming = [one for one in coming if one.queued_ns > now]
        running = [one for one in running if ends[one.execution_id] > now]
        decision = decide(now, queued, running)
        for name in names(decision):
            candidate = next(one for one in queued if one.execution_id == name)
            queued.remove(candidate)
            running.append(candidate)
            ends[name] = now + durations_ms[arriving.index(candidate)] * MS
            overtaken = [one.queued_ns for one in queued if one.batch_key == candidate.batch_key]
            assert all(candidate.queued_ns <= since + AGING_BOUND_MS * MS for since in overtaken)
        moments = [one.queued_ns for one in coming] + [ends[one.execution_id] for one in running]
        moments += [] if decision.wake_ns is None else [decision.wake_ns]
        assert moments or not queued
        now = min(moments, default=now)


@given(candidate=CANDIDATES)
def test_alone_on_an_idle_machine_nobody_waits_longer_than_a_policy_may_delay(candidate: list[Candidate]) -> None:
    for one in candidate:
        latest_ns = one.queued_ns + round(MS * MAX_DELAY_MS)
        assert names(decide(latest_ns, [one], ())) == [one.execution_id]


def test_the_metadata_of_a_plan() -> None:
    plan = make_plan(make_request(max_tokens=9, max_sequences=3))
    cost = Cost(prefill_macs=7, weights_bytes=8, kv_cache_bytes=9)
    candidate = candidate_of("exec-1", ENGINE, plan, 5, cost, queued_ns=11)
    assert (candidate.max_sequences, candidate.max_tokens, candidate.prompt_tokens) == (3, 9, 5)
    assert (candidate.policy, candidate.priority, candidate.cost, candidate.queued_ns) == ("default", 0, cost, 11)
    assert candidate.batch_key == candidate_of("exec-2", ENGINE, plan, 6, cost, queued_ns=12).batch_key
    other = make_plan(make_request(max_tokens=9, model="tiny2"))
    assert candidate.batch_key != candidate_of("exec-3", ENGINE, other, 5, cost, queued_ns=11).batch_key
