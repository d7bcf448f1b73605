"""What agents read of a record."""

from __future__ import annotations

import pytest

from protocol.metrics import CpuReport, EnergyReport
from tests.tools.executions import make_metrics, make_record
from weos_agents.sample import METRICS, Sample


def sample_of(contended: bool | None, share: float | None) -> Sample:
    energy = EnergyReport(kind="modelled", source="model", contended=contended)
    return Sample.of(make_record(metrics=make_metrics(energy=energy, cpu=CpuReport(share=share), tokens_per_watt=5.0)))


@pytest.mark.parametrize(
    ("contended", "share", "told"),
    [
        (False, 1.0, False),
        (True, 1.0, True),
        (None, 1.0, None),
        (False, 0.5, True),
        (False, None, None),
        (True, None, True),
    ],
)
def test_an_execution_is_disturbed_by_other_processes_and_other_executions(
    contended: bool | None, share: float | None, told: bool | None
) -> None:
    assert sample_of(contended, share).contended is told


def test_figures_are_the_records_own_and_energy_counts_where_it_was_measured() -> None:
    record = make_record()
    sample = Sample.of(record)
    assert sample.figures == {metric: getattr(record.metrics, metric) for metric in METRICS}
    assert sample.plan == record.plan_fingerprint
    modelled = sample_of(contended=False, share=1.0)
    assert modelled.figures["tokens_per_watt"] == 5.0
    assert modelled.figure("tokens_per_watt") is None


def test_equal_prompts_and_answers_have_equal_digests() -> None:
    one, other = Sample.of(make_record()), Sample.of(make_record(token_ids=(9, 9)))
    assert one.input == other.input
    assert one.answer != other.answer
