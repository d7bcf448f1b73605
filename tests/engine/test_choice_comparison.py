"""Two records of several choices side by side."""

from __future__ import annotations

from engine.records.comparison import compare_output, compare_repeat
from protocol.record import ChoiceRecord
from tests.engine.record_factory import plan_with, record_with


def choice(*token_ids: int) -> ChoiceRecord:
    return ChoiceRecord(result="x", token_ids=token_ids, logits_digest="1" * 32, stop_reason="eos")


def test_every_choice_is_compared_and_the_first_that_differs_told() -> None:
    plan = plan_with(n=3)
    a = record_with(plan, execution_id="a", other_choices=(choice(1), choice(2, 3)))
    same = record_with(plan, execution_id="b", other_choices=(choice(1), choice(2, 3)))
    assert compare_output(a, same).same
    last = record_with(plan, execution_id="b", other_choices=(choice(1), choice(2, 4)))
    output = compare_output(a, last)
    assert (output.same, output.choice, output.first_different_token) == (False, 2, 1)
    both = record_with(plan, execution_id="b", other_choices=(choice(5), choice(2, 4)))
    assert compare_repeat(a, both).output.choice == 1


def test_choices_that_one_alone_has_are_left_out() -> None:
    alone = record_with(plan_with(n=1), execution_id="a")
    several = record_with(plan_with(n=2), execution_id="b", other_choices=(choice(5),))
    assert compare_output(alone, several).same
