"""Reading GGUF: well-formed files in full, everything else refused before any of it is believed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from engine import _core
from tests.support import gguf_bytes as g
from tests.support.gguf_factory import new_gguf, write_tiny_model

PLAIN_TENSOR = g.Tensor("t", (4, 2), data=bytes(32))
EVERY_SCALAR = [
    (g.U8, 255), (g.I8, -128), (g.U16, 65535), (g.I16, -32768), (g.U32, 2**32 - 1), (g.I32, -(2**31)),
    (g.F32, 0.5), (g.BOOL, True), (g.U64, 2**64 - 1), (g.I64, -(2**63)), (g.F64, 1e300),
]  # fmt: skip
TYPE_NAMES = ("u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.gguf"


def refused(path: Path, file: g.GgufBytes, match: str) -> None:
    with pytest.raises(_core.GgufError, match=match):
        _core.GgufFile(str(file.write(path)))


@pytest.mark.parametrize("version", [2, 3])
def test_every_value_type_is_read(path: Path, version: int) -> None:
    pairs = [(f"scalar.{type_id}", g.scalar(type_id, value)) for type_id, value in EVERY_SCALAR]
    pairs += [(f"array.{type_id}", g.array(type_id, [value, 0, value])) for type_id, value in EVERY_SCALAR]
    pairs += [("text", g.text("olá 🙂")), ("texts", g.texts(["", "a", "ç"])), ("empty", g.array(g.U8, []))]
    file = _core.GgufFile(str(g.GgufBytes(pairs, version=version).write(path)))
    assert (file.path, file.version, file.size_bytes) == (str(path), version, path.stat().st_size)
    assert file.keys() == [key for key, _ in pairs]
    for type_id, value in EVERY_SCALAR:
        assert file.get(f"scalar.{type_id}") == value
        assert type(file.get(f"scalar.{type_id}")) is type(value)
        assert file.get(f"array.{type_id}") == [value, 0, value]
        assert file.array_info(f"array.{type_id}") == (TYPE_NAMES[type_id], 3)
    assert file.get("text") == "olá 🙂"
    assert file.get("texts") == ["", "a", "ç"]
    assert (file.get("empty"), file.array_info("empty")) == ([], ("u8", 0))
    assert "text" in file
    assert "absent" not in file
    assert (file.get("absent"), file.array_info("absent"), file.array_info("text")) == (None, None, None)
    assert file.tensors() == []


def test_bytes_that_are_not_utf8_are_shown_as_such(path: Path) -> None:
    file = g.GgufBytes([(b"k\xff", g.text(b"\xc3(")), ("list", g.texts([b"\xff"]))]).write(path)
    reader = _core.GgufFile(str(file))
    assert reader.keys() == ["k\ufffd", "list"]
    assert reader.get("list") == ["\ufffd"]


def test_what_the_gguf_package_writes_is_read(path: Path) -> None:
    with new_gguf(path, "llama") as writer:
        writer.add_uint64("answer", 42)
        writer.add_array("floats", [1.5, 2.5])
        writer.add_array("flags", [True, False])
        writer.add_tensor("matrix", np.arange(6, dtype=np.float32).reshape(2, 3))
        writer.add_tensor("halves", np.zeros((4, 2, 5), np.float16))
    file = _core.GgufFile(str(path))
    assert file.get("general.architecture") == "llama"
    assert (file.get("answer"), file.get("floats"), file.get("flags")) == (42, [1.5, 2.5], [True, False])
    described = [(tensor.name, tensor.type, tensor.shape, tensor.size_bytes) for tensor in file.tensors()]
    assert described == [("matrix", "F32", (2, 3), 24), ("halves", "F16", (4, 2, 5), 80)]


def test_tensors_outlive_the_file_object(path: Path) -> None:
    tensors = _core.GgufFile(str(g.GgufBytes([], [PLAIN_TENSOR]).write(path))).tensors()
    path.unlink()
    assert tensors[0].name == "t"


@pytest.mark.parametrize("alignment", [1, 8, 64, 65536])
def test_another_alignment_is_obeyed(path: Path, alignment: int) -> None:
    tensors = [g.Tensor("a", (5,), data=bytes(20)), g.Tensor("b", (2,), data=bytes(8))]
    file = g.GgufBytes([("general.alignment", g.u32(alignment))], tensors, alignment=alignment)
    assert len(_core.GgufFile(str(file.write(path))).tensors()) == 2


# --- files that cannot be opened -------------------------------------------------------------------------------------


def test_a_missing_file_is_an_os_error(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"file\.gguf"):
        _core.GgufFile(str(path))
    with pytest.raises(FileNotFoundError):
        _core.Model.load(str(path), "reference", 1)
    with pytest.raises(NotADirectoryError):
        _core.GgufFile(str(g.GgufBytes().write(path) / "below"))


def test_only_regular_files_are_read(path: Path, tmp_path: Path) -> None:
    os.mkfifo(path)
    for irregular in (tmp_path, path, Path("/dev/zero")):
        with pytest.raises(_core.GgufError, match="not a regular file"):
            _core.GgufFile(str(irregular))


def test_an_empty_file(path: Path) -> None:
    path.touch()
    with pytest.raises(_core.GgufError, match="empty"):
        _core.GgufFile(str(path))


# --- the header ------------------------------------------------------------------------------------------------------


def test_another_magic(path: Path) -> None:
    refused(path, g.GgufBytes(magic=b"GGML"), "GGUF")


@pytest.mark.parametrize("version", [0, 1, 4, 0x03000000, 0x02000000])
def test_another_version_or_byte_order(path: Path, version: int) -> None:
    refused(path, g.GgufBytes(version=version), "version")


@pytest.mark.parametrize("count", [3, 10**6, 2**32, 2**61, 2**63, 2**64 - 1])
def test_counts_beyond_the_file(path: Path, count: int) -> None:
    pairs = [("key", g.u32(1))]
    refused(path, g.GgufBytes(pairs, tensor_count=count), "tensors|ends inside")
    refused(path, g.GgufBytes(pairs, pair_count=count), "keys|ends inside")


# --- metadata --------------------------------------------------------------------------------------------------------

HUGE = [100, 2**32, 2**61, 2**62, 2**63, 2**64 - 8, 2**64 - 1]


@pytest.mark.parametrize("length", HUGE)
def test_strings_longer_than_the_file(path: Path, length: int) -> None:
    refused(path, g.GgufBytes([("key", g.text("value", length))]), "key")
    listed = g.Value(g.ARRAY, g.texts(["a"], 2).payload + g.text_bytes("b", length))
    refused(path, g.GgufBytes([("key", listed)]), "key")
    head = g.GgufBytes(pair_count=1).build()
    path.write_bytes(head + g.text_bytes("key", length) + bytes(64))
    with pytest.raises(_core.GgufError, match="a key"):
        _core.GgufFile(str(path))


def test_a_name_that_begins_with_nothing_is_still_named(path: Path) -> None:
    refused(path, g.GgufBytes([("\0key", g.text("value", 2**32))]), r"key '\\x00key' is")
    refused(path, g.GgufBytes([("key\n\x7f", g.Value(99, bytes(64)))]), r"key 'key\\x0a\\x7f'")


@pytest.mark.parametrize("count", HUGE)
@pytest.mark.parametrize("type_id", [g.U8, g.U16, g.F32, g.F64, g.STRING])
def test_arrays_longer_than_the_file(path: Path, type_id: int, count: int) -> None:
    values = g.texts(["a"], count) if type_id == g.STRING else g.array(type_id, [1], count)
    refused(path, g.GgufBytes([("key", values)]), "key|ends inside")


def test_unknown_value_types_and_nested_arrays(path: Path) -> None:
    for type_id in (13, 99, 2**32 - 1):
        refused(path, g.GgufBytes([("key", g.Value(type_id, bytes(64)))]), "unknown value type")
        listed = g.Value(g.ARRAY, g.array(g.U8, [0] * 64).payload)
        unknown = g.Value(g.ARRAY, type_id.to_bytes(4, "little") + listed.payload[4:])
        refused(path, g.GgufBytes([("key", unknown)]), "unknown value type")
    nested = g.Value(g.ARRAY, g.u32(g.ARRAY).payload + (1).to_bytes(8, "little") + g.array(g.U8, [1]).payload)
    refused(path, g.GgufBytes([("key", nested)]), "array of arrays")


def test_a_key_that_appears_twice(path: Path) -> None:
    refused(path, g.GgufBytes([("key", g.u32(1)), ("key", g.u32(2))]), "'key' appears twice")


@pytest.mark.parametrize("alignment", [g.u32(0), g.u32(3), g.u32(2**31), g.scalar(g.I32, -32), g.text("32")])
def test_an_impossible_alignment(path: Path, alignment: g.Value) -> None:
    refused(path, g.GgufBytes([("general.alignment", alignment)], [PLAIN_TENSOR]), r"general\.alignment")


# --- tensors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (g.Tensor("t", (), data=bytes(64)), "0 dimensions"),
        (g.Tensor("t", (1, 1, 1, 1, 1), data=bytes(64)), "5 dimensions"),
        (g.Tensor("t", (4,), data=bytes(64), dimension_count=2**32 - 1), "dimensions"),
        (g.Tensor("t", (4, 0), data=bytes(64)), "empty dimension"),
        (g.Tensor("t", (0,), data=bytes(64)), "empty dimension"),
        (g.Tensor("t", (2**32, 2**32), data=bytes(64)), "beyond the end"),
        (g.Tensor("t", (2**63, 2, 2**63, 2), data=bytes(64)), "beyond the end"),
        (g.Tensor("t", (2**62,), data=bytes(64)), "beyond the end"),
        (g.Tensor("t", (2**64 - 4,), data=bytes(64)), "beyond the end"),
        (g.Tensor("t", (17,), data=bytes(64)), "beyond the end"),
        (g.Tensor("t", (4,), data=bytes(64), offset=2**64 - 32), "beyond the end"),
        (g.Tensor("t", (4,), data=bytes(64), offset=2**64 - 1), "beyond the end"),
        (g.Tensor("t", (4,), data=bytes(64), offset=64), "beyond the end"),
        (g.Tensor("t", (4,), data=bytes(64), offset=1), "not aligned"),
        (g.Tensor("t", (4,), data=bytes(64), offset=16), "not aligned"),
        (g.Tensor("t", (33,), type_id=8, data=bytes(64)), "multiple of the 32 of Q8_0"),
        (g.Tensor("t", (128,), type_id=12, data=bytes(144)), "multiple of the 256 of Q4_K"),
        (g.Tensor("n" * 257, (4,), data=bytes(64)), "a tensor name"),
    ],
)
def test_an_impossible_tensor(path: Path, tensor: g.Tensor, match: str) -> None:
    refused(path, g.GgufBytes([], [tensor]), match)


def test_tensors_that_overlap(path: Path) -> None:
    first = g.Tensor("first", (16,), data=bytes(64))
    for offset, size in ((0, 4), (32, 8), (0, 16)):
        refused(path, g.GgufBytes([], [first, g.Tensor("second", (size,), data=bytes(64), offset=offset)]), "overlap")
    by_a_byte = g.Tensor("second", (1,), data=bytes(64), offset=63)
    refused(path, g.GgufBytes([("general.alignment", g.u32(1))], [first, by_a_byte], alignment=1), "overlap")


def test_a_tensor_that_appears_twice(path: Path) -> None:
    refused(path, g.GgufBytes([], [PLAIN_TENSOR, PLAIN_TENSOR]), "'t' appears twice")


@pytest.mark.parametrize("type_id", [4, 5, 9, 15, 31, 36, 99, 2**32 - 1])
def test_a_tensor_of_an_unknown_type_is_foreign(path: Path, type_id: int) -> None:
    written = g.GgufBytes([], [g.Tensor("odd one", (256, 2), type_id, bytes(1024)), PLAIN_TENSOR]).write(path)
    file = _core.GgufFile(str(written))
    assert file.foreign_tensors() == [("odd one", type_id, (2, 256))]
    assert [tensor.name for tensor in file.tensors()] == [PLAIN_TENSOR.name]


# --- truncation ------------------------------------------------------------------------------------------------------


def assert_every_truncation_is_refused(path: Path, seed: int) -> None:
    size = path.stat().st_size
    # The last tensor may be followed by up to an alignment of padding, which may be missing.
    offsets = [*np.random.default_rng(seed).integers(0, size - 32, 47).tolist(), 1, 23, size - 33]
    for offset in sorted(offsets, reverse=True):
        os.truncate(path, offset)
        for load in (_core.GgufFile, lambda name: _core.Model.load(name, "reference", 1)):
            with pytest.raises(_core.GgufError):
                load(str(path))


@pytest.mark.parametrize("options", [{"tensor_type": "F32"}, {"architecture": "qwen2", "tensor_type": "Q4_0"}])
def test_a_truncated_model_is_refused(path: Path, options: dict[str, object]) -> None:
    assert_every_truncation_is_refused(write_tiny_model(path, **options), seed=8)


def test_a_truncated_header_is_refused_at_every_byte(path: Path) -> None:
    content = g.GgufBytes([("key", g.text("value")), ("list", g.texts(["a", "b"]))], [PLAIN_TENSOR]).build()
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(_core.GgufError):
            _core.GgufFile(str(path))


def test_the_real_model_truncated_is_refused(path: Path, smollm2_path: Path) -> None:
    shutil.copyfile(smollm2_path, path)
    assert_every_truncation_is_refused(path, seed=9)
