"""Models that give NaN or infinities: every command ends with the same code, and the engine serves on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.requests import Status
from tests.support.damaged_models import ModelFile
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl, serving

_CASES = Path(os.environ.get("ENGINE_TEST_CASES") or Path(__file__).parents[3] / "shared" / "cases")
COMMANDS = ("run", "embed", "eval")


@pytest.fixture(params=["served", "embedded"])
def socket(request: pytest.FixtureRequest, socket_path: Path, tmp_path: Path) -> Iterator[Path]:
    """Socket of an engine, or of none: then each command uses an engine of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
        patch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
        if request.param == "embedded":
            yield socket_path
            return
        with serving(socket_path):
            yield socket_path
            with BlockingClient.connect(socket_path) as client:
                assert client.ask(Status()).executions == ()


@pytest.fixture
def whole(tmp_path: Path) -> ModelFile:
    return ModelFile(write_tiny_model(tmp_path / "whole.gguf"))


def error_of(command: str, socket: Path, model: Path, tmp_path: Path) -> tuple[int, dict[str, object]]:
    """The exit code, and the error on stdout."""
    text = tmp_path / "text.txt"
    text.write_text("word after word after word " * 40)
    arguments = {
        "run": ("--model", str(model), "--prompt", "Once"),
        "embed": (str(model), "Once upon a time"),
        "eval": (str(model), "--text", str(text), "--window", "64"),
    }[command]
    result = engine_ctl(command, "--socket", str(socket), "--json", *arguments)
    error: dict[str, object] = json.loads(result.stdout)["error"]
    return result.exit_code, error


@pytest.mark.parametrize("command", COMMANDS)
def test_a_damaged_weight_is_an_invalid_model_that_names_the_tensor(
    command: str, socket: Path, whole: ModelFile, tmp_path: Path
) -> None:
    path = whole.with_value(tmp_path / "damaged.gguf", whole.tensors["blk.1.ffn_down.weight"], 5, math.nan)
    exit_code, error = error_of(command, socket, path, tmp_path)
    assert (exit_code, error["code"]) == (4, "invalid_model")
    assert error["params"] == {"path": str(path), "tensor": "blk.1.ffn_down.weight", "row": 5}
    assert "tensor 'blk.1.ffn_down.weight' has weights that are not finite in row 5" in str(error["message"])


@pytest.mark.parametrize("command", COMMANDS)
def test_an_overflow_is_a_non_finite_result_that_names_the_layer(
    command: str, socket: Path, whole: ModelFile, tmp_path: Path
) -> None:
    path = whole.scaled(tmp_path / "overflowing.gguf", "blk.1.attn_v.weight", 1e12)
    exit_code, error = error_of(command, socket, path, tmp_path)
    assert (exit_code, error["code"]) == (4, "non_finite_result")
    params = error["params"]
    assert isinstance(params, dict)
    params.pop("execution_id", None)
    assert params == {"model": "overflowing", "part": "attention", "layer": 1, "position": 0}
    assert "the attention of layer 1 gave values that are not finite, at position 0" in str(error["message"])


@pytest.mark.parametrize("command", COMMANDS)
def test_the_shared_case(command: str, socket: Path, tmp_path: Path) -> None:
    path = _CASES / "15-nan-norm.gguf"
    if not path.is_file():
        pytest.skip(f"{path} is not there; ENGINE_TEST_CASES says where the cases are")
    exit_code, error = error_of(command, socket, path, tmp_path)
    assert (exit_code, error["code"]) == (4, "invalid_model")
    assert isinstance(error["params"], dict)
    assert error["params"]["tensor"] == "output_norm.weight"


def test_the_record_says_what_the_client_heard(
    whole: ModelFile, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = whole.scaled(tmp_path / "overflowing.gguf", "blk.0.ffn_down.weight", 1e39)
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    with serving(socket_path):
        _, error = error_of("run", socket_path, path, tmp_path)
        assert isinstance(error["params"], dict)
        execution = error["params"]["execution_id"]
        shown = engine_ctl("executions", "show", execution, "--socket", str(socket_path), "--json")
    record = json.loads(shown.stdout)["entry"]["record"]
    assert (record["stop_reason"], record["token_ids"]) == ("error", [])
    assert record["error"] == "the feed-forward of layer 0 gave values that are not finite, at position 0"
