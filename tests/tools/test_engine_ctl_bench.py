"""`engine-ctl bench`, on a model that runs in milliseconds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.damaged_models import ModelFile
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl

SMALL = ("--prompt-tokens", "32", "--gen-tokens", "8", "--repetitions", "2")


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "tiny.gguf")


def bench(model: Path, *flags: str) -> dict[str, Any]:
    result = engine_ctl("bench", str(model), *SMALL, "--json", *flags)
    assert result.exit_code == 0
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_both_tests_have_their_samples_and_their_share_of_a_limit(tiny: Path) -> None:
    shown = bench(tiny, "--threads", "1")
    assert shown["plan"]["threads"] == 1
    prefill, decode = shown["results"]
    assert (prefill["test"], decode["test"]) == ("pp32", "tg8")
    assert decode["limited_by"] == "reading memory"
    for result in (prefill, decode):
        assert len(result["samples"]) == 2
        assert 0 < result["min"] <= result["median"] <= result["max"]


def test_a_backend_without_a_probe_has_no_limit_and_not_a_limit_of_zero(tiny: Path) -> None:
    prefill, decode = bench(tiny, "--backend", "reference")["results"]
    assert prefill["limit"] is prefill["share_of_limit"] is None
    assert decode["limit"] > 0


def test_a_batch_decodes_side_by_side(tiny: Path) -> None:
    (decode,) = bench(tiny, "--prompt-tokens", "0", "--batch", "3", "--gen-tokens", "64")["results"]
    assert (decode["test"], decode["sequences"]) == ("tg64 x 3", 3)


def test_the_table_names_the_kernel_path(tiny: Path) -> None:
    result = engine_ctl("bench", str(tiny), *SMALL, "--backend", "reference")
    assert result.exit_code == 0
    assert "pp32" in result.stdout
    assert "reference" in result.stdout


def test_nothing_to_measure_is_wrong_usage(tiny: Path) -> None:
    assert engine_ctl("bench", str(tiny), "--prompt-tokens", "0", "--gen-tokens", "0").exit_code == 2


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--quant", "q3_z"), "unsupported_quantization"),
        (("--backend", "abacus"), "unsupported_backend"),
        (("--kv-cache", "q9"), "invalid_request"),
        (("--prompt-tokens", "4096"), "invalid_plan"),
    ],
)
def test_what_cannot_run_is_refused_as_a_run_would_be(tiny: Path, flags: tuple[str, ...], code: str) -> None:
    result = engine_ctl("bench", str(tiny), *SMALL, "--json", *flags)
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["code"] == code


def test_a_model_that_gives_no_numbers_is_not_measured(tiny: Path, tmp_path: Path) -> None:
    whole = ModelFile(tiny)
    damaged = whole.with_value(tmp_path / "damaged.gguf", whole.tensors["blk.1.ffn_down.weight"], 5, math.nan)
    overflowing = whole.scaled(tmp_path / "overflowing.gguf", "blk.1.attn_v.weight", 1e12)
    for path, code in ((damaged, "invalid_model"), (overflowing, "non_finite_result")):
        result = engine_ctl("bench", str(path), *SMALL, "--json")
        assert json.loads(result.stdout)["error"]["code"] == code
        assert result.exit_code == 4
