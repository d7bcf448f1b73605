"""Importance matrices in both of their forms, whole and damaged."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from engine.weights import importance
from engine.weights.importance import ImportanceError, read_importance
from tests.support.importance_files import BinaryEntry, binary_importance, write_gguf_importance

QUERY: BinaryEntry = (b"blk.0.attn_q.weight", 4, [8.0, 2.0, 0.0])
DOWN: BinaryEntry = (b"blk.0.ffn_down.weight", 0, [5.0, 7.0])
SIGNALLING_NAN = np.array([0x7F800001], np.uint32).view(np.float32)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def floats(*rows: Sequence[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_the_binary_form_is_divided_by_its_calls(tmp_path: Path) -> None:
    content = binary_importance(QUERY, DOWN)
    matrix = read_importance(write(tmp_path / "matrix.dat", content))
    assert list(matrix.values) == ["blk.0.attn_q.weight", "blk.0.ffn_down.weight"]
    assert matrix.values["blk.0.attn_q.weight"].tolist() == [2.0, 0.5, 0.0]
    assert matrix.values["blk.0.ffn_down.weight"].tolist() == [5.0, 7.0]
    assert matrix.values["blk.0.attn_q.weight"].dtype == np.float32
    assert matrix.content_hash == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_the_binary_form_may_end_with_its_entries(tmp_path: Path) -> None:
    assert read_importance(write(tmp_path / "matrix.dat", binary_importance(QUERY, tail=b""))).values


def test_the_gguf_form_is_divided_by_its_counts(tmp_path: Path) -> None:
    path = write_gguf_importance(
        tmp_path / "matrix.gguf",
        {"a.weight.in_sum2": floats([3.0, 6.0]), "a.weight.counts": floats([3.0])},
    )
    assert read_importance(path).values["a.weight"].tolist() == [1.0, 2.0]


def test_every_expert_has_its_count_and_one_without_inputs_counts_evenly(tmp_path: Path) -> None:
    path = write_gguf_importance(
        tmp_path / "matrix.gguf",
        {"a.weight.in_sum2": floats([3.0, 6.0], [0.0, 0.0]), "a.weight.counts": floats([3.0], [0.0])},
    )
    assert read_importance(path).values["a.weight"].tolist() == [1.0, 2.0, 1.0, 1.0]


def test_counts_are_rounded_to_whole_inputs_halves_away_from_0(tmp_path: Path) -> None:
    path = write_gguf_importance(
        tmp_path / "matrix.gguf",
        {"a.weight.in_sum2": floats([6.0], [6.0], [6.0]), "a.weight.counts": floats([2.5], [1.49], [0.49])},
    )
    assert read_importance(path).values["a.weight"].tolist() == [2.0, 6.0, 1.0]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ends inside the number of entries"),
        (binary_importance(count=0), "number of entries is 0"),
        (binary_importance(count=-1), "number of entries is -1"),
        (binary_importance(count=1 << 30), "number of entries is"),
        (binary_importance(QUERY, count=2, tail=b""), "ends inside"),
        (binary_importance(QUERY, QUERY), "appears twice"),
        (binary_importance((b"", 1, [1.0])), "name's length of entry 0 is 0"),
        (binary_importance((b"\xff\xfe", 1, [1.0])), "not UTF-8"),
        (binary_importance((b"a", -3, [1.0])), "calls of 'a' is -3"),
        (binary_importance((b"a", 1, [])), "values of 'a' is 0"),
        (binary_importance((b"a", 1, [float("nan")])), "not all finite"),
        (binary_importance((b"a", 3, SIGNALLING_NAN)), "not all finite"),
        (binary_importance((b"a", 0, [float("inf")])), "not all finite"),
        (binary_importance((b"a", 1, [1.0, -1.0])), "sums of squares, and some are below 0"),
        (struct.pack("<iii", 1, 1 << 20, 0), "name's length of entry 0 is 1048576"),
        (struct.pack("<ii", 1, 1) + b"a" + struct.pack("<ii", 1, 1 << 27), "ends inside the values of 'a'"),
    ],
)
def test_damaged_binary_files_are_refused(content: bytes, why: str, tmp_path: Path) -> None:
    with pytest.raises(ImportanceError, match=why):
        read_importance(write(tmp_path / "matrix.dat", content))


@pytest.mark.parametrize(
    ("tensors", "why"),
    [
        ({"a.weight.in_sum2": floats([1.0])}, "has no counts"),
        ({"a.weight.counts": floats([1.0])}, "neither sums nor counts"),
        ({"a.weight": floats([1.0])}, "neither sums nor counts"),
        ({"a.weight.in_sum2": floats([1.0], [2.0]), "a.weight.counts": floats([1.0])}, "2 rows of sums have 1 counts"),
        ({"a.weight.in_sum2": floats([1.0]).astype(np.float16), "a.weight.counts": floats([1.0])}, "F16, not F32"),
        ({"a.weight.in_sum2": floats([np.inf]), "a.weight.counts": floats([1.0])}, "not all finite"),
        ({"a.weight.in_sum2": SIGNALLING_NAN.reshape(1, 1), "a.weight.counts": floats([3.0])}, "not all finite"),
        ({"a.weight.in_sum2": floats([-1.0]), "a.weight.counts": floats([1.0])}, "some are below 0"),
        ({"a.weight.in_sum2": floats([1.0]), "a.weight.counts": floats([np.nan])}, "counts of 'a.weight' are not"),
        ({"a.weight.in_sum2": floats([1.0]), "a.weight.counts": floats([np.inf])}, "counts of 'a.weight' are not"),
        ({}, "no entries"),
    ],
)
def test_damaged_gguf_files_are_refused(tensors: dict[str, np.ndarray], why: str, tmp_path: Path) -> None:
    with pytest.raises(ImportanceError, match=why):
        read_importance(write_gguf_importance(tmp_path / "matrix.gguf", tensors))


def test_a_model_is_no_importance_matrix(tmp_path: Path) -> None:
    with pytest.raises(ImportanceError, match=r"general\.type is 'model'"):
        read_importance(write_gguf_importance(tmp_path / "model.gguf", {"a.weight": floats([1.0])}, kind="model"))


def test_a_torn_gguf_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportanceError, match="ends inside"):
        read_importance(write(tmp_path / "matrix.gguf", b"GGUF\x03\x00"))


def test_a_file_beyond_all_bounds_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "MAX_FILE_BYTES", 8)
    with pytest.raises(OSError, match="8 are read at most"):
        read_importance(write(tmp_path / "matrix.dat", binary_importance(QUERY)))


def test_an_absent_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_importance(tmp_path / "absent.dat")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/tty", "/proc/self/fd"])
def test_what_has_no_end_is_not_read(path: str) -> None:
    with pytest.raises(OSError, match="not a regular file"):
        read_importance(Path(path))


def test_a_pipe_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        read_importance(tmp_path / "pipe")
