"""What was measured of this machine's power, kept for later: a file for each source that measured it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from engine.host.regular_file import read_regular
from protocol.calibration import EnergyCalibration
from protocol.errors import RecordStoreUnavailable
from protocol.record_entry import moment_of
from protocol.whole_file import write_whole

STALE_AFTER_S = 30 * 24 * 3600.0
"""Firmware, cooling and what runs beside the engine change within months."""
_FOLDER = "energy"
_CPUS = Path("/sys/devices/system/cpu")
_DAY_S = 24 * 3600.0
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class PoweredMachine:
    """What a calibration holds for."""

    cpu_model: str
    cpus: int
    """Online."""
    governors: tuple[str, ...]
    """The frequency governors in use, each once, sorted; none where the kernel does not tell."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of the machine's idle power when an execution ends."""

    idle_watts: float
    age_s: float
    """Since it was measured."""
    stale: str | None
    """Why it may no longer hold."""


def powered_machine(cpu_model: str, root: Path = _CPUS) -> PoweredMachine:
    """The one that this runs on, whose CPUs are of ``cpu_model``."""
    governors = {text for text in map(_text, root.glob("cpu*/cpufreq/scaling_governor")) if text}
    return PoweredMachine(cpu_model, os.sysconf("SC_NPROCESSORS_ONLN"), tuple(sorted(governors)))


class Calibrations:
    """Those of one data directory that hold for one machine. Thread-safe: what is kept is replaced whole."""

    def __init__(
        self, data_dir: Path, machine: PoweredMachine, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    ) -> None:
        """Blocking: reads what is there."""
        self._folder = data_dir / _FOLDER
        self.machine = machine
        self.now = now
        self.unusable: dict[str, str] = {}
        """Why a file does not count, by its name."""
        self._by_source: dict[str, EnergyCalibration] = {found.source: found for found in self._load()}

    @property
    def folder(self) -> Path:
        """The folder of the calibration files."""
        return self._folder

    def newest(self) -> EnergyCalibration | None:
        """The last one that has a curve."""
        with_curve = [found for found in self._by_source.values() if found.curve is not None]
        return max(with_curve, key=lambda found: found.measured_at, default=None)

    def baseline(self, source: str) -> Baseline | None:
        """Idle power as ``source`` measured it; ``model`` has that of the calibration it rests on."""
        found = self.newest() if source == "model" else self._by_source.get(source)
        if found is None:
            return None
        idle_watts = found.curve.idle_watts if source == "model" and found.curve is not None else found.idle_watts
        return Baseline(idle_watts, self._age_s(found), self._why_stale(found))

    def keep(self, calibration: EnergyCalibration) -> Path:
        """Write it, just made, in place of an earlier one of its source; where it is kept.

        Raises:
            RecordStoreUnavailable: the data directory cannot be written.
        """
        path = self._folder / f"{calibration.source}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, f"{calibration.model_dump_json(indent=1)}\n".encode())
        except OSError as error:
            raise RecordStoreUnavailable(f"{path} cannot be written: {error}", path=str(path)) from error
        self.machine = replace(self.machine, governors=calibration.governors)
        self._by_source = {**self._by_source, calibration.source: calibration}
        return path

    def _load(self) -> Iterable[EnergyCalibration]:
        for path in sorted(self._folder.glob("*.json")):
            try:
                found = EnergyCalibration.model_validate_json(read_regular(path, _MAX_BYTES)[0])
                moment_of(found.measured_at)
            except (OSError, ValueError) as error:
                self.unusable[path.name] = f"{path} holds no calibration: {str(error).splitlines()[0]}"
                continue
            if (found.cpu_model, found.cpus) != (self.machine.cpu_model, self.machine.cpus):
                self.unusable[path.name] = f"{path} is of {found.cpus} CPUs {found.cpu_model}, not of this machine"
                continue
            yield found

    def _age_s(self, calibration: EnergyCalibration) -> float:
        return max(0.0, (self.now() - moment_of(calibration.measured_at)).total_seconds())

    def _why_stale(self, calibration: EnergyCalibration) -> str | None:
        age_s = self._age_s(calibration)
        if age_s > STALE_AFTER_S:
            return f"it is {age_s / _DAY_S:.0f} days old; calibrate again"
        if calibration.governors != self.machine.governors:
            before, now = (", ".join(names) or "unknown" for names in (calibration.governors, self.machine.governors))
            return f"the frequency governor was {before} and is {now}; calibrate again"
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
