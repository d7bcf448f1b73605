from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.policies import Candidate, Group, admit_in_order, candidate_of
from tests.actors.engine_factory import make_request
from tests.actors.fake_domain import make_plan


def make_candidate(name: str, model: str = "m", max_sequences: int = 2) -> Candidate:
    group = Group(content_hash=model, quantization="native", backend="reference", kv_cache="f16", threads=1)
    return Candidate(
        execution_id=name, group=group, max_sequences=max_sequences, prompt_tokens=1, max_tokens=1, priority=0
    )


CANDIDATES = st.lists(
    st.builds(make_candidate, st.uuids().map(str), st.sampled_from("ab"), st.integers(1, 4)), max_size=12
)


def test_the_first_that_fit_are_admitted_in_order() -> None:
    queued = [make_candidate(name) for name in "abc"]
    assert admit_in_order(queued, ()) == ("a", "b")
    assert admit_in_order(queued, [make_candidate("x")]) == ("a",)
    assert admit_in_order(queued, [make_candidate("x"), make_candidate("y")]) == ()


def test_nobody_overtakes_within_a_group_and_groups_do_not_wait_for_each_other() -> None:
    queued = [make_candidate("alone", max_sequences=1), make_candidate("b"), make_candidate("other", model="n")]
    assert admit_in_order(queued, [make_candidate("x")]) == ("other",)


def test_a_batch_is_as_small_as_its_least_sociable_member_wants() -> None:
    running = [make_candidate("alone", max_sequences=1)]
    assert admit_in_order([make_candidate("a", max_sequences=16)], running) == ()


@given(queued=CANDIDATES, running=CANDIDATES)
def test_something_always_runs_and_no_batch_grows_too_large(queued: list[Candidate], running: list[Candidate]) -> None:
    admitted = set(admit_in_order(queued, running))
    for group in {candidate.group for candidate in queued}:
        members = [one for one in running if one.group == group]
        joined = [one for one in queued if one.group == group and one.execution_id in admitted]
        if not members:
            assert joined
        if joined:
            assert len(members) + len(joined) <= min(one.max_sequences for one in (*members, *joined))


def test_the_metadata_of_a_plan() -> None:
    plan = make_plan(make_request(max_tokens=9, max_sequences=3))
    candidate = candidate_of("exec-1", plan, prompt_tokens=5)
    assert (candidate.max_sequences, candidate.max_tokens, candidate.prompt_tokens) == (3, 9, 5)
    assert candidate.group == candidate_of("exec-2", plan, 6).group
