"""What the compute threads do to the process that holds them."""

from __future__ import annotations

import os
from pathlib import Path

from engine import _core
from tests.support.gguf_factory import write_tiny_model


def test_a_job_leaves_its_callers_affinity_as_it_was(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    model = _core.Model.load(str(write_tiny_model(tmp_path / "tiny.gguf")), "reference", len(allowed))
    model.logits([[1, 2, 3]], threads=len(allowed))
    assert os.sched_getaffinity(0) == allowed


def test_threads_within_a_smaller_affinity_give_the_same_bits(tmp_path: Path) -> None:
    allowed = os.sched_getaffinity(0)
    model = _core.Model.load(str(write_tiny_model(tmp_path / "tiny.gguf")), "reference", 1)
    free = model.logits([[1, 2, 3]], threads=2)[0]
    try:
        os.sched_setaffinity(0, {min(allowed)})
        bound = model.logits([[1, 2, 3]], threads=2)[0]
    finally:
        os.sched_setaffinity(0, allowed)
    assert free.tobytes() == bound.tobytes()
