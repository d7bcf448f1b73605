"""``engine-ctl metrics`` in its three forms, against an engine that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine_ctl.commands.metrics import describe
from protocol.answers import EngineMessage, MetricsReport
from protocol.metric_family import HistogramSample, MetricFamily, Sample
from protocol.requests import ClientMessage, Metrics
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine


def make_histogram(*counts: int, total: float = 0.0) -> HistogramSample:
    return HistogramSample(labels={"model": "tiny"}, bounds=(0.1, 0.5), counts=counts, sum=total)


FAMILIES = (
    MetricFamily(name="engine_steps_total", kind="counter", help="", samples=(Sample(labels={}, value=12345),)),
    MetricFamily(
        name="engine_energy_joules_total",
        kind="counter",
        help="",
        samples=(Sample(labels={"kind": "modelled", "source": "model"}, value=1.25),),
    ),
    MetricFamily(
        name="engine_queue_seconds", kind="histogram", help="", histograms=(make_histogram(9, 1, 0, total=2.0),)
    ),
)
EXPOSITION = "# TYPE engine_steps_total counter\nengine_steps_total 12345\n"


def answers(message: ClientMessage) -> Sequence[EngineMessage]:
    assert isinstance(message, Metrics)
    return [MetricsReport(request_id=message.request_id, families=FAMILIES, exposition=EXPOSITION)]


def test_a_table_for_a_person(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    assert engine_ctl("metrics", "--socket", str(socket_path)).stdout.splitlines() == [
        "engine_steps_total                                      12,345",
        "engine_energy_joules_total  kind=modelled source=model  ~1.250 (model)",
        "engine_queue_seconds        model=tiny                  n = 10, mean 0.2, p50 ≤ 0.1, p95 ≤ 0.5",
    ]


def test_prometheus_gets_the_engines_own_text(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    assert engine_ctl("metrics", "--socket", str(socket_path), "--prometheus").stdout == EXPOSITION


def test_programs_get_one_object(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    shown = json.loads(engine_ctl("metrics", "--socket", str(socket_path), "--json").stdout)
    assert shown == {"families": [family.model_dump(mode="json") for family in FAMILIES]}


def test_one_format_at_a_time(socket_path: Path) -> None:
    result = engine_ctl("metrics", "--socket", str(socket_path), "--json", "--prometheus")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((0, 0, 0), "n = 0"), ((1, 0, 0), "p50 ≤ 0.1, p95 ≤ 0.1"), ((1, 0, 1), "p50 ≤ 0.1, p95 > 0.5")],
)
def test_what_a_histogram_comes_to(counts: tuple[int, ...], expected: str) -> None:
    assert describe(make_histogram(*counts)).endswith(expected)
