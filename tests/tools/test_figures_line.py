"""The line of figures below an answer."""

from __future__ import annotations

from typing import Any

import pytest

from engine_ctl.figures_line import figures_line
from protocol.metrics import EnergyReport
from tests.tools.executions import make_metrics, make_record

NONE = EnergyReport(kind="unavailable", source="none", reason="this machine has no powercap zones")


def line(stop_reason: str = "eos", **metrics: Any) -> str:
    return figures_line(make_record(stop_reason=stop_reason, metrics=make_metrics(**metrics)))


def test_an_ordinary_answer() -> None:
    assert line(tokens_total=82, tokens_per_sec=184.2, ttft_ms=352.0) == (
        "82 tokens · 184 tok/s · first after 0.35 s · no power meter"
    )


@pytest.mark.parametrize(
    ("rate", "told"), [(0.5123, "0.512"), (4.567, "4.57"), (18.44, "18.4"), (184.2, "184"), (2870.4, "2,870")]
)
def test_a_rate_has_three_digits_that_count_and_no_exponent(rate: float, told: str) -> None:
    assert f" · {told} tok/s · " in line(tokens_per_sec=rate)


def test_what_is_unknown_is_left_out() -> None:
    assert line(tokens_total=1, ttft_ms=None) == "1 token · no power meter"


@pytest.mark.parametrize(
    ("kind", "joules", "reason", "told"),
    [
        ("attributed", 3.14159, None, "3.14 J"),
        ("modelled", 3.14159, None, "~3.14 J (model)"),
        (
            "unavailable",
            None,
            "the window of 12 ms is too short: rapl moves every 1 ms",
            "joules unknown: the window of 12 ms is too short",
        ),
        ("unavailable", None, "a reason " * 20, "joules unknown"),
    ],
)
def test_joules_say_what_they_are_worth(kind: str, joules: float | None, reason: str | None, told: str) -> None:
    energy = EnergyReport.model_validate({"kind": kind, "source": "rapl", "reason": reason})
    assert line(energy=energy, joules_total=joules, ttft_ms=None).split(" · ")[1:] == [told]


@pytest.mark.parametrize(
    ("stop_reason", "told"), [("max_tokens", "cut at --max-tokens"), ("cancelled", "cancelled"), ("stop_string", None)]
)
def test_an_answer_that_was_cut_says_by_what(stop_reason: str, told: str | None) -> None:
    assert line(stop_reason, ttft_ms=None).split(" · ")[2:] == ([told] if told else [])
