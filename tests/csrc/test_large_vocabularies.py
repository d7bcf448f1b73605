"""Draws from large vocabularies, to the token: against sums of integers that are made one after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core, _core_tests
from tests.support.blocks import Floats
from tests.support.kernel_tables import ALL_TABLES, REFERENCE

SIZE = 30_000
ORDER = ("logit_bias", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature")
Tokens = npt.NDArray[np.int64]


def vocabularies() -> Iterator[tuple[str, Floats]]:
    """Distributions of which a nucleus is small, or nearly everything; with many equal logits; with nothing else."""
    random = np.random.default_rng(7)
    peaked = random.normal(0.0, 3.0, SIZE).astype(np.float32)
    peaked[random.integers(0, SIZE, 20)] += np.float32(9.0)
    yield "peaked", peaked
    yield "flat", random.normal(0.0, 0.5, SIZE).astype(np.float32)
    yield "equals", random.integers(0, 4, SIZE).astype(np.float32)
    yield "even", np.full(SIZE, 2.5, np.float32)


LOGITS = dict(vocabularies())
SAMPLED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "temperature": {"temperature": 0.7},
    "hot": {"temperature": 5.0, "top_p": 0.99},
    "hotter than numbers": {"temperature": 1e38, "top_p": 0.9},
    "top_k": {"top_k": 40},
    "a large top_k": {"top_k": 20_001},
    "top_p": {"top_p": 0.95},
    "a small top_p": {"top_p": 1e-9},
    "min_p": {"min_p": 0.05},
    "what people use": {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
}


@pytest.mark.parametrize("table", ALL_TABLES)
@pytest.mark.parametrize("options", SAMPLED.values(), ids=SAMPLED.keys())
@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS.keys())
def test_tokens_are_those_of_plain_sums(table: str, options: Mapping[str, Any], logits: Floats) -> None:
    order = ("temperature", "top_k", "top_p", "min_p")
    run = _core.SamplingRun(_core.SamplingOptions(**{"temperature": 1.0, **options}, order=order, seed=5), 1, table)
    for position in range(3):
        assert run.sample(logits, [], position) == plain_draw(logits, options, position)


def plain_draw(logits: Floats, options: Mapping[str, Any], position: int) -> int:
    """The draw at a position with seed 5 and choice 1: temperature first, then top-k, top-p and min-p."""
    if (temperature := options.get("temperature", 1.0)) != 1.0:
        logits = _core_tests.scale(REFERENCE, logits, float(logits.max()), temperature)
    by_likelihood = np.argsort(-logits, kind="stable")
    kept, ordered = by_likelihood, False
    if "top_k" in options:
        kept, ordered = kept[: options["top_k"]], True
    if "top_p" in options:
        mass = np.cumsum(weights(logits, kept))
        wanted = math.ceil(Fraction(float(np.float32(options["top_p"]))) * int(mass[-1]))
        kept, ordered = kept[: int(np.searchsorted(mass, wanted)) + 1], True
    if "min_p" in options:
        bound = np.float32(float(logits.max()) + math.log(float(np.float32(options["min_p"]))))
        kept = kept[logits[kept] >= bound]
    if not ordered:
        kept = np.sort(kept)
    sums = np.cumsum(weights(logits, kept))
    exceeded = random_fraction(5, position, 0, 1) * int(sums[-1]) >> 53
    return int(kept[int(np.searchsorted(sums, exceeded, side="right"))])


def weights(logits: Floats, tokens: Tokens) -> npt.NDArray[np.uint64]:
    *_, each, _ = _core_tests.weigh(REFERENCE, logits[tokens])
    return each


def random_fraction(seed: int, position: int, purpose: int, choice: int) -> int:
    """The upper 53 bits of Philox 4x32-10."""
    low = 2**32 - 1
    counter = [position & low, position >> 32, purpose, choice]
    key = [seed & low, seed >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & low, (a >> 32) ^ counter[3] ^ key[1], a & low]
        key = [(key[0] + 0x9E3779B9) & low, (key[1] + 0xBB67AE85) & low]
    return (counter[0] << 32 | counter[1]) >> 11


@pytest.mark.parametrize("options", [
    {"typical_p": 0.6}, {"typical_p": 0.9, "top_p": 0.8}, {"xtc_probability": 1.0, "xtc_threshold": 1e-4},
    {"xtc_probability": 1.0, "xtc_threshold": 0.01, "logit_bias": {5: 30.0, 9: 30.0}},
], ids=["typical_p", "and top_p", "xtc of many", "xtc of few"])  # fmt: skip
@pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS.keys())
def test_every_table_draws_the_same(options: Mapping[str, Any], logits: Floats) -> None:
    drawn = set()
    for table in kernel_tables_here():
        run = _core.SamplingRun(_core.SamplingOptions(temperature=1.3, order=ORDER, **options), 0, table)
        drawn.add(tuple(run.sample(logits, [], position) for position in range(4)))
    assert len(drawn) == 1
    assert len(set(drawn.pop())) > 1 or "logit_bias" in options


def kernel_tables_here() -> list[str]:
    return [name for name, lacking in _core.kernel_tables().items() if not lacking]
