"""What can be checked of a proposal's evidence: that it exists, ran the plan, and supports the claims. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.records.record_differences import plan_differences
from protocol.experiment import ArmResult, ExperimentMetric, ExperimentRecord, PairedFigure
from protocol.plan import ExecutionPlan
from protocol.proposal import Claim, EvidenceCheck
from protocol.record import ExecutionRecord

_ROUNDING = 1e-9
"""A claim may have gone through another language's numbers."""


@dataclass(frozen=True, slots=True)
class Here:
    """What evidence must have been made by to be compared with a run here."""

    cpu_model: str
    cpu_features: tuple[str, ...]
    """Those that this engine uses: ``ENGINE_CPU_FEATURES`` may have left some out."""
    build_id: str
    engine_version: str


def check_experiment(
    record: ExperimentRecord, plan: ExecutionPlan, kpi: ExperimentMetric, here: Here
) -> tuple[EvidenceCheck, ...]:
    """Every check of an experiment as evidence for a plan."""
    name = record.experiment_id
    ended = "" if record.ended in ("complete", "stopped") else f"it {record.ended}: {record.reason}"
    arm = _arm(record, plan)
    elsewhere = _why_not_here(record.cpu_model, record.cpu_features, record.build.id, record.engine_version, here)
    return (
        _check(name, "ended", ended),
        _check(name, "covers", "" if arm else _why_not_covered(record.plans[1:], plan)),
        _check(name, "comparable", elsewhere),
        _check(name, "kpi", _why_no_figure(arm, kpi) if arm else "it did not run this plan"),
    )


def check_claims(
    experiments: Sequence[ExperimentRecord], plan: ExecutionPlan, claims: Sequence[Claim]
) -> tuple[EvidenceCheck, ...]:
    """Whether each claim is a figure of an experiment: of the one that it names, else of any."""
    checks = []
    for claim in claims:
        asked = [one for one in experiments if claim.evidence in ("", one.experiment_id)]
        problems = [_why_not_claimed(_arm(one, plan), claim) for one in asked]
        problem = "no experiment supports it: executions were not run in a declared order" if not asked else ""
        if problems and all(problems):
            problem = "; ".join(problems)
        checks.append(_check(claim.evidence or (asked[0].experiment_id if asked else ""), "claims", problem))
    return tuple(checks)


def check_executions(records: Sequence[ExecutionRecord], plan: ExecutionPlan, here: Here) -> tuple[EvidenceCheck, ...]:
    """Every check of executions as evidence for a plan: what they ran, and that one of them ran the plan."""
    covered = any(record.plan_fingerprint == plan.fingerprint for record in records)
    uncovered = "" if covered else _why_not_covered([record.plan for record in records], plan)
    return (
        _check(records[0].execution_id, "covers", uncovered),
        *(_check(record.execution_id, "comparable", _why_not_alike(record, records[0], here)) for record in records),
    )


def _arm(record: ExperimentRecord, plan: ExecutionPlan) -> ArmResult | None:
    return next((one for one in record.arms if one.plan_fingerprint == plan.fingerprint), None)


def _check(evidence: str, check: str, problem: str) -> EvidenceCheck:
    return EvidenceCheck.model_validate({"evidence": evidence, "check": check, "holds": not problem, "reason": problem})


def _why_not_covered(plans: Sequence[ExecutionPlan], plan: ExecutionPlan) -> str:
    nearest = min((plan_differences(one, plan) for one in plans), key=len, default=())
    fields = ", ".join(difference.field for difference in nearest)
    return f"it did not run this plan; the nearest that it ran differs in {fields}"


def _why_not_here(
    cpu_model: str, cpu_features: tuple[str, ...] | None, build_id: str | None, engine_version: str, here: Here
) -> str:
    if cpu_model != here.cpu_model:
        return f"it ran on {cpu_model}, and this machine is {here.cpu_model}"
    if cpu_features is None:
        return "it does not say which of the processor's features its engine used"
    if differing := sorted({*cpu_features} ^ {*here.cpu_features}):
        ran, uses = (", ".join(sorted(features)) or "none" for features in (cpu_features, here.cpu_features))
        told = ", ".join(differing)
        return f"its engine used the processor's {ran}, and this one uses {uses}: they differ in {told}"
    if build_id != here.build_id:
        return f"it ran on the build {build_id} ({engine_version}), and this is {here.build_id} ({here.engine_version})"
    return ""


def _why_not_alike(record: ExecutionRecord, first: ExecutionRecord, here: Here) -> str:
    build_id = None if record.build is None else record.build.id
    machine = record.hardware
    if problem := _why_not_here(machine.cpu_model, machine.cpu_features, build_id, record.engine_version, here):
        return problem
    if record.plan.model_ref.content_hash != first.plan.model_ref.content_hash:
        return f"it ran {record.model}, and {first.execution_id} ran {first.model}"
    if record.prompt_token_ids != first.prompt_token_ids:
        return f"it answered another prompt than {first.execution_id}"
    return ""


def _why_no_figure(arm: ArmResult, metric: ExperimentMetric) -> str:
    figure = _figure(arm, metric)
    if figure is None:
        return f"{metric} was not among its metrics"
    return "" if figure.median_ratio is not None else f"{metric} is unknown: {figure.reason}"


def _why_not_claimed(arm: ArmResult | None, claim: Claim) -> str:
    if arm is None:
        return "it did not run this plan"
    if problem := _why_no_figure(arm, claim.metric):
        return problem
    figure = _figure(arm, claim.metric)
    found = None if figure is None else figure.median_ratio
    if found is None or math.isclose(found, claim.median_ratio, rel_tol=_ROUNDING):
        return ""
    return f"{claim.metric} has the median ratio {found!r}, not {claim.median_ratio!r}"


def _figure(arm: ArmResult, metric: ExperimentMetric) -> PairedFigure | None:
    return next((one for one in arm.figures if one.metric == metric), None)
