"""What the readings of the energy counters mean for an execution that limits watts or joules. Pure."""

from __future__ import annotations

from typing import Literal, cast

from engine.energy.sources.source import EnergyReading
from engine.energy.throttle import Throttle
from engine.energy.window import PowerAverage
from protocol.plan import Limits
from protocol.record import UnjudgedLimit

Judgement = Literal["run", "rest", "max_watts", "max_joules"]
"""It may compute; it must rest, to go on later; or the limit that it has reached."""
EnergyLimit = Literal["max_watts", "max_joules"]
_MS = 1_000_000


class LimitWatch:
    """Judges an execution by its limits, reading by reading, from its first prefill step.

    A reading that failed counts as the limit reached: what cannot be measured any more cannot be kept to.
    """

    def __init__(self, limits: Limits, start: EnergyReading) -> None:
        self._limits = limits
        self._start = start
        self._average = PowerAverage(limits.watt_window_ms * _MS)
        self._average.add(start)
        self._judged: set[EnergyLimit] = set()
        self._throttle = None
        if limits.max_watts is not None and limits.on_max_watts == "throttle":
            self._throttle = Throttle(
                limits.max_watts, limits.watt_window_ms * _MS, limits.energy_sample_ms * _MS, start
            )

    @property
    def sample_s(self) -> float | None:
        """How often a reading is to be judged; ``None``: nothing is limited."""
        return self._limits.energy_sample_ms / 1e3 if self._limits.of_energy else None

    @property
    def unjudged(self) -> tuple[UnjudgedLimit, ...]:
        """Limits that no reading so far could be held against, and why."""
        limits = self._limits
        first_ms = {"max_watts": limits.watt_window_ms, "max_joules": limits.energy_sample_ms}
        if self._throttle is not None:
            first_ms["max_watts"] = limits.energy_sample_ms
        return tuple(
            UnjudgedLimit(
                limit=limit, reason=f"it is first judged after {first_ms[limit]} ms, and the run was over sooner"
            )
            for limit in _energy_limits(limits)
            if limit not in self._judged
        )

    def judge(self, reading: EnergyReading) -> Judgement:
        """What the plan's limits demand after this reading."""
        max_joules = self._limits.max_joules
        if max_joules is not None:
            used_uj = self._used_uj(reading)
            self._judged.add("max_joules")
            if used_uj is None or used_uj >= max_joules * 1e6:
                return "max_joules"
        return self._judge_watts(reading)

    def _judge_watts(self, reading: EnergyReading) -> Judgement:
        max_watts = self._limits.max_watts
        if max_watts is None:
            return "run"
        if self._used_uj(reading) is None:
            self._judged.add("max_watts")
            return "max_watts"
        if self._throttle is not None:
            self._judged.add("max_watts")
            return "run" if self._throttle.decide(reading) else "rest"
        self._average.add(reading)
        watts = self._average.watts
        if watts is not None:
            self._judged.add("max_watts")
        return "max_watts" if watts is not None and watts > max_watts else "run"

    def _used_uj(self, reading: EnergyReading) -> int | None:
        """Microjoules of all CPU packages since the start; ``None`` where a counter could not be read in between."""
        if reading.package_uj is None or self._start.package_uj is None or reading.epoch != self._start.epoch:
            return None
        return reading.package_uj - self._start.package_uj


def unjudged(limits: Limits, reason: str) -> tuple[UnjudgedLimit, ...]:
    """Every limit in watts or joules, for one reason."""
    return tuple(UnjudgedLimit(limit=limit, reason=reason) for limit in _energy_limits(limits))


def _energy_limits(limits: Limits) -> tuple[EnergyLimit, ...]:
    return cast("tuple[EnergyLimit, ...]", limits.of_energy)
