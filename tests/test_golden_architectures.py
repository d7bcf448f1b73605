"""A tiny random model of every architecture, with every setting that changes what it computes, against llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _core
from tests.golden.architecture_path import KEPT, PROMPT_TOKENS, Logits, Step, prompt_of
from tests.golden.architecture_run import growth_with_depth
from tests.golden.tiny_cases import weights_digest
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.encoder_models import CASES as ENCODERS

FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "architectures.json").read_text())["cases"]
TABLES = ("reference", "cpu_avx2", "cpu_avx512")

BOUND = 1e-3
"""Bound on the mean absolute difference, in standard deviations of the logits."""


def peer_logits(case: str) -> Logits:
    with np.load(FOLDER / "architectures.npz") as arrays:
        return np.asarray(arrays[case])


def engine_logits(folder: Path, case: str, table: str) -> Logits:
    """The engine's logits after each token of the prompt and of llama.cpp's path."""
    if reason := _core.kernel_tables()[table]:
        pytest.skip(f"{table} cannot run here: {reason}")
    path = write_architecture_model(folder / f"{case}.gguf", **ALL_CASES[case])
    assert weights_digest(path) == GOLDEN[case]["weights"], "the factory changed: run tests.golden.make_architectures"
    model = _core.Model.load(str(path), table, 1)
    (logits,) = model.logits([prompt_of(model.vocab_size) + [step[0] for step in GOLDEN[case]["steps"][:-1]]])
    return logits


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("case", ALL_CASES)
def test_logits_and_greedy_tokens_are_those_of_llama_cpp(case: str, table: str, tmp_path: Path) -> None:
    """llama.cpp's KV cache is F32, the engine's F16. Tokens may part where their margin is below the difference of the
    two engines on both.
    """
    ours, peer = engine_logits(tmp_path, case, table), peer_logits(case)
    assert np.abs(ours[list(KEPT)] - peer).mean() <= BOUND * growth_with_depth(case) * peer.std()
    for logits, values in zip(ours[PROMPT_TOKENS - 1 :], GOLDEN[case]["steps"], strict=True):
        step = Step(*values)
        difference = abs(logits[step.best] - step.best_logit) + abs(logits[step.second] - step.second_logit)
        assert logits.argmax() == step.best or step.best_logit - step.second_logit <= difference


def test_every_architecture_is_among_them() -> None:
    """But for those that read texts whole and have no logits: ``tests/test_exact_encoders.py``."""
    named = {options["architecture"] for options in ALL_CASES.values()}
    encoders = {options.get("architecture", "bert") for options in ENCODERS.values()}
    assert named | encoders == set(_core.architectures())
    wide = {options["architecture"] for options in ALL_CASES.values() if options.get("n_embd") == 256}
    assert wide == named
