"""Which energy source a plan names, and which limits of energy a request may set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast, get_args

from protocol.errors import EnergyUnavailable, InvalidRequest
from protocol.plan import EnergySourceName, ExecutionRequest

MEASURED_SOURCES: Final[tuple[EnergySourceName, ...]] = ("perf", "rapl", "hwmon", "meter")
"""Best first."""
DECLARATION: Final = "--energy-source model --tdp-watts WATTS"
"""The flags that declare a model, of ``engine-ctl serve`` and of a run in its own process."""


def plan_energy_source(
    execution: ExecutionRequest, declared: EnergySourceName | None, energy: Mapping[str, str]
) -> EnergySourceName:
    """The source that a plan names: the request's own, else the operator's ``declared``, else the best that measures,
    else ``none``. A model is used only where a person names it.

    ``energy`` holds every energy source: ``""`` where it works, else the reason why not.
    """
    if execution.energy_source is not None:
        return cast("EnergySourceName", execution.energy_source)
    if declared is not None:
        return declared
    return next((name for name in MEASURED_SOURCES if energy.get(name, "absent") == ""), "none")


def decide_energy_source(
    execution: ExecutionRequest, declared: EnergySourceName | None, energy: Mapping[str, str]
) -> EnergySourceName:
    """The source that the plan names, where what the request wants of energy can be had here.

    Raises:
        InvalidRequest: an unknown energy source.
        EnergyUnavailable: a source that does not work here, or a limit in watts or joules that nothing here can judge.
    """
    source = execution.energy_source
    if source is not None and source not in get_args(EnergySourceName):
        raise InvalidRequest(
            f"energy_source is {source!r}; allowed: {', '.join(get_args(EnergySourceName))}",
            field="execution.energy_source",
            value=source,
            allowed=list(get_args(EnergySourceName)),
        )
    planned = plan_energy_source(execution, declared, energy)
    if why := energy.get(planned, "" if planned == "none" else "not built in"):
        raise EnergyUnavailable(
            f"energy source {planned!r} does not work here: {why}",
            field="execution.energy_source",
            source=planned,
            reasons=dict(energy),
        )
    limited = execution.limits.of_energy
    if limited and planned == "none":
        reasons = {name: reason for name, reason in energy.items() if reason}
        raise EnergyUnavailable(
            f"execution.limits.{limited[0]} needs a source of energy, and {_remedy(source or declared, energy)}",
            field=f"execution.limits.{limited[0]}",
            reasons=reasons,
        )
    return planned


def _remedy(named_none: str | None, energy: Mapping[str, str]) -> str:
    """Why the plan's source is none, and what would give it one; a line for a person."""
    if named_none is not None:
        return "the plan's is none, by name; name another (engine-ctl energy sources says which work here)."
    failed = ", ".join(name for name, reason in energy.items() if reason)
    nothing = f"nothing measures it here ({failed}: engine-ctl energy sources says why)"
    if energy.get("model", "absent") == "":
        return f"{nothing}. Limit modelled watts instead: --energy-source model, in the request or once at start-up."
    return (
        f"{nothing}. Declare what these CPUs draw at full load, and modelled watts are limited: {DECLARATION}, for "
        "engine-ctl serve or a run without it; or ENGINE_ENERGY_SOURCE=model ENGINE_TDP_WATTS=WATTS."
    )
