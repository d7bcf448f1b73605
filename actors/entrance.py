"""What all connections share of what they take in, and what is taken however crowded the engine is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.fair_turns import FairTurns
from actors.limits import ServiceLimits
from actors.loop_turns import LoopTurns
from actors.policies.requester import Requester
from actors.request_room import RequestRoom
from engine.host.event_log import log_event
from protocol.answers import Failed
from protocol.requests import Cancel, ClientMessage, Metrics, Shutdown, Status, StopExperiment

_OWN_WORDS = frozenset(
    {
        *("overloaded", "shutting_down", "slow_consumer", "backend_unavailable", "frame_too_large"),
        *("unsupported_protocol", "not_permitted", "out_of_memory_budget", "energy_unavailable", "internal_error"),
        *("cache_full", "disk_full"),
    }
)
"""Errors whose messages repeat nothing of a request."""
OPERATOR_MESSAGES = (Status, Metrics, Cancel, StopExperiment, Shutdown)
"""They cost next to nothing, and may end what crowds the engine."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Shared by all connections."""

    room: RequestRoom
    decoding: FairTurns
    """At threads that decode large frames."""
    turns: LoopTurns
    """At the event loop."""
    limits: ServiceLimits
    count_failure: Callable[[str], None]
    """Called with the code of each error that a connection itself answers with."""
    refuse_hopeless: Callable[[ClientMessage], None]
    """Raises what a large message is refused with where it cannot be carried out; called in a thread."""

    def why_crowded(self, message: ClientMessage, in_flight: int, *, for_operator: bool) -> str | None:
        """Why a connection with so many requests in flight takes no such message now; ``None``: it does."""
        if in_flight >= self.limits.max_in_flight:
            return f"{self.limits.max_in_flight} requests are in flight on this connection"
        if for_operator and not isinstance(message, OPERATOR_MESSAGES):
            return (
                f"{self.limits.max_connections} clients are connected already, and this connection is kept for "
                "status, cancelling and shutting down; connect again later"
            )
        return None


def make_entrance(
    limits: ServiceLimits, count_failure: Callable[[str], None], refuse_hopeless: Callable[[ClientMessage], None]
) -> Entrance:
    """The entrance of an engine with these limits."""
    room = RequestRoom(limits.max_executions, limits.max_waiting_bytes)
    return Entrance(room, FairTurns(limits.decoders), LoopTurns(), limits, count_failure, refuse_hopeless)


def log_refusal(refusal: Failed, requester: Requester, connection_id: int | None) -> None:
    """Log that a request failed: a warning where that is no fault of the request. What is wrong with a request is told
    in its own words, which are left out."""
    told = refusal.code in _OWN_WORDS
    log_event(
        "warning" if told else "info",
        "refused",
        code=refusal.code,
        reason=refusal.message if told else None,
        field=refusal.params.get("field"),
        connection=connection_id,
        request_id=refusal.request_id,
        user=requester.user,
        client=requester.client,
        text=None if told else refusal.message,
    )
