"""Modelled energy is shown beside the other and judges nothing, as a repeat and as a variant."""

from __future__ import annotations

import pytest

from engine.records.comparison import compare_repeat, compare_variant
from tests.engine.compared_records import MODELLED, first, power, ratio_of, second, verdict_on
from tests.engine.record_factory import measured


@pytest.mark.parametrize("name", ["watts_avg", "tokens_per_watt", "joules_per_token", "joules_total"])
@pytest.mark.parametrize(("watts_a", "watts_b"), [(20.0, 20.0), (20.0, 1.0), (1.0, 20.0)])
def test_modelled_energy_ranks_nothing_however_much_better(name: str, watts_a: float, watts_b: float) -> None:
    a, b = (
        power(watts, measured(joules=watts, kind="modelled")).model_copy(
            update={"joules_total": watts, "joules_per_token": watts / 3}
        )
        for watts in (watts_a, watts_b)
    )
    ratio = ratio_of(name, compare_variant(first(metrics=a), second(metrics=b), ()))
    assert (ratio.ratio, ratio.better, ratio.reason) == (None, None, f"A: {MODELLED}")
    assert ratio.modelled == ("a", "b")


@pytest.mark.parametrize("watts", [20.0, 60.0])
def test_a_repeat_is_not_held_to_modelled_watts(watts: float) -> None:
    a, b = power(20.0, measured()), power(watts, measured(kind="modelled"))
    verdict = compare_repeat(first(metrics=a), second(metrics=b))
    judged = verdict_on("watts_avg", verdict)
    assert (judged.within, judged.relative_difference, judged.reason) == (None, None, f"B: {MODELLED}")
    assert (judged.a, judged.b, judged.modelled) == (20.0, watts, ("b",))
    assert verdict_on("tokens_per_sec", verdict).modelled == ()
    assert verdict.repeated is True  # by its speed and output alone
