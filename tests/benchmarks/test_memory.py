"""What a plan says that a run takes, against how much a process grows by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.architectures import encoder_memory, encoders
from benchmarks.memory import estimated, growth_bytes
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.encoder_models import write_encoder_model
from tests.support.gguf_factory import write_tiny_model
from tests.support.real_models import fast_kernel_table

pytestmark = pytest.mark.slow

WIDE: dict[str, Any] = {"n_embd": 512, "n_ff": 2048, "context_length": 4096, "tensor_type": "F32"}


def test_an_estimate_is_within_a_twentieth_of_what_is_taken(tmp_path: Path) -> None:
    path = write_tiny_model(tmp_path / "wide.gguf", **WIDE, n_layer=6, n_head=8, n_head_kv=8)
    needed = estimated(path, fast_kernel_table(), 2, 1000)
    assert needed.weights_bytes > 80e6
    assert needed.total_bytes == pytest.approx(growth_bytes(path, fast_kernel_table(), 2, 1000), rel=0.05)


def test_windows_are_in_the_estimate(tmp_path: Path) -> None:
    """Without them it would be more than twice as large."""
    keys = {"attention.sliding_window": 64, "attention.sliding_window_pattern": 6}
    shape = {**ALL_CASES["gemma3"], **WIDE, "n_ff": 512, "n_layer": 6, "n_head": 16, "n_head_kv": 16, "head_dim": 64}
    path = write_architecture_model(tmp_path / "windows.gguf", **{**shape, "keys": keys})
    needed = estimated(path, fast_kernel_table(), 2, 3000)
    assert needed.kv_cache_bytes < 6 * 2 * 16 * 64 * 2 * 3000 / 3
    assert needed.total_bytes == pytest.approx(growth_bytes(path, fast_kernel_table(), 2, 3000), rel=0.05)


def test_texts_side_by_side_hold_no_more_than_the_estimate(tmp_path: Path) -> None:
    """A text that was read leaves a block of its cache; whole, the caches of all would be 77 MB more."""
    path = write_encoder_model(tmp_path / "encoder.gguf", **encoders()["bert"])
    needed, grown = encoder_memory(path, fast_kernel_table(), 2)
    assert max(grown) <= needed <= 1.15 * min(grown)
