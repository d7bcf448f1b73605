"""`engine-ctl run --request FILE`: a whole Run Request as JSON, and nothing beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from protocol.plan import RunRequest
from protocol.requests import Plan, Run
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import answers_in_full

PRODUCT = {
    "model": "llama3-8b",
    "prompt": "Explique inferência eficiente",
    "execution": {
        "backend": "cpu_avx2",
        "quantization": "q4_k_m",
        "scheduler_policy": "default",
        "limits": {"max_tokens": 256, "max_watts": 25},
    },
}
EVERYTHING: dict[str, Any] = {
    "model": "tiny",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
    "tools": [{"type": "function", "function": {"name": "days", "parameters": {"required": ["a", "b"]}}}],
    "execution": {
        "n": 2,
        "sampling": {"order": ["top_k", "temperature"], "logit_bias": [{"token_id": 3, "bias": -1.5}], "seed": 7},
        "stop": {"eos": False, "strings": ["END"]},
        "stream": {"flush_ms": 0},
        "grammar": {"kind": "regex", "source": "a+"},
        "chat_date": "2026-01-31",
        "spin_us": 0,
    },
}


@pytest.mark.parametrize("content", [PRODUCT, EVERYTHING], ids=["product", "everything"])
@pytest.mark.parametrize("stdin", [False, True], ids=["file", "stdin"])
def test_the_file_is_the_request(
    content: dict[str, Any], stdin: bool, start_engine: StartEngine, socket_path: Path, tmp_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    text = json.dumps(content)
    (tmp_path / "request.json").write_text(text)
    source = "-" if stdin else str(tmp_path / "request.json")
    result = engine_ctl("run", "--socket", str(socket_path), "--request", source, stdin=text if stdin else None)
    assert result.exit_code == 0, result.stderr
    (message,) = engine.requests(Run)
    assert isinstance(message, Run)
    assert message.request == RunRequest.model_validate_json(text)


def test_plan_takes_it_too(start_engine: StartEngine, socket_path: Path, tmp_path: Path) -> None:
    engine = start_engine(answers_in_full)
    (tmp_path / "request.json").write_text(json.dumps(PRODUCT))
    engine_ctl("plan", "--socket", str(socket_path), "--request", str(tmp_path / "request.json"))
    (message,) = engine.requests(Plan)
    assert isinstance(message, Plan)
    assert message.request == RunRequest.model_validate(PRODUCT)


def test_a_models_path_counts_from_where_the_command_runs(
    start_engine: StartEngine, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = start_engine(answers_in_full)
    (tmp_path / "own.gguf").touch()
    (tmp_path / "small.gguf").touch()
    speculation = {"kind": "draft", "model": "small.gguf"}
    content = {"model": "own.gguf", "prompt": "a", "execution": {"speculation": speculation}}
    (tmp_path / "request.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    engine_ctl("run", "--socket", str(socket_path), "--request", "request.json")
    (message,) = engine.requests(Run)
    assert isinstance(message, Run)
    assert message.request.model == str(tmp_path / "own.gguf")
    assert message.request.execution.speculation.model == str(tmp_path / "small.gguf")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--model", "tiny"), "--model"),
        (("--prompt", "a", "--max-watts", "25"), "--max-watts, --prompt"),
        (("-n", "2"), "-n"),
        (("--stop", "END"), "--stop"),
        (("--chat",), "--chat"),
        (("--logit-bias", "3=-1"), "--logit-bias"),
        (("--op-times",), "--op-times"),
    ],
)
def test_a_flag_beside_it_is_wrong_usage(flags: tuple[str, ...], told: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(PRODUCT))
    result = engine_ctl("run", "--request", str(tmp_path / "request.json"), *flags)
    assert result.exit_code == 2
    assert f"leave out {told}," in result.stderr


@pytest.mark.parametrize("execution", [{}, {"execution": {"energy_source": "model"}}, {"execution": {"n": 2}}])
def test_an_energy_source_may_stand_beside_a_file_that_names_no_other(
    execution: dict[str, Any], start_engine: StartEngine, socket_path: Path, tmp_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    (tmp_path / "request.json").write_text(json.dumps({"model": "tiny", "prompt": "a", **execution}))
    arguments = ("--request", str(tmp_path / "request.json"), "--energy-source", "model")
    assert engine_ctl("run", "--socket", str(socket_path), *arguments).exit_code == 0
    (message,) = engine.requests(Run)
    assert isinstance(message, Run)
    assert message.request.execution.energy_source == "model"


def test_an_energy_source_beside_a_file_that_names_another_is_wrong_usage(tmp_path: Path) -> None:
    named = {"model": "tiny", "prompt": "a", "execution": {"energy_source": "rapl"}}
    (tmp_path / "request.json").write_text(json.dumps(named))
    result = engine_ctl("run", "--request", str(tmp_path / "request.json"), "--energy-source", "model")
    assert result.exit_code == 2
    assert "names the energy source 'rapl'" in result.stderr


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("[]", "does not hold a JSON object"),
        ('{"model": "a", "model": "b", "prompt": "c"}', "'model' is in one object twice"),
        ('{"model": "a", "prompt": "b", "execution": {"limits": {"max_watts": NaN}}}', "NaN is no JSON number"),
        ("[" * 100_000, "nested too deep"),
    ],
    ids=["broken", "empty", "array", "twice", "nan", "deep"],
)
def test_what_is_no_request_is_wrong_usage(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(content)
    result = engine_ctl("run", "--request", str(tmp_path / "request.json"))
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    "content",
    [{}, {"model": 3, "prompt": "a"}, {**PRODUCT, "quantisation": "q4_k_m"}, {**PRODUCT, "execution": {"limits": []}}],
)
def test_a_request_that_breaks_the_schema_is_refused_as_by_the_engine(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "request.json").write_text(json.dumps(content))
    result = engine_ctl("run", "--request", str(tmp_path / "request.json"), "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["error"]["code"] == "invalid_request"


def test_without_it_a_model_is_required() -> None:
    result = engine_ctl("run", "--prompt", "a")
    assert result.exit_code == 2
    assert "Give a --model, a --plan, a --plan-name, or a whole --request." in result.stderr


@pytest.mark.parametrize("flag", ["--messages", "--tools"])
def test_other_json_is_read_as_strictly(flag: str, tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000)
    beside = () if flag == "--messages" else ("--prompt", "a")
    result = engine_ctl("run", "--model", "tiny", "--chat", *beside, flag, str(tmp_path / "deep.json"))
    assert result.exit_code == 2
    assert "nested too deep" in result.stderr
