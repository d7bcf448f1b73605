"""What the documents forbid: the engine, its backends, and agents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from benchmarks.__main__ import BENCHMARKS
from engine.records.comparison import compare_variant
from engine_ctl.metrics_table import _UNITS
from protocol.answers import Tokens
from protocol.blocking import BlockingClient
from protocol.errors import IncomparableExecutions, InvalidRequest
from protocol.experiment import ExperimentMetric
from protocol.experiment_messages import Experiment
from protocol.metrics import ExecutionMetrics
from protocol.record_entry import timestamp_now
from protocol.requests import PROTOCOL_VERSION, AskedMessage, Cancel, CompareExecutions, GetExecution, Status
from tests.engine.compared_records import first, power, ratio_of, second
from tests.engine.record_factory import measured, plan_with, tampering
from tests.requirements.execution import make_request, record_of, run, told
from tests.requirements.files import fingerprints
from tests.requirements.llama import NAME, environment, write_llama
from tests.requirements.test_examples import API, exchange
from tests.test_layers import ROOT, imports
from tests.tools.command_line import engine_ctl

HELLO = {"type": "Hello", "protocol_version": PROTOCOL_VERSION}


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the records of two executions, used by nothing else."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    write_llama(tmp_path / "models")
    for prompt in ("Olá", "mundo"):
        told("run", "--model", NAME, "--prompt", prompt, "--max-tokens", "2")
    return tmp_path / "data"


def test_ban_arbitrary_code_in_a_meters_command_is_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINE_ENERGY_METER_COMMAND", f"echo 5; touch {tmp_path / 'made'}")
    told("energy", "sources")
    assert not (tmp_path / "made").exists()


def test_ban_arbitrary_code_has_no_field_in_any_request() -> None:
    """No message names a program, a module or a function to run."""
    fields = {name for kind in messages() for name in kind.model_fields}
    assert not fields & {"command", "code", "script", "module", "function", "callback", "shell", "exec"}


def test_ban_self_modification_of_binaries_whatever_is_asked(client: BlockingClient, tmp_path: Path) -> None:
    before = fingerprints()
    run(client, quantization="q4_k_m", sampling={"temperature": 1.0})
    told("quantize", NAME, "--quant", "q8_0", "-o", str(tmp_path / "other.gguf"))
    told("embed", NAME, "Olá")
    assert (tmp_path / "other.gguf").stat().st_size > 0
    assert fingerprints() == before


def test_ban_self_modification_maps_no_code_that_can_be_written(client: BlockingClient) -> None:
    run(client)
    maps = Path(f"/proc/{client.ask(Status()).pid}/maps").read_text(encoding="ascii", errors="replace").splitlines()
    extension = [line.split()[1] for line in maps if "_core." in line]
    assert any("x" in rights for rights in extension)
    assert not [rights for rights in extension if "w" in rights and "x" in rights]


def test_ban_backend_change_of_executions_side_by_side(client: BlockingClient, engine: Path) -> None:
    """Every execution runs on its own plan's backend, whatever runs beside it or came before."""
    slow = make_request(max_tokens=2000, backend="reference", threads=1, stop={"eos": False}, stream={"flush_ms": 0})
    running = client.run(slow)
    execution_id = next(message.execution_id for message in running if isinstance(message, Tokens))
    with BlockingClient.connect(engine, timeout=60) as other:
        beside = run(other)
        other.ask(Cancel(execution_id=execution_id))
    *_, finished = running
    assert beside.hardware.kernel_path == beside.plan.backend != "reference"
    assert finished.record.hardware.kernel_path == finished.record.plan.backend == "reference"  # type: ignore[union-attr]


def test_ban_backend_change_has_no_message_of_its_own() -> None:
    """A backend is named where a plan begins, and an execution that runs can only be cancelled."""
    of_executions = [kind for kind in messages() if "execution_id" in kind.model_fields]
    assert of_executions
    assert not [kind for kind in of_executions if {"backend", "execution", "plan"} & set(kind.model_fields)]


def test_ban_hidden_state_gives_the_same_answer_whatever_ran_before(client: BlockingClient) -> None:
    fresh = run(client, sampling={"temperature": 1.0, "seed": 3})
    for prompt in ("Olá", "Olá mundo, outra vez", "x" * 200):
        run(client, prompt=prompt, sampling={"temperature": 1.0})
    again = run(client, sampling={"temperature": 1.0, "seed": 3})
    assert (again.token_ids, again.logits_digest) == (fresh.token_ids, fresh.logits_digest)
    assert again.plan_fingerprint == fresh.plan_fingerprint
    assert again.metrics.cached_prompt_tokens == 0


def test_ban_hidden_state_that_is_kept_is_named_by_the_plan_and_changes_no_bit(client: BlockingClient) -> None:
    asked = make_request(prompt="Era uma vez " * 30, prefix_cache="on")
    first, second = record_of(client, asked), record_of(client, asked)
    assert second.plan.prefix_cache == "on"
    assert (second.metrics.cached_prompt_tokens or 0) > 0
    assert second.logits_digest == first.logits_digest


def test_ban_hidden_state_writes_nowhere_but_into_its_folders(records: Path) -> None:
    top = {path.name for path in records.parent.iterdir()}
    assert top <= {"models", "data", "cache"}
    assert [path.name for path in (records.parent / "models").iterdir()] == [f"{NAME}.gguf"]


def test_ban_hidden_decision_in_a_backend() -> None:
    """The backend sees plans that are made, and nothing that makes, checks or ranks them."""
    for module in ("cpu/cpu_backend", "cpu/loaded_model", "cpu/model_load", "cpu/weights_load", "backend"):
        used = imports(ROOT / "engine" / f"{module}.py")
        decides = {
            f"engine.planning.resolve.{name}" for name in ("resolve_plan", "decide_without_model", "choose_backend")
        }
        assert not {name for name in used if name.startswith(("engine.planning.planner", "actors")) or name in decides}


def test_ban_altered_metrics_are_found_in_the_chain(records: Path) -> None:
    assert told("executions", "verify", "--chain")["fault"] is None
    with tampering(records / "records.sqlite") as connection:
        (text,) = connection.execute("SELECT content FROM entries ORDER BY sequence LIMIT 1").fetchone()
        altered = text.replace('"tokens_total":2', '"tokens_total":9')
        assert altered != text
        connection.execute("UPDATE entries SET content = ? WHERE sequence = 1", (altered,))
    assert told("executions", "verify", "--chain")["fault"]["kind"] == "content"


def test_ban_altered_metrics_have_no_message_to_come_by() -> None:
    """An experiment names metrics, and gives none."""
    named = Experiment.model_fields["metrics"].annotation
    assert named == tuple[ExperimentMetric, ...]
    others = [kind for kind in messages() if kind is not Experiment]
    assert not [kind.__name__ for kind in others if {"metrics", "record"} & set(kind.model_fields)]


@pytest.mark.parametrize("field", ["metrics", "formula", "formulas", "tokens_per_watt"])
def test_ban_redefined_formulas_are_unknown_fields(field: str, engine: Path) -> None:
    spoilt = {**API, "execution": {**API["execution"], field: "tokens_total * 2"}}
    (*_, answer) = exchange(engine, HELLO, {"type": "Run", "request_id": 1, "request": spoilt}, until="Finished")
    assert (answer["type"], answer["code"]) == ("Failed", InvalidRequest.code)


def test_ban_hidden_measurements_leave_a_mark_where_they_were(records: Path) -> None:
    told("executions", "prune", "--before", timestamp_now())
    report = told("executions", "verify", "--chain")
    assert report["fault"] is None
    assert report["anchor"]["sequence"] == 2
    assert report["entries"] == 1
    (mark,) = report["prunings"]
    assert (mark["first_sequence"], mark["through_sequence"], mark["executions_removed_total"]) == (1, 2, 2)


def test_ban_hidden_measurements_need_the_operators_permission(client: BlockingClient, engine: Path) -> None:
    record = run(client)
    asked = {"type": "PruneRecords", "request_id": 1, "recorded_before": timestamp_now()}
    refused = exchange(engine, HELLO, asked, until="RecordsPruned")[-1]
    assert (refused["type"], refused["code"]) == ("Failed", "not_permitted")
    assert client.ask(GetExecution(execution_id=record.execution_id))


def test_ban_hidden_measurements_of_the_future_cannot_be_removed(records: Path) -> None:
    assert engine_ctl("executions", "prune", "--before", "2100-01-01").exit_code == 3
    assert told("executions", "verify", "--chain")["entries"] == 2


def test_ban_implicit_metrics_each_has_a_name_and_a_formula_in_the_contract() -> None:
    told_of = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = {name for name in ExecutionMetrics.model_fields if f"`{name}`" in told_of or f"`metrics.{name}`" in told_of}
    assert told == set(ExecutionMetrics.model_fields)


def test_ban_implicit_metrics_calculated_outside_are_not_shown() -> None:
    """What the command line shows of an execution is what its record holds."""
    assert set(_UNITS) <= set(ExecutionMetrics.model_fields)


def test_ban_magic_benchmarks_each_is_a_command_that_a_page_describes() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))
    assert [name for name in BENCHMARKS if f"`{name}`" not in pages and f"benchmarks {name}`" not in pages] == []


def test_ban_magic_benchmarks_say_what_they_ran_on_and_who_disturbed_them() -> None:
    program = (ROOT / "benchmarks" / "__main__.py").read_text(encoding="utf-8")
    for condition in ("cpu_model()", "threads", "ENGINE_VERSION", "load_average", "Disturbance()"):
        assert condition in program


def test_ban_unequal_comparison_is_refused_and_names_every_difference(client: BlockingClient) -> None:
    a, b = run(client), run(client, prompt="another", max_tokens=3, quantization="q8_0")
    with pytest.raises(IncomparableExecutions) as refused:
        client.ask(CompareExecutions(a=a.execution_id, b=b.execution_id))
    fields = {difference["field"] for difference in refused.value.params["differences"]}
    assert {"quantization", "limits.max_tokens"} <= fields
    assert any("prompt" in field for field in fields)


@pytest.mark.parametrize("disturbed", [{"contended": True}, {"kind": "attributed"}, {"kind": "modelled"}])
def test_ban_unequal_comparison_of_energy_that_others_had_part_in_ranks_nothing(disturbed: dict[str, Any]) -> None:
    saving = second(plan_with(quantization="q4_k_m"), metrics=power(5.0, measured(5.0, **disturbed)))
    result = compare_variant(first(metrics=power(10.0, measured(10.0))), saving, ("quantization",))
    ratio = ratio_of("tokens_per_watt", result)
    assert (ratio.ratio, ratio.better) == (None, None)
    assert ratio.reason


def messages() -> tuple[Any, ...]:
    """Every message that a client may send."""
    kinds: list[Any] = []
    for kind in get_args(AskedMessage):
        kinds += get_args(kind) or (kind,)
    return tuple(kinds)
