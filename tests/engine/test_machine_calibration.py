"""A calibration of a machine in virtual time: what it measures, what it makes of it, and when it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.energy.calibration import Calibrations, powered_machine
from engine.energy.ladder import EnergyLadder
from engine.energy.sources.model import PowerModelSource
from engine.energy.sources.source import EnergyReading
from engine.host.machine import Machine
from engine.operations.energy.machine_calibration import READING_MEMORY, MachineCalibration, thread_counts
from protocol.calibration import EnergyCalibration
from protocol.errors import EnergyUnavailable, ExecutionCancelled, OutOfMemoryBudget, RecordStoreUnavailable
from protocol.requests import Calibrate
from tests.engine.energy_plant import Plant

MACHINE = Machine("Test CPU", 4, 8 << 30, {"cpu_avx2": "", "reference": ""})


def make_ladder(plant: Plant, folder: Path) -> EnergyLadder:
    calibrations = Calibrations(folder, powered_machine(MACHINE.cpu_model))
    return EnergyLadder([plant], {"model": "nothing is known"}, plant.cpu_times, calibrations=calibrations)


def make_operation(plant: Plant, ladder: EnergyLadder, **asked: Any) -> MachineCalibration:
    return MachineCalibration(
        Calibrate(**asked),
        ladder,
        MACHINE,
        make_load=plant.make_load,
        make_busy=plant.busy_time,
        clock_s=lambda: plant.now_s,
        wait=plant.wait,
    )


def calibrate(plant: Plant, folder: Path, **asked: Any) -> EnergyCalibration:
    return make_operation(plant, make_ladder(plant, folder), **asked).run().calibration


def test_idle_power_and_the_curve_are_found(tmp_path: Path) -> None:
    found = calibrate(Plant(), tmp_path)
    assert (found.idle_watts, found.idle_busy_share) == pytest.approx((12.0, 0.0))
    assert (found.source, found.cpu_model) == ("rapl", "Test CPU")
    assert found.curve is not None
    assert (found.curve.idle_watts, found.curve.busy_watts) == pytest.approx((12.0, 8.0))
    assert found.curve.rel_error == pytest.approx(0.1 + 2 / 5000)  # no point is off the line
    idle, *loads = found.samples
    assert (idle.load, idle.threads) == ("idle", 0)
    assert (idle.seconds, idle.busy_cpus) == pytest.approx((10.0, 0.0))
    assert {sample.load for sample in loads} == {READING_MEMORY, "vpmaddubsw ymm, vpaddw ymm"}
    assert [sample.threads for sample in loads] == [1, 2, 4, 1, 2, 4]
    assert [sample.busy_cpus for sample in loads] == pytest.approx([1, 2, 4, 1, 2, 4])


def test_the_error_is_as_large_as_loads_differ(tmp_path: Path) -> None:
    found = calibrate(Plant(memory_watts=2.0), tmp_path)
    assert found.curve is not None
    off = [
        abs(found.curve.idle_watts + found.curve.busy_watts * s.busy_cpus - s.watts) / s.watts for s in found.samples
    ]
    assert found.curve.rel_error == pytest.approx(max(off) + 2 / 5000)
    assert found.curve.rel_error > 0.3


def test_what_the_meter_may_be_wrong_by_is_in_it(tmp_path: Path) -> None:
    found = calibrate(Plant(rel_error=0.07, update_ms=50.0), tmp_path)
    assert found.curve is not None
    assert found.curve.rel_error == pytest.approx(0.1 + 0.07 + 100 / 5000)


def test_a_longer_quiet_is_read_often_enough_that_no_wrap_is_missed(tmp_path: Path) -> None:
    plant = Plant()
    found = calibrate(plant, tmp_path, quiet_s=95.0, loads=False)
    assert found.samples[0].seconds == pytest.approx(95.0)
    assert plant.reads >= 10
    assert (found.curve, plant.loads) == (None, [])


def test_the_model_works_from_then_on_and_the_plans_know(tmp_path: Path) -> None:
    plant = Plant()
    ladder = make_ladder(plant, tmp_path)
    known = ladder.availability()
    assert known["model"]
    told = make_operation(plant, ladder).run()
    assert known["model"] == ""
    source = ladder.source("model")
    assert isinstance(source, PowerModelSource)
    assert (source.calibrated, source.rel_error > 0.1) == (True, True)
    assert EnergyCalibration.model_validate_json(Path(told.path).read_text()) == told.calibration


def test_what_ran_while_the_model_changed_has_a_hole(tmp_path: Path) -> None:
    plant = Plant()
    ladder = make_ladder(plant, tmp_path)
    make_operation(plant, ladder).run()
    start = ladder.read("model")
    make_operation(plant, ladder).run()
    end = ladder.read("model")
    assert "hole" in (ladder.report("model", start, end).reason or "")


def test_idle_joules_stand_beside_the_others(tmp_path: Path) -> None:
    plant = Plant()
    ladder = make_ladder(plant, tmp_path)
    start, end = EnergyReading(0, 0), EnergyReading(3 * 10**9, 90_000_000)
    assert ladder.report("rapl", start, end).idle_j is None
    make_operation(plant, ladder).run()
    report = ladder.report("rapl", start, end, 0.5)
    assert (report.package_j, report.idle_j, report.attributed_j) == pytest.approx((90.0, 36.0, 45.0))
    assert report.calibration_age_s is not None
    assert report.calibration_stale is None
    modelled = ladder.report("model", start, end)
    assert modelled.kind == "modelled"
    assert modelled.idle_j == pytest.approx(36.0)


@pytest.mark.parametrize("asked", [None, "rapl", "perf"])
def test_without_a_meter_it_is_refused_with_what_to_do(tmp_path: Path, asked: str | None) -> None:
    reasons = {"perf": "no power PMU", "rapl": "no powercap tree"}
    failed = {**reasons, "model": "nothing is known"}
    ladder = EnergyLadder([], failed, calibrations=Calibrations(tmp_path, powered_machine("Test CPU")))
    with pytest.raises(EnergyUnavailable, match="ENGINE_TDP_WATTS") as refused:
        MachineCalibration(Calibrate(source=asked), ladder, MACHINE).run()
    assert reasons[asked or "rapl"] in refused.value.message
    assert refused.value.params["reasons"] == reasons


def test_a_model_is_not_fitted_to_a_model(tmp_path: Path) -> None:
    with pytest.raises(EnergyUnavailable, match="is a formula"):
        calibrate(Plant(name="model", kind="modelled"), tmp_path, source="model")


def test_a_machine_that_is_not_quiet_is_refused(tmp_path: Path) -> None:
    plant = Plant(others=0.21)
    with pytest.raises(EnergyUnavailable, match="not quiet") as refused:
        calibrate(plant, tmp_path)
    assert refused.value.params["others_cpu_share"] == pytest.approx(0.0525)
    assert (plant.loads, list(tmp_path.iterdir())) == ([], [])


def test_others_that_come_during_a_load_are_refused(tmp_path: Path) -> None:
    plant = Plant()

    def disturb() -> None:
        plant.others = 1.0 if len(plant.loads) == 2 else 0.0

    plant.on_pause = disturb
    with pytest.raises(EnergyUnavailable, match="not quiet"):
        calibrate(plant, tmp_path)
    assert len(plant.loads) == 2


def test_some_percent_of_others_are_told(tmp_path: Path) -> None:
    found = calibrate(Plant(others=0.1), tmp_path)
    assert found.idle_busy_share == pytest.approx(0.025)
    assert all(sample.others_cpu_share == pytest.approx(0.025) for sample in found.samples)


@pytest.mark.parametrize("fails_at_s", [100.0, 105.0, 114.0])
def test_a_source_that_fails_meanwhile_ends_it(tmp_path: Path, fails_at_s: float) -> None:
    with pytest.raises(EnergyUnavailable, match="gone"):
        calibrate(Plant(fails_at_s=fails_at_s), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_watts_that_do_not_follow_the_load_are_no_calibration(tmp_path: Path) -> None:
    with pytest.raises(EnergyUnavailable, match="do not follow the load"):
        calibrate(Plant(busy_watts=0.0, memory_watts=0.0), tmp_path)


@pytest.mark.parametrize("pauses", [1, 2, 3, 8])
def test_a_cancel_ends_it_wherever_it_is(tmp_path: Path, pauses: int) -> None:
    plant = Plant()
    operation = make_operation(plant, make_ladder(plant, tmp_path))
    left = [pauses]

    def cancel() -> None:
        left[0] -= 1
        if left[0] == 0:
            operation.cancel()

    plant.on_pause = cancel
    with pytest.raises(ExecutionCancelled):
        operation.run()
    assert len(plant.loads) <= pauses
    assert list(tmp_path.iterdir()) == []


def test_progress_goes_by_seconds_in_two_stages(tmp_path: Path) -> None:
    plant = Plant()
    operation = make_operation(plant, make_ladder(plant, tmp_path))
    assert operation.progress() is None
    told: dict[str, list[int]] = {}

    def look() -> None:
        progress = operation.progress()
        assert progress is not None
        assert progress.unit == "seconds"
        told.setdefault(f"{progress.stage} of {progress.total}", []).append(progress.done)

    plant.on_pause = look
    operation.run()
    assert told == {"idle of 10": [0], "loads of 36": [0, 1, 6, 7, 12, 13, 18, 19, 24, 25, 30, 31]}


def test_no_room_for_the_loads_is_told(tmp_path: Path) -> None:
    plant = Plant()
    operation = MachineCalibration(
        Calibrate(),
        make_ladder(plant, tmp_path),
        MACHINE,
        make_load=lambda threads, instruction: (_ for _ in ()).throw(MemoryError("none")),
        make_busy=plant.busy_time,
        wait=plant.wait,
    )
    with pytest.raises(OutOfMemoryBudget, match="for a load of 1 threads"):
        operation.run()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "energy").write_text("a file in the way")
    with pytest.raises(RecordStoreUnavailable, match="cannot be written"):
        calibrate(Plant(), tmp_path)


@pytest.mark.parametrize(
    ("cpus", "counts"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])],
)
def test_loads_go_by_powers_of_two(cpus: int, counts: list[int]) -> None:
    assert thread_counts(cpus) == counts
