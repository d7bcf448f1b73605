"""Figures of energy for a person: what comes from a formula is marked, and everything shows its uncertainty."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from protocol.metrics import EnergyReport

ENERGY_METRICS = ("watts_avg", "tokens_per_watt", "joules_total", "joules_per_token")
MODELLED = "modelled"
_DAY_S = 24 * 3600.0
_LONGEST_REASON = 120


def marked(figure: str, kind: str) -> str:
    """The figure, with its unit where it has one; ``~`` and ``(model)`` around one that was not measured."""
    return f"~{figure} (model)" if kind == MODELLED else figure


def energy_lines(energy: EnergyReport) -> list[str]:
    """What an execution's energy is worth, where it is known its parts, and who else used the CPU."""
    told = [f"energy: {_worth(energy)}"]
    if energy.package_j is not None and energy.attributed_j is not None:
        told.append(f"  {_parts(energy)}")
    if energy.curve is not None:
        basis = "declared watts" if energy.calibration_age_s is None else "a calibration"
        told.append(f"  by {basis}: {energy.curve.idle_watts:.2f} W + {energy.curve.busy_watts:.2f} W a busy CPU")
    if energy.calibration_stale:
        told.append(f"  calibration: {energy.calibration_stale}")
    if energy.contended:
        told.append(f"  contended: other processes had {energy.others_cpu_share or 0:.0%} of the CPU time")
    return told


def _worth(energy: EnergyReport) -> str:
    band = "" if energy.rel_uncertainty is None else f", ±{100 * energy.rel_uncertainty:.2g} %"
    reason = f": {short_reason(energy.reason)}" if energy.reason else ""
    return f"{'~ ' if energy.kind == MODELLED else ''}{energy.kind} ({energy.source}){band}{reason}"


def short_reason(reason: str) -> str:
    """Why energy is not known, in a few words; each source's own are the business of `energy sources`."""
    return reason if len(reason) <= _LONGEST_REASON else "nothing measures here; engine-ctl energy sources says why"


def _parts(energy: EnergyReport) -> str:
    parts = [marked(f"{energy.package_j:,.2f} J", energy.kind) + " of all packages"]
    if energy.idle_j is not None:
        age = (
            ""
            if energy.calibration_age_s is None
            else f", measured {energy.calibration_age_s / _DAY_S:.1f} days before"
        )
        parts.append(f"of them {marked(f'{energy.idle_j:,.2f} J', energy.kind)} idle{age}")
    share = "" if energy.share is None else f", a share of {energy.share:.1%}"
    return "; ".join([*parts, f"{marked(f'{energy.attributed_j:,.2f} J', energy.kind)} this execution's{share}"])
