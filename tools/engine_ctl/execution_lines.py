"""Recorded executions for a person: lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from engine_ctl.call_lines import call_lines
from engine_ctl.energy_figure import ENERGY_METRICS, energy_lines, marked, short_reason
from engine_ctl.metrics_table import limit_lines, usage_lines
from protocol.build import Build
from protocol.comparison import (
    BuildAgreement,
    MetricRatio,
    OutputAgreement,
    RepeatVerdict,
    ToleranceVerdict,
    VariantComparison,
)
from protocol.record import ExecutionRecord
from protocol.record_entry import (
    ExecutionSummary,
    FinishedEntry,
    InterruptedEntry,
    InterruptedExecution,
    PrunedEntry,
)


def summary_line(summary: ExecutionSummary) -> str:
    """A recorded execution on one line."""
    speed = "-" if summary.tokens_per_sec is None else f"{summary.tokens_per_sec:,.1f} tokens/s"
    tokens = "-" if summary.tokens_total is None else str(summary.tokens_total)
    return (
        f"{summary.recorded_at[:19]}  {summary.execution_id}  {summary.stop_reason:12} {tokens:>6}  {speed:>17}  "
        f"{summary.quantization:7} {summary.model}"
    )


def entry_lines(entry: FinishedEntry | InterruptedEntry) -> list[str]:
    """A recorded execution in full."""
    plan = entry.record.plan
    told = [
        f"{entry.record.execution_id}: entry {entry.sequence}, recorded {entry.recorded_at}",
        f"engine {entry.record.engine_version}, {_build(entry.record.build)}, plan {entry.record.plan_fingerprint}",
        f"{plan.model_ref.name} · {plan.quantization} · {plan.backend} · {plan.threads} threads",
        f"stopped: {entry.record.stop_reason}",
        *_occasion_lines(entry.record),
    ]
    if isinstance(entry, InterruptedEntry):
        return [*told, "the engine ended before it did: nothing more is known"]
    record = entry.record
    figures = record.metrics.model_dump(exclude={"energy", "memory", "cpu"})
    energy = record.metrics.energy
    told += [
        f"  {name} = {_energy_figure(value, energy.kind) if name in ENERGY_METRICS else _figure(value)}"
        for name, value in figures.items()
    ]
    told += [f"  {line}" for line in (*usage_lines(record.metrics), *energy_lines(energy), *limit_lines(record))]
    return [*told, f"digest {record.logits_digest or 'none'}", "", record.result, *call_lines(record)]


def _occasion_lines(record: ExecutionRecord | InterruptedExecution) -> Iterator[str]:
    if (named := record.named_plan) is not None:
        yield f"by the named plan {named.name}, version {named.version}"
    if (place := record.experiment) is not None:
        pair = "warming up" if place.pair is None else f"pair {place.pair}"
        yield f"of {place.experiment_id}: arm {place.arm}, input {place.input}, {pair}"


def pruning_line(pruning: PrunedEntry) -> str:
    """What a pruning removed, and when."""
    first = "" if pruning.first_sequence is None else f" {pruning.first_sequence}"
    days = "" if pruning.recorded_from is None else f", recorded {pruning.recorded_from} to {pruning.recorded_to}"
    total = "" if pruning.executions_removed_total is None else f"; {pruning.executions_removed_total} by all prunings"
    return (
        f"pruned {pruning.recorded_at} (entry {pruning.sequence}): entries{first} to {pruning.through_sequence}{days}, "
        f"{pruning.executions_removed} executions{total}"
    )


def repeat_lines(verdict: RepeatVerdict) -> list[str]:
    """The verdict on a repeat."""
    judged = {True: "repeated", False: "not repeated", None: "same output; no figure can be judged"}
    told = [judged[verdict.repeated], *_output_lines(verdict.output), *_build_lines(verdict.build)]
    for metric in verdict.metrics:
        difference = "-" if metric.relative_difference is None else f"{metric.relative_difference:+.1%}"
        within = {True: "within", False: "beyond", None: "not judged against"}[metric.within]
        told.append(
            f"{metric.metric:16} {_sides(metric)} {difference:>8}  {within} "
            f"{metric.tolerance:.0%}{f': {short_reason(metric.reason)}' if metric.reason else ''}"
        )
    return told


def variant_lines(result: VariantComparison) -> list[str]:
    """What a variant gives for another execution."""
    told = [f"{each.field}: {each.a} -> {each.b}" for each in result.differences]
    told += [*_output_lines(result.output), *_build_lines(result.build)]
    for metric in result.ratios:
        ratio = "-" if metric.ratio is None else f"x {metric.ratio:.3f}"
        better = "" if metric.better is None else f"  {metric.better.upper()} is better"
        told.append(
            f"{metric.metric:22} {_sides(metric)} {ratio:>9}{better}"
            f"{f'  ({short_reason(metric.reason)})' if metric.reason else ''}"
        )
    return told


def _output_lines(output: OutputAgreement) -> list[str]:
    if output.same:
        digest = "every bit of the logits" if output.logits_digest else "the tokens"
        told = [f"same output: {digest}"]
    elif output.first_different_token is not None:
        told = [f"other output from token {output.first_different_token} on"]
    else:
        told = ["other output"]
    return told + ([f"  {output.reason}"] if output.reason else [])


def _build(build: Build | None) -> str:
    return "build unknown" if build is None else f"build {build.id}, arithmetic {build.arithmetic_or_reason}"


def _build_lines(build: BuildAgreement) -> list[str]:
    """Differences between the builds; none if it is one build."""
    if build.same and build.arithmetic:
        return []
    found = {True: "one build", False: "other builds", None: "whether of one build"}[build.same]
    alike = ", of the same arithmetic" if build.arithmetic else ", whether of one arithmetic" if build.same else ""
    return [f"{found}{alike}: {build.reason}"]


def _sides(metric: ToleranceVerdict | MetricRatio) -> str:
    kinds = ("modelled" if side in metric.modelled else "" for side in ("a", "b"))
    values = zip((metric.a, metric.b), kinds, strict=True)
    return " ".join(f"{_energy_figure(value, kind):>12}" for value, kind in values)


def _energy_figure(value: float | None, kind: str) -> str:
    return _figure(value) if value is None else marked(_figure(value), kind)


def _figure(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.3f}"
    return "unknown" if value is None else str(value)
