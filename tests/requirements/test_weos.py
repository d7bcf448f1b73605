"""The integration with the WeOS: it decides, the engine executes and measures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.identity.version import ENGINE_VERSION
from protocol.answers import Event, Failed
from protocol.blocking import BlockingClient
from protocol.events import EndedEvent
from protocol.experiment_messages import Experiments
from protocol.record_entry import FinishedEntry
from protocol.requests import PROTOCOL_VERSION, CompareExecutions, GetExecution, Hello, Status, Subscribe
from protocol.schema import published_schema
from tests.agents.command_line import weos_agents
from tests.engine.compared_records import refused
from tests.requirements.execution import make_request, run, run_for, told
from tests.requirements.llama import NAME
from tests.requirements.test_examples import RUN_REQUEST, exchange
from tests.test_layers import ROOT, imports, modules
from tests.tools.command_line import engine_ctl

HELLO = {"type": "Hello", "protocol_version": PROTOCOL_VERSION}


def test_weos_direct_access_is_not_in_a_clients_vocabulary() -> None:
    for name, path in modules():
        if name.startswith("protocol"):
            used = {module.partition(".")[0] for module in imports(path)}
            assert not used & {"engine", "actors", "ctypes", "mmap"}, name


@pytest.mark.parametrize(
    "spoilt",
    [
        {"prompt": None}, {"model": 7}, {"execution": {"backend": ["cpu_avx2"]}}, {"execution": {"unknown": 1}},
        {"execution": {"limits": {"max_tokens": -1}}}, {"execution": {"limits": {"max_watts": "25 W"}}}, {"plan": {}},
    ],
)  # fmt: skip
def test_weos_invalid_requests_are_rejected_and_the_connection_lives(spoilt: dict[str, Any], engine: Path) -> None:
    spoilt_run = {"type": "Run", "request_id": 1, "request": {**RUN_REQUEST, **spoilt}}
    whole_run = {"type": "Run", "request_id": 2, "request": RUN_REQUEST}
    answers = exchange(engine, HELLO, spoilt_run, whole_run, until="Finished")
    if answers[-1]["request_id"] == 1:
        answers += exchange(engine, HELLO, whole_run, until="Finished")
    by_request = {answer.get("request_id"): answer for answer in answers}
    assert (by_request[1]["type"], by_request[1]["code"]) == (Failed.__name__, "invalid_request")
    assert by_request[2]["type"] == "Finished"


def test_weos_metrics_immutable_here_and_in_the_store(client: BlockingClient) -> None:
    record = run(client)
    for name in type(record.metrics).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(record.metrics, name, 9)
    assert stored(client, record.execution_id) == record


def test_weos_metrics_auditable_by_a_chain_of_hashes(client: BlockingClient, engine: Path) -> None:
    run(client)
    before = told("executions", "verify", "--chain", "--socket", str(engine))
    run(client)
    after = told("executions", "verify", "--chain", "--socket", str(engine))
    assert (before["fault"], after["fault"]) == (None, None)
    assert after["head"]["sequence"] > before["head"]["sequence"]
    assert after["head"]["hash"] != before["head"]["hash"]


def test_weos_metrics_auditable_by_running_them_again(client: BlockingClient, engine: Path) -> None:
    record = run(client, sampling={"temperature": 0.8, "seed": 5})
    verdict = told("executions", "verify", record.execution_id, "--socket", str(engine))["repeat"]
    assert verdict["output"]["logits_digest"] is True


def test_weos_metrics_comparable_with_those_of_an_equal_execution(client: BlockingClient) -> None:
    a, b = run(client), run(client)
    asked = client.ask(CompareExecutions(a=a.execution_id, b=b.execution_id))
    assert asked.repeat is not None
    assert asked.repeat.output.same


def test_weos_loop_runs_compares_and_runs_again(client: BlockingClient) -> None:
    """All steps but the fourth, a proposal; without a change of the engine."""
    baseline, candidate = run(client), run(client, quantization="q8_0")
    again = run(client, quantization="q8_0")
    assert client.welcome.engine_version == baseline.engine_version == again.engine_version
    compared = client.ask(
        CompareExecutions(a=baseline.execution_id, b=candidate.execution_id, differing=("quantization",))
    )
    assert compared.variant is not None
    assert [difference.field for difference in compared.variant.differences] == ["quantization"]
    assert again.plan_fingerprint == candidate.plan_fingerprint
    assert again.logits_digest == candidate.logits_digest


def test_weos_loop_proposes_a_plan(engine: Path) -> None:
    asked = {"type": "Proposals", "request_id": 1}
    assert exchange(engine, HELLO, asked, until="ProposalList")[-1]["type"] != "Failed"


def test_weos_observer_changes_nothing(client: BlockingClient, engine: Path) -> None:
    unseen = run(client, max_tokens=32)
    with BlockingClient.connect(engine, timeout=60) as observer:
        events = observer.follow(Subscribe())
        next(events)
        seen = run(client, max_tokens=32)
        bodies = (event.body for event in events if isinstance(event, Event))
        ended = next(body for body in bodies if isinstance(body, EndedEvent))
    assert ended.metrics == seen.metrics
    assert (seen.logits_digest, seen.plan_fingerprint) == (unseen.logits_digest, unseen.plan_fingerprint)


def test_weos_experimental_variations_are_controlled_and_recorded(client: BlockingClient, engine: Path) -> None:
    base = make_request().execution
    records = [run(client, threads=1, prefill_chunk=chunk) for chunk in (16, 256)]
    assert {record.plan.batch.prefill_chunk for record in records} == {16, 256}
    assert base.prefill_chunk == 256
    arguments = ("executions", "compare", *(record.execution_id for record in records), "--socket", str(engine))
    fields = "batch.prefill_chunk,batch.prefill_beside_decode"
    compared = told(*arguments, "--differing", fields)["variant"]
    assert {each["field"] for each in compared["differences"]} == set(fields.split(","))
    # Left out, the field that differs is named by the refusal.
    assert "batch.prefill_chunk" in engine_ctl(*arguments).stderr


def other_values(told: dict[str, Any], capabilities: tuple[str, ...]) -> list[Any]:
    """What the annotation of a field offers: all named values that can be had here, or the ends of its range."""
    if "values" not in told and "scale" not in told:
        return []  # it needs another field set too
    values = told.get("values", [told.get("minimum", 1), told.get("maximum", 1)])
    kind = told.get("capability")
    return [value for value in values if kind is None or f"{kind}:{value}" in capabilities]


def test_weos_experimental_space_is_told_by_the_engine_and_true(client: BlockingClient) -> None:
    """A client that knows nothing but the schema of plans varies every field that decides speed or bits."""
    schema = published_schema("plan")
    nodes = [schema, *schema["$defs"].values()]
    told = [node["x-search"] for part in nodes for node in part["properties"].values() if "x-search" in node]
    baseline = run(client)
    for field in (each for each in told if each["effect"] in ("speed", "bits")):
        *groups, name = field["request_field"].split(".")[1:]
        records = []
        for value in other_values(field, client.welcome.capabilities):
            changed: dict[str, Any] = {name: value}
            for group in reversed(groups):
                changed = {group: changed}
            records.append(run(client, **changed))
        same = {record.logits_digest == baseline.logits_digest for record in records}
        assert same <= {True} if field["effect"] == "speed" else False in same, field


def test_weos_optimizer_stays_within_its_limits(client: BlockingClient) -> None:
    record = run_for(client, joules=3)
    assert record.stop_reason == "max_joules"
    assert record.plan.limits.max_joules == 3.0


def test_weos_optimizer_comes_with_the_engine(client: BlockingClient, engine: Path, tmp_path: Path) -> None:
    """It searches, proves and reports over the engine's socket; all that it tried is in the engine's records."""
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    workload = tmp_path / "prompts.jsonl"
    workload.write_text("".join(json.dumps({"prompt": f"Olá mundo {number}"}) + "\n" for number in range(8)))
    known = {one.experiment_id for one in client.ask(Experiments(limit=1000)).experiments}
    asked = ("optimize", NAME, "--workload", str(workload), "--max-tokens", "6", "--fields", "batch.prefill_chunk")
    limits = ("--minutes", "0.5", "--unknown-load-counts", "--socket", str(engine))
    result = weos_agents(*asked, *limits, "--report", str(tmp_path / "report"))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))["optimization"]
    tried = [found["noise"], *(trial["evidence"] for trial in found["trials"])]
    kept = {one.experiment_id: one for one in client.ask(Experiments(limit=1000)).experiments}
    assert {one["experiment"] for one in tried} <= kept.keys() - known
    assert all(kept[one["experiment"]].agent == "weos-agents" for one in tried)
    assert {name for trial in found["trials"] for name in trial["changes"]} == {"batch.prefill_chunk"}


def test_weos_version_is_one_and_in_every_account(client: BlockingClient, engine: Path) -> None:
    told_versions = {
        client.welcome.engine_version, client.ask(Status()).engine_version, run(client).engine_version,
        told("status", "--socket", str(engine))["engine_version"], ENGINE_VERSION,
    }  # fmt: skip
    assert told_versions == {ENGINE_VERSION}
    assert ENGINE_VERSION in engine_ctl("--version").stdout


def test_weos_version_has_the_build_beside_it(client: BlockingClient) -> None:
    build = client.welcome.build
    assert build is not None
    assert run(client).build == build
    assert build.id in engine_ctl("--version").stdout


def test_weos_version_changes_with_the_arithmetic(client: BlockingClient) -> None:
    """Structural changes ask for a new version: the digest of a self-test's bits is written down for each."""
    assert client.welcome.build is not None
    known = json.loads((ROOT / "tests" / "engine" / "arithmetic.json").read_text(encoding="utf-8"))
    assert known[ENGINE_VERSION] == client.welcome.build.arithmetic


def test_weos_version_of_another_arithmetic_is_not_compared(client: BlockingClient) -> None:
    record = run(client)
    assert record.build is not None
    other = record.model_copy(
        update={"execution_id": "other", "build": record.build.model_copy(update={"arithmetic": "0" * 32})}
    )
    assert "build.arithmetic" in refused(record, other)


def test_weos_identity_is_left_to_the_system_and_the_weos() -> None:
    """No user, password or role in the protocol: who may open the socket is the file's owner."""
    assert set(Hello.model_fields) == {"type", "protocol_version"}


def stored(client: BlockingClient, execution_id: str) -> object:
    """The record that the store has of an execution."""
    entry = client.ask(GetExecution(execution_id=execution_id)).entry
    assert isinstance(entry, FinishedEntry)
    return entry.record
