"""The operation behind ``Calibrate``: measure what this machine draws, quiet and at work."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Lock
from typing import Protocol

from engine import _core
from engine.bench.throughput import INTEGER_INSTRUCTIONS
from engine.energy.calibration import PoweredMachine, powered_machine
from engine.energy.ladder import EnergyLadder
from engine.energy.line_fit import least_squares
from engine.energy.sources.busy_time import BusyTime
from engine.energy.sources.cpu_time import CONTENDED, busy_share, others_share
from engine.energy.sources.model import DECLARE
from engine.energy.sources.source import EnergyReading, EnergySource
from engine.host.machine import Machine
from engine.planning.resolve import choose_backend
from protocol.calibration import EnergyCalibration, PowerSample
from protocol.errors import EnergyUnavailable, ExecutionCancelled, OutOfMemoryBudget
from protocol.operation_answers import Calibrated
from protocol.power_curve import PowerCurve
from protocol.progress import StageProgress
from protocol.record_entry import timestamp_now
from protocol.requests import Calibrate

READING_MEMORY = "reading memory"
_IDLE = "idle"
_SETTLE_S = 1.0
"""Until frequencies and voltage regulators have followed a load."""
_LEAST_REL_ERROR = 0.1
"""Other loads than those measured differ by more than their few points do from the line."""
_SLICE_S = 10.0
"""A counter is read at least this often, so that no wrap is missed."""


class Load(Protocol):
    """Something that keeps threads busy. As ``_core.machine_probes.Load``."""

    def run(self, seconds: float) -> None:
        """Keep the CPUs busy that long. Blocking."""

    def cancel(self) -> None:
        """End :meth:`run` early. From any thread."""


MakeLoad = Callable[[int, str | None], Load]
"""Makes a load of some threads that repeat an instruction, or with ``None`` read memory. Raises MemoryError, OSError.
"""


class Busy(Protocol):
    """The interface of :class:`BusyTime`."""

    def read(self) -> float:
        """CPUs busy on average since the last call."""


@dataclass(frozen=True, slots=True)
class _Moment:
    reading: EnergyReading
    busy_s: float


class MachineCalibration:
    """An :class:`engine.operation.Operation`."""

    def __init__(
        self,
        request: Calibrate,
        ladder: EnergyLadder,
        machine: Machine,
        *,
        make_load: MakeLoad = _core.machine_probes.Load,
        make_busy: Callable[[], Busy] = BusyTime,
        clock_s: Callable[[], float] = time.monotonic,
        wait: Callable[[Event, float], bool] = Event.wait,
    ) -> None:
        self._request = request
        self._ladder = ladder
        self._machine = machine
        self._make_load = make_load
        self._make_busy = make_busy
        self._clock_s = clock_s
        self._wait = wait
        self._lock = Lock()
        self._cancelled = Event()
        self._load: Load | None = None
        self._stage: tuple[str, float, float] | None = None
        """Its name, when it began and how many seconds it takes."""

    def run(self) -> Calibrated:
        """Some ten seconds of quiet, then the loads.

        Raises:
            EnergyUnavailable: nothing here measures, or not what was asked for; the machine was not quiet; the source
                failed, or does not follow the load.
            OutOfMemoryBudget: no memory or threads left for the loads.
            RecordStoreUnavailable: what was measured cannot be kept.
            ExecutionCancelled: see :meth:`cancel`.
        """
        source = self._source()
        try:
            meter = _Meter(self._ladder, source, self._make_busy())
            idle, idle_busy = self._measure_idle(meter)
            samples = [idle, *(self._measure_loads(meter) if self._request.loads else ())]
            calibration = _calibration(source, powered_machine(self._machine.cpu_model), samples, idle_busy)
            path = self._ladder.keep(calibration)
        except (OSError, ValueError) as error:
            raise EnergyUnavailable(f"the CPUs could not be watched: {error}", source=source.name) from error
        return Calibrated(calibration=calibration, path=str(path))

    def progress(self) -> StageProgress | None:
        """See :meth:`Operation.progress`."""
        stage = self._stage
        if stage is None:
            return None
        name, began_s, total_s = stage
        done_s = min(total_s, self._clock_s() - began_s)
        return StageProgress(stage=name, done=int(done_s), total=round(total_s), unit="seconds")

    def cancel(self) -> None:
        """See :meth:`Operation.cancel`."""
        with self._lock:
            self._cancelled.set()
            if self._load is not None:
                self._load.cancel()

    def _source(self) -> EnergySource:
        name = self._request.source or self._ladder.measuring
        source = self._ladder.source(name)
        if source is not None and source.kind == "measured":
            return source
        reasons = {key: reason for key, reason in self._ladder.availability().items() if reason and key != "model"}
        if source is not None:
            why = f"{name} is a formula: a calibration is what it would have to be fitted to"
        else:
            why = reasons.get(name) or "; ".join(f"{key}: {reason}" for key, reason in reasons.items()) or name
        raise EnergyUnavailable(
            f"nothing on this machine measures joules to calibrate with ({why}). Make a source work; or, for a model, "
            f"{DECLARE}",
            source=name,
            reasons=reasons,
        )

    def _measure_idle(self, meter: _Meter) -> tuple[PowerSample, float]:
        """What a quiet machine draws, and what part of its CPU time was used all the same."""
        self._stage = (_IDLE, self._clock_s(), self._request.quiet_s)
        start = end = meter.read()
        left_s = self._request.quiet_s
        while left_s > 0:
            if self._wait(self._cancelled, min(left_s, _SLICE_S)):
                raise ExecutionCancelled("the calibration was cancelled")
            left_s -= _SLICE_S
            end = meter.read()
        busy = busy_share(start.reading.cpu, end.reading.cpu)
        sample = meter.sample(_IDLE, 0, start, end)
        if busy is None or busy > CONTENDED:
            raise _not_quiet(busy, sample.others_cpu_share)
        return sample, busy

    def _measure_loads(self, meter: _Meter) -> list[PowerSample]:
        instruction = INTEGER_INSTRUCTIONS.get(choose_backend(None, self._machine))
        kinds = [None] if instruction is None else [None, instruction]
        counts = thread_counts(self._machine.allowed_cpus)
        runs = [(kind, threads) for kind in kinds for threads in counts]
        self._stage = ("loads", self._clock_s(), len(runs) * (_SETTLE_S + self._request.load_s))
        return [self._measure_load(meter, kind, threads) for kind, threads in runs]

    def _measure_load(self, meter: _Meter, instruction: str | None, threads: int) -> PowerSample:
        try:
            load = self._make_load(threads, instruction)
        except (MemoryError, OSError) as error:
            raise OutOfMemoryBudget(f"no memory or threads left for a load of {threads} threads: {error}") from error
        with self._lock:
            self._load = load
            if self._cancelled.is_set():
                load.cancel()
        load.run(_SETTLE_S)
        start = meter.read()
        load.run(self._request.load_s)
        end = meter.read()
        if self._cancelled.is_set():
            raise ExecutionCancelled("the calibration was cancelled")
        sample = meter.sample(instruction or READING_MEMORY, threads, start, end)
        if sample.others_cpu_share > CONTENDED:
            raise _not_quiet(None, sample.others_cpu_share)
        return sample


class _Meter:
    """A source, and the CPUs' times beside it."""

    def __init__(self, ladder: EnergyLadder, source: EnergySource, busy: Busy) -> None:
        self._ladder = ladder
        self._source = source
        self._busy = busy

    def read(self) -> _Moment:
        """Raises EnergyUnavailable where the source fails; OSError, ValueError."""
        reading = self._ladder.read(self._source.name)
        if reading.package_uj is None:
            raise EnergyUnavailable(f"{self._source.name} failed meanwhile: {reading.error}", source=self._source.name)
        return _Moment(reading, self._busy.read())

    def sample(self, load: str, threads: int, start: _Moment, end: _Moment) -> PowerSample:
        """Raises EnergyUnavailable: a reading in between failed or went backwards, or others' part is not known."""
        seconds = (end.reading.time_ns - start.reading.time_ns) / 1e9
        used_uj = (end.reading.package_uj or 0) - (start.reading.package_uj or 0)
        others = others_share(start.reading.cpu, end.reading.cpu)
        if start.reading.epoch != end.reading.epoch or used_uj < 0 or others is None:
            raise EnergyUnavailable(
                f"{self._source.name} or the kernel's CPU times failed meanwhile", source=self._source.name
            )
        return PowerSample(
            load=load,
            threads=threads,
            seconds=seconds,
            busy_cpus=(end.busy_s - start.busy_s) / seconds,
            others_cpu_share=others,
            watts=used_uj / 1e6 / seconds,
        )


def thread_counts(cpus: int) -> list[int]:
    """1, 2, 4, … and all: a curve of power bends early."""
    return [*(1 << power for power in range((cpus - 1).bit_length())), cpus]


def fit_curve(samples: Sequence[PowerSample], source: EnergySource) -> PowerCurve:
    """The line through all samples, idle and loads of every kind alike, so that its error tells how much kinds differ.

    Raises:
        EnergyUnavailable: the watts do not rise with the number of busy CPUs.
    """
    points = [(sample.busy_cpus, sample.watts) for sample in samples]
    line = least_squares(points)
    if line is None or line.slope <= 0 or line.intercept < 0:
        raise EnergyUnavailable(
            f"the watts of {source.name} do not follow the load: {[f'{x:.2f} CPUs {y:.2f} W' for x, y in points]}",
            source=source.name,
        )
    ends = 2 * source.update_ms / min(sample.seconds * 1e3 for sample in samples)
    rel_error = max(_LEAST_REL_ERROR, line.largest_rel_residual(points)) + source.rel_error + ends
    return PowerCurve(idle_watts=line.intercept, busy_watts=line.slope, rel_error=rel_error)


def _calibration(
    source: EnergySource, machine: PoweredMachine, samples: Sequence[PowerSample], idle_busy: float
) -> EnergyCalibration:
    return EnergyCalibration(
        measured_at=timestamp_now(),
        source=source.name,
        cpu_model=machine.cpu_model,
        cpus=machine.cpus,
        governors=machine.governors,
        idle_watts=samples[0].watts,
        idle_busy_share=idle_busy,
        curve=fit_curve(samples, source) if len(samples) > 1 else None,
        samples=tuple(samples),
    )


def _not_quiet(busy: float | None, others: float) -> EnergyUnavailable:
    used = "not known how much" if busy is None and not others else f"{max(busy or 0.0, others):.1%}"
    return EnergyUnavailable(
        f"the machine was not quiet: {used} of its CPU time was used ({others:.1%} by other processes), and "
        f"at most {CONTENDED:.0%} is allowed; stop other programs and try again",
        others_cpu_share=others,
    )
