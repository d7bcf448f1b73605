"""Mutants of small models, loaded and run for two steps: none ends the process, and none with weights that are not
finite gives an answer.

``ENGINE_FUZZ_MUTANTS`` is how many; another ``ENGINE_FUZZ_SEED`` gives others. The latest is kept in
``ENGINE_FUZZ_FOLDER`` where that is given, so that one which ends the process can be looked at.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine import _core
from tests.csrc.kernel_tables import REFERENCE
from tests.csrc.loop_bench import LoopBench
from tests.csrc.tiny_models import tiny_vocabulary
from tests.fuzz.model_mutation import ModelMutation, has_non_finite_weights, model_seeds

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
    """Of the prompt's step and one that decodes."""
    try:
        model = _core.Model.load(str(path), table, 1)
        with LoopBench(tiny_vocabulary()) as bench:
            story = bench.run(model, _PROMPT, max_tokens=2, threads=1)
    except _REFUSALS as refusal:
        return Outcome("refused", type(refusal).__name__)
    if story.stop_reasons == ["error"]:
        return Outcome("error", (story.non_finite, story.error, story.result))
    return Outcome("answered", story.result)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kept = os.environ.get("ENGINE_FUZZ_FOLDER")
    if kept is None:
        return tmp_path
    found = Path(kept).absolute() / "mutants"
    found.mkdir(parents=True, exist_ok=True)
    return found


def test_a_mutant_is_refused_or_says_where_it_fails_or_is_finite(folder: Path) -> None:
    mutation = ModelMutation(model_seeds(folder), int(os.environ.get("ENGINE_FUZZ_SEED", "0")))
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


def test_the_seeds_are_whole(tmp_path: Path) -> None:
    for name, model in model_seeds(tmp_path).items():
        assert not has_non_finite_weights(model), name
        assert outcome_of(model.write(tmp_path / "whole.gguf"), REFERENCE).kind == "answered", name


def test_equal_seeds_give_equal_mutants(tmp_path: Path) -> None:
    seeds = model_seeds(tmp_path)
    first, again, other = (ModelMutation(seeds, seed) for seed in (1, 1, 2))
    mutants = [first.next()[1].build() for _ in range(30)]
    assert mutants == [again.next()[1].build() for _ in range(30)]
    assert mutants != [other.next()[1].build() for _ in range(30)]
