"""Throttling in a closed loop with a machine that draws more while the execution computes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.energy.sources.source import EnergyReading
from engine.energy.throttle import Slot, Throttle, may_run

MS = 1_000_000
TOLERANCE = 1.05


@dataclass
class Machine:
    """Draws ``idle`` watts, and ``busy`` in a step. Steps begin while computing is allowed, and run to their end.

    Energy is counted every millisecond.
    """

    idle: float = 10.0
    busy: float = 50.0
    step_ms: int = 10
    noise: float = 0.0
    """Standard deviation of a millisecond's watts, relative."""
    joules: list[float] = field(default_factory=lambda: [0.0])
    steps: int = 0
    _left_ms: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(1))

    def pass_ms(self, milliseconds: int, allowed: bool) -> None:
        for _ in range(milliseconds):
            if self._left_ms == 0 and allowed:
                self._left_ms = self.step_ms
                self.steps += 1
            watts = self.busy if self._left_ms else self.idle
            self._left_ms = max(0, self._left_ms - 1)
            watts *= max(0.0, 1.0 + self._random.gauss(0.0, self.noise))
            self.joules.append(self.joules[-1] + watts / 1e3)

    def read(self) -> EnergyReading:
        return EnergyReading(time_ns=(len(self.joules) - 1) * MS, package_uj=round(self.joules[-1] * 1e6))

    def averages(self, window_ms: int) -> list[float]:
        """Watts over every window, one a millisecond."""
        ends = range(window_ms, len(self.joules))
        return [(self.joules[end] - self.joules[end - window_ms]) / window_ms * 1e3 for end in ends]


def run(
    machine: Machine, max_watts: float, seconds: int = 20, window_ms: int = 1000, sample_ms: int = 50, late_ms: int = 0
) -> list[bool]:
    """The throttle's decisions, sampled up to ``late_ms`` late."""
    throttle = Throttle(max_watts, window_ms * MS, sample_ms * MS, machine.read())
    lateness = random.Random(2)
    decisions = [True]
    while len(machine.joules) <= seconds * 1000:
        machine.pass_ms(sample_ms + lateness.randint(0, late_ms), decisions[-1])
        decisions.append(throttle.decide(machine.read()))
    return decisions


@pytest.mark.parametrize("max_watts", [12.0, 15.0, 20.0, 25.0, 33.0, 40.0, 48.0])
@pytest.mark.parametrize(("window_ms", "sample_ms"), [(1000, 50), (1000, 20), (3000, 100), (10_000, 200)])
def test_no_window_exceeds_the_limit_by_more_than_five_percent(
    max_watts: float, window_ms: int, sample_ms: int
) -> None:
    machine = Machine()
    run(machine, max_watts, seconds=25, window_ms=window_ms, sample_ms=sample_ms)
    averages = machine.averages(window_ms)
    assert max(averages) <= max_watts * TOLERANCE
    assert machine.steps > 0


@pytest.mark.parametrize("max_watts", [15.0, 20.0, 25.0, 33.0, 40.0, 48.0])
def test_the_average_comes_close_to_the_limit_and_stays(max_watts: float) -> None:
    """What a slot costs is the least that can be left over: 40 W for 50 ms in a second are 2 W."""
    machine = Machine()
    run(machine, max_watts)
    settled = machine.averages(1000)[2000:]
    assert min(settled) >= max_watts - 2.0
    assert max(settled) - min(settled) <= 2.0


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(
    max_watts=st.floats(18.0, 60.0),
    busy=st.floats(30.0, 100.0),
    step_ms=st.integers(1, 60),
    noise=st.floats(0.0, 0.3),
    late_ms=st.integers(0, 5),
)
def test_noise_late_readings_and_steps_longer_than_a_sample_are_borne(
    max_watts: float, busy: float, step_ms: int, noise: float, late_ms: int
) -> None:
    """The bound holds while a step and a sample together cost less than a tenth of what a window may take."""
    sample_ms = 20
    machine = Machine(busy=busy, step_ms=step_ms, noise=noise)
    if (step_ms + sample_ms + late_ms) * (busy - machine.idle) > 0.1 * max_watts * 1000:
        return
    run(machine, max_watts, seconds=10, sample_ms=sample_ms, late_ms=late_ms)
    assert max(machine.averages(1000)) <= max_watts * TOLERANCE
    assert machine.steps > 1


def test_a_limit_that_is_never_met_costs_nothing() -> None:
    assert all(run(Machine(), max_watts=51.0))


def test_a_machine_that_exceeds_the_limit_by_itself_leaves_no_room_until_it_does_not() -> None:
    machine = Machine(idle=30.0)
    throttle = Throttle(25.0, 1000 * MS, 50 * MS, machine.read())
    decisions: list[bool] = []
    for _ in range(100):
        machine.pass_ms(50, not decisions or decisions[-1])
        decisions.append(throttle.decide(machine.read()))
    assert not any(decisions)
    machine.idle = 10.0
    for _ in range(100):
        machine.pass_ms(50, decisions[-1])
        decisions.append(throttle.decide(machine.read()))
    assert sum(decisions) > 20


def test_steps_too_long_for_the_window_still_come_one_after_the_other() -> None:
    """A second of 50 W does not fit below 25 W; resting twice as long as the window is all that can be done."""
    machine = Machine(step_ms=1000)
    run(machine, max_watts=25.0, seconds=30)
    assert 5 <= machine.steps <= 15


def test_a_reading_right_after_another_decides_nothing() -> None:
    machine = Machine()
    throttle = Throttle(25.0, 1000 * MS, 50 * MS, machine.read())
    machine.pass_ms(24, allowed=True)
    assert throttle.decide(machine.read())
    machine.pass_ms(26, allowed=True)
    assert not throttle.decide(machine.read())


def slots(*described: tuple[float, bool], slot_ms: int = 50) -> Sequence[Slot]:
    """Slots one after the other, of (watts, ran)."""
    return [
        Slot(i * slot_ms * MS, (i + 1) * slot_ms * MS, round(watts * slot_ms * 1e3), ran)
        for i, (watts, ran) in enumerate(described)
    ]


def test_the_decision_depends_on_the_slots_alone() -> None:
    history = slots((50.0, True), (10.0, False), (10.0, False), (10.0, False), (10.0, False))
    assert may_run(history, 25.0, 1000 * MS, 50 * MS)
    assert not may_run(history[:-1], 25.0, 1000 * MS, 50 * MS)
    assert not may_run(history, 20.0, 1000 * MS, 50 * MS)


def test_what_a_rest_still_cost_counts_as_what_computing_cost() -> None:
    """A step that went on into the rest is as dear as one that ended with its slot."""
    quick = slots((60.0, True), (10.0, False), (10.0, False), (10.0, False), (10.0, False), (10.0, False))
    slow = slots((35.0, True), (35.0, False), (10.0, False), (10.0, False), (10.0, False), (10.0, False))
    for history in (quick, slow):
        assert may_run(history, 24.3, 1000 * MS, 50 * MS)
        assert not may_run(history, 24.2, 1000 * MS, 50 * MS)
