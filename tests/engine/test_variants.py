"""Two records whose plans differ in what was named: ratios beside what differs."""

from __future__ import annotations

import pytest

from engine.records.comparison import compare_variant
from protocol.metrics import EnergyReport
from protocol.record import Hardware
from tests.engine.compared_records import MODELLED, first, power, ratio_of, refused, second, speed
from tests.engine.record_factory import measured, metrics, plan_with


def test_a_variant_gives_ratios_beside_what_differs() -> None:
    b = second(plan_with(quantization="q8_0", requantized_from=("Q4_1",)), metrics=speed(150.0))
    result = compare_variant(first(), b, ("quantization",))
    assert [(one.field, one.a, one.b) for one in result.differences] == [
        ("quantization", "native", "q8_0"),
        ("requantized_from", [], ["Q4_1"]),
    ]
    ratio = ratio_of("tokens_per_sec", result)
    assert (ratio.a, ratio.b, ratio.ratio, ratio.better, ratio.reason) == (100.0, 150.0, 1.5, "b", None)
    assert result.output.same


def test_what_follows_from_a_named_field_need_not_be_named() -> None:
    b = second(
        plan_with(backend="reference", threads=1),
        hardware=Hardware(cpu_model="test", kernel_path="reference", threads=1),
    )
    assert len(compare_variant(first(), b, ("backend", "threads")).differences) == 4
    assert set(refused(first(), b, "backend")) == {"threads", "hardware.threads"}
    silent = second(plan_with(stop__eos=False, stop__eos_token_ids=()))
    for name in ("stop.eos", "stop"):
        assert len(compare_variant(first(), silent, (name,)).differences) == 2


def test_less_is_better_where_it_is_time() -> None:
    a, b = first(metrics=metrics(latency_p50_ms=10.0)), second(metrics=metrics(latency_p50_ms=20.0))
    ratio = ratio_of("latency_p50_ms", compare_variant(a, b, ()))
    assert (ratio.ratio, ratio.better) == (2.0, "a")


@pytest.mark.parametrize(("tokens_per_sec", "better"), [(103.0, None), (97.0, None), (104.0, "b"), (96.0, "a")])
def test_nobody_wins_by_what_repeats_differ_by(tokens_per_sec: float, better: str | None) -> None:
    ratio = ratio_of("tokens_per_sec", compare_variant(first(), second(metrics=speed(tokens_per_sec)), ()))
    assert ratio.better == better
    assert (ratio.reason == "within 3%, as repeats are") is (better is None)


def test_totals_of_different_lengths_rank_nothing() -> None:
    a = first(metrics=metrics(latency_total_ms=100.0, tokens_total=3))
    b = second(metrics=metrics(latency_total_ms=200.0, tokens_total=6))
    ratio = ratio_of("latency_total_ms", compare_variant(a, b, ()))
    assert (ratio.ratio, ratio.better, ratio.reason) == (2.0, None, "A generated 3 tokens and B 6")


def test_waiting_ranks_nothing() -> None:
    a, b = first(metrics=metrics(ttft_ms=10.0)), second(metrics=metrics(ttft_ms=20.0))
    ratio = ratio_of("ttft_ms", compare_variant(a, b, ()))
    assert (ratio.ratio, ratio.better, ratio.reason) == (2.0, None, "it includes the wait for admission and weights")


def test_measured_energy_of_undisturbed_runs_is_ranked() -> None:
    a = first(metrics=power(20.0, measured()))
    b = second(metrics=power(10.0, measured(contended=False)))
    result = compare_variant(a, b, ())
    assert ratio_of("watts_avg", result).ratio == 0.5
    assert ratio_of("tokens_per_watt", result).ratio == 2.0
    assert ratio_of("watts_avg", result).better == ratio_of("tokens_per_watt", result).better == "b"


@pytest.mark.parametrize(
    ("energy", "reason"),
    [
        (measured(kind="modelled"), MODELLED),
        (measured(kind="attributed"), "its energy is attributed, not measured"),
        (measured(kind="unavailable", reason="no meter"), "its energy is unavailable, not measured (no meter)"),
        (measured(contended=True), "other processes used the CPU at the same time"),
        (measured(contended=None), "whether other processes used the CPU at the same time is not known"),
    ],
)
@pytest.mark.parametrize("name", ["watts_avg", "tokens_per_watt"])
def test_no_other_energy_supports_a_ratio(name: str, energy: EnergyReport, reason: str) -> None:
    good, bad = power(20.0, measured()), power(10.0, energy)
    for side, result in (
        ("B", compare_variant(first(metrics=good), second(metrics=bad), ())),
        ("A", compare_variant(first(metrics=bad), second(metrics=good), ())),
    ):
        ratio = ratio_of(name, result)
        assert (ratio.ratio, ratio.better, ratio.reason) == (None, None, f"{side}: {reason}")


def test_a_shared_machine_ranks_no_speed_either() -> None:
    result = compare_variant(first(), second(metrics=power(10.0, measured(contended=True), tokens_per_sec=200.0)), ())
    ratio = ratio_of("tokens_per_sec", result)
    assert (ratio.ratio, ratio.better) == (2.0, None)
    assert ratio.reason == "B: other processes used the CPU at the same time"
