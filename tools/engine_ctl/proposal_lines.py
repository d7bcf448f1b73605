"""Proposals and named plans for a person: lines of text."""

from __future__ import annotations

from collections.abc import Iterator

from protocol.named_plan import NamedPlanVersion
from protocol.proposal import ProposalStatus


def proposal_line(status: ProposalStatus) -> str:
    """A proposal on one line."""
    proposal = status.proposal
    return (
        f"{status.recorded_at[:19]}  {proposal.proposal_id}  {status.state:10}  {proposal.kpi:16}  "
        f"{proposal.plan.model_ref.name}  {proposal.agent or '-'}"
    )


def proposal_lines(status: ProposalStatus) -> Iterator[str]:
    """A proposal in full, but for its plan."""
    proposal = status.proposal
    plan = proposal.plan
    yield f"{proposal.proposal_id}: {status.state}"
    yield f"plan {proposal.plan_fingerprint}"
    yield f"{plan.model_ref.name} · {plan.quantization} · {plan.backend} · {plan.threads} threads"
    yield f"proposed {status.recorded_at} by {proposal.agent or 'an agent without a name'}, for {proposal.kpi}"
    if proposal.note:
        yield f"  {proposal.note}"
    yield f"evidence: {', '.join(proposal.evidence)}"
    for guardrail in proposal.guardrails:
        yield f"guardrail: {guardrail.metric} not worse by more than {guardrail.margin:.1%}"
    for claim in proposal.claims:
        yield f"claim: {claim.metric} has the median ratio {claim.median_ratio:.4f}"
    for move in status.moves:
        yield f"{move.state} by {move.agent or 'an agent without a name'}: {move.reason or '-'}"


def plan_line(version: NamedPlanVersion) -> str:
    """A version of a named plan on one line."""
    named = version.named_plan
    came = f"from {named.proposal_id}" if named.rolled_back_to is None else f"back to version {named.rolled_back_to}"
    return (
        f"{version.recorded_at[:19]}  {named.name} {named.version}  {named.plan.model_ref.name}  "
        f"{named.plan_fingerprint}  {came}, {named.agent or '-'}: {named.reason or '-'}"
    )
