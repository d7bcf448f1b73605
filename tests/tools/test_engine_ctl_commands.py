"""The other commands, against an engine that answers from a script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine_ctl.commands.detokenize import parse_ids
from protocol.answers import (
    Done,
    EngineMessage,
    ModelDescription,
    Planned,
    Progress,
    StatusReport,
    Text,
    TokenIds,
)
from protocol.errors import UnknownExecution
from protocol.prediction import Prediction
from protocol.requests import (
    Cancel,
    ClearPrefixCache,
    ClientMessage,
    Detokenize,
    ModelInfo,
    Plan,
    PullModel,
    Shutdown,
    Status,
    Tokenize,
    UnloadModel,
)
from protocol.summaries import (
    ExecutionStatus,
    MemorySummary,
    PlanEstimate,
    PrefixCacheReport,
    RecipeSummary,
    ResidentModel,
    TensorSummary,
)
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import EXECUTION_ID, make_plan, refusing


def description(request_id: int) -> ModelDescription:
    return ModelDescription(
        request_id=request_id,
        name="tiny",
        path="/models/tiny-00001-of-00003.gguf",
        size_bytes=2_500_000,
        files=3,
        gguf_version=3,
        architecture="llama",
        metadata={"general.name": "Tiny", "llama.block_count": 2},
        tensors=(TensorSummary(name="token_embd.weight", type="Q8_0", shape=(512, 64), size_bytes=34_816),),
        parameters_total=32_768,
        recipes=(
            RecipeSummary(
                quantization="native", tensor_types={"Q8_0": 1}, file_bytes=2_500_000, weights_bytes=3_000_000
            ),
            RecipeSummary(
                quantization="q6_k", tensor_types={}, file_bytes=None, weights_bytes=None, reason="it has no weights"
            ),
        ),
        memory=MemorySummary(
            context_length=2048,
            kv_bytes_per_token={"f16": 1000, "q8_0": 532},
            kv_context_bytes={"f16": 2_048_000, "q8_0": 1_089_536},
            activation_bytes=4_000_000,
        ),
    )


def answers(message: ClientMessage) -> Sequence[EngineMessage]:
    match message:
        case Status(request_id=request_id):
            return [status_report(request_id)]
        case Cancel() | ClearPrefixCache() | UnloadModel() | Shutdown():
            return [Done(request_id=message.request_id)]
        case Plan(request_id=request_id):
            plan = make_plan()
            estimate = PlanEstimate(
                weights_bytes=10,
                kv_cache_bytes=20,
                activation_bytes=30,
                prompt_tokens=2,
                prefill_macs=40,
                decode_macs_per_token=50,
                decode_bytes_per_token=60,
            )
            prediction = Prediction(executions=3, decode_tokens_per_sec=12.5)
            planned = Planned(
                request_id=request_id,
                plan=plan,
                plan_fingerprint=plan.fingerprint,
                estimate=estimate,
                prediction=prediction,
            )
            return [planned]
        case PullModel(request_id=request_id):
            steps = [Progress(request_id=request_id, stage="download", done=done, total=100) for done in (0, 50, 100)]
            return [*steps, description(request_id)]
        case ModelInfo(request_id=request_id):
            return [description(request_id)]
        case Tokenize(request_id=request_id, text=text):
            return [TokenIds(request_id=request_id, token_ids=tuple(range(len(text))), pieces=tuple(text))]
        case Detokenize(request_id=request_id, token_ids=token_ids):
            return [Text(request_id=request_id, text="".join(map(chr, token_ids)))]
        case _:
            raise AssertionError(message)


def status_report(request_id: int) -> StatusReport:
    running = ExecutionStatus(execution_id=EXECUTION_ID, model="tiny", state="running", prompt_tokens=2, tokens_total=3)
    return StatusReport(
        request_id=request_id,
        engine_version="0.0",
        pid=42,
        uptime_s=3.5,
        executions=(running,),
        models_loaded=(
            ResidentModel(
                model="tiny", quantization="q8_0", backend="reference", weights_bytes=3_000_000, in_use=False
            ),
        ),
        memory_bytes={"weights": 10**6, "kv_cache": 0},
        prefix_cache=PrefixCacheReport(blocks=3, size_bytes=0, limit_bytes=2_000_000),
        energy={"source": "none", "reason": "no powercap zones"},
        finished_total=5,
    )


def test_status_shows_one_fact_a_line(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    shown = engine_ctl("status", "--socket", str(socket_path)).stdout.splitlines()
    assert shown == [
        "engine 0.0, pid 42, up 4 s",
        "executions: 1 now, 5 finished",
        "  execution-1  running  tiny  2 + 3 tokens",
        "models loaded: 1",
        "  tiny  q8_0 on reference  3.0 MB  idle",
        "memory: weights 1.0 MB, kv_cache 0.0 MB",
        "prefix cache: 3 blocks, at most 2.0 MB",
        "energy source: none (no powercap zones)",
    ]


def test_prefixes_are_cleared_by_a_command(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers)
    result = engine_ctl("cache", "clear-prefixes", "--socket", str(socket_path), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"cleared": "prefixes"})
    assert len(engine.requests(ClearPrefixCache)) == 1


def test_a_model_is_unloaded_by_a_command(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers)
    result = engine_ctl("models", "unload", "tiny", "--socket", str(socket_path), "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"unloaded": "tiny"})
    assert [one.model for one in engine.requests(UnloadModel)] == ["tiny"]


def test_status_in_json(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    shown = json.loads(engine_ctl("status", "--socket", str(socket_path), "--json").stdout)
    assert shown == status_report(0).model_dump(mode="json", exclude={"type", "request_id"})


@pytest.mark.parametrize(
    "command",
    [("status",), ("cancel", EXECUTION_ID), ("cache", "clear-prefixes"), ("models", "unload", "x"), ("shutdown",)],
)
def test_commands_about_an_engine_need_one(command: tuple[str, ...], socket_path: Path) -> None:
    result = engine_ctl(*command, "--socket", str(socket_path))
    assert result.exit_code == 5
    assert result.stderr.startswith("error[engine_unreachable]: ")
    assert str(socket_path) in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_is_at_the_socket_and_no_engine_is_not_replaced(socket_path: Path) -> None:
    socket_path.mkdir()
    result = engine_ctl("tokenize", "--socket", str(socket_path / ("x" * 200)), "--model", "tiny", "--text", "a")
    assert result.exit_code == 5


def test_cancel_names_the_execution(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers)
    result = engine_ctl("cancel", EXECUTION_ID, "--socket", str(socket_path), "--json")
    assert json.loads(result.stdout) == {"cancelled": EXECUTION_ID}
    (asked,) = engine.requests(Cancel)
    assert isinstance(asked, Cancel)
    assert asked.execution_id == EXECUTION_ID


def test_cancelling_what_is_not_there_is_refused(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(refusing(UnknownExecution("no execution 'x'")))
    assert engine_ctl("cancel", "x", "--socket", str(socket_path)).exit_code == 3


def test_shutdown(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    result = engine_ctl("shutdown", "--socket", str(socket_path))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "engine 0.0 stopped\n")


def test_plan_shows_every_decision(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    arguments = ("plan", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a")
    shown = dict(line.split(maxsplit=1) for line in engine_ctl(*arguments).stdout.splitlines())
    assert shown["plan.backend"] == "cpu_avx2"
    assert shown["plan.limits.max_watts"] == "-"
    assert shown["estimate.kv_cache_bytes"] == "20"
    as_json = json.loads(engine_ctl(*arguments, "--json").stdout)
    assert set(as_json) == {"plan", "plan_fingerprint", "build", "estimate", "prediction", "prompt"}
    assert as_json["plan"] == make_plan().model_dump(mode="json")


def test_models_pull_prints_where_the_model_is(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    result = engine_ctl("models", "pull", "tiny", "--socket", str(socket_path))
    assert (result.exit_code, result.stdout) == (0, "/models/tiny-00001-of-00003.gguf\n")
    as_json = json.loads(engine_ctl("models", "pull", "tiny", "--socket", str(socket_path), "--json").stdout)
    assert as_json == {
        "name": "tiny",
        "path": "/models/tiny-00001-of-00003.gguf",
        "size_bytes": 2_500_000,
        "architecture": "llama",
    }


def test_models_inspect(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    arguments = ("models", "inspect", "tiny", "--socket", str(socket_path))
    assert engine_ctl(*arguments, "--tensors").stdout.splitlines() == [
        "tiny: /models/tiny-00001-of-00003.gguf",
        "GGUF v3, llama, 32,768 parameters, 2.5 MB in 3 files",
        "  general.name = 'Tiny'",
        "  llama.block_count = 2",
        "tensors: 1 (1 Q8_0)",
        "  token_embd.weight  Q8_0  [512, 64]",
        "native        2.5 MB on disk       3.0 MB in memory  1 Q8_0",
        "q6_k    it has no weights",
        "KV cache: f16 1.0 kB a token, 2.0 MB for all 2,048, q8_0 0.5 kB a token, 1.1 MB for all 2,048",
        "buffers of a step: 4.0 MB",
    ]
    as_json = json.loads(engine_ctl(*arguments, "--json").stdout)
    assert as_json == description(0).model_dump(mode="json", exclude={"type", "request_id"})


def test_tokenize_prints_what_detokenize_takes(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    common = ("--socket", str(socket_path), "--model", "tiny")
    assert engine_ctl("tokenize", *common, "--text", "abc").stdout == "0 1 2\n"
    assert engine_ctl("tokenize", *common, stdin="ab\n").stdout == "0 1 2\n"
    assert engine_ctl("detokenize", *common, stdin="79 108 225\n").stdout == "Olá"
    assert engine_ctl("detokenize", *common, "--ids", "[79, 108]").stdout == "Ol"


def test_tokens_of_a_file_are_counted(start_engine: StartEngine, socket_path: Path, tmp_path: Path) -> None:
    engine = start_engine(answers)
    common = ("--socket", str(socket_path), "--model", "tiny")
    (tmp_path / "text").write_bytes(b"ab\r\n")
    assert engine_ctl("tokenize", *common, "--file", str(tmp_path / "text"), "--count").stdout == "4\n"
    (asked,) = engine.requests(Tokenize)
    assert asked.text == "ab\r\n"
    assert engine_ctl("tokenize", *common, "--file", "x", "--text", "y").exit_code == 2


def test_tokens_in_json(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers)
    common = ("--socket", str(socket_path), "--model", "tiny", "--json")
    tokenized = engine_ctl("tokenize", *common, "--text", "á!", "--no-special", "--parse-special")
    assert json.loads(tokenized.stdout) == {"token_ids": [0, 1], "pieces": ["á", "!"]}
    (asked,) = engine.requests(Tokenize)
    assert isinstance(asked, Tokenize)
    assert (asked.add_special, asked.parse_special) == (False, True)
    assert json.loads(engine_ctl("detokenize", *common, "--ids", "79").stdout) == {"text": "O"}


@pytest.mark.parametrize("text", ["1 x", "-1", "1.5", "[[1]]", "99999999999", "²"])
def test_what_is_not_a_token_id_is_wrong_usage(text: str, socket_path: Path) -> None:
    result = engine_ctl("detokenize", "--socket", str(socket_path), "--model", "tiny", "--ids", text)
    assert result.exit_code == 2


def test_ids_may_be_a_line_or_a_json_array() -> None:
    assert parse_ids("1 2\n3") == parse_ids("[1, 2, 3]") == parse_ids("1,2,3") == (1, 2, 3)
    assert parse_ids("") == parse_ids("[]") == ()
