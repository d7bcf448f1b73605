"""The memory that a step's buffers are said to take, against what a run loop asks the system for."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from engine import _core
from tests.csrc.loop_bench import LoopBench
from tests.support.architecture_models import CASES, write_architecture_model
from tests.support.kernel_tables import FAST_TABLES, REFERENCE
from tests.support.tiny_models import tiny_model, tiny_vocabulary

PREFILL_CHUNK = 60_000  # hundreds of megabytes, of which the system is asked for the addresses alone


M_MMAP_THRESHOLD = -3
"""The parameter of glibc's ``mallopt``."""


def ask_the_system_for_every_buffer() -> None:
    """Have malloc map each allocation from 128 KiB on, where it might find room in what earlier tests let go."""
    if ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 128 << 10) != 1:
        pytest.skip("another allocator than the C library's is at work, such as a sanitizer's")


def data_bytes() -> int:
    """Private memory of this process, touched or not."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:"))


@pytest.mark.parametrize("table", [REFERENCE, *(one for one in FAST_TABLES if "cpu_amx" in one.values)])
@pytest.mark.parametrize(
    "case", ["llama", "qwen2", "llama_experts", "qwen2moe", "gemma3", "glm4moe", "phi2", "deepseek2", "lfm2"]
)
def test_the_buffers_of_a_step_take_what_is_said(case: str, table: str, tmp_path: Path) -> None:
    ask_the_system_for_every_buffer()
    path = write_architecture_model(tmp_path / "model.gguf", **CASES[case])
    model = _core.Model.load(str(path), table, 1)
    row_bytes = _core.activation_row_bytes(_core.GgufFile(str(path)), table)
    with LoopBench(tiny_vocabulary()) as bench:
        bench.submit(1, tiny_model(), [1, 2, 3], threads=1, prefill_chunk=1)
        bench.finish(1)  # whatever a loop needs beside
        before = data_bytes()
        bench.submit(2, model, [1, 2, 3], threads=1, prefill_chunk=PREFILL_CHUNK)
        bench.finish(2)
        taken = data_bytes() - before
    said = (PREFILL_CHUNK + _core.MAX_DECODE_ROWS) * row_bytes
    assert taken == pytest.approx(said, rel=0.03)
