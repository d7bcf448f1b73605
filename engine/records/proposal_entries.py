"""Proposals in the chain of records, and the steps that they have taken."""

from __future__ import annotations

from collections.abc import Iterator

from engine.records.open_chain import OpenChain
from engine.records.record_chain import StoredEntry
from protocol.errors import InvalidRequest, UnknownEntry
from protocol.proposal import Proposal, ProposalMove, ProposalState, ProposalStatus
from protocol.record_entry import ProposalEntry, ProposalMoveEntry

_PAGE = 10_000
_NEXT: dict[ProposalState, tuple[ProposalState, ...]] = {
    "proposed": ("validated", "rejected", "withdrawn"),
    "validated": ("applied", "rejected", "withdrawn"),
    "rejected": (),
    "applied": (),
    "withdrawn": (),
}
"""Where a proposal may go from each state."""


def append_proposal(chain: OpenChain, proposal: Proposal) -> StoredEntry:
    """File a proposal, within a transaction."""
    return chain.append(kind="proposal", proposal=proposal.model_dump(mode="json"))


def append_move(chain: OpenChain, move: ProposalMove) -> StoredEntry:
    """Take a proposal a step on, within a transaction.

    Raises:
        UnknownEntry: there is no such proposal.
        InvalidRequest: it cannot go there from where it stands.
    """
    state = proposal_status(chain, move.proposal_id).state
    if move.state not in _NEXT[state]:
        allowed = _NEXT[state]
        told = f"it can be {' or '.join(allowed)}" if allowed else "that is its end"
        raise InvalidRequest(
            f"{move.proposal_id} is {state}: {told}", field="state", value=move.state, allowed=list(allowed)
        )
    return chain.append(kind="proposal_move", move=move.model_dump(mode="json"))


def proposal_status(chain: OpenChain, proposal_id: str) -> ProposalStatus:
    """Where a proposal stands. Raises UnknownEntry, RecordUnreadable."""
    filed = chain.last("proposal", proposal_id)
    if filed is None:
        raise UnknownEntry(f"no proposal {proposal_id!r} is in the records", kind="proposal", id=proposal_id)
    return _status(chain, filed)


def proposals(chain: OpenChain, state: ProposalState | None, limit: int) -> tuple[ProposalStatus, ...]:
    """The newest first, those in a state alone where one is named. Raises RecordUnreadable."""
    found: list[ProposalStatus] = []
    for status in _newest(chain, limit if state is None else _PAGE):
        if state in (None, status.state) and len(found) < limit:
            found.append(status)
    return tuple(found)


def _newest(chain: OpenChain, limit: int) -> Iterator[ProposalStatus]:
    return (_status(chain, entry) for entry in chain.newest("proposal", limit))


def _status(chain: OpenChain, filed: StoredEntry) -> ProposalStatus:
    entry = filed.decode_as(ProposalEntry)
    moves = tuple(
        move.decode_as(ProposalMoveEntry).move for move in chain.about("proposal_move", entry.proposal.proposal_id)
    )
    return ProposalStatus(
        sequence=entry.sequence,
        recorded_at=entry.recorded_at,
        state=moves[-1].state if moves else "proposed",
        proposal=entry.proposal,
        moves=moves,
    )
