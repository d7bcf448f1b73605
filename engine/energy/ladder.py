"""The energy sources that work on this machine, best first, and why the others do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.energy.busy_time import BusyTime
from engine.energy.calibration import Calibrations, powered_machine
from engine.energy.cpu_time import CpuTimes, read_cpu_times
from engine.energy.model import REMEDY, ModelSource, PowerModel, declared_model
from engine.energy.powercap import PowercapError
from engine.energy.rapl import RaplSource
from engine.energy.source import EnergyReading, EnergySource
from engine.energy.window import energy_report, unavailable
from protocol.calibration import EnergyCalibration
from protocol.metrics import EnergyReport

if TYPE_CHECKING:
    from engine.config import EngineConfig

_NONE = "none"


class EnergyLadder:
    """Reads any of its sources by name, and turns pairs of readings into reports. Thread-safe as its sources are."""

    def __init__(
        self,
        working: Sequence[EnergySource],
        failed: Mapping[str, str],
        cpu_times: Callable[[], CpuTimes | None] = read_cpu_times,
        calibrations: Calibrations | None = None,
    ) -> None:
        """``working``: the best first. ``failed``: the sources that do not work here, and why."""
        self._working: dict[str, EnergySource] = {source.name: source for source in working}
        self._failed = dict(failed)
        self._cpu_times = cpu_times
        self._calibrations = calibrations
        self._availability: dict[str, str] = {}
        self._tell_availability()

    @property
    def name(self) -> str:
        """Of the best source that measures, or ``none``."""
        return next((source.name for source in self._working.values() if source.kind == "measured"), _NONE)

    @property
    def reason(self) -> str:
        """Why nothing measures; empty where something does."""
        return "" if self.name != _NONE else "; ".join(f"{name}: {reason}" for name, reason in self._failed.items())

    def availability(self) -> Mapping[str, str]:
        """Every source: ``""`` where it works, else the reason why not. ``none`` always works.

        A view: after a calibration it tells of the model that came of it.
        """
        return MappingProxyType(self._availability)

    def source(self, name: str) -> EnergySource | None:
        """``None`` where it does not work here."""
        return self._working.get(name)

    def max_interval_s(self, source: str) -> float | None:
        """Of a source by name, as :class:`EnergySource` has it; ``None`` also where it does not work here."""
        return self._working[source].max_interval_s if source in self._working else None

    def read(self, source: str) -> EnergyReading:
        """The source's counters and the CPUs' times now; of a source that does not work here one that says so."""
        if source in self._working:
            reading = self._working[source].read()
        else:
            reading = EnergyReading(time.monotonic_ns(), None, error=self._why_not(source))
        return replace(reading, cpu=self._cpu_times())

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None = 1.0
    ) -> EnergyReport:
        """An execution's energy, for a plan that names the source ``planned``. See :func:`energy_report`."""
        if planned not in self._working:
            return unavailable(planned, self._why_not(planned), start, end)
        source = self._working[planned]
        baseline = None if self._calibrations is None else self._calibrations.baseline(planned)
        report = energy_report(source, start, end, share, baseline)
        return report.model_copy(update={"curve": source.curve}) if isinstance(source, ModelSource) else report

    def keep(self, calibration: EnergyCalibration) -> Path | None:
        """Have later reports, and the model, rest on it; where it is kept, ``None`` where nothing is.

        Raises what :meth:`Calibrations.keep` raises, and OSError, ValueError where CPU times cannot be read.
        """
        if self._calibrations is None:
            return None
        path = self._calibrations.keep(calibration)
        if calibration.curve is not None:
            # What began with the model before ends with another: its window has a hole.
            before = self._working.get("model")
            epoch = before.epoch + 1 if isinstance(before, ModelSource) else 0
            source = ModelSource(PowerModel(calibration.curve, calibrated=True), BusyTime(), epoch)
            self._working = {**self._working, "model": source}
            self._failed = {name: reason for name, reason in self._failed.items() if name != "model"}
            self._tell_availability()
        return path

    def _tell_availability(self) -> None:
        self._availability.update({**dict.fromkeys(self._working, ""), **self._failed, _NONE: ""})

    def _why_not(self, source: str) -> str:
        if source == _NONE:
            return self.reason or "the plan names the energy source none"
        return self._failed.get(source, "no such source was looked for")


def open_ladder(config: EngineConfig) -> EnergyLadder:
    """Every source that works, each tested by seeing it move. Blocking, up to a tenth of a second for each."""
    working: list[EnergySource] = []
    failed: dict[str, str] = {}
    try:
        working.append(RaplSource(config.powercap_root))
    except PowercapError as error:
        failed["rapl"] = str(error)
    calibrations = _open_calibrations(config)
    try:
        working.append(_open_model(config, calibrations))
    except (OSError, ValueError) as error:
        failed["model"] = str(error)
    return EnergyLadder(working, failed, calibrations=calibrations)


def _open_calibrations(config: EngineConfig) -> Calibrations:
    from engine import _core  # noqa: PLC0415  a check-up must get as far as telling that it cannot be loaded

    return Calibrations(config.data_dir, powered_machine(_core.cpu_model()))


def _open_model(config: EngineConfig, calibrations: Calibrations) -> ModelSource:
    """Raises OSError, ValueError: CPU times cannot be read; neither a calibration nor declared watts are there."""
    busy = BusyTime()
    calibration = calibrations.newest()
    if calibration is not None and calibration.curve is not None:
        return ModelSource(PowerModel(calibration.curve, calibrated=True), busy)
    if config.tdp_watts is not None:
        return ModelSource(declared_model(config.tdp_watts, busy.cpus), busy)
    reasons = "".join(f" ({reason})" for reason in calibrations.unusable.values())
    raise ValueError(f"nothing is known of this machine's power{reasons}: {REMEDY}")
