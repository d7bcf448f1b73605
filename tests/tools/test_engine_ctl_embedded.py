"""Commands with the real engine: in their own process, and served on a socket."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from engine.identity.build import current_build
from protocol.blocking import BlockingClient
from protocol.requests import Status
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import engine_ctl, serving

NOTE = "no engine on the socket: running one in this process\n"


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that runs in milliseconds, and an engine that keeps its files to itself."""
    monkeypatch.setenv("ENGINE_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("ENGINE_CACHE_DIR", str(tmp_path / "cache"))
    return write_tiny_model(tmp_path / "tiny.gguf")


def run_json(socket: Path, model: Path, *flags: str) -> dict[str, object]:
    arguments = ("--model", str(model), "--prompt", "Once", "--max-tokens", "8", "--json")
    result = engine_ctl("run", "--socket", str(socket), *arguments, *flags)
    assert result.exit_code == 0
    shown: dict[str, object] = json.loads(result.stdout)
    return shown


def test_the_answer_is_the_same_with_and_without_an_engine_on_the_socket(tiny: Path, socket_path: Path) -> None:
    embedded = run_json(socket_path, tiny)
    with serving(socket_path):
        served = run_json(socket_path, tiny)
    for field in ("result", "token_ids", "prompt_token_ids", "logits_digest", "stop_reason", "plan"):
        assert embedded[field] == served[field]
    assert embedded["execution_id"] != served["execution_id"]


def test_a_folder_too_deep_for_a_socket_does_not_keep_the_engine_from_running(
    tiny: Path, socket_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    assert run_json(socket_path, tiny)["stop_reason"] == "max_tokens"


def test_the_engine_and_its_records_say_which_build_they_are_of(tiny: Path, socket_path: Path) -> None:
    with serving(socket_path):
        recorded = run_json(socket_path, tiny)["build"]
        with BlockingClient.connect(socket_path) as client:
            assert client.welcome.build == current_build()
    assert recorded == current_build().model_dump()


def test_the_streamed_text_is_the_result(tiny: Path, socket_path: Path) -> None:
    arguments = ("--model", str(tiny), "--prompt", "Once", "--max-tokens", "8")
    result = engine_ctl("run", "--socket", str(socket_path), *arguments)
    assert result.exit_code == 0
    assert result.stdout == run_json(socket_path, tiny)["result"]
    assert result.stderr.startswith(NOTE)


def test_tokens_of_a_file_without_weights(tiny: Path, socket_path: Path, tmp_path: Path) -> None:
    vocabulary = write_tiny_model(tmp_path / "vocabulary.gguf", weights=False)
    common = ("--socket", str(socket_path), "--model", str(vocabulary))
    tokenized = engine_ctl("tokenize", *common, "--text", "hello 🌍")
    assert tokenized.stderr == NOTE
    assert engine_ctl("detokenize", *common, stdin=tokenized.stdout).stdout == "hello 🌍"


def test_inspect_and_plan_need_no_engine(tiny: Path, socket_path: Path) -> None:
    common = ("--socket", str(socket_path), "--json")
    inspected = json.loads(engine_ctl("models", "inspect", str(tiny), *common).stdout)
    assert inspected["architecture"] == "llama"
    assert len(inspected["tensors"]) > 10
    planned = json.loads(engine_ctl("plan", "--model", str(tiny), "--prompt", "Once", *common).stdout)
    assert planned["plan"]["sampling"]["temperature"] == 0.0
    assert planned["estimate"]["weights_bytes"] > 0


@pytest.mark.parametrize(
    ("flags", "code", "number"),
    [
        (("--backend", "cuda"), "unsupported_backend", 3),
        (("--quant", "q3"), "unsupported_quantization", 3),
        (("--prompt", "word " * 1000), "prompt_too_long", 3),
        (("--model", "/nowhere.gguf"), "unknown_model", 4),
        (("--model", __file__), "invalid_model", 4),
        (("--max-watts", "25"), "energy_unavailable", 7),
        (("--max-joules", "25"), "energy_unavailable", 7),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    flags: tuple[str, ...], code: str, number: int, tiny: Path, socket_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in ("POWERCAP", "POWER_PMU", "HWMON"):
        monkeypatch.setenv(f"ENGINE_{root}_ROOT", str(tiny.parent / "nothing"))
    arguments = ("--model", str(tiny), "--prompt", "Once", "--json")
    result = engine_ctl("run", "--socket", str(socket_path), *arguments, *flags)
    assert result.exit_code == number
    assert json.loads(result.stdout)["error"]["code"] == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_the_engine_in_good_order(number: signal.Signals, tiny: Path, socket_path: Path) -> None:
    with serving(socket_path) as engine:
        with BlockingClient.connect(socket_path) as client:
            assert client.ask(Status()).pid == engine.pid
        engine.send_signal(number)
        assert engine.wait() == 0
    assert not socket_path.exists()


@pytest.mark.usefixtures("interrupts_ignored")
def test_an_engine_that_was_started_to_ignore_interrupts_does(tiny: Path, socket_path: Path) -> None:
    with serving(socket_path) as engine:
        engine.send_signal(signal.SIGINT)
        with BlockingClient.connect(socket_path) as client:
            assert client.ask(Status()).pid == engine.pid
        engine.send_signal(signal.SIGTERM)
        assert engine.wait() == 0


def test_shutdown_stops_the_engine(tiny: Path, socket_path: Path) -> None:
    with serving(socket_path) as engine:
        assert engine_ctl("shutdown", "--socket", str(socket_path)).exit_code == 0
        assert engine.wait() == 0


def test_a_second_engine_does_not_displace_the_first(tiny: Path, socket_path: Path) -> None:
    with serving(socket_path):
        second = engine_ctl("serve", "--socket", str(socket_path))
        assert second.exit_code == 3
        assert "another engine answers there" in second.stderr
        assert engine_ctl("status", "--socket", str(socket_path)).exit_code == 0
