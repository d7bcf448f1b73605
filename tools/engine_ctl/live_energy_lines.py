"""Watts and joules for a person. What a formula says is never shown as if it had been measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine_ctl.energy_figure import marked

if TYPE_CHECKING:
    from protocol.answers import LiveEnergy
    from protocol.live_energy import EnergySoFar, PowerReport
    from protocol.metrics import EnergyReport

UNKNOWN = "-"


def known(value: float | None, unit: str, kind: str) -> str:
    """A figure such as ``23.41 W``, of a model ``~23.41 W (model)``, or a dash."""
    return UNKNOWN if value is None else marked(f"{value:,.2f} {unit}", kind)


def joules_of(energy: EnergyReport) -> str:
    """An execution's joules; empty where they are not known."""
    return "" if energy.attributed_j is None else known(energy.attributed_j, "J", energy.kind)


def power_lines(power: PowerReport) -> list[str]:
    """The source and what it says, a zone a line; or why nothing is known."""
    if power.watts is None or power.window_ms is None:
        return [f"{power.source}: watts unknown: {power.reason}"]
    band = "" if power.rel_uncertainty is None else f" ± {power.rel_uncertainty:.1%}"
    total = known(power.watts, "W", power.kind)
    return [
        f"{power.source} ({power.kind}), average of {power.window_ms / 1e3:,.1f} s",
        f"  {'packages':16} {total}{band}",
        *(f"  {zone:16} {known(watts, 'W', power.kind)}" for zone, watts in power.zones.items()),
    ]


def so_far(used: EnergySoFar) -> str:
    """What a running execution has now and has used, and why a part of it is not known."""
    kind = used.energy.kind
    share = UNKNOWN if used.share is None else f"{used.share:.0%}"
    told = (
        f"{share} of the computing, {known(used.watts, 'W', kind)}; so far {used.tokens_total} tokens, "
        f"{known(used.energy.attributed_j, 'J', kind)}, {known(used.tokens_per_watt, 'tokens/J', kind)}"
    )
    reasons = dict.fromkeys(reason for reason in (used.reason, used.energy.reason) if reason)
    return f"{told} ({'; '.join(reasons)})" if reasons else told


def live_lines(live: LiveEnergy) -> list[str]:
    """The machine's power, and each execution that runs."""
    executions = [f"  {each.execution_id}  {each.model}  {so_far(each)}" for each in live.executions]
    return [*power_lines(live.power), f"executions: {len(executions) or 'none'}", *executions]
