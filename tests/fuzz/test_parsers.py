"""Bytes that others wrote end in a refusal of a known type or in nothing, whatever is wrong with them.

``ENGINE_FUZZ_SECONDS`` is how long each parser is tried; without it a few hundred inputs are. Another
``ENGINE_FUZZ_SEED`` gives other inputs. The latest input of each parser is kept in ``ENGINE_FUZZ_FOLDER`` where that is
given, so that one which ends the process can be looked at.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.fuzz.mutation import Mutation
from tests.fuzz.parsers import PARSERS

_INPUTS = 300


@pytest.fixture
def folder(tmp_path: Path, name: str) -> Path:
    kept = os.environ.get("ENGINE_FUZZ_FOLDER")
    if kept is None:
        return tmp_path
    found = Path(kept).absolute() / name.replace(" ", "-")
    found.mkdir(parents=True, exist_ok=True)
    return found


def rounds() -> Iterator[int]:
    """Rounds until the time is over."""
    seconds = os.environ.get("ENGINE_FUZZ_SECONDS")
    if seconds is None:
        yield from range(_INPUTS)
        return
    end = time.monotonic() + float(seconds)
    for number in count():
        if time.monotonic() > end:
            return
        yield number


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_input_is_refused_or_read(name: str, folder: Path) -> None:
    parser = PARSERS[name]
    seed = int(os.environ.get("ENGINE_FUZZ_SEED", "0"))
    examples = parser.examples(folder)
    for example in examples:
        parser.read(example, folder)  # all are well-formed
    mutation = Mutation(examples, seed, parser.head_bytes)
    refused = read = 0
    for _ in rounds():
        content = mutation.next()
        (folder / "latest-input").write_bytes(content)
        try:
            parser.read(content, folder)
            read += 1
        except parser.refusals:
            refused += 1
    print(f"\n{name}: {refused + read} inputs, {refused} refused")  # noqa: T201  seen with -s
    assert refused > 0
    assert read > 0


def test_equal_seeds_give_equal_mutants() -> None:
    examples = [b"well-formed", b"also well-formed"]
    first, again, other = (Mutation(examples, seed) for seed in (1, 1, 2))
    mutants = [first.next() for _ in range(50)]
    assert mutants == [again.next() for _ in range(50)]
    assert mutants != [other.next() for _ in range(50)]
    assert len(set(mutants)) > 40
