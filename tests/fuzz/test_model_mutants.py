"""Mutants of small models, loaded and run for two steps: none ends the process, and none with weights that are not
finite gives an answer.

``ENGINE_FUZZ_MUTANTS`` is how many; another ``ENGINE_FUZZ_SEED`` gives others. The latest is kept in
``ENGINE_FUZZ_FOLDER`` where that is given, so that one which ends the process can be looked at.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench
from tests.fuzz.model_mutation import ModelMutation, has_non_finite_weights, model_seeds
from tests.support.blocks import LAYOUTS, TENSOR_TYPES
from tests.support.damaged_models import encoded
from tests.support.gguf_bytes import GgufBytes
from tests.support.kernel_tables import REFERENCE
from tests.support.tiny_models import tiny_vocabulary

Seeds = Mapping[str, GgufBytes]
_MUTANTS = 150
_REFUSALS = (_core.GgufError, _core.UnsupportedModelError, OSError, MemoryError, ValueError)
_PROMPT = [0, 1, 2]
_TABLES = [name for name, reason in _core.kernel_tables().items() if not reason and name != REFERENCE]


@dataclass(frozen=True)
class Outcome:
    """``refused``, ``answered``, or ``error`` with what it says."""

    kind: str
    detail: object = None


def outcome_of(path: Path, table: str) -> Outcome:
    """Outcome of the prompt's step and of one that decodes."""
    try:
        model = _core.Model.load(str(path), table, 1)
        with LoopBench(tiny_vocabulary()) as bench:
            story = bench.run(model, _PROMPT, max_tokens=2, threads=1, context_length=64)
    except _REFUSALS as refusal:
        return Outcome("refused", type(refusal).__name__)
    if story.stop_reasons == ["error"]:
        return Outcome("error", (story.non_finite, story.error, story.result))
    return Outcome("answered", story.result)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    return model_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = os.environ.get("ENGINE_FUZZ_FOLDER")
    if kept is None:
        return tmp_path
    found = Path(kept).absolute() / "mutants"
    found.mkdir(parents=True, exist_ok=True)
    return found


def test_a_mutant_is_refused_or_says_where_it_fails_or_is_finite(seeds: Seeds, folder: Path) -> None:
    mutation = ModelMutation(seeds, int(os.environ.get("ENGINE_FUZZ_SEED", "0")))
    counts: Counter[str] = Counter()
    for number in range(int(os.environ.get("ENGINE_FUZZ_MUTANTS", _MUTANTS))):
        name, mutant = mutation.next()
        path = mutant.write(folder / "mutant.gguf")
        outcome = outcome_of(path, REFERENCE)
        damaged = outcome.kind == "answered" and has_non_finite_weights(mutant)
        assert not damaged, f"mutant {number} of {name} answers: {outcome.detail}"
        table = _TABLES[number % len(_TABLES)] if _TABLES else REFERENCE
        assert outcome_of(path, table) == outcome, f"mutant {number} of {name}, {table}"
        counts[outcome.kind] += 1
    print(f"\n{sum(counts.values())} mutants: {dict(counts)}")  # noqa: T201  seen with -s
    assert set(counts) == {"refused", "error", "answered"}


def test_the_seeds_are_whole(seeds: Seeds, tmp_path: Path) -> None:
    for name, model in seeds.items():
        assert not has_non_finite_weights(model), name
        assert outcome_of(model.write(tmp_path / "whole.gguf"), REFERENCE).kind == "answered", name


@pytest.mark.parametrize("type_name", TENSOR_TYPES)
def test_the_oracle_sees_one_weight(seeds: Seeds, tmp_path: Path, type_name: str) -> None:
    model = seeds[f"llama {type_name}"]
    tensors = list(model.tensors)
    at = next(i for i, tensor in enumerate(tensors) if tensor.name == "blk.0.ffn_down.weight")
    scale_at = LAYOUTS[type_name].scale_at if type_name in LAYOUTS else 0
    data = bytearray(tensors[at].data)
    data[scale_at : scale_at + len(encoded(type_name, math.nan))] = encoded(type_name, math.nan)
    tensors[at] = replace(tensors[at], data=bytes(data))
    damaged = replace(model, tensors=tensors)
    assert has_non_finite_weights(damaged)
    assert outcome_of(damaged.write(tmp_path / "damaged.gguf"), REFERENCE).kind == "refused"


def test_equal_seeds_give_equal_mutants(seeds: Seeds) -> None:
    first, again, other = (ModelMutation(seeds, seed) for seed in (1, 1, 2))
    mutants = [first.next()[1].build() for _ in range(30)]
    assert mutants == [again.next()[1].build() for _ in range(30)]
    assert mutants != [other.next()[1].build() for _ in range(30)]
