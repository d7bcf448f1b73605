"""Judging two execution records: as a repeat, by tolerances, or as a variant, by ratios. Pure.

Neither judges a figure that cannot be compared: energy counts where it was measured on an execution of its own,
on a machine that did nothing else; and a run that had to share the CPU is called neither better nor worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from engine.records.record_differences import (
    compare_builds,
    differences,
    first_difference,
    require_same,
    require_variable,
)
from protocol.comparison import MetricRatio, OutputAgreement, RepeatVerdict, ToleranceVerdict, VariantComparison
from protocol.errors import InvalidRequest
from protocol.metrics import EnergyReport
from protocol.record import ChoiceRecord, ExecutionRecord

SPEED_TOLERANCE = 0.03
POWER_TOLERANCE = 0.05
MEMORY_TOLERANCE = 0.02
"""Blocks of the KV cache are whole; what the process grows by may differ from run to run."""
_ROUNDING = 1e-9
"""Slack of the largest relative difference: a difference of exactly the tolerance may compute to a little more."""

_ENDED_FROM_OUTSIDE = ("cancelled", "client_gone", "shutdown", "max_watts", "max_joules", "deadline", "error")
"""Stop reasons that depend on the moment: a repeat may get further."""


@dataclass(frozen=True, slots=True)
class _Metric:
    name: str
    better: Literal["higher", "lower"] | None
    """``None``: it is shown beside the others, and ranks nothing."""
    tolerance: float = SPEED_TOLERANCE
    """Ratios closer to 1 are those of a repeat."""
    is_energy: bool = False
    grows_with_tokens: bool = False
    """Means something beside another's only where both generated as much."""
    why_unranked: str = ""


_WAITING = "it includes the wait for admission and weights"
_SPINNING = "compute threads use CPU time while they wait for one another"
_METRICS = (
    _Metric("tokens_per_sec", "higher"),
    _Metric("prefill_tokens_per_sec", "higher"),
    _Metric("decode_tokens_per_sec", "higher"),
    _Metric("latency_total_ms", "lower", grows_with_tokens=True),
    _Metric("latency_p50_ms", "lower"),
    _Metric("latency_p95_ms", "lower"),
    _Metric("ttft_ms", None, why_unranked=_WAITING),
    _Metric("wall_ms", None, why_unranked=_WAITING),
    _Metric("cpu_user_ms", None, why_unranked=_SPINNING),
    _Metric("cpu_system_ms", None, why_unranked=_SPINNING),
    _Metric("memory_peak_mb", "lower", MEMORY_TOLERANCE, grows_with_tokens=True),
    _Metric("watts_avg", "lower", POWER_TOLERANCE, is_energy=True),
    _Metric("tokens_per_watt", "higher", POWER_TOLERANCE, is_energy=True),
    _Metric("joules_per_token", "lower", POWER_TOLERANCE, is_energy=True),
    _Metric("joules_total", "lower", POWER_TOLERANCE, is_energy=True, grows_with_tokens=True),
)
_BY_NAME = {metric.name: metric for metric in _METRICS}
_HELD_TO_TOLERANCE = ("tokens_per_sec", "watts_avg")


def compare_repeat(a: ExecutionRecord, b: ExecutionRecord) -> RepeatVerdict:
    """Whether B repeats A: the same output, 3 % of tokens per second and 5 % of watts.

    Raises:
        InvalidRequest: they are one execution.
        IncomparableExecutions: plan, request, hardware, engine version or arithmetic differ; ``params["differences"]``
            names all.
    """
    _require_two(a, b)
    require_same(differences(a, b))
    output = compare_output(a, b)
    metrics = tuple(_judge(metric, a, b) for metric in _METRICS if metric.name in _HELD_TO_TOLERANCE)
    judged = [metric.within for metric in metrics if metric.within is not None]
    within = all(judged) if judged else None
    return RepeatVerdict(
        execution_a=a.execution_id,
        execution_b=b.execution_id,
        build=compare_builds(a, b),
        output=output,
        metrics=metrics,
        within_tolerances=within,
        repeated=within if output.same else False,
    )


def compare_variant(a: ExecutionRecord, b: ExecutionRecord, fields: tuple[str, ...]) -> VariantComparison:
    """What B gives for A, where only the named fields of the plan (dotted; a group names all in it) may differ.

    Raises:
        InvalidRequest: they are one execution, or a name is no field of the plan or one that must not differ.
        IncomparableExecutions: anything else differs; ``params["differences"]`` names all of that.
    """
    _require_two(a, b)
    require_variable(fields)
    found = differences(a, b)
    require_same(found, fields)
    return VariantComparison(
        execution_a=a.execution_id,
        execution_b=b.execution_id,
        differences=found,
        build=compare_builds(a, b),
        output=compare_output(a, b),
        ratios=tuple(_ratio(metric, a, b) for metric in _METRICS),
    )


def paired_ratio(name: str, a: ExecutionRecord, b: ExecutionRecord) -> tuple[float | None, str | None]:
    """B's figure by A's, where the plans are all that sets them apart; or ``None``, and why.

    ``name`` is a metric's. Executions that shared the CPU are told apart by who pairs them. Raises KeyError.
    """
    metric = _BY_NAME[name]
    ratio, reason = _quotient(metric, a, b)
    reason = reason or _different_hits(a, b) or (_different_lengths(a, b) if metric.grows_with_tokens else None)
    if reason is None and ratio == 0:
        reason = f"B: {name} is 0"
    return (None, reason) if reason else (ratio, None)


def compare_output(a: ExecutionRecord, b: ExecutionRecord) -> OutputAgreement:
    """Where the outputs of the first choice that differs diverge; one ended from outside is compared as far as it goes.

    Choices that one alone has are left out.
    """
    pairs = zip((a, *a.other_choices), (b, *b.other_choices), strict=False)
    names = (a.execution_id, b.execution_id)
    agreements = [_compare_choice(left, right, names, choice) for choice, (left, right) in enumerate(pairs)]
    return next((agreement for agreement in agreements if not agreement.same), agreements[0])


def _compare_choice(a: ChoiceRecord, b: ChoiceRecord, names: tuple[str, str], choice: int) -> OutputAgreement:
    token = first_difference(a.token_ids, b.token_ids)
    character = first_difference(a.result, b.result)
    shorter, name = min(((a, names[0]), (b, names[1])), key=lambda record: len(record[0].token_ids))
    reason = None
    if token == len(shorter.token_ids) and shorter.stop_reason in _ENDED_FROM_OUTSIDE:
        reason = f"{name} was ended ({shorter.stop_reason}) after {token} tokens: compared as far"
        token = None
        # Its text may hold back what the next token could still have changed, so that it ends in between.
        character = None if character == min(len(a.result), len(b.result)) else character
    digest: bool | None = None
    if not (a.logits_digest and b.logits_digest):
        reason = reason or "there is no digest of an execution that sampled nothing"
    elif len(a.token_ids) == len(b.token_ids):
        digest = a.logits_digest == b.logits_digest
    else:
        reason = reason or "the digests cover different numbers of tokens"
    return OutputAgreement(
        result=character is None,
        token_ids=token is None,
        logits_digest=digest,
        choice=choice,
        first_different_token=token,
        first_different_character=character,
        reason=reason,
    )


def _require_two(a: ExecutionRecord, b: ExecutionRecord) -> None:
    if a.execution_id == b.execution_id:
        raise InvalidRequest(
            f"{a.execution_id} was given twice: compare it with another execution", field="execution_id"
        )


def _judge(metric: _Metric, a: ExecutionRecord, b: ExecutionRecord) -> ToleranceVerdict:
    left, right = _figure(metric, a), _figure(metric, b)
    ratio, reason = _quotient(metric, a, b)
    difference = None if ratio is None else ratio - 1.0
    reason = reason or _contention(a, b) or _different_lengths(a, b) or _different_hits(a, b)
    return ToleranceVerdict(
        metric=metric.name,
        a=left,
        b=right,
        modelled=_modelled(metric, a, b),
        relative_difference=difference,
        tolerance=metric.tolerance,
        within=None if difference is None or reason else _is_within(metric, difference),
        reason=reason,
    )


def _ratio(metric: _Metric, a: ExecutionRecord, b: ExecutionRecord) -> MetricRatio:
    ratio, reason = _quotient(metric, a, b)
    if ratio is not None:
        reason = _why_unranked(metric, ratio, a, b)
    b_is_better = ratio is not None and (ratio > 1) == (metric.better == "higher")
    return MetricRatio(
        metric=metric.name,
        a=_figure(metric, a),
        b=_figure(metric, b),
        modelled=_modelled(metric, a, b),
        ratio=ratio,
        better=None if reason else "b" if b_is_better else "a",
        reason=reason,
    )


def _quotient(metric: _Metric, a: ExecutionRecord, b: ExecutionRecord) -> tuple[float | None, str | None]:
    """B's figure by A's; or None, and why."""
    for name, record in (("A", a), ("B", b)):
        if metric.is_energy and (reason := _why_not_comparable(record.metrics.energy)):
            return None, f"{name}: {reason}"
        if _figure(metric, record) is None:
            return None, f"{name}: {metric.name} is not known"
    left, right = _figure(metric, a), _figure(metric, b)
    if not left or right is None:
        return None, f"A: {metric.name} is 0"
    ratio = right / left
    return (ratio, None) if math.isfinite(ratio) else (None, "the ratio is too large for a number")


def _figure(metric: _Metric, record: ExecutionRecord) -> float | None:
    """The metric; ``None`` where it is unknown or not a number."""
    value: float | None = getattr(record.metrics, metric.name)
    return None if value is None or not math.isfinite(value) else float(value)


def _modelled(metric: _Metric, a: ExecutionRecord, b: ExecutionRecord) -> tuple[Literal["a", "b"], ...]:
    if not metric.is_energy:
        return ()
    sides: tuple[tuple[Literal["a", "b"], ExecutionRecord], ...] = (("a", a), ("b", b))
    return tuple(name for name, record in sides if record.metrics.energy.kind == "modelled")


def _why_not_comparable(energy: EnergyReport) -> str | None:
    """Why an execution's energy is not to be held against another's; ``None`` where it is."""
    if energy.kind == "modelled":
        return "its energy is modelled, not measured: a formula of busy time tells no plan from another"
    if energy.kind != "measured":
        return f"its energy is {energy.kind}, not measured" + (f" ({energy.reason})" if energy.reason else "")
    if energy.contended is None:
        return "whether other processes used the CPU at the same time is not known"
    return "other processes used the CPU at the same time" if energy.contended else None


def _contention(a: ExecutionRecord, b: ExecutionRecord) -> str | None:
    for name, record in (("A", a), ("B", b)):
        if record.metrics.energy.contended:
            return f"{name}: other processes used the CPU at the same time"
    return None


def _different_lengths(a: ExecutionRecord, b: ExecutionRecord) -> str | None:
    left, right = a.metrics.tokens_total, b.metrics.tokens_total
    return None if left == right else f"A generated {left} tokens and B {right}"


def _different_hits(a: ExecutionRecord, b: ExecutionRecord) -> str | None:
    """What a prefix cache held is no merit of a plan, unless having one is what was tried."""
    left, right = a.metrics.cached_prompt_tokens, b.metrics.cached_prompt_tokens
    if left == right or a.plan.prefix_cache != b.plan.prefix_cache:
        return None
    return f"A found {left} tokens of its prompt in the prefix cache and B {right}"


def _why_unranked(metric: _Metric, ratio: float, a: ExecutionRecord, b: ExecutionRecord) -> str | None:
    if metric.better is None:
        return metric.why_unranked
    if reason := _contention(a, b) or _different_hits(a, b):
        return reason
    if metric.grows_with_tokens and (reason := _different_lengths(a, b)):
        return reason
    if _is_within(metric, ratio - 1.0):
        return f"within {metric.tolerance:.0%}, as repeats are"
    return None


def _is_within(metric: _Metric, relative_difference: float) -> bool:
    return abs(relative_difference) <= metric.tolerance * (1 + _ROUNDING)
