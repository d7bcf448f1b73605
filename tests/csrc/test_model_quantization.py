"""Whole models quantized: a file that all readers take, made once, on any number of threads, or nothing at all."""

from __future__ import annotations

import errno
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from engine import _core
from tests.csrc.quantizing import quantization
from tests.golden.quantized_data import RECIPES
from tests.support.architecture_models import ALL_CASES, write_architecture_model
from tests.support.blocks import LAYOUTS, random_weights
from tests.support.damaged_models import encoded
from tests.support.gguf_bytes import GgufBytes, ModelBytes, Tensor, text, u32
from tests.support.gguf_factory import new_gguf, write_tiny_model
from tests.support.quantized_models import WideModel, write_wide_model
from tests.support.split_models import SplitModel

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_wide_model(tmp_path / "source.gguf", WideModel(layers=3, tied=False, tensor_type="F16"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.gguf"


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_any_number_of_threads_makes_the_same_file(threads: int, source: Path, target: Path, tmp_path: Path) -> None:
    quantization(source).run(str(tmp_path / "one.gguf"))
    quantization(source, threads=threads).run(str(target))
    assert target.read_bytes() == (tmp_path / "one.gguf").read_bytes()


def test_the_file_is_what_was_announced(source: Path, target: Path) -> None:
    made = quantization(source)
    made.run(str(target))
    written = _core.GgufFile(str(target))
    assert {tensor.name: tensor.type for tensor in written.tensors()} == made.tensor_types()
    assert [tensor.name for tensor in written.tensors()] == list(made.tensor_types())
    assert target.stat().st_size == made.file_bytes
    assert target.stat().st_size % 32 == 0


def test_the_type_and_version_stand_at_the_end_of_the_keys(source: Path, target: Path) -> None:
    quantization(source, "q6_k").run(str(target))
    before, after = _core.GgufFile(str(source)), _core.GgufFile(str(target))
    moved = ["general.quantization_version", "general.file_type"]
    assert after.keys() == [key for key in before.keys() if key not in moved] + moved  # noqa: SIM118
    assert [after.get(key) for key in moved] == [2, 18]
    assert all(after.get(key) == before.get(key) for key in after.keys() if key not in moved)  # noqa: SIM118


def test_a_split_model_becomes_whole(tmp_path: Path, target: Path) -> None:
    quantization(SplitModel().write(tmp_path), "q8_0").run(str(target))
    file = _core.GgufFile(str(target))
    assert not [key for key in file.keys() if key.startswith("split")]  # noqa: SIM118
    assert {tensor.name for tensor in file.tensors()} == set(ModelBytes().tensors)


@pytest.mark.parametrize("case", ["phi3_wide", "gemma3_wide", "olmo2_wide", "qwen2moe_wide", "llama_experts_wide"])
def test_a_quantized_model_of_every_kind_runs(case: str, tmp_path: Path, target: Path) -> None:
    """Norms, routers and shares keep their floats; what is fused or of experts is quantized as one tensor."""
    source = write_architecture_model(tmp_path / "model.gguf", **ALL_CASES[case])
    quantization(source, "q4_k_m").run(str(target))
    floats = {tensor.name for tensor in _core.GgufFile(str(target)).tensors() if tensor.type == "F32"}
    assert all("norm" in name or "gate_inp" in name or "bias" in name for name in floats)
    before, after = (_core.Model.load(str(path), "reference", 1).logits([[5, 6, 7, 8]])[0] for path in (source, target))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.8


def test_other_alignments_are_kept(tmp_path: Path, target: Path) -> None:
    with new_gguf(tmp_path / "aligned.gguf", "llama") as writer:
        writer.add_custom_alignment(256)
        writer.add_block_count(1)
        for layer in range(3):
            writer.add_tensor(f"blk.{layer}.attn_q.weight", np.ones((3, 32), np.float32))
    quantization(tmp_path / "aligned.gguf", "q8_0").run(str(target))
    assert [tensor.data_offset % 256 for tensor in gguf.GGUFReader(target).tensors] == [0, 0, 0]
    for tensor in gguf.GGUFReader(target).tensors:
        np.testing.assert_allclose(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.ones((3, 32)), rtol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_quantized_model_runs(recipe: str, tmp_path: Path, target: Path) -> None:
    source = write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, n_layer=8)
    quantization(source, recipe).run(str(target))
    prompt = [[1, 5, 9, 2]]
    exact, quantized = (_core.Model.load(str(path), "reference", 1).logits(prompt)[0] for path in (source, target))
    assert np.abs(exact - quantized).mean() < 0.3 * exact.std()


def test_what_is_already_of_its_type_is_copied(source: Path, target: Path, tmp_path: Path) -> None:
    quantization(source).run(str(target))
    again = tmp_path / "again.gguf"
    quantization(target).run(str(again))
    assert again.read_bytes() == target.read_bytes()


def test_progress_ends_with_everything_done(source: Path, target: Path) -> None:
    made = quantization(source, threads=2)
    file = _core.GgufFile(str(source))
    before = made.progress()
    assert (before.bytes_done, before.tensors_done) == (0, 0)
    made.run(str(target))
    after = made.progress()
    assert after.bytes_done == after.bytes_total == sum(tensor.size_bytes for tensor in file.tensors())
    assert after.tensors_done == after.tensors_total == len(file.tensors())
    assert after.tensor in made.tensor_types()


def test_a_cancelled_quantization_leaves_nothing(source: Path, target: Path) -> None:
    made = quantization(source)
    made.cancel()
    with pytest.raises(_core.CancelledError, match="cancelled"):
        made.run(str(target))
    assert not target.exists()


def test_a_running_quantization_is_seen_and_cancelled_from_another_thread(tmp_path: Path, target: Path) -> None:
    # The scalar table takes far longer for this than the other thread needs to look.
    source = write_wide_model(tmp_path / "large.gguf", WideModel(layers=12, rows=512))
    made = quantization(source)
    failures: list[BaseException] = []

    def run() -> None:
        try:
            made.run(str(target))
        except _core.CancelledError as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while made.progress().bytes_done == 0:
        assert thread.is_alive()
    made.cancel()
    thread.join()
    assert len(failures) == 1
    assert made.progress().bytes_done < made.progress().bytes_total
    assert not target.exists()


_KILLED = """
import os, signal, sys, threading
from tests.csrc.quantizing import quantization

made = quantization(sys.argv[1])
threading.Thread(target=made.run, args=(sys.argv[2],), daemon=True).start()
while made.progress().bytes_done == 0:
    pass
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_quantization_that_is_killed_leaves_nothing_under_its_name(tmp_path: Path, target: Path) -> None:
    source = write_wide_model(tmp_path / "large.gguf", WideModel(layers=12, rows=512))
    killed = subprocess.run([sys.executable, "-c", _KILLED, source, target], check=False)  # noqa: S603  this program
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert [path.suffix for path in tmp_path.iterdir() if path != source] == [".part"]


def test_a_quantization_runs_once(source: Path, target: Path) -> None:
    made = quantization(source)
    made.run(str(target))
    with pytest.raises(RuntimeError, match="runs once"):
        made.run(str(target.with_suffix(".second")))


def test_what_is_there_is_not_overwritten(source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(FileExistsError):
        quantization(source).run(str(source))
    assert source.read_bytes() == before


def test_what_came_meanwhile_is_not_overwritten(source: Path, target: Path) -> None:
    made = quantization(source)
    target.symlink_to("nowhere")
    with pytest.raises(FileExistsError):
        made.run(str(target))
    assert target.is_symlink()
    assert {path.name for path in target.parent.iterdir()} == {source.name, target.name}


def test_a_folder_that_is_not_there_is_an_os_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        quantization(source).run(str(tmp_path / "absent" / "target.gguf"))


def test_a_file_that_does_not_fit_is_an_os_error(source: Path, target: Path) -> None:
    made = quantization(source)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (made.file_bytes - 1, before[1]))
    try:
        with pytest.raises(OSError, match="too large") as caught:
            made.run(str(target))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert not target.exists()


@pytest.fixture
def with_values(tmp_path: Path) -> Callable[[list[float]], Path]:
    """A model of one matrix, in which these are the only numbers that are not 0."""

    def write(values: list[float]) -> Path:
        weights = np.zeros((4, 256), np.float32)
        weights[3, : len(values)] = values
        with new_gguf(tmp_path / "bad.gguf", "llama") as writer:
            writer.add_block_count(1)
            writer.add_tensor("blk.0.attn_v.weight", weights)
        return tmp_path / "bad.gguf"

    return write


@pytest.mark.parametrize(
    ("values", "recipe", "why"),
    [
        ([np.nan, 1.0], "q4_k_m", "NaN or infinities"),
        ([np.inf, 1.0], "q8_0", "NaN or infinities"),
        ([1e30, -1e30], "q8_0", "too large for Q8_0"),
        ([1e12, -1e12], "q4_k_m", "too large for Q6_K"),
        # Other quantizers write zeros for these, since squares overflow.
        ([1e20, -1e20], "q6_k", "too large for Q6_K"),
        ([3e38, 1.0], "q6_k", "too large for Q6_K"),
    ],
)
def test_numbers_that_cannot_be_quantized_name_their_tensor(
    values: list[float], recipe: str, why: str, with_values: Callable[[list[float]], Path], target: Path
) -> None:
    with pytest.raises(_core.UnquantizableTensorError, match=rf"'blk\.0\.attn_v\.weight' .*{why}"):
        quantization(with_values(values), recipe, threads=2).run(str(target))
    assert not target.exists()


@pytest.mark.parametrize(("weight", "importance"), [(0.5, 1e31), (1e6, 1e19), (1e-30, 3e38)])
def test_importance_that_overflows_a_search_names_its_tensor(
    weight: float, importance: float, with_values: Callable[[list[float]], Path], target: Path
) -> None:
    values = {"blk.0.attn_v.weight": np.full(256, importance, np.float32)}
    with pytest.raises(_core.UnquantizableTensorError, match=r"'blk\.0\.attn_v\.weight' has an importance too large"):
        quantization(with_values([weight, -weight]), importance=values).run(str(target))
    assert not target.exists()


def test_a_copied_tensor_is_checked_as_well(tmp_path: Path, target: Path) -> None:
    norm = Tensor("output_norm.weight", (16,), data=np.full(16, np.nan, np.float32).tobytes())
    source = ModelBytes().with_tensor(norm).write(tmp_path / "bad.gguf")
    with pytest.raises(_core.UnquantizableTensorError, match=r"output_norm\.weight"):
        quantization(source, "q8_0").run(str(target))


@pytest.mark.parametrize("name", ["blk.0.attn_q.weight", "blk.0.ffn_gate_inp.weight"], ids=["converted", "copied"])
@pytest.mark.parametrize("type_name", LAYOUTS)
def test_a_scale_that_is_no_number_names_its_tensor(type_name: str, name: str, tmp_path: Path, target: Path) -> None:
    layout = LAYOUTS[type_name]
    weights = random_weights(np.random.default_rng(1), type_name, 8, 256)
    scale = np.frombuffer(encoded(type_name, np.nan), np.uint8)
    weights.reshape(8, -1, layout.block_bytes)[5, -1, layout.scale_at : layout.scale_at + len(scale)] = scale
    with new_gguf(tmp_path / "bad.gguf", "llama") as writer:
        writer.add_block_count(1)
        writer.add_tensor(name, weights, raw_dtype=gguf.GGMLQuantizationType[type_name])
    with pytest.raises(_core.UnquantizableTensorError, match=rf"'{name}' holds NaN or infinities"):
        quantization(tmp_path / "bad.gguf").run(str(target))


@pytest.mark.parametrize(
    ("importance", "why"),
    [
        ({"blk.0.attn_q.weight": np.ones(255, np.float32)}, "255 values where the tensor has 256"),
        ({"blk.0.attn_q.weight": np.full(256, np.nan, np.float32)}, "not finite"),
    ],
)
def test_importance_that_does_not_fit_is_refused(importance: dict[str, np.ndarray], why: str, source: Path) -> None:
    with pytest.raises(ValueError, match=why):
        quantization(source, importance=importance)


def test_importance_of_absent_tensors_and_of_another_embedding_is_no_fault(source: Path, target: Path) -> None:
    importance = {"token_embd.weight": np.ones(7, np.float32), "blk.99.attn_q.weight": np.ones(3, np.float32)}
    quantization(source, importance=importance).run(str(target))
    assert Counter(quantization(source).tensor_types().values())["Q4_K"] > 0


def test_unknown_recipes_tables_and_no_threads_are_refused(source: Path) -> None:
    with pytest.raises(ValueError, match="recipe"):
        quantization(source, "q3_k")
    with pytest.raises(ValueError, match="kernel table"):
        quantization(source, table="cpu_mmx")
    with pytest.raises(ValueError, match="threads"):
        quantization(source, threads=0)


@pytest.mark.parametrize("layers", [None, 0, 1 << 20])
def test_a_model_without_a_sane_number_of_layers_is_refused(layers: int | None, tmp_path: Path) -> None:
    model = ModelBytes()
    model = model.lacking("llama.block_count") if layers is None else model.having(llama__block_count=u32(layers))
    with pytest.raises(_core.GgufError, match=r"llama\.block_count"):
        quantization(model.write(tmp_path / "model.gguf"))


def test_a_file_without_tensors_stays_one(tmp_path: Path, target: Path) -> None:
    empty = GgufBytes((("general.architecture", text("llama")), ("llama.block_count", u32(1))), ())
    quantization(empty.write(tmp_path / "empty.gguf")).run(str(target))
    assert _core.GgufFile(str(target)).tensors() == []
