"""all-MiniLM-L6-v2: its own tokenizer's ids, and the vectors of float64."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from engine.text.tokenizer import Tokenizer
from tests.golden.embedding_data import FOLDER, real_texts
from tests.golden.tiny_cases import weights_digest
from tests.support.real_models import allowed_cpus, fast_kernel_table, hand_fetched

FILE = "all-MiniLM-L6-v2.f32.gguf"
GOLDEN = json.loads((FOLDER / "minilm.json").read_text(encoding="utf-8"))


@pytest.fixture
def minilm_path() -> Path:
    """What ``tests.golden.make_minilm`` writes; where it is not, the tests are skipped."""
    path = hand_fetched(FILE)
    assert weights_digest(path) == GOLDEN["weights"], "another model than the golden data was made with"
    return path


def test_texts_have_the_tokens_of_the_models_own_tokenizer(minilm_path: Path) -> None:
    tokenizer = Tokenizer(_core.GgufFile(str(minilm_path)))
    assert [tokenizer.encode(text) for text in real_texts()] == GOLDEN["token_ids"]
    assert tokenizer.decode(tokenizer.encode("the cat sat")) == "the cat sat"


def test_vectors_are_those_of_float64(minilm_path: Path) -> None:
    model = _core.Model.load(str(minilm_path), fast_kernel_table(), allowed_cpus())
    embedding = _core.TextEmbedding(model, GOLDEN["token_ids"], pooling="mean", normalize=True, threads=allowed_cpus())
    embedding.run()
    cosines = np.sum(embedding.vectors.astype(np.float64) * np.array(GOLDEN["vectors"]), axis=1)
    assert cosines.min() >= 0.9999
