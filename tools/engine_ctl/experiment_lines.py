"""Experiments for a person: lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.experiment import (
    ArmEvaluation,
    ArmResult,
    ExperimentRecord,
    ExperimentSummary,
    MeasuredPair,
    PairedFigure,
)


def experiment_line(summary: ExperimentSummary) -> str:
    """An experiment on one line."""
    counted = f"{summary.candidates} candidates, {summary.pairs} pairs"
    return (
        f"{summary.recorded_at[:19]}  {summary.experiment_id}  {summary.ended:11}  {counted:25}  {summary.model}  "
        f"{summary.agent or '-'}"
    )


def pair_line(pair: MeasuredPair) -> str:
    """A pair on one line."""
    speed = pair.log_ratios.get("tokens_per_sec")
    told = "-" if speed is None else f"{speed:+.4f}"
    state = {True: "undisturbed", False: "disturbed", None: "disturbance unknown"}[pair.undisturbed]
    output = "same output" if pair.same_output else "another output"
    return f"pair {pair.pair}: candidate {pair.arm}, input {pair.input}: ln tokens/s {told}, {output}, {state}"


def experiment_lines(record: ExperimentRecord) -> Iterator[str]:
    """An experiment in full, but for its executions and pairs."""
    ended = f"{record.ended}: {record.reason}" if record.reason else record.ended
    yield f"{record.experiment_id}: {ended}"
    yield f"engine {record.engine_version}, build {record.build.id}, {record.cpu_model}"
    yield f"{record.plans[0].model_ref.name}, baseline {record.plan_fingerprints[0]}" if record.plans else "no plans"
    yield f"{len(record.executions)} executions, {len(record.pairs)} whole pairs"
    if record.agent or record.note:
        yield f"{record.agent or 'an agent without a name'}: {record.note or '-'}"
    for arm in record.arms:
        yield from _arm_lines(arm)
    for number, evaluation in enumerate(record.evaluations):
        yield _evaluation_line(number, evaluation)


def _arm_lines(arm: ArmResult) -> Iterator[str]:
    outputs = {True: "the baseline's output, to the bit", False: "another output", None: "no whole pair"}
    yield f"candidate {arm.arm}: {arm.plan_fingerprint}"
    for difference in arm.differences:
        yield f"  {difference.field}: {difference.a} -> {difference.b}"
    unknown = f", {arm.unknown} too short to tell" if arm.unknown else ""
    yield f"  {outputs[arm.same_output]}; {arm.pairs} pairs, {arm.disturbed} of them disturbed{unknown}"
    for figure in arm.figures:
        yield f"  {_figure_line(figure)}"


def _figure_line(figure: PairedFigure) -> str:
    if figure.median_ratio is None:
        return f"{figure.metric}: unknown: {figure.reason}"
    line = f"{figure.metric}: median ratio {figure.median_ratio:.4f} over {figure.pairs} pairs"
    if figure.interval is None or figure.confidence is None:
        return f"{line}; {figure.reason}"
    low, high = figure.interval
    return f"{line}, {low:.4f} to {high:.4f} with {figure.confidence:.1%}"


def _evaluation_line(number: int, evaluation: ArmEvaluation) -> str:
    quality = evaluation.quality
    line = f"arm {number}: {evaluation.quantization}, {evaluation.kv_cache}: perplexity {quality.perplexity:.4f}"
    if quality.against_base is not None:
        against = quality.against_base
        cache = evaluation.against_kv_cache or evaluation.kv_cache
        line += (
            f"; from {evaluation.against}, {cache}: divergence {against.divergence_mean:.6f}, "
            f"same best {against.same_best:.2%}"
        )
    return f"{line}{' (measured before)' if evaluation.cached else ''}"
