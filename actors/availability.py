"""What can not be had while an actor does no more than refuse. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors.faults import ENERGY_SAMPLER, EXECUTOR
from protocol.errors import BackendUnavailable, EnergyUnavailable
from protocol.plan import ExecutionPlan
from protocol.requests import AskedMessage, Evaluate, Replay, Run


def backend_refusal(message: AskedMessage, failed: Mapping[str, str]) -> BackendUnavailable | None:
    """Why a request that needs the backend cannot be had; ``failed`` as in :class:`actors.faults.Faults`."""
    reason = failed.get(EXECUTOR)
    if reason is None or not isinstance(message, Run | Replay | Evaluate):
        return None
    return BackendUnavailable(f"the backend failed ({reason}); start the engine again", reason=reason)


def require_watch(plan: ExecutionPlan, failed: Mapping[str, str]) -> None:
    """Raises EnergyUnavailable where the plan has a limit that nobody is left to hold it to."""
    reason = failed.get(ENERGY_SAMPLER)
    if reason is not None and plan.limits.of_energy:
        raise EnergyUnavailable(f"the {ENERGY_SAMPLER} failed ({reason}); start the engine again", reason=reason)
