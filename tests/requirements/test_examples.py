"""Every JSON and CLI example of the documents, as it stands there."""

from __future__ import annotations

import json
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest

from protocol.blocking import BlockingClient
from protocol.framing import FrameDecoder, encode_frame
from protocol.plan import ExecutionPlan
from protocol.requests import PROTOCOL_VERSION, Plan
from tests.requirements.execution import from_json, record_of, told
from tests.requirements.llama import DECLARED, NAME
from tests.tools.command_line import PROGRAM

# Documentação Completa §3.3.1; the program is called engine-ctl here.
CLI = """
engine run \\
  --model llama3-8b.gguf \\
  --quant q4_k_m \\
  --backend cpu_avx2 \\
  --max-watts 25 \\
  --prompt "Olá mundo"
"""
# Documentação Completa §3.3.1
API: dict[str, Any] = {
    "model": "llama3-8b",
    "prompt": "Olá mundo",
    "execution": {"backend": "cpu_avx2", "quantization": "q4_k_m", "limits": {"max_watts": 25}},
}
# Documentação Completa §5.5, Integração com WeOS §5
RUN_REQUEST: dict[str, Any] = {
    "model": "llama3-8b",
    "prompt": "Explique inferência eficiente",
    "execution": {
        "backend": "cpu_avx2",
        "quantization": "q4_k_m",
        "scheduler_policy": "default",
        "limits": {"max_tokens": 256, "max_watts": 25},
    },
}
# Documentação Completa §2.4
PLAN: dict[str, Any] = {
    "model": "llama3-8b",
    "backend": "cpu_avx2",
    "quantization": "q4_k_m",
    "scheduler_policy": "latency_energy_balanced",
    "limits": {"max_watts": 25},
}
# Documentação Completa §3.4
FILLED_PLAN: dict[str, Any] = {
    "model_ref": "llama3-8b",
    "backend": "cpu_avx2",
    "quantization": "q4_k_m",
    "scheduler_policy": "default",
    "limits": {"max_watts": 25, "max_tokens": 512},
}
# The keys of the JSON in Documentação Completa §3.13, §4.8 and §5.6, Integração com WeOS §6
OUTPUT = {"tokens_per_sec", "watts_avg", "tokens_per_watt"}
METRICS = {"tokens_total", "latency_p50_ms", "latency_p95_ms", *OUTPUT}
CONTRACT = {"tokens_total", "latency_p95_ms", *OUTPUT}


def decisions(plan: ExecutionPlan) -> dict[str, Any]:
    """What the documents' plans hold of a plan; its limits as far as they are set."""
    content = plan.model_dump(mode="json")
    limits = {name: content["limits"][name] for name in ("max_watts", "max_tokens")}
    named = {name: content[name] for name in ("backend", "quantization", "scheduler_policy")}
    return {"model_ref": plan.model_ref.name, **named, "limits": limits}


def exchange(path: Path, *requests: dict[str, Any], until: str) -> list[dict[str, Any]]:
    """What the engine answers to these frames, to the first answer of the type ``until``; with no client of ours."""
    answers: list[dict[str, Any]] = []
    decoder = FrameDecoder()
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(path))
        raw.sendall(b"".join(encode_frame(msgpack.packb(each)) for each in requests))
        while not answers or answers[-1]["type"] not in (until, "Failed"):
            answers += [msgpack.unpackb(frame) for frame in decoder.feed(raw.recv(1 << 16))]
    return answers


def run_as_written(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The CLI's example in a shell's words, from a folder, with no engine running."""
    name, command, *flags = shlex.split(CLI.replace("\\\n", " "))
    assert (name, command) == ("engine", "run")
    environment = {key: value for key, value in os.environ.items() if key not in DECLARED} | variables
    return subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, command, *flags], check=False, capture_output=True, text=True, cwd=folder, env=environment
    )


@pytest.mark.parametrize("place", ["beside the model", "elsewhere"])
def test_example_cli_runs_where_a_model_of_energy_was_declared(place: str, home: Path, tmp_path: Path) -> None:
    done = run_as_written(home / "models" if place == "beside the model" else tmp_path, **DECLARED)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "(model)" in done.stderr or "too short" in done.stderr


def test_example_cli_is_refused_in_one_line_with_the_remedy_where_nothing_was_declared(home: Path) -> None:
    done = run_as_written(home / "models")
    assert done.returncode == 7
    assert done.stdout == ""
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error[energy_unavailable]")]
    assert "--energy-source model --tdp-watts WATTS" in line


def test_example_api_runs_as_it_stands_on_the_socket(client: BlockingClient) -> None:
    record = record_of(client, from_json(API))
    assert record.plan.model_ref.name == NAME
    assert (record.plan.limits.max_watts, record.plan.limits.max_tokens) == (25.0, 512)
    assert record.plan.energy_source == "model"
    assert record.result
    judged = {limit.limit for limit in record.unjudged_limits or ()}
    # Over before its window of watts was full: then the record says that the limit was never judged.
    assert judged == {"max_watts"} or (record.metrics.latency_total_ms or 0) >= 1000


@pytest.mark.parametrize("request_file", ["file", "stdin"])
def test_example_api_runs_as_a_request_file_of_the_cli(request_file: str, engine: Path, tmp_path: Path) -> None:
    text = json.dumps(API, ensure_ascii=False)
    (tmp_path / "request.json").write_text(text, encoding="utf-8")
    source = "-" if request_file == "stdin" else str(tmp_path / "request.json")
    record = told("run", "--socket", str(engine), "--request", source, stdin=text if source == "-" else None)
    assert record["plan"]["quantization"] == "q4_k_m"
    assert record["result"]


def test_example_run_request_is_answered_frame_by_frame(engine: Path) -> None:
    hello = {"type": "Hello", "protocol_version": PROTOCOL_VERSION}
    asked = {"type": "Run", "request_id": 7, "request": RUN_REQUEST}
    answers = exchange(engine, hello, asked, until="Finished")
    assert [answer["type"] for answer in answers[:2]] == ["Welcome", "Accepted"]
    assert {answer["request_id"] for answer in answers[1:]} == {7}
    text = "".join(answer["text"] for answer in answers if answer["type"] == "Tokens")
    assert text == answers[-1]["record"]["result"]


def test_example_run_request_gives_an_answer_within_its_limits(client: BlockingClient) -> None:
    record = record_of(client, from_json(RUN_REQUEST))
    assert decisions(record.plan) == {**FILLED_PLAN, "limits": {"max_watts": 25.0, "max_tokens": 256}}
    assert 0 < record.metrics.tokens_total <= 256


def test_example_filled_plan_is_what_the_control_plane_makes_of_the_api_example(client: BlockingClient) -> None:
    assert decisions(client.ask(Plan(request=from_json(API))).plan) == FILLED_PLAN


def test_example_plan_has_each_of_its_decisions_in_the_plan_of_a_request(client: BlockingClient) -> None:
    execution = {name: value for name, value in PLAN.items() if name != "model"}
    plan = client.ask(Plan(request=from_json({"model": PLAN["model"], "prompt": "Olá", "execution": execution}))).plan
    made = plan.model_dump(mode="json")
    assert {name: made[name] for name in execution if name != "limits"} | {"limits": {"max_watts": 25}} == execution


@pytest.mark.parametrize("plan", [PLAN, FILLED_PLAN], ids=["conceptual", "filled"])
def test_example_plan_is_accepted_as_a_request_for_a_plan(plan: dict[str, Any], engine: Path, tmp_path: Path) -> None:
    shapes = (plan, {"plan": plan}, {"plan": plan, "prompt": "Olá mundo"})
    answers = []
    for number, shape in enumerate(shapes):
        (tmp_path / f"{number}.json").write_text(json.dumps(shape))
        answers.append(told("plan", "--socket", str(engine), "--request", str(tmp_path / f"{number}.json")))
    assert any("plan" in answer and answer["plan"]["backend"] == "cpu_avx2" for answer in answers)


def test_example_output_holds_the_result_and_its_metrics(engine: Path) -> None:
    record = told("run", "--socket", str(engine), "--model", NAME, "--prompt", "Olá mundo", "--max-tokens", "128")
    assert isinstance(record["result"], str)
    assert record["metrics"].keys() >= OUTPUT
    # The example says "tokens"; §4.4.1 fixes the name.
    assert record["metrics"]["tokens_total"] == len(record["token_ids"])


def test_example_metrics_are_one_json_object_with_the_engines_version(engine: Path) -> None:
    record = told("run", "--socket", str(engine), "--model", NAME, "--prompt", "Olá mundo", "--max-tokens", "8")
    assert record["metrics"].keys() >= METRICS
    assert record["engine_version"].count(".") >= 2
    named = {name: record[name] for name in ("model", "backend", "quantization")}
    assert named == {"model": NAME, "backend": record["plan"]["backend"], "quantization": "native"}


def test_example_metrics_contract_comes_with_the_executions_id(client: BlockingClient) -> None:
    record = json.loads(record_of(client, from_json(RUN_REQUEST)).model_dump_json())
    assert record["execution_id"]
    assert record["engine_version"]
    assert record["metrics"].keys() >= CONTRACT


def test_example_cli_is_the_installed_program() -> None:
    program = Path(sys.executable).with_name("engine-ctl")
    if not program.exists():
        pytest.skip("the package's console script is not installed beside this Python")
    done = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)  # noqa: S603
    assert done.stdout.startswith("engine-ctl")
