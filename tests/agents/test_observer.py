"""The observer: rolling figures, findings, and memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from protocol.answers import Event
from protocol.events import EndedEvent
from protocol.metrics import EnergyReport
from tests.tools.executions import make_metrics, make_plan
from weos_agents.observer import Finding, Observer, ObserverOptions

PLAN = make_plan()
AT = "2030-01-01T00:00:00.000000Z"


def ended(
    number: int,
    stop_reason: str = "max_tokens",
    *,
    plan: str = "sha256:plan",
    contended: bool = False,
    **figures: Any,
) -> Event:
    energy = EnergyReport(kind="unavailable", source="none", contended=contended)
    body = EndedEvent(
        stop_reason=stop_reason,  # type: ignore[arg-type]
        error="",
        model="tiny",
        backend=PLAN.backend,
        quantization=PLAN.quantization,
        plan_fingerprint=plan,
        metrics=make_metrics(energy=energy, **figures),
        logits_digest="",
    )
    return Event(sequence=2 * number + 1, at=AT, execution_id=f"exec-{number}", model="tiny", body=body)


def watch(observer: Observer, speeds: Iterable[float], start: int = 0, **figures: Any) -> list[Finding]:
    found: list[Finding] = []
    for number, speed in enumerate(speeds, start):
        found += observer.take(ended(number, tokens_per_sec=speed, **figures))
    return found


def test_figures_are_of_each_model_and_plan() -> None:
    observer = Observer()
    for number, fingerprint in enumerate(["sha256:a", "sha256:b", "sha256:b"]):
        observer.take(ended(number, plan=fingerprint, tokens_per_sec=10.0 * (number + 1), ttft_ms=5.0 + number))
    first, second = observer.report().plans
    assert (first.plan, first.executions, first.tokens_per_sec) == ("sha256:a", 1, 10.0)
    assert (second.plan, second.executions, second.ttft_p50_ms, second.ttft_p95_ms) == ("sha256:b", 2, 6.0, 7.0)
    assert second.history == (20.0, 30.0)
    assert second.tokens_per_joule is None, "nothing measured energy"


def test_executions_that_were_ended_count_as_failed_and_in_no_figure() -> None:
    observer = Observer()
    observer.take(ended(1, "error", tokens_per_sec=1.0))
    (plan,) = observer.report().plans
    assert (plan.executions, plan.failed, plan.window, plan.tokens_per_sec) == (1, 1, 0, None)


def test_a_steady_plan_is_nothing_to_look_at() -> None:
    assert watch(Observer(), [100.0 + number % 5 for number in range(400)]) == []


@pytest.mark.parametrize(("factor", "now"), [(0.8, "80"), (1.25, "125")])
def test_a_drift_is_told_once(factor: float, now: str) -> None:
    observer = Observer()
    usual = [100.0 + number % 3 for number in range(60)]
    found = watch(observer, [*usual, *(speed * factor for speed in usual * 3)])
    assert [(one.kind, one.plan) for one in found] == [("drift", "sha256:plan")]
    assert "were 101.0 at first" in found[0].found
    assert observer.report().findings == tuple(found)


def test_a_drift_that_ended_and_came_again_is_told_again() -> None:
    observer = Observer(ObserverOptions(window=40))
    speeds = [*[100.0] * 40, *[70.0] * 40, *[100.0] * 40, *[70.0] * 40]
    assert [one.kind for one in watch(observer, speeds)] == ["drift", "drift"]


def test_contention_is_told_and_disturbed_speeds_are_no_drift() -> None:
    observer = Observer()
    watch(observer, [100.0] * 40)
    found = watch(observer, [50.0] * 200, start=40, contended=True)
    assert [one.kind for one in found] == ["contention"]
    assert "other processes disturbed" in found[0].found


def test_a_broken_promise_is_told() -> None:
    observer = Observer(ObserverOptions(ttft_p95_ms=50.0, latency_p95_ms=1000.0))
    found = watch(observer, [100.0] * 20, ttft_ms=80.0)
    assert [(one.kind, one.found) for one in found] == [
        ("breach", "the 95th percentile of time to first token is 80.0 ms, promised 50.0")
    ]


def test_memory_does_not_grow_with_what_has_run() -> None:
    observer = Observer(ObserverOptions(window=32))
    for number in range(5_000):
        observer.take(ended(number, plan=f"sha256:{number}"))
    assert [plan.plan for plan in observer.report().plans] == [f"sha256:{number}" for number in range(4744, 5000)]
    watch(observer, [100.0] * 100)
    assert observer.report().plans[-1].window == 32
