"""Tiny random models of every architecture and stored type, against llama.cpp and against float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from engine import _core
from tests.golden.exact.model import ExactModel
from tests.golden.tiny_cases import OF_GRIDS, PLAIN, QUANTIZED, kept, token_prompts, weights_digest
from tests.support.gguf_factory import write_tiny_model

FOLDER = Path(__file__).parent / "golden"
GOLDEN: dict[str, Any] = json.loads((FOLDER / "tiny.json").read_text())
TABLES = ("reference", "cpu_avx2", "cpu_avx512")

Logits = npt.NDArray[np.float64]


def make_model(folder: Path, case: str) -> Path:
    """The very weights that llama.cpp ran."""
    path = write_tiny_model(folder / f"{case}.gguf", **(PLAIN | QUANTIZED)[case])
    golden = (GOLDEN["plain"] | GOLDEN["quantized"])[case]
    assert weights_digest(path) == golden["weights"], "the factory changed: run tests.golden.make_tiny"
    return path


def exact_logits(path: Path, vocabulary_size: int) -> Logits:
    prompts = token_prompts(vocabulary_size)
    return np.concatenate(ExactModel(path).logits(prompts, kept(prompts)))


def engine_logits(path: Path, table: str) -> Logits:
    if reason := _core.kernel_tables()[table]:
        pytest.skip(f"{table} cannot run here: {reason}")
    model = _core.Model.load(str(path), table, 1)
    prompts = token_prompts(model.vocab_size)
    logits = model.logits(prompts)
    return np.concatenate(
        [rows[positions.start :].astype(np.float64) for rows, positions in zip(logits, kept(prompts), strict=True)]
    )


def peer_logits(case: str) -> Logits:
    with np.load(FOLDER / "tiny.npz") as arrays:
        return np.asarray(arrays[case], np.float64)


@pytest.mark.parametrize("case", PLAIN)
def test_float64_reference_agrees_with_llama_cpp_in_float32(case: str, tmp_path: Path) -> None:
    """The two were written apart: what they agree on to float32's last bits is what the model means."""
    peer = peer_logits(case)
    exact = exact_logits(make_model(tmp_path, case), peer.shape[-1])
    assert np.abs(exact - peer).mean() <= 1e-5 * peer.std()


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("case", PLAIN)
def test_float32_models_agree_with_llama_cpp(case: str, table: str, tmp_path: Path) -> None:
    """llama.cpp with an F32 KV cache and no flash attention; the engine's KV cache is F16."""
    peer = peer_logits(case)
    difference = engine_logits(make_model(tmp_path, case), table) - peer
    assert np.abs(difference).mean() <= 1e-3 * peer.std()


@pytest.mark.parametrize(
    ("case", "table"), [(case, table) for case in QUANTIZED for table in (TABLES[1:2] if case in OF_GRIDS else TABLES)]
)
def test_stored_types_are_as_near_to_exact_as_llama_cpp(case: str, table: str, tmp_path: Path) -> None:
    path = make_model(tmp_path, case)
    ours = engine_logits(path, table)
    exact = exact_logits(path, ours.shape[-1])
    assert np.abs(ours - exact).mean() <= 1.5 * GOLDEN["quantized"][case]["peer_distance"]
