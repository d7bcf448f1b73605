"""`engine-ctl eval`, from text to figures, on a model that is read in milliseconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl

TEXT = "Once upon a time there was a small model that read a long text, window by window.\n" * 40


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "text").write_text(TEXT)
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")


def evaluate(model: Path, *flags: str, exit_code: int = 0) -> dict[str, Any]:
    result = engine_ctl("eval", str(model), "--text", str(model.parent / "text"), *flags, "--json")
    assert result.exit_code == exit_code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_a_model_is_measured_alone(tiny: Path) -> None:
    shown = evaluate(tiny)
    assert shown["window"] == 256  # the model's context
    assert shown["windows"] == shown["tokens"] // 256 > 1
    assert shown["quality"]["positions"] == shown["windows"] * 127
    assert shown["quality"]["perplexity"] > 1
    assert shown["quality"]["against_base"] is None
    assert shown["plan"]["quantization"] == "native"
    assert shown["against"] is None


def test_a_quantization_is_held_against_the_weights_it_was_made_of(tiny: Path) -> None:
    alone = evaluate(tiny, "--quant", "q4_k_m")["quality"]
    native = evaluate(tiny)["quality"]
    shown = evaluate(tiny, "--quant", "q4_k_m", "--against", "native")
    against = shown["quality"]["against_base"]
    assert (shown["plan"]["quantization"], shown["against"]["quantization"]) == ("q4_k_m", "native")
    assert shown["quality"]["perplexity"] == alone["perplexity"]
    assert against["base_perplexity"] == native["perplexity"]
    assert 0 < against["divergence_mean"] <= against["divergence_p99"] <= against["divergence_max"]
    assert 0 < against["same_best"] <= 1


def test_more_bits_depart_less(tiny: Path) -> None:
    departures = [
        evaluate(tiny, "--quant", quantization, "--against", "native")["quality"]["against_base"]["divergence_mean"]
        for quantization in ("native", "q8_0", "q4_k_m")
    ]
    assert departures[0] == 0
    assert departures == sorted(departures)
    assert departures[1] < departures[2] / 10


def test_windows_threads_and_backends(tiny: Path) -> None:
    few = evaluate(tiny, "--window", "64", "--max-windows", "2")
    assert (few["window"], few["windows"], few["quality"]["positions"]) == (64, 2, 62)
    assert evaluate(tiny, "--threads", "1", "--backend", "reference")["quality"] == evaluate(tiny)["quality"]


def test_the_kv_cache_is_part_of_what_is_measured(tmp_path: Path, tiny: Path) -> None:
    wide = write_tiny_model(tmp_path / "wide.gguf", n_head=2, n_head_kv=1)
    assert evaluate(wide, "--kv-cache", "q8_0")["quality"] != evaluate(wide)["quality"]
    assert evaluate(tiny, "--kv-cache", "f32", exit_code=3)["error"]["code"] == "invalid_request"


def test_two_types_of_kv_cache_are_compared(tmp_path: Path, tiny: Path) -> None:
    wide = write_tiny_model(tmp_path / "wide.gguf", n_head=2, n_head_kv=1)
    shown = evaluate(wide, "--kv-cache", "q8_0", "--against-kv-cache", "f16")
    against = shown["quality"]["against_base"]
    assert (shown["plan"]["kv_cache"], shown["against"]["kv_cache"]) == ("q8_0", "f16")
    assert against["base_perplexity"] == evaluate(wide)["quality"]["perplexity"]
    assert against["divergence_mean"] > 0
    alike = evaluate(wide, "--kv-cache", "q8_0", "--against-kv-cache", "q8_0")["quality"]["against_base"]
    assert (alike["divergence_mean"], alike["same_best"]) == (0, 1)
    text = ("--text", str(tiny.parent / "text"), "--kv-cache", "q8_0", "--against-kv-cache", "f16")
    assert "of native, f16 cache" in engine_ctl("eval", str(wide), *text).stdout
    assert evaluate(tiny, "--against-kv-cache", "f32", exit_code=3)["error"]["code"] == "invalid_request"


def test_a_person_is_shown_one_fact_a_line(tiny: Path) -> None:
    flags = ("--text", str(tiny.parent / "text"), "--quant", "q8_0", "--against", "native")
    shown = engine_ctl("eval", str(tiny), *flags).stdout.splitlines()
    assert shown[0].startswith("tiny · q8_0 · ")
    assert [line.split()[0] for line in shown[1:]] == ["perplexity", "of", "ln", "KL", "median,", "same"]


def test_what_cannot_be_measured_is_refused(tiny: Path) -> None:
    (tiny.parent / "text").write_text("too short")
    refused = evaluate(tiny, exit_code=3)["error"]
    assert refused["code"] == "invalid_request"
    assert refused["params"]["window"] == 256
    (tiny.parent / "text").write_text("")
    assert evaluate(tiny, exit_code=3)["error"]["code"] == "invalid_request"
    (tiny.parent / "text").write_text(TEXT)
    assert evaluate(tiny, "--quant", "q3_k", exit_code=3)["error"]["code"] == "unsupported_quantization"
    assert evaluate(tiny, "--against", "q3_k", exit_code=3)["error"]["code"] == "unsupported_quantization"
    assert evaluate(tiny, "--backend", "cpu_mmx", exit_code=3)["error"]["code"] == "unsupported_backend"
    assert evaluate(tiny.parent / "none.gguf", exit_code=4)["error"]["code"] == "unknown_model"
