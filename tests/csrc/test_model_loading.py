"""Loading a model: what it refuses and why, and that no damaged file brings the process down."""

from __future__ import annotations

import math
import resource
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import _core
from tests.support import gguf_bytes as g
from tests.support.gguf_factory import write_tiny_model
from tests.support.kernel_tables import ALL_TABLES


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def load(path: Path, model: g.ModelBytes, table: str = "reference") -> _core.Model:
    return _core.Model.load(str(model.write(path)), table, 1)


def malformed(path: Path, model: g.ModelBytes, match: str) -> None:
    with pytest.raises(_core.GgufError, match=match):
        load(path, model)


def unsupported(path: Path, model: g.ModelBytes, match: str) -> None:
    with pytest.raises(_core.UnsupportedModelError, match=match):
        load(path, model)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_the_least_model_loads_and_runs(path: Path, table: str) -> None:
    model = load(path, g.ModelBytes(), table)
    assert (model.architecture, model.kernel_path) == ("llama", table)
    assert (model.context_length, model.vocab_size) == (64, 4)
    assert model.kv_bytes_per_token() == 2 * 8 * 2
    with pytest.raises(ValueError, match="multiple of 32 channels; the model's have 8"):
        model.kv_bytes_per_token("q8_0")
    with pytest.raises(ValueError, match="'q17'"):
        model.kv_bytes_per_token("q17")
    assert model.weights_bytes > 0
    (logits,) = model.logits([[0, 1, 2]])
    assert logits.shape == (3, 4)
    assert np.isfinite(logits).all()


@pytest.mark.parametrize("name", [name for name in g.ModelBytes().tensors if name != "token_embd.weight"])
def test_a_missing_tensor(path: Path, name: str) -> None:
    malformed(path, g.ModelBytes().lacking(name), f"'{name}' is missing")


def test_a_file_without_weights(path: Path) -> None:
    malformed(path, g.ModelBytes().lacking("token_embd.weight"), "no weights")


@pytest.mark.parametrize("name", [name for name in g.ModelBytes().tensors if name != "token_embd.weight"])
def test_a_tensor_of_another_shape(path: Path, name: str) -> None:
    columns = None if "norm" in name else 8
    malformed(
        path, g.ModelBytes().with_tensor(g.float_tensor(name, 24, columns)), f"'{name}'.*where the metadata wants"
    )


def test_a_tensor_that_has_no_place(path: Path) -> None:
    for name in ("blk.1.attn_q.weight", "blk.0.ffn_gate_inp.weight", "blk.0.attn_q_norm.weight", "output_norm.bias"):
        unsupported(path, g.ModelBytes().with_tensor(g.float_tensor(name, 16)), f"'{name}' has no place")


@pytest.mark.parametrize(
    "name", ["v.blk.0.attn_q.weight", "v.patch_embd.weight", "a.conv1d.1.weight", "mm.0.weight", "mm.input_norm.weight"]
)
def test_a_part_that_sees_or_hears_is_neither_read_nor_counted(path: Path, name: str) -> None:
    text_alone = load(path, g.ModelBytes())
    size = _core.weights_size(_core.GgufFile(str(path)), "reference")
    (expected,) = text_alone.logits([[0, 1, 2]])
    model = load(path, g.ModelBytes().with_tensor(g.Tensor(name, (16, 3), 0, struct.pack("<48f", *[math.nan] * 48))))
    assert (model.weights_bytes, _core.weights_size(_core.GgufFile(str(path)), "reference")) == (
        text_alone.weights_bytes,
        size,
    )
    (logits,) = model.logits([[0, 1, 2]])
    assert (logits == expected).all()


@pytest.mark.parametrize(
    "key",
    [
        "general.architecture",
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.layer_norm_rms_epsilon",
    ],
)
def test_a_missing_key(path: Path, key: str) -> None:
    malformed(path, g.ModelBytes().lacking(key), f"'{key}' is missing")


@pytest.mark.parametrize(
    "value", [g.u32(0), g.u32(2**32 - 1), g.scalar(g.U64, 2**64 - 1), g.scalar(g.I32, -1), g.text("1")]
)
@pytest.mark.parametrize(
    "key",
    ["block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count",
     "attention.head_count_kv", "attention.key_length", "rope.dimension_count"],
)  # fmt: skip
def test_an_impossible_size(path: Path, key: str, value: g.Value) -> None:
    malformed(path, g.ModelBytes().having(**{f"llama.{key}": value}), key)


def test_heads_that_do_not_fit(path: Path) -> None:
    least = g.ModelBytes()
    malformed(
        path, least.having(llama__attention__head_count=g.u32(3), llama__attention__head_count_kv=g.u32(2)), "multiple"
    )
    malformed(path, least.having(llama__attention__head_count=g.u32(32)), "leaves heads no width")
    malformed(path, least.having(llama__rope__dimension_count=g.u32(7)), "does not fit the head width")
    malformed(path, least.having(llama__rope__dimension_count=g.u32(10)), "does not fit the head width")
    unsupported(path, least.having(llama__attention__value_length=g.u32(16)), "another width")


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, -math.inf, math.nan])
def test_numbers_that_make_no_sense(path: Path, value: float) -> None:
    for key in ("llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"):
        malformed(path, g.ModelBytes().having(**{key: g.scalar(g.F32, value)}), key)
    factors = g.Tensor("rope_freqs.weight", (4,), data=np.array([1, value, 1, 1], np.float32).tobytes())
    if not value > 0:
        malformed(path, g.ModelBytes().with_tensor(factors), r"rope_freqs\.weight")


def test_an_unknown_rope_scaling_is_unsupported(path: Path) -> None:
    unsupported(path, g.ModelBytes().having(llama__rope__scaling__type=g.text("dynamic")), "'dynamic'")
    for known in ("none", "linear", "yarn", "longrope"):
        assert load(path, g.ModelBytes().having(llama__rope__scaling__type=g.text(known)))


def test_rope_scaling_that_an_architecture_lacks_is_unsupported(path: Path) -> None:
    for architecture, scaling in (("gemma", "yarn"), ("gemma", "longrope"), ("qwen2", "longrope")):
        model = of_architecture(architecture, {"rope.scaling.factor": g.scalar(g.F32, 2.0)})
        key = f"{architecture}.rope.scaling.type"
        unsupported(path, model.having(**{key: g.text(scaling)}), f"'{key}' is '{scaling}'")


def test_experts_where_the_architecture_has_none_are_unsupported(path: Path) -> None:
    experts = of_architecture("qwen2", {"expert_count": g.u32(8)})
    unsupported(path, experts, "experts .*in this architecture")
    assert load(path, of_architecture("qwen2", {"expert_count": g.u32(0)}))


def test_experts_that_do_not_fit(path: Path) -> None:
    def experts(count: int, used: int, **more: g.Value) -> g.ModelBytes:
        return g.ModelBytes().having(llama__expert_count=g.u32(count), llama__expert_used_count=g.u32(used), **more)

    malformed(path, experts(4, 2), r"'blk\.0\.ffn_gate_inp\.weight' is missing")
    malformed(path, experts(4, 5), "expert_used_count' is 5")
    malformed(path, experts(4, 2).lacking("llama.expert_used_count"), "expert_used_count' is missing")
    unsupported(path, experts(4, 2, llama__expert_gating_func=g.u32(2)), "expert_gating_func")
    unsupported(path, experts(4, 2, llama__expert_group_count=g.u32(2)), "expert_group_count")
    routed = experts(4, 2).with_tensor(g.float_tensor("blk.0.ffn_gate_inp.weight", 4, 16))
    malformed(path, routed, r"'blk\.0\.ffn_gate_exps\.weight' is missing")
    flat = routed.with_tensor(g.float_tensor("blk.0.ffn_gate_exps.weight", 4 * 32, 16))
    malformed(path, flat, r"'blk\.0\.ffn_gate_exps\.weight' is not of 4 matrices")


def test_settings_that_differ_from_layer_to_layer_are_unsupported(path: Path) -> None:
    for key in ("feed_forward_length", "attention.head_count", "attention.head_count_kv"):
        name = f"llama.{key}"
        two = g.ModelBytes().having(llama__block_count=g.u32(2))
        unsupported(path, two.having(**{name: g.array(g.I32, [1, 2])}), f"'{name}' differs")
        malformed(path, g.ModelBytes().having(**{name: g.array(g.I32, [32, 32])}), "2 entries for 1 layers")
    assert load(path, g.ModelBytes().having(llama__feed_forward_length=g.array(g.I32, [32])))


def test_a_window_pattern_of_another_length(path: Path) -> None:
    keys = {"attention.sliding_window": g.u32(4), "attention.sliding_window_pattern": g.array(g.BOOL, [True, False])}
    malformed(path, of_architecture("gemma3", keys), "2 entries for 1 layers")


def test_more_layers_than_tensors_are_not_made_room_for(path: Path) -> None:
    malformed(path, g.ModelBytes().having(llama__block_count=g.u32(2**28)), "more than the file has tensors")


def of_architecture(name: str, keys: dict[str, g.Value]) -> g.ModelBytes:
    """The least model under another name."""
    least = g.ModelBytes()
    renamed = {key.replace("llama.", f"{name}."): value for key, value in least.metadata.items()}
    own = {f"{name}.{key}": value for key, value in keys.items()}
    return g.ModelBytes({**renamed, "general.architecture": g.text(name), **own}, least.tensors)


@pytest.mark.parametrize("architecture", ["", "gpt_neox", "llama4", "LLAMA"])
def test_another_architecture_is_unsupported(path: Path, architecture: str) -> None:
    unsupported(path, g.ModelBytes().having(general__architecture=g.text(architecture)), f"'{architecture}'")


def test_an_unknown_kernel_table_or_no_threads(path: Path) -> None:
    g.ModelBytes().write(path)
    with pytest.raises(ValueError, match="cuda"):
        _core.Model.load(str(path), "cuda", 1)
    with pytest.raises(ValueError, match="threads"):
        _core.Model.load(str(path), "reference", 0)


def test_evaluating_nonsense_is_refused(path: Path) -> None:
    model = load(path, g.ModelBytes())
    assert model.logits([]) == []
    for prompts, threads, chunk, match in (
        ([[0], []], 1, 1, "no tokens"),
        ([[4]], 1, 1, "token 4"),
        ([[-1]], 1, 1, "token -1"),
        ([[0]], 0, 1, "threads"),
        ([[0]], 1, 0, "prefill_chunk"),
    ):
        with pytest.raises(ValueError, match=match):
            model.logits(prompts, threads=threads, prefill_chunk=chunk)


def test_threads_that_the_system_refuses_are_an_error(path: Path) -> None:
    g.ModelBytes().write(path)
    program = f"""
from engine import _core
try:
    _core.Model.load({str(path)!r}, "reference", 4000)
except OSError:
    print("refused")
"""
    room = 4 << 30  # for the interpreter, not for the stacks of 4000 threads
    result = subprocess.run(  # noqa: S603
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room)),
    )
    assert (result.returncode, result.stdout) == (0, "refused\n")


# --- damage ----------------------------------------------------------------------------------------------------------


def use_everything(path: Path) -> None:
    """What the engine does with a file that somebody put into the models directory."""
    file = _core.GgufFile(str(path))
    for key in file.keys():  # noqa: SIM118  GgufFile is no mapping
        file.get(key)
        file.array_info(key)
    for tensor in file.tensors():
        assert tensor.size_bytes <= file.size_bytes
        assert tensor.name is not None
        assert tensor.shape
    vocabulary = _core.Vocabulary(file)
    vocabulary.detokenize(range(len(vocabulary)))
    model = _core.Model.load(str(path), "reference", 1)
    model.logits([[0, model.vocab_size - 1]])


REFUSALS = (_core.GgufError, _core.NonFiniteResultError, _core.UnsupportedModelError, OSError)


def survives(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        use_everything(path)
    except REFUSALS as refusal:
        assert str(refusal)  # noqa: PT017  either outcome is right; a refusal must say why


def replaced(content: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    damaged = bytearray(content)
    for position, new in changes:
        at = position % len(damaged)
        damaged[at : at + len(new)] = new[: len(damaged) - at]
    return bytes(damaged)


@pytest.mark.parametrize("table", ALL_TABLES)
def test_a_load_is_seen_and_cancelled_from_outside(path: Path, table: str) -> None:
    write_tiny_model(path)
    control = _core.LoadControl()
    _core.Model.load(str(path), table, 2, control)
    matrices = [tensor for tensor in _core.GgufFile(str(path)).tensors() if len(tensor.shape) == 2]
    assert control.bytes_done == sum(tensor.size_bytes for tensor in matrices)
    control.cancel()
    with pytest.raises(_core.CancelledError):
        _core.Model.load(str(path), table, 2, control)


LEAST = g.ModelBytes()
HEADER_BYTES = len(
    g.GgufBytes(tuple(LEAST.metadata.items()), [g.Tensor(t.name, t.dimensions) for t in LEAST.tensors.values()]).build()
)
TELLING = st.sampled_from([b"\0", b"\xff", b"\x80", bytes(8), b"\xff" * 8, bytes(7) + b"\x80", b"\x01", b"\x20"])
changes = st.lists(
    st.tuples(st.integers(0, HEADER_BYTES), st.one_of(TELLING, st.binary(min_size=1, max_size=8))),
    min_size=1,
    max_size=4,
)


@pytest.mark.slow
@given(changes=changes)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_header_is_refused_or_harmless(path: Path, changes: list[tuple[int, bytes]]) -> None:
    content = LEAST.write(path).read_bytes()
    survives(path, replaced(content, changes))


@pytest.mark.parametrize(
    "options", [{"vocabulary": "spm", "pre": None}, {"architecture": "qwen2", "tensor_type": "Q4_1"}]
)
def test_a_damaged_model_is_refused_or_harmless(path: Path, options: dict[str, object]) -> None:
    """Single bytes, one in each of many places, so that every field is hit."""
    content = write_tiny_model(path, n_layer=1, n_embd=32, n_head=2, n_head_kv=1, n_ff=32, **options).read_bytes()
    random = np.random.default_rng(10)
    for position in random.integers(0, len(content), 300).tolist():
        survives(path, replaced(content, [(position, random.bytes(1))]))
