"""What all connections share of what they take in, and what is taken however crowded the engine is."""

from __future__ import annotations

from dataclasses import dataclass

from actors.fair_turns import FairTurns
from actors.limits import ServiceLimits
from actors.request_room import RequestRoom
from protocol.requests import Cancel, ClientMessage, Metrics, Shutdown, Status, StopExperiment

OPERATOR_MESSAGES = (Status, Metrics, Cancel, StopExperiment, Shutdown)
"""They cost next to nothing, and may end what crowds the engine."""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Shared by all connections."""

    room: RequestRoom
    decoding: FairTurns
    """At threads that decode large frames."""
    limits: ServiceLimits

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


def make_entrance(limits: ServiceLimits) -> Entrance:
    """That of an engine with these limits."""
    room = RequestRoom(limits.max_executions, limits.max_waiting_bytes)
    return Entrance(room, FairTurns(limits.decoders), limits)
