"""A meter outside the CPU: joules from a file or a command, and what is wrong with it where there are none."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from engine.config import default_config
from engine.energy.sources import meter
from engine.energy.sources.meter import MeterSource
from engine.energy.sources.source import SourceError
from engine.energy.window import energy_report
from protocol.errors import InvalidRequest
from tests.support.virtual_clock import VirtualClock


class Plug:
    """Draws watts, and writes the joules into a file once a second, as smart plugs do."""

    def __init__(self, folder: Path, watts: float = 60.0, update_s: float = 1.0) -> None:
        self.file = folder / "joules"
        self.clock = VirtualClock()
        self.watts = watts
        self._update_s = update_s
        self._joules = self._shown = 1000.0
        self._since_s = 0.0
        self.file.write_text("1000\n")

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._joules += self.watts * seconds
        self._since_s += seconds
        if self._since_s >= self._update_s:
            self._since_s = 0.0
            self.file.write_text(f"{self._joules:.6f} J\n")


def open_meter(plug: Plug, update_ms: float = 1000.0) -> MeterSource:
    return MeterSource(plug.file, (), update_ms, plug.pass_time, clock=plug.clock)


def shell(*arguments: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", *arguments)


def test_joules_are_exact_from_update_to_update(tmp_path: Path) -> None:
    plug = Plug(tmp_path)
    source = open_meter(plug)
    start = source.read()
    for _ in range(30):
        plug.pass_time(1.0)
    report = energy_report(source, start, source.read())
    assert (report.source, report.domains, report.package_j) == ("meter", ("meter",), 1800.0)
    assert report.rel_uncertainty == pytest.approx(2 / 30)
    assert (source.max_interval_s, source.slow, source.update_ms) == (None, False, 1000.0)


def test_windows_are_as_long_as_a_slow_meter_needs(tmp_path: Path) -> None:
    plug = Plug(tmp_path)
    source = open_meter(plug)
    start = source.read()
    plug.pass_time(19.0)
    assert "tells joules from 20000 ms" in (energy_report(source, start, source.read()).reason or "")


@pytest.mark.parametrize(
    ("text", "microjoules"),
    [
        ("5", 5_000_000),
        ("5.5", 5_500_000),
        ("0.000001", 1),
        ("12.5 J", 12_500_000),
        ("12 uJ\n", 12),
        ("1Wh", 3_600_000_000),
        ("  0.25 kWh ", 900_000_000_000),
        ("1.5e3 J", 1_500_000_000),
        ("123456789.123456", 123_456_789_123_456),
        ("0", 0),
    ],
)
def test_a_number_may_have_a_unit(tmp_path: Path, text: str, microjoules: int) -> None:
    plug = Plug(tmp_path)
    plug.file.write_text("0")
    source = open_meter(plug)
    source.read()
    plug.clock.advance(10**9)
    plug.file.write_text(text)
    if microjoules:
        assert source.read().package_uj == microjoules
    else:
        assert "stood still" in source.read().error


@pytest.mark.parametrize(
    "text", ["", "-5", "nan", "inf", "5 W", "5 MJ", "5 j", "5 6", "five", "0x10", "1_000", "٣", "1/3", "kWh", "9" * 200]
)
def test_what_is_no_number_of_joules_is_none(tmp_path: Path, text: str) -> None:
    plug = Plug(tmp_path)
    plug.file.write_text(text)
    with pytest.raises(SourceError, match="not a number of joules") as refusal:
        open_meter(plug)
    assert "ENGINE_ENERGY_METER" in refusal.value.remedy


def test_where_none_is_named_the_remedy_says_how() -> None:
    with pytest.raises(SourceError, match="no meter is named") as refusal:
        MeterSource(None, (), 1000)
    assert all(name in refusal.value.remedy for name in ("ENGINE_ENERGY_METER_FILE", "ENGINE_ENERGY_METER_COMMAND"))


def test_a_file_that_is_not_there_has_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        MeterSource(tmp_path / "absent", (), 1000)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="no regular file"):
        MeterSource(tmp_path / "pipe", (), 1000)


def test_without_permission_the_reason_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug = Plug(tmp_path)

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(meter, "_content", refuse)
    with pytest.raises(SourceError, match=f"no permission for {plug.file}") as refusal:
        open_meter(plug)
    assert "the user that the engine runs as" in refusal.value.remedy


def test_a_quick_meter_is_seen_to_move_and_a_slow_one_is_not_waited_for(tmp_path: Path) -> None:
    quick = Plug(tmp_path, update_s=0.01)
    open_meter(quick, update_ms=10.0)
    quick.watts = 0.0
    with pytest.raises(SourceError, match="do not move"):
        open_meter(quick, update_ms=10.0)
    began_ns = quick.clock()
    open_meter(quick, update_ms=1000.0)
    assert quick.clock() == began_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("garbage", "'garbage', not a number"),
        ("999.9", "meter fell from"),
        ("1e12", "meter rose by"),
        ("1000", "meter has stood still for 30000 ms"),
        (None, "No such file"),
    ],
)
def test_a_meter_that_fails_poisons_its_window_alone(tmp_path: Path, text: str | None, reason: str) -> None:
    plug = Plug(tmp_path)
    source = open_meter(plug)
    start = source.read()
    plug.clock.advance(30.0)
    if text is None:
        plug.file.unlink()
    else:
        plug.file.write_text(text)
    report = energy_report(source, start, source.read())
    assert (report.kind, report.package_j) == ("unavailable", None)
    assert reason in (report.reason or "")
    plug.pass_time(1.0)
    start = source.read()
    for _ in range(30):
        plug.pass_time(1.0)
    assert energy_report(source, start, source.read()).package_j == 1800.0


def test_a_command_prints_its_joules(tmp_path: Path) -> None:
    file = tmp_path / "joules"
    file.write_text("100 J")
    source = MeterSource(None, ("cat", str(file)), 10.0)
    assert source.slow
    before = source.read().package_uj
    file.write_text("100.000250 J")
    after = source.read().package_uj
    assert before is not None
    assert after == before + 250


def test_what_a_command_takes_is_part_of_its_uncertainty(tmp_path: Path) -> None:
    source = MeterSource(None, shell("sleep 0.05; echo 5"), 10.0)
    assert 60.0 <= source.update_ms < 10.0 + 1000 * meter.COMMAND_S


def test_a_command_is_no_shell(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a number of joules"):
        MeterSource(None, ("echo", "5", ";", "touch", str(tmp_path / "made")), 10.0)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("/absent/program",), "No such file"),
        (shell("echo no plug there >&2; exit 3"), "ended with 3: no plug there"),
        (shell("echo 5; exit 1"), "ended with 1"),
        (shell("kill -9 $$"), "ended with -9"),
        (shell("echo 5 W"), "'5 W', not a number of joules"),
        (shell(":"), "'', not a number of joules"),
        ((sys.executable, "-c", "print('9' * 10**6)"), "not a number of joules"),
    ],
)
def test_a_command_that_fails_has_a_reason(command: tuple[str, ...], reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        MeterSource(None, command, 1000)


def test_a_command_that_may_not_be_run_has_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("5")
    with pytest.raises(SourceError, match="no permission for") as refusal:
        MeterSource(None, (str(tmp_path / "program"),), 1000)
    assert refusal.value.remedy


def test_a_command_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "COMMAND_S", 0.2)
    with pytest.raises(SourceError, match=r"longer than 0\.2 s"):
        MeterSource(None, shell(f"sleep 3600 & echo $! >{tmp_path}/child; wait"), 1000)
    child = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat")
    for _ in range(1000):
        if not child.exists() or " Z " in child.read_text():
            return
        time.sleep(0.01)
    pytest.fail("what the command started still runs")


def test_a_command_that_fails_later_poisons_its_window(tmp_path: Path) -> None:
    file = tmp_path / "joules"
    file.write_text("5")
    source = MeterSource(None, ("cat", str(file)), 10.0)
    file.unlink()
    reading = source.read()
    assert (reading.package_uj, reading.epoch) == (None, 1)
    assert "ended with 1" in reading.error


def test_arguments_of_a_command_which_may_be_secret_are_told_nowhere() -> None:
    with pytest.raises(SourceError) as refused:
        MeterSource(None, ("sh", "-c", "echo wrong password $1 >&2; exit 3", "sh", "hunter22"), 1000)
    assert str(refused.value).startswith("sh: it ended with 3: wrong password …;")


def test_a_command_that_cannot_be_read_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ENERGY_METER_COMMAND", "meter --password 'hunter22")
    with pytest.raises(InvalidRequest) as refused:
        default_config()
    assert "hunter22" not in f"{refused.value} {refused.value.params}"
