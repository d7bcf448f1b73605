"""Proposals and named plans, filed, moved and looked up: the answers to the messages about them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from engine.identity.build import current_build
from engine.identity.version import ENGINE_VERSION
from engine.planning.planner import Planner
from engine.proposals.evidence import Here, check_claims, check_executions, check_experiment
from engine.records.experiment_entries import get_experiment
from engine.records.named_plan_entries import (
    append_version,
    current_plans,
    earlier_version,
    next_version,
    plan_history,
    version_of,
)
from engine.records.open_chain import OpenChain
from engine.records.proposal_entries import append_move, append_proposal, proposal_status, proposals
from engine.records.record_chain import StoredEntry
from engine.records.records import Records
from protocol.answers import AnswerMessage
from protocol.errors import EvidenceRefused, UnknownEntry, UnknownExecution
from protocol.experiment import ExperimentMetric, ExperimentRecord
from protocol.message import Request
from protocol.named_plan import NamedPlan
from protocol.plan import ExecutionPlan, RunRequest
from protocol.proposal import Claim, EvidenceCheck, Proposal, ProposalMove
from protocol.proposal_messages import (
    ApplyPlan,
    GetNamedPlan,
    GetProposal,
    MoveProposal,
    NamedPlanList,
    NamedPlans,
    NamedPlanShown,
    PlanApplied,
    ProposalList,
    Proposals,
    ProposalShown,
    Propose,
    Proposed,
    RollBackPlan,
)
from protocol.record import ExecutionRecord
from protocol.record_entry import FinishedEntry


class ProposalAnswers:
    """Methods block, raise what the store raises, and are thread-safe."""

    def __init__(self, planner: Planner, records: Records) -> None:
        self._planner = planner
        self._records = records

    @property
    def table(self) -> dict[type[Request[Any]], Callable[[Any], AnswerMessage]]:
        """What answers each message."""
        return {
            Propose: self._propose,
            Proposals: self._list,
            GetProposal: self._show,
            MoveProposal: self._move,
            ApplyPlan: self._apply,
            RollBackPlan: self._roll_back,
            NamedPlans: self._list_plans,
            GetNamedPlan: self._show_plan,
        }

    def _propose(self, request: Propose) -> Proposed:
        """Raises EvidenceRefused: ``params["checks"]`` has every check, with the reasons of those that do not hold."""
        checks = self._checks(request.plan, request.evidence, request.kpi, request.claims)
        _require(checks)
        build = current_build()
        proposal = Proposal(
            proposal_id=f"proposal-{secrets.token_hex(8)}",
            plan=request.plan,
            plan_fingerprint=request.plan.fingerprint,
            evidence=request.evidence,
            kpi=request.kpi,
            guardrails=request.guardrails,
            claims=request.claims,
            note=request.note,
            agent=request.agent,
            engine_version=ENGINE_VERSION,
            build_id=build.id,
            checks=checks,
        )
        with self._records.store.transaction() as chain:
            entry = append_proposal(chain, proposal)
            return Proposed(status=proposal_status(chain, proposal.proposal_id), hash=entry.hash)

    def _list(self, request: Proposals) -> ProposalList:
        with self._records.store.reading() as chain:
            return ProposalList(proposals=proposals(chain, request.state, request.limit))

    def _show(self, request: GetProposal) -> ProposalShown:
        with self._records.store.reading() as chain:
            return ProposalShown(status=proposal_status(chain, request.proposal_id))

    def _move(self, request: MoveProposal) -> ProposalShown:
        """Raises EvidenceRefused: it is to be validated, and no experiment supports it here."""
        if request.state == "validated":
            with self._records.store.reading() as chain:
                self._require_supported(proposal_status(chain, request.proposal_id).proposal)
        move = ProposalMove(
            proposal_id=request.proposal_id, state=request.state, agent=request.agent, reason=request.reason
        )
        with self._records.store.transaction() as chain:
            append_move(chain, move)
            return ProposalShown(status=proposal_status(chain, request.proposal_id))

    def _apply(self, request: ApplyPlan) -> PlanApplied:
        """The move and the version are one transaction. Raises what planning raises: it cannot be carried out here."""
        with self._records.store.reading() as chain:
            proposal = proposal_status(chain, request.proposal).proposal
        self._require_supported(proposal)
        self._require_runnable(proposal.plan)
        reason = request.reason or f"applied as {request.name}"
        move = ProposalMove(proposal_id=request.proposal, state="applied", agent=request.agent, reason=reason)
        with self._records.store.transaction() as chain:
            append_move(chain, move)
            plan = NamedPlan(
                name=request.name,
                version=next_version(chain, request.name),
                plan=proposal.plan,
                plan_fingerprint=proposal.plan_fingerprint,
                proposal_id=request.proposal,
                agent=request.agent,
                reason=request.reason,
            )
            entry = append_version(chain, plan)
        return PlanApplied(version=version_of(entry), hash=entry.hash)

    def _roll_back(self, request: RollBackPlan) -> PlanApplied:
        with self._records.store.transaction() as chain:
            earlier = earlier_version(chain, request.name, request.version, request.newest)
            said = {"agent": request.agent, "reason": request.reason, "rolled_back_to": earlier.version}
            entry = append_version(
                chain, earlier.model_copy(update={**said, "version": next_version(chain, request.name)})
            )
        return PlanApplied(version=version_of(entry), hash=entry.hash)

    def _list_plans(self, request: NamedPlans) -> NamedPlanList:
        with self._records.store.reading() as chain:
            return NamedPlanList(plans=current_plans(chain))

    def _show_plan(self, request: GetNamedPlan) -> NamedPlanShown:
        with self._records.store.reading() as chain:
            return NamedPlanShown(versions=plan_history(chain, request.name))

    def _require_supported(self, proposal: Proposal) -> None:
        checks = self._checks(proposal.plan, proposal.evidence, proposal.kpi, proposal.claims)
        _require(checks)
        if not any(check.check == "kpi" for check in checks):
            raise EvidenceRefused(
                f"{proposal.proposal_id} rests on executions alone, which support no figure of {proposal.kpi}: propose "
                "the plan anew with an experiment",
                reasons=["no experiment"],
            )

    def _require_runnable(self, plan: ExecutionPlan) -> None:
        self._planner.prepare(RunRequest(plan=plan, prompt_token_ids=(0,)))

    def _checks(
        self, plan: ExecutionPlan, evidence: Sequence[str], kpi: ExperimentMetric, claims: Sequence[Claim]
    ) -> tuple[EvidenceCheck, ...]:
        machine = self._planner.machine
        here = Here(machine.cpu_model, machine.cpu_features, current_build().id, ENGINE_VERSION)
        found = [self._found(name) for name in dict.fromkeys(evidence)]
        experiments = [one for one in found if isinstance(one, ExperimentRecord)]
        executions = [one for one in found if isinstance(one, ExecutionRecord)]
        return (
            *(one for one in found if isinstance(one, EvidenceCheck)),
            *(check for one in experiments for check in check_experiment(one, plan, kpi, here)),
            *(check_executions(executions, plan, here) if executions else ()),
            *check_claims(experiments, plan, claims),
        )

    def _found(self, name: str) -> ExperimentRecord | ExecutionRecord | EvidenceCheck:
        """What an id stands for, or the check that fails."""
        store = self._records.store
        with store.reading() as chain:
            entries = [chain.last(kind, name) for kind in ("experiment_declared", "experiment")]
            altered = _altered(chain, name, entries)
        if altered is not None:
            return altered
        try:
            end = get_experiment(store, name)[1]
        except UnknownEntry:
            return self._execution(name)
        return _missing(name, "it is still running") if end is None else end.experiment

    def _execution(self, name: str) -> ExecutionRecord | EvidenceCheck:
        try:
            stored = self._records.store.get(name)
        except UnknownExecution:
            return _missing(name, "there is no experiment and no execution of this id")
        with self._records.store.reading() as chain:
            altered = _altered(chain, name, [stored])
        if altered is not None:
            return altered
        entry = stored.decode_execution()
        return entry.record if isinstance(entry, FinishedEntry) else _missing(name, "it was interrupted")


def _missing(name: str, reason: str) -> EvidenceCheck:
    return EvidenceCheck(evidence=name, check="exists", holds=False, reason=reason)


def _altered(chain: OpenChain, name: str, entries: Sequence[StoredEntry | None]) -> EvidenceCheck | None:
    """The check that fails where somebody wrote over an entry after it was sealed."""
    for entry in entries:
        if entry is not None and (why := chain.why_altered(entry)):
            reason = f"entry {entry.sequence} of the records was altered after it was sealed: {why}"
            return EvidenceCheck(evidence=name, check="sealed", holds=False, reason=reason)
    return None


def _require(checks: Sequence[EvidenceCheck]) -> None:
    refused = [check for check in checks if not check.holds]
    if refused:
        reasons = [f"{check.evidence}: {check.reason}" for check in refused]
        raise EvidenceRefused(
            f"the evidence does not support the proposal: {'; '.join(reasons)}",
            reasons=reasons,
            checks=[check.model_dump(mode="json") for check in checks],
        )
