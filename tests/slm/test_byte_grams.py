"""N-grams of bytes against their definition, written as it is read."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from slm.evaluation.byte_grams import ByteGrams

TRAINING = b"the cat sat on the mat, and that was that. the cat ran at the rat."
TEXT = b"that cat sat \xff there"


def by_definition(training: bytes, order: int, context: bytes, byte: int) -> float:
    if order == 0:
        return 1 / 256
    lower = by_definition(training, order - 1, context[1:], byte)
    followers = Counter(
        training[place + len(context)]
        for place in range(len(training) - len(context))
        if training[place : place + len(context)] == context
    )
    if not followers:
        return lower
    return (followers[byte] + len(followers) * lower) / (followers.total() + len(followers))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_a_text_costs_what_the_definition_says(order: int) -> None:
    expected = 0.0
    for place, byte in enumerate(TEXT):
        context = TEXT[max(0, place - order + 1) : place]
        expected -= math.log2(by_definition(TRAINING, len(context) + 1, context, byte))
    assert ByteGrams(TRAINING, order).bits_per_byte(TEXT) == pytest.approx(expected / len(TEXT), rel=1e-12)


def test_what_may_follow_adds_up_to_one() -> None:
    assert sum(by_definition(TRAINING, 4, b"cat", byte) for byte in range(256)) == pytest.approx(1)


@pytest.mark.parametrize("order", [0, 5])
def test_other_orders_are_not_counted(order: int) -> None:
    with pytest.raises(ValueError, match="order"):
        ByteGrams(TRAINING, order)
