"""Models with a short and a long set of factors: which one holds is what a sequence's context says, not its company."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench
from tests.support.architecture_models import ALL_CASES, LONGROPE, write_architecture_model
from tests.support.tiny_models import tiny_prompt, tiny_vocabulary

ORIGINAL_CONTEXT = 128
PROMPT = tiny_prompt(ORIGINAL_CONTEXT + 1, seed=3)
WAYS = {"short": ORIGINAL_CONTEXT, "long": ORIGINAL_CONTEXT + 1}
"""The context that a sequence asks for."""


def phi3(folder: Path, original_context: int) -> _core.Model:
    keys = {**LONGROPE, "rope.scaling.original_context_length": original_context}
    options = {**ALL_CASES["phi3_long"], "keys": keys, "context_length": 4 * ORIGINAL_CONTEXT}
    path = write_architecture_model(folder / f"{original_context}.gguf", **options)
    return _core.Model.load(str(path), "cpu_avx2", 1)


@pytest.fixture
def model(tmp_path: Path) -> _core.Model:
    return phi3(tmp_path, ORIGINAL_CONTEXT)


def test_the_short_factors_hold_up_to_the_original_context(model: _core.Model, tmp_path: Path) -> None:
    always_short = phi3(tmp_path, 2 * ORIGINAL_CONTEXT)  # of the same weights
    (within,), (beyond,) = model.logits([PROMPT[:ORIGINAL_CONTEXT]]), model.logits([PROMPT])
    np.testing.assert_array_equal(within, always_short.logits([PROMPT[:ORIGINAL_CONTEXT]])[0])
    assert (beyond[1:ORIGINAL_CONTEXT] != within[1:]).any(axis=1).all()


def test_sequences_of_both_kinds_are_computed_beside_each_other_as_alone(model: _core.Model) -> None:
    with LoopBench(tiny_vocabulary()) as bench:
        alone = {way: bench.run(model, PROMPT[:40], context_length=length).result for way, length in WAYS.items()}
        beside = {100 + number: way for number, way in enumerate([*WAYS, *WAYS])}
        for sequence_id, way in beside.items():
            bench.submit(sequence_id, model, PROMPT[:40], context_length=WAYS[way])
        bench.finish(*beside)
        assert alone["short"] != alone["long"]
        assert all(bench.stories[sequence_id].result == alone[way] for sequence_id, way in beside.items())


def test_one_kind_finds_no_prefix_of_the_other(model: _core.Model) -> None:
    found = []
    with LoopBench(tiny_vocabulary(), prefix_cache_bytes=1 << 20) as bench:
        for way in ("short", "long", "short", "long"):
            story = bench.run(model, PROMPT[:70], context_length=WAYS[way], prefix_cache=True)
            found.append(story.cached_prompt_tokens)
    assert found == [0, 0, 64, 64]
