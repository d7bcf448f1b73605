"""`engine-ctl quantize` and `engine-ctl cache`, on a model that is quantized in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import _core
from engine.config import default_config
from engine.weights.weights_cache import WeightsCache
from tests.support.gguf_factory import write_tiny_model
from tests.support.importance_files import binary_importance
from tests.tools.command_line import engine_ctl

NO_NAME = "0" * 32


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")


def told(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = engine_ctl(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def quantize(model: Path, output: Path, *flags: str, exit_code: int = 0) -> dict[str, Any]:
    return told("quantize", str(model), "--quant", "q4_k_m", "-o", str(output), *flags, exit_code=exit_code)


def run(model: Path, quantization: str) -> dict[str, Any]:
    flags = ("--prompt", "Once", "--max-tokens", "4")
    return told("run", "--model", str(model), "--quant", quantization, *flags)


def importance_of(model: Path, path: Path) -> Path:
    """The older binary form: every column of every matrix counts twice as much as the one before."""
    matrices = [tensor for tensor in _core.GgufFile(str(model)).tensors() if len(tensor.shape) == 2]
    entries = [(tensor.name.encode(), 1, 2.0 ** (np.arange(tensor.shape[-1]) % 8)) for tensor in matrices]
    path.write_bytes(binary_importance(*entries))
    return path


def test_the_file_runs_as_the_recipe_does(tiny: Path, tmp_path: Path) -> None:
    told_of = quantize(tiny, tmp_path / "small.gguf")
    assert told_of["size_bytes"] == (tmp_path / "small.gguf").stat().st_size
    assert set(told_of["tensor_types"]) >= {"F32", "Q4_K", "Q6_K"}
    assert run(tmp_path / "small.gguf", "native")["logits_digest"] == run(tiny, "q4_k_m")["logits_digest"]


def test_importance_changes_the_weights(tiny: Path, tmp_path: Path) -> None:
    quantize(tiny, tmp_path / "plain.gguf")
    matrix = importance_of(tiny, tmp_path / "imatrix.dat")
    quantize(tiny, tmp_path / "weighed.gguf", "--imatrix", str(matrix))
    assert (tmp_path / "plain.gguf").read_bytes() != (tmp_path / "weighed.gguf").read_bytes()


def test_what_is_there_is_not_overwritten(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    error = quantize(tiny, tmp_path / "mine", exit_code=3)["error"]
    assert error["code"] == "invalid_request"
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_what_cannot_be_written_or_read_is_refused_by_name(tiny: Path, tmp_path: Path) -> None:
    refused = quantize(tiny, tmp_path / "no" / "folder", exit_code=3)["error"]
    assert (refused["code"], refused["message"]) == (
        "invalid_request",
        f"there is no folder {tmp_path / 'no'}; make it, or name another file",
    )
    for content in (b"", b"GGUF", bytes(100), b"\xff" * 100):
        (tmp_path / "bad").write_bytes(content)
        error = quantize(tiny, tmp_path / "out", "--imatrix", str(tmp_path / "bad"), exit_code=3)["error"]
        assert error["code"] == "invalid_request"
    assert not (tmp_path / "out").exists()


def test_the_cache_is_listed_checked_and_emptied(tiny: Path) -> None:
    assert told("cache", "ls")["entries"] == []
    assert run(tiny, "q8_0")["weights"]["source"] == "quantized"
    (entry,) = told("cache", "ls")["entries"]
    assert (entry["recipe"], entry["model"], entry["in_use"]) == ("q8_0", "tiny", False)
    assert Path(entry["path"]).parent == Path(engine_ctl("cache", "path").stdout.strip())
    assert told("cache", "verify") == {"damages": {entry["name"]: ""}}
    assert told("cache", "rm", entry["name"]) == {"names": [entry["name"]]}
    assert told("cache", "ls")["entries"] == []


def test_a_damaged_entry_is_named_and_ends_with_a_code_of_its_own(tiny: Path) -> None:
    run(tiny, "q8_0")
    (entry,) = told("cache", "ls")["entries"]
    content = bytearray(Path(entry["path"]).read_bytes())
    content[1000] ^= 1
    Path(entry["path"]).write_bytes(content)
    checked = told("cache", "verify", entry["name"], exit_code=4)
    assert checked["damages"][entry["name"]] == "its content has changed"
    assert "its content has changed" in engine_ctl("cache", "verify").stdout


def test_what_is_in_use_is_not_removed(tiny: Path) -> None:
    run(tiny, "q8_0")
    run(tiny, "q6_k")
    cache = WeightsCache.of(default_config())
    used, idle = cache.entries()
    weights, _ = cache.find(used.key)
    assert weights is not None
    assert told("cache", "rm", used.name, exit_code=3)["error"]["code"] == "cache_entry_in_use"
    assert told("cache", "rm", "--all") == {"names": [idle.name]}
    assert "in use" in engine_ctl("cache", "ls").stdout
    weights.close()


def test_unknown_names_and_senseless_flags(tiny: Path) -> None:
    for verb in ("rm", "verify"):
        assert told("cache", verb, NO_NAME, exit_code=3)["error"]["code"] == "unknown_cache_entry"
    assert engine_ctl("cache", "rm").exit_code == 2
    assert engine_ctl("cache", "rm", "--all", NO_NAME).exit_code == 2
