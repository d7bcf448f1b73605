"""Joules by a formula, for machines where nothing measures them. They rank nothing: see docs/energy.md."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from engine.energy.sources.busy_time import TICK_MS, BusyTime
from engine.energy.sources.source import EnergyReading
from protocol.plan import EnergySourceName as SourceName
from protocol.power_curve import PowerCurve

_IDLE_PART = 0.1
"""The part of the declared watts that idle CPUs draw."""
_DECLARED_ERROR = 0.5
"""Formulas of load and declared watts, held against RAPL on four machines, are off by a third in the median, and some
by more than 100 %."""
DECLARE = (
    "declare the watts that its CPUs draw at full load (their TDP; in a virtual machine its part of the host's) with "
    "--tdp-watts WATTS or ENGINE_TDP_WATTS, and have limits judged by them with --energy-source model"
)
REMEDY = f"let engine-ctl energy calibrate measure it where a source of joules works, or {DECLARE}"
"""For a machine of which nothing is known."""


@dataclass(frozen=True, slots=True)
class PowerModel:
    """What a modelled joule rests on."""

    curve: PowerCurve
    declared_watts: float | None = None
    """What the curve follows from; ``None`` where it was measured on this machine."""


def declared_model(tdp_watts: float, cpus: int) -> PowerModel:
    """A tenth of the declared watts when idle, all of them when every one of ``cpus`` is busy, a line in between."""
    busy_watts = (1.0 - _IDLE_PART) * tdp_watts / cpus
    curve = PowerCurve(idle_watts=_IDLE_PART * tdp_watts, busy_watts=busy_watts, rel_error=_DECLARED_ERROR)
    return PowerModel(curve, tdp_watts)


class PowerModelSource:
    """joules = idle watts * time + busy watts * CPU seconds of all CPUs, each weighed with its clock's frequency.

    All are counters, so that it integrates between any two reads without sampling in between: exactly as long as no
    frequency changes, or it changes for CPUs that are busy throughout. Thread-safe.
    """

    name: SourceName = "model"
    kind: Literal["measured", "modelled"] = "modelled"
    domains = ("cpus",)
    max_interval_s: float | None = None
    update_ms = TICK_MS
    slow = False

    def __init__(self, model: PowerModel, busy: BusyTime, epoch: int = 0) -> None:
        """``epoch``: a later one than any reading's of the source that this one replaces."""
        self.curve = model.curve
        self._busy = busy
        self._epoch = epoch
        self._lock = Lock()
        self._opened_ns = time.monotonic_ns()
        self.rel_error = model.curve.rel_error
        self.calibrated = model.declared_watts is None
        basis = "a calibration of this machine" if self.calibrated else f"a declared {model.declared_watts:g} W"
        frequency = "weighed with the frequency" if busy.knows_frequency else "whatever the frequency"
        self.notes: tuple[str, ...] = (f"by {basis}, busy time {frequency}: ±{100 * model.curve.rel_error:.2g} %",)

    @property
    def epoch(self) -> int:
        """The number of the present model; readings of two epochs cannot be compared."""
        return self._epoch

    def read(self) -> EnergyReading:
        """The modelled joules so far. Thread-safe."""
        with self._lock:
            now_ns = time.monotonic_ns()
            try:
                busy_s = self._busy.read()
            except (OSError, ValueError) as error:
                self._epoch += 1
                return EnergyReading(now_ns, None, epoch=self._epoch, error=f"CPU times could not be read: {error}")
            idle_j = self.curve.idle_watts * (now_ns - self._opened_ns) / 1e9
            package_uj = round((idle_j + self.curve.busy_watts * busy_s) * 1e6)
            return EnergyReading(now_ns, package_uj, zones_uj=(package_uj,), epoch=self._epoch)
