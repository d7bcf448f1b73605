"""Patterns of ranges of numbers, against arithmetic."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.grammar.number_range import Bound, NumberRange, NumberRangeError

INTEGERS = (
    st.integers(-1200, 1200)
    | st.integers()
    | st.sampled_from([s * (2**p + d) for s in (1, -1) for p in (53, 63, 64) for d in (-1, 0, 1)])
)
DECIMALS = st.decimals(-1000, 1000, places=3).map(Fraction) | INTEGERS.map(Fraction)
BOUNDS = st.none() | st.builds(Bound, DECIMALS, st.booleans())
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def matches(span: NumberRange, text: str) -> bool:
    return all(re.fullmatch(pattern, text, re.ASCII) for pattern in span.patterns())


def near(span: NumberRange) -> list[Fraction]:
    """Numbers on, just beside and between the bounds."""
    ends = [bound.value for bound in (span.low, span.high) if bound is not None]
    around = [Fraction(step, 10**places) for places in (0, 1, 3, 4) for step in (-1, 0, 1)]
    return [
        *(end + step for end in [*ends, Fraction(0)] for step in around),
        *([sum(ends, Fraction(0)) / len(ends)] if ends else []),
    ]


def written(value: Fraction) -> str:
    return format(Decimal(value.numerator) / Decimal(value.denominator), "f")


@given(low=BOUNDS, high=BOUNDS, integer=st.booleans(), other=DECIMALS)
def test_a_pattern_matches_the_numbers_of_its_range_and_no_others(
    low: Bound | None, high: Bound | None, integer: bool, other: Fraction
) -> None:
    span = NumberRange(low, high, integer)
    for value in [*near(span), other]:
        text = written(value)
        if not NUMBER.fullmatch(text) or Fraction(text) != value:
            continue
        assert matches(span, text) == span.holds(value), text


@given(low=st.integers(-300, 300), width=st.integers(-3, 300), opens=st.tuples(st.booleans(), st.booleans()))
def test_every_integer_of_a_range_is_matched_and_none_beside_it(low: int, width: int, opens: tuple[bool, bool]) -> None:
    span = NumberRange(Bound(Fraction(low), opens[0]), Bound(Fraction(low + width), opens[1]), integer=True)
    inside = set(range(low + opens[0], low + width + 1 - opens[1]))
    assert {n for n in range(low - 400, low + 700) if matches(span, str(n))} == inside
    assert span.empty == (not inside)


@given(
    low=BOUNDS, high=BOUNDS, step=st.sampled_from(["1", "2", "5", "8", "10", "25", "1000", "0.1", "0.001", "7", "1.5"]),
    integer=st.booleans(),
)  # fmt: skip
def test_multiples_are_matched_and_nothing_between_them(
    low: Bound | None, high: Bound | None, step: str, integer: bool
) -> None:
    span = NumberRange(low, high, integer, Fraction(step))
    try:
        span.patterns()
    except NumberRangeError:
        assert step in ("7", "1.5")
        return
    for value in (*near(span), *(Fraction(step) * n for n in range(-20, 20))):
        text = written(value)
        if NUMBER.fullmatch(text) and Fraction(text) == value:
            assert matches(span, text) == span.holds(value), text


@given(low=BOUNDS, high=BOUNDS, spelling=st.from_regex(NUMBER, fullmatch=True))
def test_no_spelling_of_another_number_is_matched(low: Bound | None, high: Bound | None, spelling: str) -> None:
    span = NumberRange(low, high)
    assert not matches(span, spelling) or span.holds(Fraction(spelling))


@pytest.mark.parametrize("low", [-(2**63), 0, 2**53 + 1, -(10**30)])
@pytest.mark.parametrize("high", [2**63 - 1, 2**64 - 1, 10**40])
def test_ranges_of_machine_integers_are_exact(low: int, high: int) -> None:
    span = NumberRange(Bound(Fraction(low)), Bound(Fraction(high)), integer=True)
    for value, inside in ((low, True), (low - 1, False), (high, True), (high + 1, False), ((low + high) // 2, True)):
        assert matches(span, str(value)) == inside


def test_both_ranges_together_are_what_both_hold() -> None:
    one = NumberRange(Bound(Fraction(0)), Bound(Fraction(10)), multiple_of=Fraction(4))
    other = NumberRange(Bound(Fraction(0), open=True), integer=True, multiple_of=Fraction(6))
    both = one & other
    assert both == NumberRange(Bound(Fraction(0), open=True), Bound(Fraction(10)), True, Fraction(12))
    assert both.empty
    assert not (one & NumberRange()).empty


def test_multiples_without_a_pattern_are_refused_in_words() -> None:
    with pytest.raises(NumberRangeError, match=r"multiples of 7 beyond 2\^53"):
        NumberRange(high=Bound(Fraction(2**60)), integer=True, multiple_of=Fraction(7)).patterns()
