"""The architecture and the flow of an execution (Documentação Completa §2 and §3)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.answers import Accepted, Event, Finished, Progress, Tokens
from protocol.blocking import BlockingClient
from protocol.plan import ExecutionPlan
from protocol.requests import Detokenize, Plan, Status, Subscribe
from tests.requirements.execution import from_json, make_request, messages_of, run, run_for, told
from tests.requirements.llama import NAME
from tests.requirements.test_examples import API
from tests.test_layers import imports, modules

# Runs a command and refuses it the network, and programs that are not its own.
ON_ITS_OWN = """
import sys
import trio  # asks ldconfig for a library's name
def refuse(event, arguments):
    if event == "socket.connect" and not isinstance(arguments[1], (str, bytes)):
        raise RuntimeError(f"the network: {arguments[1]}")
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn") and arguments[0] != sys.executable:
        raise RuntimeError(f"another program: {arguments[0]}")
sys.addaudithook(refuse)
from engine_ctl.main import main
main(prog_name="engine-ctl")
"""
KNOBS: dict[str, tuple[Any, str]] = {
    "backend": ("reference", "backend"),
    "quantization": ("q6_k", "quantization"),
    "kv_cache": ("q8_0", "kv_cache"),
    "prefix_cache": ("on", "prefix_cache"),
    "scheduler_policy": ("latency_energy_balanced", "scheduler_policy"),
    "priority": (-3, "priority"),
    "threads": (1, "threads"),
    "spin_us": (0, "spin_us"),
    "context_length": (512, "batch.context_length"),
    "max_sequences": (2, "batch.max_sequences"),
    "prefill_chunk": (32, "batch.prefill_chunk"),
    "prefill_beside_decode": (8, "batch.prefill_beside_decode"),
    "energy_source": ("none", "energy_source"),
    "stream": ({"flush_ms": 7}, "stream"),
    "n": (2, "n"),
    "speculation": (
        {"kind": "lookup", "model": None, "quantization": None, "max_rows": 4, "row_cost": 0.3, "draft_cost": None},
        "speculation",
    ),
    "op_times": (True, "op_times"),
    "token_times": (True, "token_times"),
}
"""What an agent may vary: a field of a request, a value, and where the plan holds it."""


def test_flow_layers_know_those_below_by_their_contracts() -> None:
    """The command line imports the protocol alone but where it assembles an engine, the engine no actors, the
    protocol neither.
    """
    forbidden = {"protocol": {"engine", "actors", "trio"}, "engine": {"actors", "trio"}, "engine_ctl": {"actors"}}
    assembling = ("engine_ctl.embedded", "engine_ctl.engine_options")
    for name, path in modules():
        package = name.partition(".")[0]
        used = {module.partition(".")[0] for module in imports(path)}
        assert name in assembling or not used & forbidden.get(package, set()), name


def test_flow_cli_gives_the_engine_the_same_request_as_the_api(client: BlockingClient) -> None:
    flags = ("--quant", "q4_k_m", "--backend", "cpu_avx2", "--max-watts", "25", "--prompt", "Olá mundo")
    assert (
        told("plan", "--model", NAME, *flags)["plan_fingerprint"]
        == client.ask(Plan(request=from_json(API))).plan_fingerprint
    )


def test_flow_stages_follow_one_another(client: BlockingClient, engine: Path) -> None:
    with BlockingClient.connect(engine, timeout=60) as observer:
        events = observer.follow(Subscribe())
        next(events)
        run(client)
        kinds: list[str] = []
        while not kinds or kinds[-1] != "ended":
            event = next(events)
            assert isinstance(event, Event)
            if event.body.kind not in kinds:
                kinds.append(event.body.kind)
    assert [kind for kind in kinds if kind not in ("preparing", "energy")] == [
        "accepted", "admitted", "started", "tokens", "ended",
    ]  # fmt: skip


def test_flow_plan_immutable_in_every_part(client: BlockingClient) -> None:
    plan = client.ask(Plan(request=make_request())).plan
    changes = ((plan, "backend", "reference"), (plan.limits, "max_tokens", 1), (plan.batch, "max_sequences", 1))
    for part, field, value in changes:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, value)
    assert plan == ExecutionPlan.model_validate_json(plan.model_dump_json())


def test_flow_initialization_generates_no_token(client: BlockingClient, tmp_path: Path) -> None:
    """A plan, then the weights' progress, and no token before all that."""
    messages = messages_of(client, make_request(quantization="q8_0", threads=1, spin_us=3))
    first = next(number for number, message in enumerate(messages) if isinstance(message, Tokens))
    assert isinstance(messages[0], Accepted)
    assert all(isinstance(message, Progress) for message in messages[1:first])


def test_flow_operations_of_each_token_are_the_backends(client: BlockingClient) -> None:
    times = run(client, op_times=True, stop={"eos": False}).metrics.op_time_ms
    assert times is not None
    for name in ("embedding", "matmul", "rope", "kv_store", "attention", "activation", "norm", "logits"):
        assert getattr(times, name) > 0, name


def test_flow_kv_cache_has_the_precision_of_the_plan(client: BlockingClient) -> None:
    records = [run(client, kv_cache=name, max_tokens=32, stop={"eos": False}) for name in ("f16", "q8_0")]
    assert [record.plan.kv_cache for record in records] == ["f16", "q8_0"]
    assert records[0].logits_digest != records[1].logits_digest


def test_flow_streaming_emits_records_and_counts_every_token(client: BlockingClient) -> None:
    asked = make_request(max_tokens=48, stop={"eos": False}, stream={"flush_ms": 0})
    messages = messages_of(client, asked)
    finished = messages[-1]
    assert isinstance(finished, Finished)
    emitted = [token for message in messages if isinstance(message, Tokens) for token in message.token_ids]
    assert tuple(emitted) == finished.record.token_ids
    assert len(emitted) == finished.record.metrics.tokens_total == 48
    assert finished.record.metrics.latency_gaps == 47


def test_flow_streaming_of_a_token_waits_no_longer_than_the_plan_says(client: BlockingClient) -> None:
    """The default is 20 ms; with a long one the first token still goes at once, and the others together."""
    assert client.ask(Plan(request=make_request())).plan.stream.flush_ms == 20
    messages = messages_of(client, make_request(max_tokens=48, stop={"eos": False}, stream={"flush_ms": 10_000}))
    counts = [len(message.token_ids) for message in messages if isinstance(message, Tokens)]
    assert sum(counts) == 48
    assert len(counts) <= 2  # the first message has more than one token where its reader came late


def test_flow_levels_meet_in_the_record(client: BlockingClient) -> None:
    metrics = run_for(client, joules=40, op_times=True).metrics
    engine = (metrics.tokens_total, metrics.latency_p50_ms, metrics.latency_total_ms)
    backend = (metrics.op_time_ms, metrics.memory_peak_mb)
    system = (metrics.watts_avg, metrics.cpu_share, metrics.cpu_user_ms, metrics.cpu_system_ms)
    assert None not in (*engine, *backend, *system)


def test_flow_end_frees_memory_and_returns_the_result(client: BlockingClient) -> None:
    record = run(client)
    status = client.ask(Status())
    assert record.result == client.ask(Detokenize(model=NAME, token_ids=record.token_ids)).text
    assert record.execution_id not in {each.execution_id for each in status.executions}
    assert status.memory_bytes["kv_cache"] == 0


def test_flow_dependencies_are_none_beyond_the_model(tmp_path: Path) -> None:
    """No network and no other program, from an empty home."""
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("ENGINE_", "PYTHON"))}
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", ON_ITS_OWN, "run", "--json", "--model", NAME, "--prompt", "Olá", "--max-tokens", "4"],
        check=False, capture_output=True, text=True, env=kept | variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["metrics"]["tokens_total"] == 4


@pytest.mark.parametrize("field", KNOBS)
def test_flow_extension_by_the_plan_alone(field: str, client: BlockingClient) -> None:
    value, place = KNOBS[field]
    planned: Any = client.ask(Plan(request=make_request(**{field: value}))).plan.model_dump(mode="json")
    for name in place.split("."):
        planned = planned[name]
    assert planned == value
