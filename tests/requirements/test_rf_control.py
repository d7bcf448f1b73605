"""RF-05 to RF-07: the scheduler, what is observed, how the engine is controlled."""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest

from actors.policies.admission import decide
from protocol import requests
from protocol.answers import Tokens
from protocol.blocking import BlockingClient
from protocol.metrics import ExecutionMetrics
from protocol.plan import SchedulerPolicy
from protocol.record import ExecutionRecord
from protocol.requests import Cancel, Subscribe
from tests.actors.candidate_factory import make_candidate
from tests.requirements.execution import make_request, messages_of, run, run_for, told
from tests.requirements.llama import NAME
from tests.test_layers import ROOT, imports
from tests.tools.command_line import engine_ctl

COLLECTED = ("tokens_per_sec", "latency_p50_ms", "latency_p95_ms", "watts_avg", "tokens_per_watt")


@pytest.fixture(scope="module")
def computed(engine: Path) -> ExecutionRecord:
    """An execution that computed for long enough to have joules, which a window under 200 ms has not."""
    with BlockingClient.connect(engine, timeout=60) as client:
        return run_for(client, joules=30)


def test_rf_05_decoupled_scheduler_sees_messages_and_metadata_alone() -> None:
    scheduler = imports(ROOT / "actors" / "scheduler.py")
    policies = set().union(*(imports(path) for path in (ROOT / "actors" / "policies").glob("*.py")))
    known = {name for name in scheduler | policies if name.startswith(("engine", "actors.executor"))}
    # What may share a batch is said once, of plans alone.
    assert {name for name in known if not name.startswith("engine.batch_key")} == set()
    assert "engine.backend" not in imports(ROOT / "engine" / "batch_key.py")


def test_rf_05_batching_has_two_executions_share_steps(client: BlockingClient, engine: Path) -> None:
    long_run = client.run(make_request(max_tokens=8000, stop={"eos": False}, stream={"flush_ms": 0}))
    execution_id = next(message.execution_id for message in long_run if isinstance(message, Tokens))
    with BlockingClient.connect(engine, timeout=60) as other:
        before = work(other)
        beside = run(other, max_tokens=16, stop={"eos": False})
        after = work(other)
        other.ask(Cancel(execution_id=execution_id))
    for _ in long_run:
        pass
    assert beside.metrics.tokens_total == 16
    assert after["decode"] - before["decode"] > after["steps"] - before["steps"]


def test_rf_05_batching_leaves_a_single_execution_as_it_is(client: BlockingClient) -> None:
    alone = run(client, max_sequences=1)
    assert alone.plan.batch.max_sequences == 1
    assert alone.logits_digest == run(client, max_sequences=16).logits_digest


@pytest.mark.parametrize("policy", get_args(SchedulerPolicy))
def test_rf_05_policies_are_the_plans(policy: SchedulerPolicy, client: BlockingClient) -> None:
    assert run(client, scheduler_policy=policy).plan.scheduler_policy == policy


@pytest.mark.parametrize("policy", ["latency", "cost", "energy", "latency_energy_balanced"])
def test_rf_05_policies_put_small_work_first_and_the_default_who_came_first(policy: SchedulerPolicy) -> None:
    def first(chosen: SchedulerPolicy) -> str:
        large = make_candidate("large", policy=chosen, max_sequences=1, max_tokens=400, queued_ms=0)
        small = make_candidate("small", policy=chosen, max_sequences=1, max_tokens=4, queued_ms=1)
        moment_ns = 60_000_000_000  # no execution waits by choice any more
        (admitted,) = decide(moment_ns, (large, small), ()).admitted
        return admitted.execution_id

    assert first("default") == "large"
    assert first(policy) == "small"


def test_rf_06_tokens_per_sec_is_collected(computed: ExecutionRecord) -> None:
    assert known(computed.metrics, "tokens_per_sec")


def test_rf_06_latency_percentiles_are_collected(computed: ExecutionRecord) -> None:
    assert known(computed.metrics, "latency_p50_ms", "latency_p95_ms")
    assert computed.metrics.latency_gaps == computed.metrics.tokens_total - 1


def test_rf_06_watts_are_collected_and_say_what_they_are_worth(computed: ExecutionRecord) -> None:
    assert known(computed.metrics, "watts_avg", "joules_total")
    energy = computed.metrics.energy
    assert (energy.kind, energy.source) == ("modelled", "model")
    assert energy.rel_uncertainty is not None
    assert energy.rel_uncertainty >= 0.5


def test_rf_06_watts_that_nobody_measures_are_null_with_a_reason(client: BlockingClient) -> None:
    metrics = run(client, energy_source="none").metrics
    assert (metrics.watts_avg, metrics.tokens_per_watt, metrics.joules_total) == (None, None, None)
    assert metrics.energy.kind == "unavailable"
    assert metrics.energy.reason


def test_rf_06_tokens_per_watt_are_collected(computed: ExecutionRecord) -> None:
    assert known(computed.metrics, "tokens_per_watt")


def test_rf_06_cli_shows_them_after_a_run_and_later(engine: Path, computed: ExecutionRecord) -> None:
    common = ("--socket", str(engine))
    shown = engine_ctl("run", *common, "--model", NAME, "--prompt", "Olá", "--max-tokens", "4", "--metrics").stderr
    later = engine_ctl("executions", "show", *common, computed.execution_id).stdout
    assert all(name in shown and name in later for name in COLLECTED)
    assert f"watts_avg = ~{computed.metrics.watts_avg:,.2f}"[:14] in later


def test_rf_06_api_returns_them_and_tells_them_as_an_event(client: BlockingClient, engine: Path) -> None:
    with BlockingClient.connect(engine, timeout=60) as observer:
        events = observer.follow(Subscribe())
        next(events)
        record = run(client)
        ended = next(event for event in events if getattr(event, "body", None) and event.body.kind == "ended")  # type: ignore[union-attr]
    assert ended.body.metrics == record.metrics  # type: ignore[union-attr]


def test_rf_06_json_holds_every_metric_and_gives_it_back(computed: ExecutionRecord) -> None:
    text = computed.metrics.model_dump_json()
    assert set(COLLECTED) <= json.loads(text).keys()
    assert ExecutionMetrics.model_validate_json(text) == computed.metrics
    assert all(math.isfinite(number) for number in numbers(json.loads(text)))


def test_rf_07_cli_runs_without_an_engine_on_the_socket() -> None:
    record = told("run", "--model", NAME, "--prompt", "Olá mundo", "--max-tokens", "4")
    assert record["metrics"]["tokens_total"] == 4


def test_rf_07_api_answers_on_a_local_socket_of_its_owner_alone(engine: Path, client: BlockingClient) -> None:
    assert client.welcome.protocol_version >= 1
    assert engine.stat().st_mode & 0o777 == 0o600
    assert messages_of(client, make_request())


def test_rf_07_api_speaks_http(engine: Path) -> None:
    assert http(engine, "GET", "/health")[0] == 200


@pytest.mark.parametrize("route", ["run", "plan"])
def test_rf_07_weos_has_endpoints_of_its_own(route: str, engine: Path) -> None:
    status, content = http(engine, "POST", f"/v1/weos/{route}", make_request().model_dump(mode="json"))
    assert status == 200
    assert "metrics" in content if route == "run" else "plan" in content


def http(engine: Path, method: str, route: str, body: object = None) -> tuple[int, dict[str, Any]]:
    """One request over the Unix socket of HTTP beside the engine's own."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {route} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Length: {len(content)}\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(30)
        stream.connect(str(engine.with_name("engine-http.sock")))
        stream.sendall(head.encode() + content)
        answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))
    status, _, rest = answer.partition(b"\r\n")
    return int(status.split()[1]), json.loads(rest.partition(b"\r\n\r\n")[2])


def work(client: BlockingClient) -> dict[str, float]:
    """Steps of the run loop so far, and the rows that decoded in them."""
    families = {family.name: family for family in client.ask(requests.Metrics()).families}
    rows = {sample.labels["kind"]: sample.value for sample in families["engine_step_rows_total"].samples}
    return {"steps": families["engine_steps_total"].samples[0].value, "decode": rows["decode"]}


def known(metrics: ExecutionMetrics, *names: str) -> bool:
    return all((getattr(metrics, name) or 0) > 0 for name in names)


def numbers(content: object) -> Iterable[float]:
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers(value)
    elif isinstance(content, float):
        yield content
