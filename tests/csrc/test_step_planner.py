"""The step planner: decoding goes on, prompts share what is left of a step, and ranks say in which order."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _core_tests
from tests.csrc.loop_bench import LoopBench
from tests.support.tiny_models import tiny_model, tiny_prompt, tiny_vocabulary

pytestmark = pytest.mark.slow

UNBOUNDED = 1 << 20


def prompt(waiting: int, rank: int = 0, share: int = UNBOUNDED) -> _core_tests.StepCandidate:
    return _core_tests.StepCandidate(
        prefilling=True, waiting=waiting, prefill_rank=rank, prefill_share=share, prefill_beside_decode=1
    )


def decoding(beside: int = UNBOUNDED) -> _core_tests.StepCandidate:
    return _core_tests.StepCandidate(
        prefilling=False, waiting=1, prefill_rank=0, prefill_share=1, prefill_beside_decode=beside
    )


def paused(prefilling: bool = False) -> _core_tests.StepCandidate:
    return _core_tests.StepCandidate(
        prefilling=prefilling, paused=True, waiting=1, prefill_rank=-(2**62), prefill_share=1, prefill_beside_decode=1
    )


def plan(*candidates: _core_tests.StepCandidate, decode_rows: int = 8, prefill_chunk: int = 100) -> list[int]:
    return _core_tests.plan_step(candidates, decode_rows, prefill_chunk)


def test_every_decoding_sequence_gets_its_token_and_prompts_share_a_chunk() -> None:
    assert plan(prompt(30), decoding(), prompt(90), prompt(5), decoding()) == [30, 1, 70, 0, 1]


def test_prompts_go_by_rank_and_equals_by_their_coming() -> None:
    assert plan(prompt(80, rank=3), prompt(80, rank=-1), prompt(10, rank=3)) == [20, 80, 0]
    assert plan(prompt(80, rank=2**62), prompt(80, rank=-(2**62)), prompt(10, rank=0)) == [10, 80, 10]


def test_the_most_sensitive_of_those_who_decode_bounds_the_prompts_beside_it() -> None:
    assert plan(prompt(90), decoding(64), decoding(16)) == [16, 1, 1]
    assert plan(prompt(90), decoding(1000)) == [90, 1]
    assert plan(prompt(90)) == [90]


def test_a_prompt_leaves_the_rest_of_a_step_to_those_behind_it_while_others_decode() -> None:
    assert plan(prompt(90, share=20), prompt(40, rank=1), decoding()) == [20, 40, 1]
    assert plan(prompt(90, share=20), prompt(40, rank=1)) == [90, 10]
    assert plan(prompt(90, share=20), decoding(), decode_rows=0) == [90, 0]


def test_who_does_not_fit_into_the_step_does_not_bound_it() -> None:
    assert plan(decoding(64), decoding(16), prompt(90), decode_rows=1) == [1, 0, 64]


def test_who_is_paused_gets_nothing_and_takes_nothing_from_the_others() -> None:
    assert plan(paused(), decoding(64), paused(prefilling=True), prompt(90), decode_rows=1) == [0, 1, 0, 64]
    assert plan(paused(), paused(prefilling=True)) == [0, 0]


@given(kinds=st.lists(st.tuples(st.booleans(), st.integers(1, 300), st.integers(-5, 5)), max_size=20))
def test_no_step_exceeds_its_bounds_or_leaves_a_prompt_without_progress(kinds: list[tuple[bool, int, int]]) -> None:
    candidates = [prompt(number, rank) if prefills else decoding(number) for prefills, number, rank in kinds]
    tokens = plan(*candidates)
    decoded = [(number, got) for (prefills, number, _), got in zip(kinds, tokens, strict=True) if not prefills]
    prefilled = [(rank, number, got) for (prefills, number, rank), got in zip(kinds, tokens, strict=True) if prefills]
    bound = min([100, *(number for number, got in decoded if got)])
    assert sum(got for _, got in decoded) == min(8, len(decoded))
    assert sum(got for *_, got in prefilled) == min(bound, sum(number for _, number, _ in prefilled))
    # One that got less than it waits for is the last that got anything.
    cut = [rank for rank, number, got in prefilled if 0 < got < number]
    assert all(rank <= cut[0] for rank, _, got in prefilled if cut and got)


# --- in the run loop -------------------------------------------------------------------------------------------------


@pytest.fixture
def bench() -> Iterator[LoopBench]:
    with LoopBench(tiny_vocabulary()) as bench:
        yield bench


def test_a_decoding_sequence_is_delayed_by_no_more_of_a_prompt_than_it_allows(bench: LoopBench) -> None:
    """The long prompt takes many steps, in each of which the other has a token."""
    model = tiny_model()
    bench.submit(1, model, tiny_prompt(3), max_tokens=1_000_000, prefill_beside_decode=10)
    bench.wait_for_token(1)
    bench.submit(2, model, tiny_prompt(400), max_tokens=1)
    bench.finish(2)
    start, end = bench.stories[2].prefill_starts_ns[0], bench.stories[2].token_times_ns[0]
    bench.loop.cancel(1)
    bench.finish(1)
    assert sum(start <= time <= end for time in bench.stories[1].token_times_ns) >= 39


def test_a_prompt_of_lower_rank_overtakes_one_that_is_being_computed(bench: LoopBench) -> None:
    model = tiny_model(n_layer=16, context_length=4096)
    bench.submit(1, model, tiny_prompt(600), max_tokens=1, prefill_chunk=16, prefill_rank=2)
    bench.wait_for_start(1)
    bench.submit(2, model, tiny_prompt(40), max_tokens=1, prefill_chunk=16, prefill_rank=1)
    bench.finish(1, 2)
    assert bench.stories[2].token_times_ns < bench.stories[1].token_times_ns


@pytest.mark.parametrize("bound", ["prefill_share", "prefill_beside_decode"])
def test_a_bound_of_nothing_is_refused(bound: str, bench: LoopBench) -> None:
    with pytest.raises(ValueError, match=bound):
        bench.submit(1, tiny_model(), tiny_prompt(3), **{bound: 0})  # type: ignore[arg-type]
