"""The agent that observes: rolling figures of every plan that runs, and what is worth a look. It changes nothing. Pure.

It is told events and keeps what it needs of the latest executions: its memory does not grow with what has run.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from statistics import median
from typing import Annotated, Final, Literal

from pydantic import Field

from protocol.answers import Event
from protocol.events import EndedEvent, EventKind
from protocol.metrics import ExecutionMetrics
from protocol.value import Fraction, Value
from weos_agents.sample import ENDED_BY_ITSELF
from weos_agents.statistics.symmetric_bets import log_e_value

KINDS: Final[tuple[EventKind, ...]] = ("ended",)
"""What it needs to be told."""
_MOST_PLANS: Final = 256
_MOST_FINDINGS: Final = 1000
_REFERENCE: Final = 20
"""Undisturbed executions of a plan that say how fast it usually is."""
_LOOK_EVERY: Final = 20
_ALPHA: Final = 0.001
"""How often a window without a drift may be called one."""


class ObserverOptions(Value):
    """What to call worth a look."""

    window: Annotated[int, Field(ge=32, le=10_000)] = 128
    """The latest executions of a plan that its figures are of."""
    drift: Fraction = 0.05
    """A change of tokens per second that counts."""
    contention: Fraction = 0.2
    """The part of disturbed executions that counts."""
    ttft_p95_ms: float | None = None
    """A promise to keep; so the next. ``None``: there is none."""
    latency_p95_ms: float | None = None


class Finding(Value):
    """Something worth a look."""

    at: str
    kind: Literal["drift", "contention", "breach"]
    model: str
    plan: str
    found: str


class PlanFigures(Value):
    """The latest executions of a plan. A percentile is by nearest rank; unknown is ``None``."""

    model: str
    plan: str
    """The fingerprint."""
    quantization: str
    backend: str
    executions: int
    """All that ended, however long ago."""
    failed: int
    """Those that ended from outside or by an error."""
    window: int
    tokens_per_sec: float | None
    """The median; so the next."""
    tokens_per_joule: float | None
    """Tokens per joule of executions whose energy was measured."""
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    latency_p95_ms: float | None
    """The 95th percentile of the executions' own."""
    memory_peak_mb: float | None
    """The largest."""
    disturbed: int
    """Executions that other processes are known to have disturbed."""
    history: tuple[float, ...]
    """Tokens per second, the oldest first."""


class Observed(Value):
    """What an observer has to tell at a moment."""

    plans: tuple[PlanFigures, ...]
    findings: tuple[Finding, ...]
    """The latest, the oldest first."""


@dataclass
class _Plan:
    model: str
    fingerprint: str
    quantization: str
    backend: str
    latest: deque[ExecutionMetrics]
    executions: int = 0
    failed: int = 0
    usual: list[float] = field(default_factory=list)
    """Tokens per second of the first undisturbed executions."""
    told: set[str] = field(default_factory=set)
    """Findings that hold, so that each is told once until it ends."""


class Observer:
    """Takes events one by one."""

    def __init__(self, options: ObserverOptions | None = None) -> None:
        """Nothing has been seen."""
        self._options = options or ObserverOptions()
        self._plans: OrderedDict[tuple[str, str], _Plan] = OrderedDict()
        self._findings: deque[Finding] = deque(maxlen=_MOST_FINDINGS)

    def take(self, event: Event) -> tuple[Finding, ...]:
        """What the event makes worth a look, for the first time."""
        if not isinstance(event.body, EndedEvent):
            return ()
        plan = self._plan_of(event, event.body)
        plan.executions += 1
        if event.body.stop_reason not in ENDED_BY_ITSELF:
            plan.failed += 1
            return ()
        metrics = event.body.metrics
        plan.latest.append(metrics)
        if len(plan.usual) < _REFERENCE and metrics.tokens_per_sec and not metrics.energy.contended:
            plan.usual.append(metrics.tokens_per_sec)
        if plan.executions % _LOOK_EVERY:
            return ()
        return self._look(plan, event.at)

    def report(self) -> Observed:
        """Everything that is known now."""
        plans = tuple(_figures(plan) for plan in self._plans.values())
        return Observed(plans=plans, findings=tuple(self._findings))

    def _plan_of(self, event: Event, ended: EndedEvent) -> _Plan:
        """The plan, as the one seen last; that seen longest ago makes room."""
        key = (event.model, ended.plan_fingerprint)
        plan = self._plans.get(key)
        if plan is None:
            latest: deque[ExecutionMetrics] = deque(maxlen=self._options.window)
            plan = _Plan(event.model, ended.plan_fingerprint, ended.quantization, ended.backend, latest)
        self._plans[key] = plan
        self._plans.move_to_end(key)
        if len(self._plans) > _MOST_PLANS:
            self._plans.popitem(last=False)
        return plan

    def _look(self, plan: _Plan, at: str) -> tuple[Finding, ...]:
        found = {"drift": _drift(plan, self._options), "contention": _contention(plan, self._options)}
        found |= {"breach": _breach(plan, self._options)}
        new = tuple(
            Finding.model_validate(
                {"at": at, "kind": kind, "model": plan.model, "plan": plan.fingerprint, "found": told}
            )
            for kind, told in found.items()
            if told is not None and kind not in plan.told
        )
        plan.told = {kind for kind, told in found.items() if told is not None}
        self._findings.extend(new)
        return new


def _drift(plan: _Plan, options: ObserverOptions) -> str | None:
    """Whether the latest executions are certainly slower, or faster, than the first ones were."""
    if len(plan.usual) < _REFERENCE:
        return None
    usual = median(plan.usual)
    speeds = [one.tokens_per_sec for one in plan.latest if one.tokens_per_sec and not one.energy.contended]
    changes = [math.log(speed / usual) for speed in speeds[-options.window // 2 :]]
    allowed, needed = math.log1p(options.drift), -math.log(_ALPHA)
    slower = log_e_value([-change for change in changes], allowed) >= needed
    if not slower and log_e_value(changes, allowed) < needed:
        return None
    return f"tokens per second were {usual:.1f} at first, and are {median(speeds[-options.window // 2 :]):.1f} now"


def _contention(plan: _Plan, options: ObserverOptions) -> str | None:
    disturbed = sum(one.energy.contended is True for one in plan.latest)
    if disturbed < options.contention * len(plan.latest):
        return None
    return f"other processes disturbed {disturbed} of the latest {len(plan.latest)} executions"


def _breach(plan: _Plan, options: ObserverOptions) -> str | None:
    if options.ttft_p95_ms is None and options.latency_p95_ms is None:
        return None
    figures = _figures(plan)
    promised = (
        ("time to first token", figures.ttft_p95_ms, options.ttft_p95_ms),
        ("time between tokens", figures.latency_p95_ms, options.latency_p95_ms),
    )
    broken = [
        f"the 95th percentile of {name} is {value:.1f} ms, promised {limit:.1f}"
        for name, value, limit in promised
        if value is not None and limit is not None and value > limit
    ]
    return "; ".join(broken) or None


def _figures(plan: _Plan) -> PlanFigures:
    latest = plan.latest
    speeds = _known([one.tokens_per_sec for one in latest])
    first_tokens = _known([one.ttft_ms for one in latest])
    measured = [one for one in latest if one.energy.kind == "measured"]
    return PlanFigures(
        model=plan.model,
        plan=plan.fingerprint,
        quantization=plan.quantization,
        backend=plan.backend,
        executions=plan.executions,
        failed=plan.failed,
        window=len(latest),
        tokens_per_sec=_percentile(speeds, 0.5),
        tokens_per_joule=_percentile(_known([one.tokens_per_watt for one in measured]), 0.5),
        ttft_p50_ms=_percentile(first_tokens, 0.5),
        ttft_p95_ms=_percentile(first_tokens, 0.95),
        latency_p95_ms=_percentile(_known([one.latency_p95_ms for one in latest]), 0.95),
        memory_peak_mb=max(_known([one.memory_peak_mb for one in latest]), default=None),
        disturbed=sum(one.energy.contended is True for one in latest),
        history=tuple(speeds),
    )


def _known(figures: list[float | None]) -> list[float]:
    return [figure for figure in figures if figure is not None]


def _percentile(figures: list[float], part: float) -> float | None:
    """The percentile, by nearest rank."""
    return sorted(figures)[max(0, math.ceil(part * len(figures)) - 1)] if figures else None
