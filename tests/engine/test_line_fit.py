from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.energy.line_fit import Line, least_squares

NUMBERS = st.floats(-1e3, 1e3)
POINTS = st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=12)


@given(intercept=NUMBERS, slope=NUMBERS)
def test_points_on_a_line_give_the_line(intercept: float, slope: float) -> None:
    points = [(x, intercept + slope * x) for x in (0.0, 1.0, 2.5, 4.0)]
    line = least_squares(points)
    assert line is not None
    assert (line.intercept, line.slope) == pytest.approx((intercept, slope), abs=1e-9)


def squares(line: Line, points: list[tuple[float, float]]) -> float:
    return sum((line.at(x) - y) ** 2 for x, y in points)


@given(points=POINTS, by=st.sampled_from([(0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.0, -0.1)]))
def test_no_line_beside_it_is_nearer(points: list[tuple[float, float]], by: tuple[float, float]) -> None:
    line = least_squares(points)
    if line is None or max(x for x, _ in points) - min(x for x, _ in points) < 1e-3:
        return
    beside = Line(line.intercept + by[0], line.slope + by[1])
    assert squares(line, points) <= squares(beside, points) * (1 + 1e-9)


def test_the_residual_is_relative_to_each_point() -> None:
    assert Line(10.0, 10.0).largest_rel_residual([(0.0, 8.0), (1.0, 25.0), (2.0, 30.0)]) == pytest.approx(0.25)
    assert Line(1.0, 1.0).largest_rel_residual([(0.0, 0.0)]) == 0.0


@pytest.mark.parametrize("points", [[], [(1.0, 5.0)], [(1.0, 5.0), (1.0, 6.0)]])
def test_too_few_places_make_no_line(points: list[tuple[float, float]]) -> None:
    assert least_squares(points) is None
