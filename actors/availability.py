"""What can not be had while an actor does no more than refuse. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors.faults import ENERGY_SAMPLER, EXECUTOR
from protocol.errors import BackendUnavailable, EnergyUnavailable, Overloaded
from protocol.plan import ExecutionPlan
from protocol.requests import AskedMessage, Calibrate, Embed, Evaluate, Replay, Run

_QUIET_RETRY_MS = 1000


def backend_refusal(message: AskedMessage, failed: Mapping[str, str]) -> BackendUnavailable | None:
    """Why a request that needs the backend cannot be had; ``failed`` as in :class:`actors.faults.Faults`."""
    reason = failed.get(EXECUTOR)
    if reason is None or not isinstance(message, Run | Replay | Evaluate | Embed):
        return None
    return BackendUnavailable(f"the backend failed ({reason}); start the engine again", reason=reason)


def quiet_refusal(message: AskedMessage, executions: int) -> Overloaded | None:
    """Why a request that needs a quiet machine cannot be had while so many executions are in progress."""
    if not isinstance(message, Calibrate) or not executions:
        return None
    return Overloaded(
        f"{executions} executions are in progress, and idle power is measured on a quiet machine",
        retry_after_ms=_QUIET_RETRY_MS,
    )


def require_watch(plan: ExecutionPlan, failed: Mapping[str, str]) -> None:
    """Raises EnergyUnavailable where the plan has a limit that nobody is left to hold it to."""
    reason = failed.get(ENERGY_SAMPLER)
    if reason is not None and plan.limits.of_energy:
        raise EnergyUnavailable(f"the {ENERGY_SAMPLER} failed ({reason}); start the engine again", reason=reason)
