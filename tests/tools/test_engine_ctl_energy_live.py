"""``engine-ctl energy``: watts of the moment for a person and for programs, and what is not measured marked as such."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine_ctl.commands.energy_live import screen
from engine_ctl.watt_chart import chart, round_up
from protocol.answers import EngineMessage, LiveEnergy
from protocol.live_energy import PowerReport, RunningEnergy
from protocol.metrics import EnergyReport
from protocol.requests import ClientMessage, Energy
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine

MEASURED = PowerReport(
    kind="measured",
    source="rapl",
    window_ms=1020.0,
    watts=23.456,
    zones={"package-0": 23.456, "package-0/dram": 3.0},
    rel_uncertainty=0.002,
)
RUNNING = RunningEnergy(
    execution_id="exec-1",
    model="tiny",
    tokens_total=120,
    energy=EnergyReport(kind="attributed", source="rapl", attributed_j=8.0, package_j=16.0),
    tokens_per_watt=15.0,
    share=0.625,
    watts=14.66,
)
UNKNOWN = PowerReport(kind="unavailable", source="none", reason="rapl: no such folder")


def make_live(power: PowerReport = MEASURED, *executions: RunningEnergy) -> LiveEnergy:
    return LiveEnergy(request_id=1, power=power, executions=executions)


def modelled() -> LiveEnergy:
    energy = RUNNING.energy.model_copy(update={"kind": "modelled", "source": "model"})
    power = MEASURED.model_copy(update={"kind": "modelled", "source": "model", "rel_uncertainty": 0.5})
    return make_live(power, RUNNING.model_copy(update={"energy": energy}))


def serve(start_engine: StartEngine, live: LiveEnergy, times: int = 1) -> list[ClientMessage]:
    """Answers so often, then hangs up."""
    asked: list[ClientMessage] = []

    def answers(message: ClientMessage) -> Sequence[EngineMessage]:
        assert isinstance(message, Energy)
        if len(asked) == times:
            raise ConnectionError
        asked.append(message)
        return [live.model_copy(update={"request_id": message.request_id})]

    start_engine(answers)
    return asked


def test_watts_by_zone_and_who_they_are_for(start_engine: StartEngine, socket_path: Path) -> None:
    serve(start_engine, make_live(MEASURED, RUNNING))
    assert engine_ctl("energy", "--socket", str(socket_path)).stdout.splitlines() == [
        "rapl (measured), average of 1.0 s",
        "  packages         23.46 W ± 0.2%",
        "  package-0        23.46 W",
        "  package-0/dram   3.00 W",
        "executions: 1",
        "  exec-1  tiny  62% of the computing, 14.66 W; so far 120 tokens, 8.00 J, 15.00 tokens/J",
    ]


def test_every_modelled_figure_is_marked(start_engine: StartEngine, socket_path: Path) -> None:
    serve(start_engine, modelled())
    shown = engine_ctl("energy", "--socket", str(socket_path)).stdout
    for figure in ("23.46 W", "3.00 W", "14.66 W", "8.00 J", "15.00 tokens/J"):
        assert f"~{figure} (model)" in shown
        assert shown.count(figure) == shown.count(f"~{figure} (model)")


def test_what_is_not_known_says_why_and_is_never_zero(start_engine: StartEngine, socket_path: Path) -> None:
    energy = EnergyReport(kind="unavailable", source="none", reason="no meter")
    unknown = {"energy": energy, "tokens_per_watt": None, "share": None, "watts": None, "reason": "no step ended"}
    serve(start_engine, make_live(UNKNOWN, RUNNING.model_copy(update=unknown)))
    assert engine_ctl("energy", "--socket", str(socket_path)).stdout.splitlines() == [
        "none: watts unknown: rapl: no such folder",
        "executions: 1",
        "  exec-1  tiny  - of the computing, -; so far 120 tokens, -, - (no step ended; no meter)",
    ]


def test_programs_get_one_object(start_engine: StartEngine, socket_path: Path) -> None:
    asked = serve(start_engine, make_live(MEASURED, RUNNING))
    shown = json.loads(engine_ctl("energy", "--json", "--energy-source", "hwmon", "--socket", str(socket_path)).stdout)
    assert shown["power"] == MEASURED.model_dump(mode="json")
    assert shown["executions"] == [RUNNING.model_dump(mode="json")]
    assert [message.source for message in asked if isinstance(message, Energy)] == ["hwmon"]


def test_without_an_engine_it_says_so(socket_path: Path) -> None:
    assert engine_ctl("energy", "--socket", str(socket_path)).exit_code == 5


def test_watching_asks_again_until_the_engine_ends(
    start_engine: StartEngine, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("engine_ctl.commands.energy_live.time.sleep", pauses.append)
    serve(start_engine, make_live(), times=3)
    result = engine_ctl("energy", "--watch", "--json", "--socket", str(socket_path))
    assert [json.loads(line)["power"]["watts"] for line in result.stdout.splitlines()[:3]] == [23.456] * 3
    assert result.exit_code == 5
    assert all(0 < pause <= 1 for pause in pauses[:3])


# --- the chart --------------------------------------------------------------------------------------------------------


def test_a_screen_has_the_chart_and_the_figures() -> None:
    shown = screen(modelled(), (10.0, 23.456), 60).splitlines()
    assert shown[0] == "~ watts (model) of all packages by model, one column a reading"
    assert shown[1].startswith("50 W ┤")
    assert shown[8].startswith(" 0 W ┤")
    assert shown[10].startswith("model (modelled)")
    assert all(len(line) <= 60 for line in shown[1:9])
    assert screen(make_live(UNKNOWN), (None,), 60).startswith("watts of all packages by none")


def test_a_column_is_as_high_as_its_watts() -> None:
    assert chart([0.0, 5.0, 10.0, None, 2.5], width=6, height=2) == [
        "10 W ┤   █  ",
        " 0 W ┤  ██ ▄",
    ]


def test_the_latest_columns_are_shown() -> None:
    assert chart([10.0, 1.0, 1.0], width=2, height=1) == ["1 W ┤██"]


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.1, 2), (4, 5), (99, 100), (201, 500)])
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == top


def test_a_chart_needs_room() -> None:
    with pytest.raises(ValueError, match="at least one column"):
        chart([1.0], width=0, height=1)
