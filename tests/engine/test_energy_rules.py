"""Which energy source a plan names: the request's own, the operator's, the best that measures; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import declared_watts, default_config
from engine.energy.ladder import open_ladder
from engine.planning.energy_rules import decide_energy_source, plan_energy_source
from protocol.errors import EnergyUnavailable, InvalidRequest
from protocol.plan import EnergySourceName, ExecutionRequest, Limits
from tests.support.energy_config import make_energy_config

NOTHING = {"perf": "no PMU", "rapl": "no powercap", "model": "its power is unknown", "none": ""}
MODEL = {**NOTHING, "model": ""}
METER = {**MODEL, "rapl": ""}


def make_request(source: str | None = None, max_watts: float | None = None) -> ExecutionRequest:
    return ExecutionRequest(energy_source=source, limits=Limits(max_watts=max_watts))


@pytest.mark.parametrize(
    ("asked", "declared", "energy", "planned"),
    [
        (None, None, NOTHING, "none"),
        (None, None, MODEL, "none"),
        (None, None, METER, "rapl"),
        (None, "model", MODEL, "model"),
        (None, "model", METER, "model"),
        (None, "none", METER, "none"),
        ("none", "model", MODEL, "none"),
        ("rapl", "model", METER, "rapl"),
        ("model", None, METER, "model"),
    ],
)
def test_the_request_goes_before_the_declaration_and_that_before_what_measures(
    asked: str | None, declared: EnergySourceName | None, energy: dict[str, str], planned: str
) -> None:
    assert plan_energy_source(make_request(asked), declared, energy) == planned


def test_a_declared_model_is_limited_by() -> None:
    decide_energy_source(make_request(max_watts=25.0), "model", MODEL)


def test_a_declaration_does_not_limit_a_request_that_names_none() -> None:
    with pytest.raises(EnergyUnavailable, match="none, by name; name another"):
        decide_energy_source(make_request("none", max_watts=25.0), "model", MODEL)


def test_the_refusal_is_one_line_with_the_remedy() -> None:
    with pytest.raises(EnergyUnavailable) as refused:
        decide_energy_source(make_request(max_watts=25.0), None, NOTHING)
    message = refused.value.message
    assert "\n" not in message
    assert len(message) < 400
    assert "--energy-source model --tdp-watts WATTS" in message
    assert "ENGINE_ENERGY_SOURCE=model ENGINE_TDP_WATTS=WATTS" in message
    assert refused.value.params["reasons"] == {name: why for name, why in NOTHING.items() if why}


def test_where_the_model_works_it_need_only_be_named() -> None:
    with pytest.raises(EnergyUnavailable, match="--energy-source model, in the request or once at start-up") as refused:
        decide_energy_source(make_request(max_watts=25.0), None, MODEL)
    assert "--tdp-watts" not in refused.value.message


@pytest.mark.parametrize("given", ["solar", "MODEL", "model,rapl"])
def test_the_declared_source_must_be_one(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ENERGY_SOURCE", given)
    with pytest.raises(InvalidRequest, match=r"ENGINE_ENERGY_SOURCE is .*allowed: perf, rapl"):
        default_config()


@pytest.mark.parametrize("watts", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_declared_watts_are_watts(watts: float) -> None:
    with pytest.raises(InvalidRequest, match=r"^--tdp-watts is .*give a number of watts"):
        declared_watts("--tdp-watts", watts)


def test_the_declaration_is_what_plans_name_and_tells_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ENERGY_SOURCE", "model")
    monkeypatch.setenv("ENGINE_TDP_WATTS", "65")
    ladder = open_ladder(make_energy_config(tmp_path, data_dir=tmp_path))
    ladder.require_declared()
    assert (ladder.name, ladder.measuring, ladder.reason) == ("model", "none", "")
    assert ladder.declaration.startswith("model, declared at start-up")
    assert "a declared 65 W" in ladder.declaration
    assert "±50 %" in ladder.declaration
    (model,) = [state for state in ladder.states() if state.name == "model"]
    assert "declared at start-up" in model.notes[0]


def test_a_declared_source_that_does_not_work_is_no_source(tmp_path: Path) -> None:
    ladder = open_ladder(make_energy_config(tmp_path, data_dir=tmp_path, energy_source="model", tdp_watts=None))
    with pytest.raises(EnergyUnavailable, match=r"'model', declared at start-up.*--tdp-watts WATTS or ENGINE_TDP"):
        ladder.require_declared()
    assert ladder.name == "none"


def test_declared_none_is_told_as_the_reason(tmp_path: Path) -> None:
    ladder = open_ladder(make_energy_config(tmp_path, data_dir=tmp_path, energy_source="none"))
    ladder.require_declared()
    assert (ladder.name, ladder.reason) == ("none", ladder.declaration)
