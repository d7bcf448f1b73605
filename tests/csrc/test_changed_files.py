"""Files that change under those who read them: an error of the call that reads, never a signal or other weights."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine import _core
from engine.host.file_memory import file_identity
from tests.fuzz.mutation import Mutation
from tests.support import gguf_bytes as g
from tests.support.changed_files import CHANGES, Act, Change, outwait_tick, truncate
from tests.support.gguf_factory import write_tiny_model
from tests.support.kernel_tables import ALL_TABLES, assert_same_bits
from tests.support.split_models import SplitModel

pytestmark = pytest.mark.slow

PROMPT = [0, 1, 2, 3]
LARGE_ROWS = 1 << 19

changes = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "model.gguf", n_embd=256, n_ff=512, tensor_type="F16")


def write_large_model(path: Path) -> Path:
    """A hundred megabytes, nearly all a hole: long enough to be read for another thread to come between."""
    model = g.ModelBytes().having(
        llama__feed_forward_length=g.u32(LARGE_ROWS),
        tokenizer__ggml__pre=g.text("smollm"),
        tokenizer__ggml__merges=g.texts([]),
    )
    for name, columns, rows in (("gate", 16, LARGE_ROWS), ("up", 16, LARGE_ROWS), ("down", LARGE_ROWS, 16)):
        model = model.lacking(f"blk.0.ffn_{name}.weight")
        tensor = g.Tensor(f"blk.0.ffn_{name}.weight", (columns, rows), data=b"", offset=0)
        model = model.with_tensor(tensor)
    return _with_holes(path, model)


def _with_holes(path: Path, model: g.ModelBytes) -> Path:
    written, holes, end = [], [], 0
    for tensor in model.tensors.values():
        size = 4 * int(np.prod(tensor.dimensions))
        if tensor.data:
            written.append(g.Tensor(tensor.name, tensor.dimensions, data=tensor.data))
            end += -(-size // 32) * 32
        else:
            holes.append(tensor)
    for tensor in holes:
        written.append(g.Tensor(tensor.name, tensor.dimensions, data=b"", offset=end))
        end += 4 * int(np.prod(tensor.dimensions))
    header = g.GgufBytes(tuple(model.metadata.items()), written).write(path).stat().st_size
    small = sum(-(-len(tensor.data) // 32) * 32 for tensor in written)
    os.truncate(path, header - small + end)
    return path


# --- one state of a file ---------------------------------------------------------------------------------------------


@changes
def test_every_change_is_another_identity(path: Path, change: Change) -> None:
    file = _core.GgufFile(str(path))
    assert file.identity == file_identity(path)
    change(path)()
    assert not path.exists() or file.identity != file_identity(path)


@changes
def test_what_was_parsed_stays_readable(path: Path, change: Change) -> None:
    file = _core.GgufFile(str(path))
    before = {key: file.get(key) for key in file.keys()}  # noqa: SIM118  a GgufFile is no mapping
    change(path)()
    assert {key: file.get(key) for key in file.keys()} == before  # noqa: SIM118
    assert len(_core.Vocabulary(file)) > 0
    assert [tensor.name for tensor in file.tensors()]


@pytest.mark.parametrize("table", ALL_TABLES)
@changes
def test_a_loaded_model_computes_on_as_if_nothing_had_happened(path: Path, change: Change, table: str) -> None:
    model = _core.Model.load(str(path), table, 2)
    before, size = model.logits([PROMPT])[0], model.weights_bytes
    change(path)()
    assert_same_bits(model.logits([PROMPT])[0], before)
    assert model.weights_bytes == size


@pytest.mark.parametrize("table", ALL_TABLES)
@changes
def test_only_the_file_that_was_parsed_is_loaded(path: Path, change: Change, table: str) -> None:
    file = _core.GgufFile(str(path))
    change(path)()
    with pytest.raises(_core.ChangedFileError, match="changed while it was read"):
        _core.Model.load(file, table, 2)


@changes
def test_only_the_file_that_was_parsed_is_quantized(path: Path, change: Change, tmp_path: Path) -> None:
    quantization = _core.ModelQuantization(_core.GgufFile(str(path)), "q8_0", kernel_table="reference", threads=2)
    change(path)()
    with pytest.raises(_core.ChangedFileError):
        quantization.run(str(tmp_path / "quantized.gguf"))
    assert not (tmp_path / "quantized.gguf").exists()


@changes
def test_only_the_file_that_was_parsed_gives_tensors(path: Path, change: Change) -> None:
    file = _core.GgufFile(str(path))
    assert len(file.tensor_bytes("token_embd.weight")) == file.tensors()[0].size_bytes
    with pytest.raises(ValueError, match="'nothing'"):
        file.tensor_bytes("nothing")
    change(path)()
    with pytest.raises(_core.ChangedFileError):
        file.tensor_bytes("token_embd.weight")


@changes
@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_part_of_a_split_model_counts(tmp_path: Path, change: Change, number: int) -> None:
    first = SplitModel().write(tmp_path)
    paths = [tmp_path / f"model-{part:05}-of-00003.gguf" for part in (1, 2, 3)]
    file = _core.GgufFile(str(first))
    assert file.paths == [str(part) for part in paths]
    assert file.identity == file_identity(*paths)
    change(paths[number - 1])()
    with pytest.raises(_core.ChangedFileError):
        _core.Model.load(file, "reference", 1)


# --- while it is read ------------------------------------------------------------------------------------------------


def changed_midway(begin: Callable[[_core.LoadControl], object], act: Act) -> object | Exception:
    """What comes of work during which the act is done, unless it was done before."""
    control = _core.LoadControl()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(begin, control)
        while not control.bytes_done and not work.done():
            threading.Event().wait(0.0001)
        act()
        return work.exception() or work.result()


@pytest.mark.parametrize("table", ALL_TABLES)
@changes
def test_a_change_while_a_model_is_loaded_ends_the_load(tmp_path: Path, change: Change, table: str) -> None:
    """A load that was done before the change has what the file held before."""
    expected = _core.Model.load(str(write_large_model(tmp_path / "model.gguf")), table, 2).logits([PROMPT])[0]
    for attempt in range(50):
        path = write_large_model(tmp_path / f"{attempt}.gguf")
        file = _core.GgufFile(str(path))
        outcome = changed_midway(partial(_core.Model.load, file, table, 2), change(path))
        path.unlink(missing_ok=True)
        if isinstance(outcome, _core.ChangedFileError):
            return
        assert isinstance(outcome, _core.Model)
        assert_same_bits(outcome.logits([PROMPT])[0], expected)
    pytest.fail("every load was done before the change")


@given(size=st.integers(1, 4000))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_anywhere_is_refused(tmp_path: Path, size: int) -> None:
    path = g.ModelBytes().write(tmp_path / "model.gguf")
    file = _core.GgufFile(str(path))
    os.truncate(path, min(size, path.stat().st_size - 1))
    with pytest.raises(_core.ChangedFileError):
        _core.Model.load(file, "reference", 1)
    with pytest.raises(_core.GgufError):
        _core.GgufFile(str(path))


def test_whatever_takes_a_models_place_between_its_header_and_its_tensors_is_not_loaded(tmp_path: Path) -> None:
    path = g.ModelBytes().write(tmp_path / "model.gguf")
    content = path.read_bytes()
    mutation = Mutation([content], seed=15)
    for _ in range(300):
        path.write_bytes(content)
        outwait_tick(path)
        file = _core.GgufFile(str(path))
        path.write_bytes(mutation.next())
        with pytest.raises(_core.ChangedFileError):
            _core.Model.load(file, "reference", 1)


def test_metadata_that_fill_the_memory_are_refused(tmp_path: Path) -> None:
    """An array as long as the file, which is a terabyte of nothing."""
    path = tmp_path / "hollow.gguf"
    g.GgufBytes([("array", g.array(g.U8, [], count=1 << 39))]).write(path)
    os.truncate(path, 1 << 40)
    with pytest.raises(_core.GgufError, match="reaches beyond the 256 MiB"):
        _core.GgufFile(str(path))


def test_a_file_is_not_held_open_once_it_is_loaded(path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    model = _core.Model.load(str(path), "reference", 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert str(path) not in Path("/proc/self/maps").read_text(encoding="utf-8")
    assert model.weights_bytes


def test_a_truncated_file_has_no_digest(path: Path) -> None:
    digest = _core.file_digest(str(path))
    truncate(path)()
    assert _core.file_digest(str(path)) != digest
