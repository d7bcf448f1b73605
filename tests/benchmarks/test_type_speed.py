"""The table of tensor types: every type has a model that runs, and rows name kernel path, rates and their ratio."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.support.speed_model import SpeedModel, write_speed_model
from benchmarks.type_speed import TYPES, WORKS, measure
from engine import _core
from engine.bench.measured_loop import MeasuredLoop
from engine.bench.work import decode
from tests.support.real_models import fast_kernel_table

SHAPE = {"layers": 1, "embedding": 256, "feed_forward": 512, "heads": 4, "kv_heads": 2}
LLAMA_BENCH = """#!{python}
import json
print(json.dumps([{{"samples_ts": [0.5]}}]))
"""


def make_peers(folder: Path, *builds: str) -> None:
    for build in builds:
        programs = folder / build / "build" / "bin"
        programs.mkdir(parents=True)
        for name in ("llama-bench", "llama-batched-bench"):
            program = programs / name
            program.write_text(LLAMA_BENCH.format(python=sys.executable), encoding="utf-8")
            program.chmod(0o700)


@pytest.mark.parametrize("type_name", TYPES)
def test_every_type_has_a_model_that_runs(type_name: str, tmp_path: Path) -> None:
    path = write_speed_model(tmp_path / "model.gguf", SpeedModel(type_name, **SHAPE))
    types = {tensor.type for tensor in _core.GgufFile(str(path)).tensors() if len(tensor.shape) > 1}
    assert types == {type_name}
    with MeasuredLoop(path, fast_kernel_table(), 1) as loop:
        assert loop.rate(decode(4)) > 0


def test_rows_name_the_kernel_path_and_both_rates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENGINE_PEERS_DIR", str(tmp_path))
    make_peers(tmp_path, "avx2")
    measure(["Q4_K", "IQ1_S"], 2, tmp_path / "samples.json", **SHAPE)
    setting, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert _core.cpu_model() in setting
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| Q4_K", "4.5", "cpu_avx2, llama.cpp avx2"], ["| IQ1_S", "1.5625", "cpu_avx2, llama.cpp avx2"],
    ]  # fmt: skip
    assert {row.count(" | ") for row in rows} == {head.count(" | ")}
    samples = json.loads((tmp_path / "samples.json").read_text(encoding="utf-8"))
    assert [each["work"] for each in samples["comparisons"]] == 2 * [work.name for work in WORKS]
    assert {len(each["ratio"]["samples"]) for each in samples["comparisons"]} == {2}
    assert samples["comparisons"][0]["theirs"]["median"] == 0.5


def test_without_a_build_of_llama_cpp_it_says_how_to_make_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_PEERS_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="run make peers"):
        measure(["Q4_0"], 1, None, **SHAPE)
