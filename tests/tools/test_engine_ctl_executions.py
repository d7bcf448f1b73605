"""`engine-ctl executions`: records of runs in processes of their own, listed, repeated and held side by side."""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from protocol.record_entry import timestamp_now
from tests.support.gguf_factory import write_tiny_model
from tests.tools.command_line import PROGRAM, engine_ctl, serving


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("MODELS", "CACHE", "DATA"):
        monkeypatch.setenv(f"ENGINE_{name}_DIR", str(tmp_path / name.lower()))
    return write_tiny_model(tmp_path / "tiny.gguf", n_embd=256, n_ff=512, tensor_type="F16")


def told(*arguments: str, exit_code: int = 0) -> dict[str, Any]:
    result = engine_ctl(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def run(model: Path, *flags: str) -> str:
    """The execution's id."""
    record = told("run", "--model", str(model), "--prompt", "Once", "--max-tokens", "4", "--raw", *flags)
    return str(record["execution_id"])


def test_a_run_is_listed_and_shown_as_it_was_told(tiny: Path) -> None:
    record = told("run", "--model", str(tiny), "--prompt", "Once", "--max-tokens", "4")
    (listed,) = told("executions", "ls")["executions"]
    assert (listed["execution_id"], listed["stop_reason"]) == (record["execution_id"], record["stop_reason"])
    shown = told("executions", "show", record["execution_id"])
    assert shown["entry"]["record"] == record
    assert shown["hash"].startswith("sha256:")
    lines = engine_ctl("executions", "show", record["execution_id"]).stdout
    assert record["result"] in lines
    assert record["logits_digest"] in lines
    assert record["execution_id"] in engine_ctl("executions", "ls").stdout


def test_a_shown_execution_is_a_plan_to_run_again(tiny: Path) -> None:
    execution = run(tiny, "--temperature", "1", "--seed", "7")
    shown = engine_ctl("executions", "show", execution, "--json").stdout
    again = engine_ctl("run", "--plan", "-", "--prompt", "Once", "--json", stdin=shown)
    assert json.loads(again.stdout)["plan"] == told("executions", "show", execution)["entry"]["record"]["plan"]
    named = engine_ctl("run", "--plan", execution, "--prompt", "Once")
    assert f"engine-ctl executions show {execution} --json | engine-ctl run --plan -" in named.stderr


def test_a_comparison_of_different_plans_names_what_would_allow_it(tiny: Path) -> None:
    one, two = run(tiny, "--threads", "1"), run(tiny, "--threads", "2")
    refused = engine_ctl("executions", "compare", one, two)
    assert refused.stderr.endswith("to compare them all the same: --differing threads\n")
    assert engine_ctl("executions", "compare", one, two, "--differing", "threads").exit_code == 0


def test_an_empty_list_says_so(tiny: Path) -> None:
    assert engine_ctl("executions", "ls").stderr.endswith("no executions are recorded\n")
    run(tiny)
    assert engine_ctl("executions", "ls", "--model", "other").stderr.endswith("no recorded execution is so\n")


def test_the_newest_come_first_and_filters_choose(tiny: Path) -> None:
    first, second = run(tiny), run(tiny, "--quant", "q8_0")
    assert [each["execution_id"] for each in told("executions", "ls")["executions"]] == [second, first]
    chosen = told("executions", "ls", "--quantization", "q8_0")["executions"]
    assert [each["execution_id"] for each in chosen] == [second]
    assert told("executions", "ls", "--limit", "1")["executions"][0]["execution_id"] == second
    assert told("executions", "ls", "--until", "2001-01-01")["executions"] == []
    assert len(told("executions", "ls", "--since", "2001-01-01T00:00:00+00:00")["executions"]) == 2
    assert engine_ctl("executions", "ls", "--since", "yesterday").exit_code == 2
    assert engine_ctl("executions", "ls", "--stop-reason", "tired").exit_code == 2


def test_an_execution_is_verified_bit_by_bit(tiny: Path) -> None:
    execution = run(tiny, "--temperature", "1", "--seed", "7")
    verdict = told("executions", "verify", execution)["repeat"]
    assert verdict["execution_a"] == execution
    assert verdict["output"]["logits_digest"] is True
    assert verdict["build"] == {"same": True, "arithmetic": True, "reason": None}
    assert len(told("executions", "ls")["executions"]) == 2
    assert "every bit of the logits" in engine_ctl("executions", "verify", execution).stdout


def test_two_runs_are_compared_as_a_repeat_or_a_variant(tiny: Path) -> None:
    a, b, other = run(tiny), run(tiny), run(tiny, "--quant", "q8_0")
    repeat = engine_ctl("executions", "compare", a, b, "--json")
    assert json.loads(repeat.stdout)["repeat"]["output"]["logits_digest"] is True
    assert repeat.exit_code in {0, 8}  # speed may or may not repeat on a busy machine
    refused = told("executions", "compare", a, other, exit_code=3)["error"]
    assert refused["code"] == "incomparable_executions"
    assert "quantization" in refused["message"]
    result = told("executions", "compare", a, other, "--differing", "quantization")["variant"]
    assert [each["field"] for each in result["differences"]] == ["quantization"]
    speed = next(each for each in result["ratios"] if each["metric"] == "tokens_per_sec")
    assert speed["ratio"] > 0
    energy = next(each for each in result["ratios"] if each["metric"] == "tokens_per_watt")
    assert energy["ratio"] is None
    assert energy["reason"]
    assert "x " in engine_ctl("executions", "compare", a, other, "--differing", "quantization").stdout
    assert told("executions", "compare", a, other, "--experiment", "quantization")["variant"] == result


def test_a_model_that_changed_is_not_replayed(tiny: Path) -> None:
    execution = run(tiny)
    write_tiny_model(tiny, n_embd=256, n_ff=512, tensor_type="F16", seed=5)
    assert told("executions", "verify", execution, exit_code=4)["error"]["code"] == "invalid_model"


def test_tampering_shows(tiny: Path, tmp_path: Path) -> None:
    run(tiny)
    run(tiny)
    whole = told("executions", "verify", "--chain")
    assert (whole["entries"], whole["fault"]) == (2, None)
    witness = f"{whole['head']['sequence']}:{whole['head']['hash']}"
    assert told("executions", "verify", "--chain", "--witness", witness)["fault"] is None
    with closing(sqlite3.connect(tmp_path / "data" / "records.sqlite")) as database, database:
        database.execute("DROP TRIGGER entries_never_change")
        database.execute("UPDATE entries SET content = replace(content, 'max_tokens', 'max_takens') WHERE sequence = 1")
    broken = told("executions", "verify", "--chain", exit_code=8)
    assert (broken["fault"]["sequence"], broken["fault"]["kind"]) == (1, "content")
    assert "broken at 1" in engine_ctl("executions", "verify", "--chain").stdout


def test_entries_are_exported_in_three_forms(tiny: Path, tmp_path: Path) -> None:
    executions = [run(tiny), run(tiny)][::-1]
    lines = engine_ctl("executions", "export").stdout.splitlines()
    assert [json.loads(line)["record"]["execution_id"] for line in lines] == executions
    engine_ctl("executions", "export", "--format", "json", "-o", str(tmp_path / "all.json"))
    whole = json.loads((tmp_path / "all.json").read_text())
    assert [entry["record"]["execution_id"] for entry in whole] == executions
    rows = list(csv.DictReader(io.StringIO(engine_ctl("executions", "export", "--format", "csv").stdout)))
    assert [row["execution_id"] for row in rows] == executions
    assert float(rows[0]["tokens_per_sec"]) > 0
    assert rows[0]["watts_avg"] == ""
    assert (float(rows[0]["wall_ms"]) > float(rows[0]["latency_total_ms"]), rows[0]["unjudged_limits"]) == (True, "[]")


def test_old_ones_are_pruned_and_the_chain_stays_whole(tiny: Path) -> None:
    run(tiny)
    assert told("executions", "prune", "--before", "2001-01-01") == {"executions": 0}
    refused = told("executions", "prune", "--before", "2999-01-01T00:00:00Z", exit_code=3)["error"]
    assert (refused["code"], refused["params"]["field"]) == ("invalid_request", "recorded_before")
    counted = {"executions": 1, "permitted": True}
    assert told("executions", "prune", "--before", timestamp_now(), "--dry-run") == counted
    assert len(told("executions", "ls")["executions"]) == 1
    assert told("executions", "prune", "--before", timestamp_now(), "--yes") == {"executions": 1}
    assert told("executions", "ls")["executions"] == []
    report = told("executions", "verify", "--chain")
    assert report["fault"] is None
    (pruning,) = report["prunings"]
    assert (pruning["first_sequence"], pruning["through_sequence"], pruning["executions_removed"]) == (1, 1, 1)
    assert "(entry 2): entries 1 to 1, recorded" in engine_ctl("executions", "verify", "--chain").stdout


def at_a_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """Exit code of a command whose standard input is a terminal where somebody types, and what it says there."""
    ours, theirs = os.openpty()
    os.write(ours, answer.encode())
    ended = subprocess.run(  # noqa: S603  our own program
        [*PROGRAM, *arguments], stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    os.close(theirs)
    os.close(ours)
    return ended.returncode, ended.stdout


def test_on_a_terminal_nothing_is_pruned_before_somebody_says_so(tiny: Path) -> None:
    run(tiny)
    prune = ("executions", "prune", "--before", timestamp_now())
    exit_code, said = at_a_terminal("n\n", *prune)
    assert exit_code != 0
    assert "Remove 1 executions recorded before" in said
    assert len(told("executions", "ls")["executions"]) == 1
    exit_code, said = at_a_terminal("", *prune, "--dry-run")
    assert (exit_code, said.splitlines()[-1]) == (0, "1 would be removed")
    exit_code, said = at_a_terminal("y\n", *prune)
    assert (exit_code, said.splitlines()[-1].endswith("1 removed")) == (0, True)
    assert told("executions", "ls")["executions"] == []


def test_an_export_is_whole_or_not_there(tiny: Path, tmp_path: Path) -> None:
    run(tiny)
    output = tmp_path / "made" / "executions.ndjson"
    assert engine_ctl("executions", "export", "-o", str(output)).exit_code == 1
    output.parent.mkdir()
    output.write_text("earlier")
    assert engine_ctl("executions", "export", "-o", str(output)).exit_code == 0
    assert output.read_text() == engine_ctl("executions", "export").stdout
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE, text=True) as reader:  # noqa: S603, S607
        assert engine_ctl("executions", "export", "-o", str(tmp_path / "pipe")).exit_code == 0
        assert reader.communicate()[0] == output.read_text()


def test_an_engine_that_listens_prunes_only_where_its_operator_permits_it(tiny: Path, socket_path: Path) -> None:
    with serving(socket_path):
        run(tiny, "--socket", str(socket_path))
        here: tuple[str, ...] = ("executions", "prune", "--before", timestamp_now())
        assert told(*here, "--socket", str(socket_path), exit_code=3)["error"]["code"] == "not_permitted"
        exit_code, said = at_a_terminal("", *here, "--socket", str(socket_path))
        assert (exit_code, "Remove" in said) == (3, False)
        counted = {"executions": 1, "permitted": False}
        assert told(*here, "--dry-run", "--socket", str(socket_path)) == counted
        shown = engine_ctl(*here, "--dry-run", "--socket", str(socket_path))
        assert shown.stdout == "1 would be removed\n"
        assert "--direct" in shown.stderr
        assert len(told("executions", "ls", "--socket", str(socket_path))["executions"]) == 1
        assert told(*here, "--direct", "--socket", str(socket_path)) == {"executions": 1}
    with serving(socket_path, "--allow-prune"):
        run(tiny, "--socket", str(socket_path))
        here = ("executions", "prune", "--before", timestamp_now(), "--socket", str(socket_path))
        assert told(*here, "--dry-run")["permitted"]
        assert told(*here) == {"executions": 1}


def test_unknown_names_and_senseless_flags(tiny: Path) -> None:
    assert told("executions", "show", "exec-none", exit_code=3)["error"]["code"] == "unknown_execution"
    assert told("executions", "verify", "exec-none", exit_code=3)["error"]["code"] == "unknown_execution"
    assert engine_ctl("executions", "verify").exit_code == 2
    assert engine_ctl("executions", "verify", "exec-1", "--chain").exit_code == 2
    assert engine_ctl("executions", "verify", "--chain", "--witness", "none").exit_code == 2


def test_a_store_that_cannot_be_written_does_not_cost_the_answer(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"no folder")
    result = engine_ctl("run", "--model", str(tiny), "--prompt", "Once", "--max-tokens", "4")
    assert result.exit_code == 0
    assert "the record was not kept" in result.stderr
    assert told("executions", "ls", exit_code=6)["error"]["code"] == "record_store_unavailable"


@pytest.mark.parametrize("name", ["plan", "request", "record", "messages"])
def test_schemas_are_published(name: str) -> None:
    schema = json.loads(engine_ctl("schema", name).stdout)
    assert "$schema" in (schema["client"] if name == "messages" else schema)
