"""The energy sources that work on this machine, best first, and why the others do not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, get_args

from engine.energy.calibration import Calibrations, powered_machine
from engine.energy.live import SHORTEST_S, live_power, live_window_s
from engine.energy.source_state import DECLARED, SourceState, state_of
from engine.energy.sources.busy_time import BusyTime
from engine.energy.sources.cpu_time import CpuTimes, read_cpu_times
from engine.energy.sources.hwmon import HwmonSource
from engine.energy.sources.meter import MeterSource
from engine.energy.sources.model import REMEDY, PowerModel, PowerModelSource, declared_model
from engine.energy.sources.perf import PerfSource
from engine.energy.sources.rapl import RaplSource
from engine.energy.sources.source import EnergyReading, EnergySource, SourceError
from engine.energy.window import energy_report, unavailable
from protocol.calibration import EnergyCalibration
from protocol.errors import EnergyUnavailable
from protocol.live_energy import PowerReport
from protocol.metrics import EnergyReport
from protocol.plan import EnergySourceName as SourceName

if TYPE_CHECKING:
    from engine.config import EngineConfig

_NONE: Final = "none"


class EnergyLadder:
    """Reads any of its sources by name, and turns pairs of readings into reports. Thread-safe as its sources are."""

    def __init__(
        self,
        working: Sequence[EnergySource],
        failed: Mapping[str, str],
        cpu_times: Callable[[], CpuTimes | None] = read_cpu_times,
        remedies: Mapping[str, str] | None = None,
        calibrations: Calibrations | None = None,
        declared: SourceName | None = None,
    ) -> None:
        """``working``: the best first. ``failed``: the sources that do not work here, why, and what to do; what to do
        apart: ``remedies``. ``declared``: the operator's choice for plans that leave their source open.
        """
        self._working: dict[str, EnergySource] = {source.name: source for source in working}
        self._failed = dict(failed)
        self._cpu_times = cpu_times
        self._remedies = dict(remedies or {})
        self._calibrations = calibrations
        self._declared = declared
        self._availability: dict[str, str] = {}
        self._tell_availability()

    @property
    def name(self) -> SourceName:
        """What plans name that leave their source open: the declared one if it works, else the best that measures."""
        return self.measuring if self._declared is None or self.why_not_declared else self._declared

    @property
    def measuring(self) -> SourceName:
        """The best source that measures, or ``none``."""
        return next((source.name for source in self._working.values() if source.kind == "measured"), _NONE)

    @property
    def declaration(self) -> str:
        """What the operator declared of energy, for a person; empty where nothing was."""
        if self._declared is None:
            return ""
        source = self._working.get(self._declared)
        return "; ".join((f"{self._declared}, {DECLARED}", *(() if source is None else source.notes)))

    @property
    def why_not_declared(self) -> str:
        """Why the declared source does not work here; empty where it does, and where none was declared."""
        return "" if self._declared is None else self._availability.get(self._declared, "not built in")

    def require_declared(self) -> None:
        """Raises EnergyUnavailable: the declared source does not work here."""
        if why := self.why_not_declared:
            raise EnergyUnavailable(
                f"energy source {self._declared!r}, {DECLARED}, does not work here: {why}", source=self._declared
            )

    @property
    def reason(self) -> str:
        """Why plans that leave their source open have none, in a few words: it is in every answer. What is wrong with
        each source is the business of :meth:`states`. Empty where they have one."""
        if self.name != _NONE:
            return ""
        if self._declared == _NONE:
            return self.declaration
        tried = f" (tried {', '.join(self._failed)})" if self._failed else ""
        return f"nothing measures joules here{tried}; engine-ctl energy sources says why"

    def availability(self) -> Mapping[str, str]:
        """Every source: ``""`` where it works, else the reason why not. ``none`` always works.

        A view: after a calibration it tells of the model that came of it.
        """
        return MappingProxyType(self._availability)

    def source(self, name: str) -> EnergySource | None:
        """``None`` where it does not work here."""
        return self._working.get(name)

    def max_interval_s(self, source: str) -> float | None:
        """A source's longest interval; see :class:`EnergySource`. ``None`` also where it does not work here."""
        return self._working[source].max_interval_s if source in self._working else None

    def min_interval_s(self, source: str) -> float:
        """The interval below which a source, by name, tells nothing new."""
        return self._working[source].update_ms / 1e3 if source in self._working else 0.0

    def is_slow(self, source: str) -> bool:
        """Whether reading the source may take long."""
        return source in self._working and self._working[source].slow

    def states(self) -> tuple[SourceState, ...]:
        """The state of every source but ``none``, the best first."""
        states: dict[str, SourceState] = {
            name: state_of(source, declared=name == self._declared) for name, source in self._working.items()
        }
        for name in self._failed:
            states[name] = SourceState(name, reason=self._reason(name), remedy=self._remedies.get(name, ""))
        return tuple(states[name] for name in sorted(states, key=get_args(SourceName).index))

    def read(self, source: str) -> EnergyReading:
        """The source's counters and the CPUs' times now; where it does not work, a reading that says so."""
        return replace(self.read_counters(source), cpu=self._cpu_times())

    def read_counters(self, source: str) -> EnergyReading:
        """The counters alone: half the work, or on a machine of many CPUs less."""
        if source in self._working:
            return self._working[source].read()
        return EnergyReading(time.monotonic_ns(), None, error=self._why_not(source))

    def report(
        self, planned: str, start: EnergyReading | None, end: EnergyReading | None, share: float | None = 1.0
    ) -> EnergyReport:
        """An execution's energy, for a plan that names the source ``planned``. See :func:`energy_report`."""
        if planned not in self._working:
            return unavailable(planned, self._why_not(planned), start, end)
        source = self._working[planned]
        baseline = None if self._calibrations is None else self._calibrations.baseline(planned)
        report = energy_report(source, start, end, share, baseline)
        return report.model_copy(update={"curve": source.curve}) if isinstance(source, PowerModelSource) else report

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
            epoch = before.epoch + 1 if isinstance(before, PowerModelSource) else 0
            source = PowerModelSource(PowerModel(calibration.curve), BusyTime(), epoch)
            self._working = {**self._working, "model": source}
            self._failed = {name: reason for name, reason in self._failed.items() if name != "model"}
            self._tell_availability()
        return path

    def _tell_availability(self) -> None:
        self._availability.update({**dict.fromkeys(self._working, ""), **self._failed, _NONE: ""})

    def _reason(self, failed: str) -> str:
        """Without what to do."""
        return self._failed[failed].removesuffix(f"; {self._remedies.get(failed, '')}")

    def live_window_s(self, source: str) -> float:
        """What watts of the moment are averaged over at least."""
        return live_window_s(self._working[source]) if source in self._working else SHORTEST_S

    def power(self, source: str, start: EnergyReading, end: EnergyReading) -> PowerReport:
        """What the machine drew between two readings. See :func:`live_power`."""
        if source not in self._working:
            return PowerReport(kind="unavailable", source=source, reason=self._why_not(source))
        return live_power(self._working[source], start, end)

    def _why_not(self, source: str) -> str:
        if source == _NONE:
            return self.reason or "the plan names the energy source none"
        return self._failed.get(source, "no such source was looked for")


def open_ladder(
    config: EngineConfig,
    pause: Callable[[float], None] = time.sleep,
    run_meter: Callable[[Sequence[str]], str] | None = None,
) -> EnergyLadder:
    """Every source that works, each tested by seeing it move, with pauses in between. ``run_meter``: see
    :class:`MeterSource`.

    Blocking, up to a tenth of a second for each that is there, and for as long as the command of a meter takes, two
    seconds at most. What is not there takes no time.
    """
    psys = config.energy_psys
    openings: dict[str, Callable[[], EnergySource]] = {
        "perf": lambda: PerfSource(config.power_pmu_root, config.cpus_root, pause, psys=psys),
        "rapl": lambda: RaplSource(config.powercap_root, pause, psys=psys),
        "hwmon": lambda: HwmonSource(config.hwmon_root, pause, psys=psys),
        "meter": lambda: MeterSource(
            config.meter_file, config.meter_command, config.meter_update_ms, pause, run=run_meter
        ),
    }
    calibrations = _open_calibrations(config)
    openings["model"] = lambda: _open_model(config, calibrations)
    working: list[EnergySource] = []
    failed: dict[str, str] = {}
    remedies: dict[str, str] = {}
    for name, open_source in openings.items():
        try:
            working.append(open_source())
        except SourceError as error:
            failed[name], remedies[name] = str(error), error.remedy
    return EnergyLadder(working, failed, remedies=remedies, calibrations=calibrations, declared=config.energy_source)


def _open_calibrations(config: EngineConfig) -> Calibrations:
    from engine import _core  # noqa: PLC0415  a check-up must get as far as telling that it cannot be loaded

    return Calibrations(config.data_dir, powered_machine(_core.cpu_model()))


def _open_model(config: EngineConfig, calibrations: Calibrations) -> PowerModelSource:
    """Raises SourceError: CPU times cannot be read, or neither a calibration nor declared watts are there."""
    try:
        busy = BusyTime()
    except (OSError, ValueError) as error:
        raise SourceError(f"CPU times cannot be read: {error}") from error
    calibration = calibrations.newest()
    if calibration is not None and calibration.curve is not None:
        return PowerModelSource(PowerModel(calibration.curve), busy)
    if config.tdp_watts is not None:
        return PowerModelSource(declared_model(config.tdp_watts, busy.cpus), busy)
    reasons = "".join(f" ({reason})" for reason in calibrations.unusable.values())
    raise SourceError(f"nothing is known of this machine's power{reasons}", REMEDY)
