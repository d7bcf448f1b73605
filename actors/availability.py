"""Refusals while an actor has been given up, or the machine is not quiet. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors.faults import ENERGY_SAMPLER, EXECUTOR
from protocol.errors import BackendUnavailable, EnergyUnavailable, Overloaded
from protocol.experiment_messages import Experiment
from protocol.plan import ExecutionPlan
from protocol.requests import AskedMessage, Calibrate, Embed, Evaluate, Replay, Rerank, Run

_QUIET_RETRY_MS = 1000


def refuse_unavailable(message: AskedMessage, failed: Mapping[str, str], executions: int) -> None:
    """Refuse a request that cannot be served now. ``failed`` is as in :class:`actors.faults.Faults`.

    Raises:
        BackendUnavailable: it needs the backend, which failed.
        Overloaded: it needs a quiet machine, and ``executions`` are in progress.
    """
    reason = failed.get(EXECUTOR)
    if reason is not None and isinstance(message, Run | Replay | Experiment | Evaluate | Embed | Rerank):
        raise BackendUnavailable(f"the backend failed ({reason}); start the engine again", reason=reason)
    if executions and isinstance(message, Calibrate):
        raise Overloaded(
            f"{executions} executions are in progress, and idle power is measured on a quiet machine",
            retry_after_ms=_QUIET_RETRY_MS,
        )


def require_watch(plan: ExecutionPlan, failed: Mapping[str, str]) -> None:
    """Raises EnergyUnavailable where the plan has an energy limit and the sampler that would enforce it failed."""
    reason = failed.get(ENERGY_SAMPLER)
    if reason is not None and plan.limits.of_energy:
        raise EnergyUnavailable(f"the {ENERGY_SAMPLER} failed ({reason}); start the engine again", reason=reason)
