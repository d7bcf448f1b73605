"""Sizes that are no multiple of anything: every kernel table computes them, with the bits of the scalar one, or the
model is refused by the name of its tensor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from tests.support import gguf_bytes as g
from tests.support.blocks import LAYOUTS, TENSOR_TYPES, Bytes, Floats, random_weights, set_scales
from tests.support.kernel_tables import FAST_TABLES, REFERENCE, assert_same_bits

TYPE_IDS = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q5_0": 6, "Q5_1": 7, "Q8_0": 8,
    "Q2_K": 10, "Q3_K": 11, "Q4_K": 12, "Q5_K": 13, "Q6_K": 14, "IQ4_NL": 20, "IQ4_XS": 23, "BF16": 30, "MXFP4": 39,
    "IQ2_XXS": 16, "IQ2_XS": 17, "IQ3_XXS": 18, "IQ1_S": 19, "IQ3_S": 21, "IQ2_S": 22, "IQ1_M": 29, "TQ1_0": 34,
    "TQ2_0": 35,
}  # fmt: skip


@dataclass(frozen=True)
class Shape:
    embedding: int
    feed_forward: int
    heads: int = 2
    kv_heads: int = 1
    head_dim: int = 8
    vocabulary: int = 33
    type_name: str = "F32"

    def matrices(self) -> dict[str, tuple[int, int]]:
        """[rows, columns] of each."""
        e, f, q, kv = self.embedding, self.feed_forward, self.heads * self.head_dim, self.kv_heads * self.head_dim
        layer = {"attn_q": (q, e), "attn_k": (kv, e), "attn_v": (kv, e), "attn_output": (e, q)}
        layer |= {"ffn_gate": (f, e), "ffn_up": (f, e), "ffn_down": (e, f)}
        named = {f"blk.0.{name}.weight": size for name, size in layer.items()}
        return {"token_embd.weight": (self.vocabulary, e), **named}

    def model(self) -> g.ModelBytes:
        """One layer of random weights."""
        random = np.random.default_rng(5)
        model = g.ModelBytes().having(
            llama__embedding_length=g.u32(self.embedding),
            llama__feed_forward_length=g.u32(self.feed_forward),
            llama__attention__head_count=g.u32(self.heads),
            llama__attention__head_count_kv=g.u32(self.kv_heads),
            llama__attention__key_length=g.u32(self.head_dim),
            llama__attention__value_length=g.u32(self.head_dim),
            llama__rope__dimension_count=g.u32(self.head_dim // 2 * 2),
        )
        for name in ("blk.0.attn_norm.weight", "blk.0.ffn_norm.weight", "output_norm.weight"):
            model = model.with_tensor(g.float_tensor(name, self.embedding))
        for name, (rows, columns) in self.matrices().items():
            data = mild_weights(random, self.type_name, rows, columns).tobytes()
            model = model.with_tensor(g.Tensor(name, (columns, rows), TYPE_IDS[self.type_name], data))
        return model


def mild_weights(random: np.random.Generator, type_name: str, rows: int, columns: int) -> Bytes:
    """Random codes under one small scale: no sum of them overflows."""
    weights = random_weights(random, type_name, rows, columns)
    if type_name in LAYOUTS:
        set_scales(type_name, weights, 0.001)
    return weights


def logits(path: Path, table: str, threads: int) -> Floats:
    (found,) = _core.Model.load(str(path), table, threads).logits([[0, 32, 7, 7, 1, 30]], threads=threads)
    return found


AWKWARD = [
    Shape(embedding=18, feed_forward=30),
    Shape(embedding=17, feed_forward=33, vocabulary=35),
    Shape(embedding=1, feed_forward=1),
    Shape(embedding=31, feed_forward=15, type_name="F16"),
    Shape(embedding=31, feed_forward=15, type_name="BF16"),
    Shape(embedding=64, feed_forward=96, heads=3, kv_heads=3, head_dim=32, type_name="Q4_0"),
    Shape(embedding=32, feed_forward=32, heads=4, kv_heads=2, head_dim=8, type_name="Q5_1"),
    Shape(embedding=96, feed_forward=160, heads=1, kv_heads=1, head_dim=96, type_name="Q8_0"),
    Shape(embedding=96, feed_forward=160, heads=3, kv_heads=1, head_dim=32, type_name="IQ4_NL"),
    Shape(embedding=32, feed_forward=96, heads=4, kv_heads=2, head_dim=8, type_name="MXFP4"),
    *(
        Shape(embedding=256, feed_forward=512, heads=8, kv_heads=2, head_dim=32, type_name=name)
        for name in ("Q2_K", "Q3_K", "Q6_K", "IQ4_XS", "IQ1_M", "IQ2_XXS", "IQ3_S", "TQ1_0")
    ),
    *(Shape(embedding=24, feed_forward=40, head_dim=head_dim) for head_dim in (2, 3, 4, 6, 10, 12, 20, 80, 96, 112)),
    Shape(embedding=24, feed_forward=40, head_dim=256),
    Shape(embedding=24, feed_forward=40, heads=11, kv_heads=1),
    Shape(embedding=24, feed_forward=40, heads=71, kv_heads=71, head_dim=2),
]


@pytest.mark.parametrize("table", FAST_TABLES)
@pytest.mark.parametrize("shape", AWKWARD, ids=str)
def test_awkward_sizes_have_the_bits_of_the_scalar_table(tmp_path: Path, table: str, shape: Shape) -> None:
    path = shape.model().write(tmp_path / "model.gguf")
    expected = logits(path, REFERENCE, 1)
    assert np.isfinite(expected).all()
    for threads in (1, 2, 3):
        assert_same_bits(logits(path, table, threads), expected)


@pytest.mark.parametrize("name", [name for name in Shape(32, 32).matrices() if name != "token_embd.weight"])
@pytest.mark.parametrize("type_name", sorted(LAYOUTS))
def test_rows_that_are_no_whole_blocks_are_refused_by_name(tmp_path: Path, type_name: str, name: str) -> None:
    shape = Shape(embedding=40, feed_forward=40, heads=5)
    rows, columns = shape.matrices()[name]
    assert columns % LAYOUTS[type_name].block_elements != 0
    model = shape.model().with_tensor(g.Tensor(name, (columns, rows), TYPE_IDS[type_name], bytes(1 << 16)))
    path = model.write(tmp_path / "model.gguf")
    with pytest.raises(_core.GgufError, match=rf"'{name}' has rows of {columns} elements, not .* of {type_name}"):
        _core.Model.load(str(path), REFERENCE, 1)


@pytest.mark.parametrize("name", list(Shape(32, 32).matrices()))
def test_a_tensor_without_rows_is_refused_by_name(tmp_path: Path, name: str) -> None:
    shape = Shape(embedding=32, feed_forward=32)
    path = shape.model().with_tensor(g.Tensor(name, (32, 0))).write(tmp_path / "model.gguf")
    with pytest.raises(_core.GgufError, match=f"'{name}' has an empty dimension"):
        _core.Model.load(str(path), REFERENCE, 1)


@pytest.mark.parametrize("type_id", [4, 5, 9, 15, 24, 31, 36, 40, 41, 2**32 - 1])
def test_a_type_without_kernels_is_refused_by_name(tmp_path: Path, type_id: int) -> None:
    assert type_id not in TYPE_IDS.values()
    tensor = g.Tensor("blk.0.attn_k.weight", (256, 8), type_id, bytes(4096))
    path = Shape(embedding=256, feed_forward=32).model().with_tensor(tensor).write(tmp_path / "model.gguf")
    with pytest.raises(
        _core.UnsupportedModelError, match=rf"'blk\.0\.attn_k\.weight' has the unsupported type {type_id}"
    ):
        _core.Model.load(str(path), REFERENCE, 1)


def test_every_type_of_the_engine_is_among_those_tested() -> None:
    assert set(TYPE_IDS) == set(TENSOR_TYPES)
