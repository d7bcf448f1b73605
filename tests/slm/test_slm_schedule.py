"""The learning rate, and the log of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from slm.training.schedule import Schedule
from slm.training.training_log import JudgedEntry, StepEntry, TrainingLog, read_log


def step_entry(step: int) -> StepEntry:
    return StepEntry(step=step, loss=3.0 / step, learning_rate=1e-3, gradient_norm=1.0, seconds=0.1)


def test_the_rate_rises_then_falls_to_a_tenth() -> None:
    schedule = Schedule(peak=1.0, warmup_steps=10, steps=1000)
    rates = [schedule.rate(step, 0.0) for step in range(1001)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3], rel=1e-3)
    assert max(rates) > 0.99
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_a_budget_ends_the_training_by_the_clock_with_the_rate_fallen() -> None:
    schedule = Schedule(peak=1.0, warmup_steps=200, steps=10_000, budget_s=60.0)
    assert not schedule.is_over(40, 59.9)
    assert schedule.is_over(41, 60.0)
    assert schedule.rate(40, 59.99) < 0.11
    # However slow the machine is, warming up ends with a tenth of the budget.
    assert schedule.rate(3, 6.0) > 0.97


def test_a_log_forgets_what_is_behind_the_checkpoint_and_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "training.jsonl"
    with TrainingLog(path, 0) as log:
        for step in range(1, 6):
            log.add(step_entry(step))
        log.add(JudgedEntry(step=5, bits_per_byte=2.0))
    with path.open("a") as file:
        file.write('{"kind":"step","st')
    assert len(read_log(path)) == 6
    with TrainingLog(path, 3) as log:
        log.add(step_entry(4))
    assert read_log(path) == [step_entry(step) for step in range(1, 5)]
