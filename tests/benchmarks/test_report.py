"""What the benchmarks say of their samples, told by hand-made ones."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.accuracy import divergence, log_softmax
from benchmarks.peers import Comparison, Turn
from benchmarks.performance_table import BEGIN, END, table, with_table
from benchmarks.support.report import Figure
from engine.bench.work import decode


def comparison(at_least: float | None, *turns: Turn) -> Comparison:
    return Comparison("tiny", "cpu_avx2", "llama.cpp avx2", decode(128), at_least, list(turns), "flash attention on")


def test_a_ratio_is_taken_turn_by_turn() -> None:
    slow_machine, fast_machine = Turn(10.0, 5.0, 0.0), Turn(200.0, 50.0, 0.0)
    assert comparison(None, slow_machine, fast_machine).ratio.samples == [2.0, 4.0]


def test_the_least_disturbed_turns_count() -> None:
    quiet, busy = Turn(2.0, 1.0, 0.01), Turn(9.0, 1.0, 0.8)
    pair = comparison(None, busy, quiet)
    assert pair.undisturbed == 1
    pair.keep_least_disturbed(1)
    assert pair.turns == [quiet]


@pytest.mark.parametrize(("at_least", "told"), [(1.5, "≥ 1.5 |"), (3.0, "≥ 3 (missed) |"), (None, "– |")])  # noqa: RUF001
def test_the_table_tells_whether_a_ratio_holds(at_least: float | None, told: str) -> None:
    machine = {"cpu": "a processor", "threads": 2, "engine_version": "0"}
    pair = comparison(at_least, Turn(2.0, 1.0, 0.02)).as_json()
    shown = table({"machine": machine, "comparisons": [pair]})
    assert told in shown
    assert "2.00 (2.00 to 2.00, n = 1)" in shown


def test_the_table_replaces_the_last_one_and_nothing_else() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert with_table(document, "new") == f"before\n{BEGIN}\n\nnew\n{END}\nafter\n"
    with pytest.raises(ValueError, match="lacks"):
        with_table("no marks", "new")


@pytest.mark.parametrize(
    ("figure", "holds"),
    [
        (Figure("", "", [1, 2, 9]), None),
        (Figure("", "", [1, 2, 9], at_most=2), True),
        (Figure("", "", [1, 2, 9], at_least=2.1), False),
    ],
)
def test_a_bound_is_held_against_the_median(figure: Figure, holds: bool | None) -> None:
    assert figure.holds is holds


def test_equal_distributions_do_not_diverge_whatever_is_added_to_their_logits() -> None:
    logits = np.array([[0.0, 1.0, 2.0], [5.0, 5.0, 5.0]], np.float32)
    assert divergence(log_softmax(logits), logits + np.float32(7)) == pytest.approx(0.0, abs=1e-12)


def test_divergence_is_that_of_the_formula() -> None:
    exact = np.log(np.array([[0.5, 0.5]]))
    other = np.log(np.array([[0.25, 0.75]]))
    assert divergence(exact, other) == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3))
