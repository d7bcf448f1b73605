"""Rates of the run loop: what is counted, told by hand-written times."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.bench.measured_loop import MeasuredLoop, decode_rate
from engine.bench.work import Work, decode, decode_side_by_side, prefill
from tests.support.gguf_factory import write_tiny_model

SECOND = 1_000_000_000


def test_one_sequence_decodes_from_its_first_token_to_its_last() -> None:
    assert decode_rate([[5 * SECOND, 6 * SECOND, 7 * SECOND]]) == 1.0


def test_side_by_side_only_the_time_counts_in_which_all_decode() -> None:
    early = [0, 1 * SECOND, 2 * SECOND, 3 * SECOND]
    late = [1 * SECOND, 2 * SECOND, 3 * SECOND, 4 * SECOND]
    assert decode_rate([early, late]) == 2.0


def test_one_after_the_other_is_not_side_by_side() -> None:
    with pytest.raises(ValueError, match="too few tokens"):
        decode_rate([[0, 1 * SECOND], [2 * SECOND, 3 * SECOND]])


@pytest.mark.parametrize("work", [prefill(40), decode(8), decode(8, depth=40), decode_side_by_side(3, 200)])
def test_every_work_has_a_rate(tmp_path: Path, work: Work) -> None:
    with MeasuredLoop(write_tiny_model(tmp_path / "tiny.gguf"), "reference", threads=1) as loop:
        assert loop.rate(work) > 0


def test_a_model_whose_context_is_too_short_is_not_measured_by_less(tmp_path: Path) -> None:
    with (
        MeasuredLoop(write_tiny_model(tmp_path / "tiny.gguf"), "reference", threads=1) as loop,
        pytest.raises(ValueError, match="context of 256"),
    ):
        loop.rate(prefill(1000))
