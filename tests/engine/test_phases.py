from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.metrics.phases import Timeline, phases_ms
from protocol.metrics import PHASES
from tests.engine.timeline_factory import MS, make_timeline

TIMELINE = make_timeline(load_start_ns=4 * MS, load_end_ns=6 * MS, token_times_ns=(30 * MS, 60 * MS), ended_ns=62 * MS)


def known(timeline: Timeline) -> dict[str, float]:
    return {name: length_ms for name, length_ms in phases_ms(timeline).items() if length_ms is not None}


def test_phases_follow_one_another_from_the_request_to_the_record() -> None:
    phases = phases_ms(TIMELINE)
    assert tuple(phases) == PHASES
    assert tuple(phases.values()) == (1.0, 2.0, 2.0, 5.0, 20.0, 30.0, 2.0)


def test_handing_over_is_part_of_the_start_on_either_side_of_the_load() -> None:
    assert phases_ms(replace(TIMELINE, load_start_ns=3 * MS, load_end_ns=3 * MS))["start_ms"] == 7.0


def test_a_load_that_another_execution_began_counts_from_the_admission() -> None:
    phases = phases_ms(replace(TIMELINE, load_start_ns=-5 * MS))
    assert (phases["queue_ms"], phases["load_ms"], phases["start_ms"]) == (2.0, 3.0, 4.0)


def test_the_last_choice_ends_the_decoding_and_the_first_the_prefill() -> None:
    phases = phases_ms(replace(TIMELINE, other_times_ns=((20 * MS, 61 * MS), ())))
    assert (phases["prefill_ms"], phases["decode_ms"], phases["finish_ms"]) == (10.0, 41.0, 1.0)


ENDED_EARLY = {
    "queued": ({"admitted_ns": None}, {"plan_ms": 1.0, "queue_ms": 61.0}),
    "loading": ({"load_start_ns": None, "load_end_ns": None}, {"plan_ms": 1.0, "queue_ms": 2.0, "load_ms": 59.0}),
    "waiting for a step": (
        {"prefill_start_ns": None},
        {"plan_ms": 1.0, "queue_ms": 2.0, "load_ms": 2.0, "start_ms": 57.0},
    ),
    "in its prefill": (
        {"token_times_ns": ()},
        {"plan_ms": 1.0, "queue_ms": 2.0, "load_ms": 2.0, "start_ms": 5.0, "prefill_ms": 52.0},
    ),
}


@pytest.mark.parametrize(("missing", "expected"), ENDED_EARLY.values(), ids=ENDED_EARLY)
def test_the_phase_in_which_it_ended_lasts_until_its_end(
    missing: dict[str, tuple[int, ...] | None], expected: dict[str, float]
) -> None:
    assert known(replace(TIMELINE, **missing)) == expected  # type: ignore[arg-type]


@given(st.lists(st.integers(0, 2**50), min_size=8, max_size=8), st.integers(0, 5), st.integers(0, 2**40))
def test_phases_add_up_to_the_whole_wherever_it_ended(moments: list[int], reached: int, earlier: int) -> None:
    received, queued, admitted, load_start, load_end, prefill, token, ended = sorted(moments)
    timeline = Timeline(
        received_ns=received,
        prompt_tokens=1,
        queued_ns=queued if reached > 0 else None,
        admitted_ns=admitted if reached > 1 else None,
        load_start_ns=load_start - earlier if reached > 2 else None,
        load_end_ns=load_end if reached > 2 else None,
        prefill_start_ns=prefill if reached > 3 else None,
        token_times_ns=(token,) if reached > 4 else (),
        ended_ns=ended,
    )
    lengths = known(timeline)
    assert min(lengths.values()) >= 0.0
    assert sum(lengths.values()) == pytest.approx((ended - received) / 1e6, abs=1e-6)
