"""What steps took, divided among the sequences that shared them and among operations."""

from __future__ import annotations

from itertools import accumulate, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _core, _core_tests
from protocol.metrics import OperationTimes
from tests.csrc.loop_bench import LoopBench
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.kernel_tables import FAST_TABLES
from tests.support.tiny_models import tiny_model, tiny_prompt

pytestmark = pytest.mark.slow

FOREVER = 1_000_000
ALWAYS = {"embedding", "norm", "quantize_input", "matmul", "rope", "kv_store", "attention", "activation"} | {
    "residual",
    "logits",
    "sampling",
    "detokenize",
    "other",
}
"""Operations that take time in every step, on one thread too."""


def busy_ns(bench: LoopBench) -> int:
    return bench.loop.statistics()["busy_ns"]


# --- among sequences -------------------------------------------------------------------------------------------------


def test_who_is_alone_has_all_of_it(bench: LoopBench) -> None:
    first = bench.run(tiny_model(), tiny_prompt(20), prefill_chunk=8)
    assert 0 < first.compute_ns == first.busy_ns == busy_ns(bench)
    second = bench.run(tiny_model(), tiny_prompt(20), prefill_chunk=8)
    assert second.compute_ns == second.busy_ns == busy_ns(bench) - first.busy_ns


def test_parts_add_up_to_all_that_was_computed(bench: LoopBench) -> None:
    """Sequences of unequal lengths that join and leave, in two groups that take turns."""
    for sequence_id in range(12):
        model = tiny_model("llama" if sequence_id % 3 else "qwen2")
        bench.submit(sequence_id, model, tiny_prompt(10 + 40 * sequence_id), max_tokens=5 + sequence_id)
        if sequence_id % 2:
            bench.wait_for_start(sequence_id)
    bench.finish(*range(12))
    stories = bench.stories.values()
    assert sum(story.compute_ns for story in stories) == busy_ns(bench)
    assert all(0 < story.compute_ns <= story.busy_ns <= busy_ns(bench) for story in stories)
    assert any(story.compute_ns < story.busy_ns for story in stories)


def test_another_groups_steps_are_busy_and_not_its_own(bench: LoopBench) -> None:
    bench.submit(1, tiny_model("llama"), tiny_prompt(5), max_tokens=FOREVER)
    bench.wait_for_token(1)
    other = bench.run(tiny_model("qwen2"), tiny_prompt(300), max_tokens=20)
    bench.loop.cancel(1)
    story = bench.finish(1)
    assert story.busy_ns == busy_ns(bench)
    assert story.compute_ns + other.compute_ns == busy_ns(bench)


def test_a_cancelled_step_took_its_time_all_the_same(bench: LoopBench) -> None:
    slow = tiny_model(n_layer=16, context_length=4096)
    bench.submit(1, slow, tiny_prompt(2000), prefill_chunk=2000, max_tokens=FOREVER)
    bench.wait_for_start(1)
    bench.loop.cancel(1)
    story = bench.finish(1)
    assert bench.loop.statistics()["prefill_rows"] == 0
    assert 0 < story.compute_ns == story.busy_ns == busy_ns(bench)


def test_who_never_computed_has_nothing(bench: LoopBench) -> None:
    bench.submit(1, tiny_model(), tiny_prompt(5), op_times=True)
    bench.loop.close()
    bench.submit(2, tiny_model(), tiny_prompt(5), op_times=True)
    bench.finish(2)
    story = bench.stories[2]
    assert (story.compute_ns, story.busy_ns, story.operation_ns) == (0, 0, None)


@given(st.integers(0, 2**53 - 1), st.lists(st.floats(0.0, 1e15), min_size=1, max_size=300))
def test_parts_are_whole_proportional_and_complete(amount: int, weights: list[float]) -> None:
    weights[-1] += 1.0
    points = [0.0, *accumulate(weights)]
    parts = [_core_tests.share(begin / points[-1], end / points[-1], amount) for begin, end in pairwise(points)]
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        assert part == pytest.approx(amount * (weight / sum(weights)), rel=1e-9, abs=2 + amount * 1e-13)


def test_the_times_so_far_are_told_at_any_time(bench: LoopBench) -> None:
    assert bench.loop.compute_times() == (0, {})
    for sequence_id in (1, 2):
        bench.submit(sequence_id, tiny_model(), tiny_prompt(5), max_tokens=FOREVER)
        bench.wait_for_token(sequence_id, 20)
    busy, sequences = bench.loop.compute_times()
    assert sequences.keys() == {1, 2}
    assert sum(own for own, _ in sequences.values()) == busy  # no sequence has ended
    assert sequences[1][1] == busy > sequences[2][1]
    bench.loop.cancel(2)
    story = bench.finish(2)
    later_busy, later = bench.loop.compute_times()
    assert later.keys() == {1}
    assert story.compute_ns >= sequences[2][0]
    assert later_busy >= later[1][0] + story.compute_ns


def test_rows_cost_what_they_multiply() -> None:
    layers, embedding, feed_forward, vocabulary = 2, 64, 128, 300
    model = tiny_model(
        n_layer=layers, n_embd=embedding, n_ff=feed_forward, n_head=2, n_head_kv=2, tensor_type="F32", tied=False
    )
    matrices = layers * (4 * embedding**2 + 3 * embedding * feed_forward)
    scores = 2 * layers * embedding
    assert _core_tests.row_cost(model, 0, 1, 0) == matrices + scores
    assert _core_tests.row_cost(model, 9, 1, 0) == matrices + 10 * scores
    assert _core_tests.row_cost(model, 9, 3, 0) == 3 * matrices + (10 + 11 + 12) * scores
    head = _core_tests.row_cost(model, 0, 1, 1) - _core_tests.row_cost(model, 0, 1, 0)
    assert head == model.vocab_size * embedding > vocabulary


@pytest.mark.parametrize("case", sorted(CASES))
def test_what_a_plan_reckons_with_is_what_rows_cost(case: str, tmp_path: Path) -> None:
    path = write_architecture_model(tmp_path / "model.gguf", **CASES[case])
    model = _core.Model.load(str(path), "reference", 1)
    first, second = (_core_tests.row_cost(model, position, 1, 0) for position in (0, 1))
    scores = second - first
    assert _core.layer_macs(_core.GgufFile(str(path))) == first - scores


# --- among operations ------------------------------------------------------------------------------------------------


def test_the_operations_add_up_to_its_time(bench: LoopBench) -> None:
    story = bench.run(tiny_model(), tiny_prompt(70), max_tokens=20, prefill_chunk=16, op_times=True)
    assert story.operation_ns is not None
    assert set(story.operation_ns) == set(OperationTimes.model_fields)
    assert sum(story.operation_ns.values()) == story.compute_ns
    assert {operation for operation, time_ns in story.operation_ns.items() if time_ns} >= ALWAYS


def test_times_are_told_to_those_that_asked(bench: LoopBench) -> None:
    for sequence_id in (1, 2, 3):
        bench.submit(sequence_id, tiny_model(), tiny_prompt(50), max_tokens=50, op_times=sequence_id != 2)
    bench.finish(1, 2, 3)
    one, silent, three = (bench.stories[sequence_id] for sequence_id in (1, 2, 3))
    assert silent.operation_ns is None
    steps = bench.loop.statistics()["steps"]
    for story in (one, three):
        assert story.operation_ns is not None
        # Every operation's part of a step is rounded on its own.
        assert abs(sum(story.operation_ns.values()) - story.compute_ns) <= len(story.operation_ns) * steps


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("table", FAST_TABLES)
def test_measuring_changes_no_bit(bench: LoopBench, table: str, threads: int) -> None:
    """Alone and beside others, with few rows a step and with many."""
    model = tiny_model(tensor_type="Q4_K", table=table)
    expected = bench.run(model, tiny_prompt(70), max_tokens=30, temperature=1.0, threads=threads).result
    ids = range(10, 16)
    for sequence_id in ids:
        bench.submit(
            sequence_id, model, tiny_prompt(70), max_tokens=30, temperature=1.0, threads=threads,
            prefill_chunk=33, op_times=sequence_id != 12,
        )  # fmt: skip
    bench.finish(*ids)
    assert all(bench.stories[sequence_id].result == expected for sequence_id in ids)
