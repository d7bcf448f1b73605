"""What is guessed, how likely that is taken to be, and which guesses are worth their rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import _core, _core_tests

LENGTH_KINDS = {2: 1, 3: 2, 4: 3, 7: 3, 8: 4, 15: 4, 16: 5, 40: 5}
"""Kinds of guesses by how many tokens are repeated before them."""
FORCED = 6


def guessed(*texts: list[int], most: int = 4) -> list[int]:
    return [token for token, _ in _core_tests.look_up(texts, most)]


# --- looking up ------------------------------------------------------------------------------------------------------


def test_a_text_is_guessed_to_go_on_as_it_did_before() -> None:
    assert guessed([1, 2, 3, 4, 5, 6, 9, 1, 2]) == [3, 4, 5, 6]


def test_two_tokens_must_repeat() -> None:
    assert guessed([1, 2, 3, 4, 2]) == []
    assert guessed([7]) == guessed([7, 8]) == []


def test_the_longest_repetition_counts_and_of_equals_the_latest() -> None:
    assert guessed([9, 1, 2, 3, 8, 1, 2, 4, 9, 1, 2], most=1) == [3]
    assert guessed([7, 1, 2, 3, 8, 1, 2, 4, 9, 1, 2], most=1) == [4]


def test_a_repetition_that_reaches_the_end_goes_on_into_its_own_guesses() -> None:
    assert guessed([5, 1, 2, 1, 2], most=5) == [1, 2, 1, 2, 1]
    assert guessed([6, 6, 6], most=3) == [6, 6, 6]


def test_of_equals_the_one_that_was_being_followed_counts() -> None:
    source = [1, 2, 3, 4, 9, 5, 6, 7, 8, 9, 5, 6, 2]
    copied = [*source, 0, 1, 2, 3, 4]
    assert guessed(source, copied, [*copied, 77, 9, 5], most=2) == [6, 7]
    assert guessed([*copied, 77, 9, 5], most=3) == [6, 2, 0]


def test_a_token_that_was_replaced_is_passed_over() -> None:
    source = [1, 2, 3, 4, 5, 6]
    copied = [*source, 0, 1, 2, 3]
    replaced = _core_tests.look_up([source, copied, [*copied, 99]], 2)
    assert replaced == [(5, 0), (6, 0)]
    assert guessed(source, copied, [*copied, 99], [*copied, 99, 98], most=2) == [5, 6]
    assert guessed(source, copied, [*copied, 99], [*copied, 99, 98], [*copied, 99, 98, 5], most=2) == [6, 0]


def test_what_is_written_is_found_as_what_was_asked() -> None:
    text = [1, 2, 3]
    assert guessed(text, [*text, 4, 5], [*text, 4, 5, 9, 3, 4]) == [5, 9, 3, 4]


@pytest.mark.parametrize(("length", "kind"), LENGTH_KINDS.items())
def test_longer_repetitions_are_surer(length: int, kind: int) -> None:
    repeated = list(range(100, 100 + length))
    (first, *_) = _core_tests.look_up([[*repeated, 1, 2, *repeated]], 3)
    assert first == (1, kind)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(1, 9))
def test_the_first_guesses_are_those_of_a_search_through_all_of_the_text(text: list[int], most: int) -> None:
    def repeated(place: int) -> int:
        length = 0
        while length < min(place, 16) and text[place - 1 - length] == text[-1 - length]:
            length += 1
        return length

    lengths = {place: repeated(place) for place in range(2, len(text))}
    longest = max(lengths.values(), default=0)
    expected: list[int] = []
    if longest >= 2:
        source = max(place for place, length in lengths.items() if length == longest)
        for place in range(source, source + most):
            expected.append((text + expected)[place])
    assert guessed(text, most=most) == expected


def test_the_tables_of_a_long_context_stay_small() -> None:
    assert _core.lookup_bytes(1 << 17) < 2 << 20


# --- how likely ------------------------------------------------------------------------------------------------------


def test_chances_follow_what_came_of_late() -> None:
    acceptance = _core_tests.Acceptance()
    before = acceptance.chance(2)
    for _ in range(100):
        acceptance.note(2, True)
    assert before < 0.9 < acceptance.chance(2) < 1.0
    for _ in range(60):
        acceptance.note(2, False)
    assert 0.0 < acceptance.chance(2) < 0.2
    assert acceptance.chance(3) == _core_tests.Acceptance().chance(3)


def test_forced_tokens_are_taken_for_sure_at_first() -> None:
    assert _core_tests.Acceptance().chance(FORCED) >= 0.9


# --- worth a row -----------------------------------------------------------------------------------------------------


def test_alone_a_guess_must_be_likelier_than_its_row_is_dear() -> None:
    def alone(chance: float, row_cost: float) -> list[int]:
        return _core_tests.plan_drafts([([chance], row_cost)], rows=1, tokens=1, free_rows=8)

    assert alone(0.41, 0.4) == [1]
    assert alone(0.39, 0.4) == [0]
    assert alone(0.99, 1.0) == [0]
    assert alone(0.01, 0.0) == [1]


@pytest.mark.parametrize("row_cost", [0.05, 0.15, 0.4])
@pytest.mark.parametrize("chance", [0.3, 0.7, 0.95])
def test_alone_no_other_number_of_guesses_promises_more_tokens_a_time(chance: float, row_cost: float) -> None:
    chances = [chance**number for number in range(1, 12)]
    (drafted,) = _core_tests.plan_drafts([(chances, row_cost)], rows=1, tokens=1, free_rows=99)
    rates = [(1 + sum(chances[:number])) / (1 + row_cost * number) for number in range(len(chances) + 1)]
    assert rates[drafted] == pytest.approx(max(rates))


def test_the_more_rows_a_step_has_the_fewer_are_added() -> None:
    chances = [0.9**number for number in range(1, 8)]
    drafted = [
        sum(_core_tests.plan_drafts([(chances, 0.2)] * sequences, rows=sequences, tokens=sequences, free_rows=256))
        / sequences
        for sequences in (1, 2, 4, 8, 16, 32, 64)
    ]
    assert drafted == sorted(drafted, reverse=True)
    assert drafted[0] >= 4
    assert drafted[-1] == 0


def test_the_likeliest_of_all_sequences_go_first() -> None:
    candidates = [([0.6, 0.3], 0.0), ([0.9, 0.8], 0.0), ([], 0.0)]
    assert [_core_tests.plan_drafts(candidates, rows=3, tokens=3, free_rows=free) for free in range(5)] == [
        [0, 0, 0],
        [0, 1, 0],
        [0, 2, 0],
        [1, 2, 0],
        [2, 2, 0],
    ]


def test_rows_of_a_prompt_are_paid_for_already() -> None:
    """Beside a chunk of a prompt a row adds little to the step."""
    assert _core_tests.plan_drafts([([0.1], 0.4)], rows=1, tokens=1, free_rows=8) == [0]
    assert _core_tests.plan_drafts([([0.1], 0.4)], rows=257, tokens=1, free_rows=8) == [1]
