"""OBJ-01 to OBJ-04, what is out of scope, and the KPIs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.records.comparison import compare_variant
from engine_ctl.main import COMMANDS
from protocol.answers import Event
from protocol.blocking import BlockingClient
from protocol.errors import UnknownModel, UnsupportedBackend
from protocol.requests import PROTOCOL_VERSION, Metrics, Status, Subscribe
from tests.engine.compared_records import first, power, ratio_of, second
from tests.engine.record_factory import measured, plan_with
from tests.requirements.execution import make_request, record_of, run, run_for, told
from tests.requirements.llama import NAME
from tests.requirements.test_examples import exchange
from tests.tools.command_line import engine_ctl

# An agent: it has the protocol's vocabulary and a socket, and cannot import the engine.
AGENT = """
import json, sys
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("engine", "actors", "engine_ctl"):
            raise ImportError(f"{name} is the engine's own")
sys.meta_path.insert(0, Refusal())
from pathlib import Path
from protocol.answers import Finished
from protocol.blocking import BlockingClient
from protocol.plan import RunRequest
found = {}
with BlockingClient.connect(Path(sys.argv[1]), timeout=60) as client:
    for quantization in ("native", "q8_0", "q4_k_m"):
        execution = {"quantization": quantization, "limits": {"max_tokens": 8}}
        asked = RunRequest.model_validate({"model": sys.argv[2], "prompt": "Once", "execution": execution})
        finished = [message for message in client.run(asked) if isinstance(message, Finished)]
        found[quantization] = finished[0].record.metrics.tokens_per_sec
print(json.dumps(found))
"""


def test_obj_01_tokens_per_watt_is_in_every_account(engine: Path, client: BlockingClient) -> None:
    common = ("--socket", str(engine))
    record = told("run", *common, "--model", NAME, "--prompt", "Olá", "--max-tokens", "4")
    assert "tokens_per_watt" in record["metrics"]
    assert "tokens_per_watt" in told("executions", "ls", *common)["executions"][0]
    assert "tokens_per_watt" in engine_ctl("executions", "export", *common, "--format", "csv").stdout.splitlines()[0]


def test_obj_02_same_input_and_configuration_give_the_same_bits_whoever_runs_them(
    engine: Path, client: BlockingClient
) -> None:
    served = run(client, max_tokens=32, sampling={"temperature": 0.9, "seed": 7})
    flags = ("--max-tokens", "32", "--temperature", "0.9", "--seed", "7")
    alone = told("run", "--model", NAME, "--prompt", "Olá mundo", *flags)
    one_thread = run(client, max_tokens=32, sampling={"temperature": 0.9, "seed": 7}, threads=1)
    assert alone["token_ids"] == list(served.token_ids) == list(one_thread.token_ids)
    assert alone["logits_digest"] == served.logits_digest == one_thread.logits_digest
    assert alone["plan_fingerprint"] == served.plan_fingerprint


def test_obj_02_is_verified_by_a_command(engine: Path, client: BlockingClient) -> None:
    record = run(client)
    verdict = told("executions", "verify", record.execution_id, "--socket", str(engine))["repeat"]
    assert (verdict["output"]["result"], verdict["output"]["logits_digest"]) == (True, True)
    assert {metric["metric"]: metric["tolerance"] for metric in verdict["metrics"]} == {
        "tokens_per_sec": 0.03, "watts_avg": 0.05,
    }  # fmt: skip


def test_obj_03_model_plan_and_backend_change_one_without_the_other(client: BlockingClient) -> None:
    vector, scalar = (run(client, backend=name) for name in (None, "reference"))
    assert vector.plan.model_ref == scalar.plan.model_ref
    assert vector.logits_digest == scalar.logits_digest
    named = {"backend": "reference"}
    assert vector.plan.model_copy(update=named) == scalar.plan
    assert vector.hardware.kernel_path != scalar.hardware.kernel_path


def test_obj_04_observe_executions_of_others(client: BlockingClient, engine: Path) -> None:
    with BlockingClient.connect(engine, timeout=60) as observer:
        events = observer.follow(Subscribe())
        next(events)
        record = run(client)
        kinds: list[str] = []
        for event in events:
            assert isinstance(event, Event)
            assert event.execution_id == record.execution_id
            kinds.append(event.body.kind)
            if event.body.kind == "ended":
                break
    assert [kinds[0], kinds[-1]] == ["accepted", "ended"]


def test_obj_04_test_another_plan_beside_the_first(client: BlockingClient, engine: Path) -> None:
    a, b = (run(client, quantization=name).execution_id for name in ("native", "q8_0"))
    compared = told("executions", "compare", a, b, "--differing", "quantization", "--socket", str(engine))
    assert {each["field"] for each in compared["variant"]["differences"]} == {"quantization"}
    assert "tokens_per_watt" in {ratio["metric"] for ratio in compared["variant"]["ratios"]}


def test_obj_04_propose_a_plan_with_its_evidence(client: BlockingClient, engine: Path) -> None:
    a, b = (run(client, threads=threads) for threads in (1, None))
    plan = b.plan.model_dump(mode="json")
    asked: dict[str, Any] = {"plan": plan, "evidence": [a.execution_id, b.execution_id], "kpi": "tokens_per_watt",
                             "note": "more threads", "agent": "tester"}  # fmt: skip
    answers = exchange(
        engine, {"type": "Hello", "protocol_version": PROTOCOL_VERSION}, {"type": "Propose", "request_id": 1, **asked},
        until="Proposed",
    )  # fmt: skip
    assert answers[-1]["type"] == "Proposed", answers[-1]


def test_scope_excluded_are_training_orchestration_and_gpus(client: BlockingClient) -> None:
    assert not {"train", "finetune", "fine-tune", "deploy", "cluster"} & set(COMMANDS)
    for name in ("cuda", "rocm", "metal"):
        with pytest.raises(UnsupportedBackend):
            run(client, backend=name)


def test_kpi_tokens_per_watt_ranks_measured_executions() -> None:
    saving = second(plan_with(quantization="q4_k_m"), metrics=power(8.0, measured(8.0)))
    result = compare_variant(first(metrics=power(10.0, measured(10.0))), saving, ("quantization",))
    ratio = ratio_of("tokens_per_watt", result)
    assert ratio.ratio == pytest.approx(1.25)
    assert ratio.better == "b"


def test_kpi_tokens_per_watt_is_no_claim_where_energy_is_modelled(client: BlockingClient, engine: Path) -> None:
    a, b = (run_for(client, joules=25, op_times=on) for on in (False, True))
    assert (a.metrics.energy.kind, b.metrics.energy.kind) == ("modelled", "modelled")
    arguments = (a.execution_id, b.execution_id, "--differing", "op_times", "--socket", str(engine))
    ratios = {each["metric"]: each for each in told("executions", "compare", *arguments)["variant"]["ratios"]}
    for name in ("watts_avg", "tokens_per_watt", "joules_total", "joules_per_token"):
        assert (ratios[name]["ratio"], ratios[name]["better"]) == (None, None)
        assert ratios[name]["modelled"] == ["a", "b"]


def test_kpi_quantization_changes_by_the_plan_alone(client: BlockingClient) -> None:
    records = [run(client, quantization=name) for name in ("native", "q8_0", "q6_k", "q4_k_m")]
    assert len({record.plan.model_ref.content_hash for record in records}) == 1
    assert {record.plan.model_ref.name for record in records} == {NAME}


def test_kpi_agents_vary_plans_from_outside_without_the_engines_code(engine: Path) -> None:
    done = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", AGENT, str(engine), NAME], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert all(rate > 0 for rate in json.loads(done.stdout).values())


def test_kpi_observable_engine_tells_its_state_and_its_past(client: BlockingClient, engine: Path) -> None:
    record = run(client)
    status = client.ask(Status())
    assert NAME in {model.model for model in status.models_loaded}
    families = {family.name for family in client.ask(Metrics()).families}
    assert {"engine_executions_total", "engine_generated_tokens_total"} <= families
    shown = told("executions", "show", record.execution_id, "--socket", str(engine))
    assert shown["entry"]["record"] == json.loads(record.model_dump_json())


def test_kpi_observable_failures_are_errors_with_a_code(client: BlockingClient) -> None:
    asked = make_request().model_copy(update={"model": "no-such-model"})
    with pytest.raises(UnknownModel):
        record_of(client, asked)
