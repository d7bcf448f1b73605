"""Evidence that was made elsewhere, or came to nothing, supports no proposal."""

from __future__ import annotations

import pytest

from engine.proposals.evidence import Here, check_claims, check_experiment
from protocol.build import Build
from protocol.experiment import ArmResult, ExperimentEnd, ExperimentMetric, ExperimentRecord, PairedFigure
from protocol.plan import RunRequest
from protocol.proposal import Claim
from tests.actors.fake_plans import make_plan

PLAN = make_plan(RunRequest(model="tiny", prompt="once"))
HERE = Here(cpu_model="this machine", cpu_features=("avx2", "avx512f"), build_id="b" * 32, engine_version="1.0.0")


def make_figure(metric: ExperimentMetric, ratio: float | None, reason: str | None = None) -> PairedFigure:
    return PairedFigure(
        metric=metric,
        pairs=0 if ratio is None else 6,
        median_log_ratio=None if ratio is None else 0.1,
        median_ratio=ratio,
        interval=None,
        confidence=None,
        reason=reason,
    )


def make_record(
    ended: ExperimentEnd = "complete",
    cpu_model: str = HERE.cpu_model,
    build_id: str = HERE.build_id,
    cpu_features: tuple[str, ...] | None = HERE.cpu_features,
    figures: tuple[PairedFigure, ...] = (make_figure("tokens_per_sec", 1.1),),
) -> ExperimentRecord:
    arm = ArmResult(
        arm=1,
        plan_fingerprint=PLAN.fingerprint,
        differences=(),
        pairs=6,
        disturbed=0,
        same_output=True,
        figures=figures,
    )
    return ExperimentRecord(
        experiment_id="experiment-1",
        declared_at=1,
        ended=ended,
        agent="",
        note="",
        engine_version="1.0.0",
        build=Build(id=build_id, arithmetic=None, compiler="", flags=""),
        cpu_model=cpu_model,
        cpu_features=cpu_features,
        plans=(PLAN, PLAN),
        plan_fingerprints=(PLAN.fingerprint, PLAN.fingerprint),
        workload_digest="",
        pairs_declared=6,
        executions=(),
        pairs=(),
        arms=() if ended == "interrupted" else (arm,),
    )


def refused(record: ExperimentRecord, kpi: ExperimentMetric = "tokens_per_sec") -> dict[str, str]:
    return {check.check: check.reason for check in check_experiment(record, PLAN, kpi, HERE) if not check.holds}


def test_evidence_of_this_machine_and_build_bears_a_proposal() -> None:
    assert refused(make_record()) == {}
    assert refused(make_record(ended="stopped")) == {}


@pytest.mark.parametrize(
    ("record", "check", "reason"),
    [
        (make_record(cpu_model="another"), "comparable", "it ran on another, and this machine is this machine"),
        (make_record(cpu_features=("avx2",)), "comparable", "they differ in avx512f"),
        (make_record(cpu_features=None), "comparable", "it does not say which of the processor's features"),
        (make_record(build_id="c" * 32), "comparable", f"it ran on the build {'c' * 32}"),
        (make_record(ended="failed"), "ended", "it failed"),
        (make_record(ended="interrupted"), "ended", "it interrupted"),
        (make_record(figures=()), "kpi", "was not among its metrics"),
        (
            make_record(figures=(make_figure("tokens_per_sec", None, "every pair was disturbed"),)),
            "kpi",
            "every pair was disturbed",
        ),
    ],
)
def test_what_does_not_bear_it_is_named(record: ExperimentRecord, check: str, reason: str) -> None:
    assert reason in refused(record)[check]


def test_a_claim_may_come_from_any_experiment_or_from_the_one_it_names() -> None:
    first = make_record()
    second = make_record(figures=(make_figure("tokens_per_sec", 1.3),)).model_copy(
        update={"experiment_id": "experiment-2"}
    )
    claim = Claim(metric="tokens_per_sec", median_ratio=1.3)
    (holds,) = check_claims([first, second], PLAN, [claim])
    assert holds.holds
    (named,) = check_claims([first, second], PLAN, [claim.model_copy(update={"evidence": "experiment-1"})])
    assert (named.holds, named.reason) == (False, "tokens_per_sec has the median ratio 1.1, not 1.3")
