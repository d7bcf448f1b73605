"""Tiny models of every architecture against float64 arithmetic that was written from the published definitions
(:mod:`tests.golden.exact`): ours, and llama.cpp's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.golden.architecture_path import prompt_of, relative_distance
from tests.golden.architecture_run import (
    F16_CACHE,
    TIED,
    engine_logits,
    exact_logits,
    growth_with_depth,
    path_of,
    run,
)
from tests.golden.exact.formulas import gelu
from tests.golden.exact.model import ExactModel
from tests.golden.exact.traits import TRAITS
from tests.golden.exact.weights import Weights
from tests.support.architecture_models import ALL_CASES, NEARLY_TIED, write_architecture_model

BOUND = 2e-4
"""Bound on the engine's distance from exact arithmetic on keys and values in F16, as the engine keeps them."""
FLOAT32 = 2e-6
"""Bound on llama.cpp's distance with an F32 cache."""
GELU_IN_F16 = 5e-4
"""The same where it looks GELU up in a table of F16 numbers."""
UNDECIDED = 1e-5
"""An expert's lead below which float32's own rounding may choose another."""


@pytest.mark.parametrize("case", ALL_CASES)
def test_llama_cpp_computes_what_the_definitions_say(case: str) -> None:
    """It shares no code with them: what both agree on to float32's last bits is what the model means."""
    looked_up = TRAITS[ALL_CASES[case]["architecture"]].activation is gelu
    bound = GELU_IN_F16 if looked_up else FLOAT32
    assert relative_distance(run(case).peer, run(case).exact) <= bound


@pytest.mark.parametrize("case", ALL_CASES)
def test_engine_is_no_further_from_exact_than_llama_cpp(case: str) -> None:
    """Both engines have an F16 cache."""
    assert relative_distance(run(case).ours, run(case).exact) <= F16_CACHE[case]


@pytest.mark.parametrize("case", [case for case in ALL_CASES if case != TIED])
def test_what_is_left_is_the_cache(case: str) -> None:
    """Only float32's own rounding remains once the reference rounds keys and values too."""
    assert relative_distance(run(case).ours, run(case).rounded) <= BOUND * growth_with_depth(case)


def test_experts_that_rounding_leaves_undecided(tmp_path: Path) -> None:
    """Why a case is missing above: on its rounded cache two experts are as good as tied, float32 may take either."""
    path = write_architecture_model(tmp_path / "model.gguf", **ALL_CASES[TIED])
    routes = ExactModel(path, np.float16).routing(path_of(TIED))
    assert min(route.lead.min() for route in routes) < UNDECIDED


def test_nearly_tied_experts_change_places_where_the_cache_is_rounded(tmp_path: Path) -> None:
    """In exact arithmetic as in the engine, whose logits are near both references before and near the rounded after."""
    path = write_architecture_model(tmp_path / "model.gguf", **NEARLY_TIED)
    tokens = prompt_of(Weights(path).rows("token_embd"))
    plain, rounded = ExactModel(path).routing(tokens), ExactModel(path, np.float16).routing(tokens)
    changed = [
        (layer, token)
        for layer, (one, other) in enumerate(zip(plain, rounded, strict=True))
        for token in range(len(tokens))
        if set(one.experts[token]) != set(other.experts[token])
    ]
    assert changed == [(2, 25)]
    assert plain[2].lead[25] < 1e-3

    logits, everywhere = engine_logits(path, tokens), tuple(range(len(tokens)))
    assert relative_distance(logits, exact_logits(path, tokens, everywhere, np.float16)) <= BOUND
    exact = exact_logits(path, tokens, everywhere)
    assert relative_distance(logits[:25], exact[:25]) <= 1e-3
    assert relative_distance(logits[25], exact[25]) > 1e-2
