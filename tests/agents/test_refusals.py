"""Refusals of the agents, in the words of whoever asked, before any work is done."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from protocol.blocking import BlockingClient
from protocol.errors import InvalidRequest
from protocol.experiment_messages import Experiments, GetExperiment
from tests.agents.command_line import weos_agents
from weos_agents.output_place import require_file, require_folder
from weos_agents.workload import Workload

LINES = [json.dumps({"prompt": f"input {number}"}) for number in range(4)]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"prompt": 5}', "line 5 of the workload: prompt: Input should be a valid string"),
        ('{"messages": [{"role": "wizard", "content": "a"}]}', "line 5 of the workload: messages.0.role: "),
        ('{"prompt": "a", "prompt_token_ids": [1]}', "line 5 of the workload: "),
        ('{"prompt_token_ids": []}', "line 5 of the workload: prompt_token_ids: "),
    ],
)
def test_a_line_that_no_request_can_hold_is_refused_by_its_number(line: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Workload.of([*LINES, line])
    assert refused.value.message.startswith(told)


def test_files_that_are_no_text_are_refused(socket: Path, tiny: Path, workload: Path, tmp_path: Path) -> None:
    spoilt, empty = tmp_path / "spoilt.txt", tmp_path / "empty.txt"
    spoilt.write_bytes(b'{"prompt": "\xff"}\n')
    empty.write_text(" \n")
    flags = ("--socket", str(socket))
    as_workload = weos_agents("experiment", str(tiny), "--workload", str(spoilt), *flags)
    assert (as_workload.exit_code, "is no UTF-8" in as_workload.stderr) == (1, True)
    for text, told in ((spoilt, "is no UTF-8"), (empty, "holds no text")):
        given = ("--workload", str(workload), "--quality-text", str(text))
        refused = weos_agents("experiment", str(tiny), *given, *flags)
        assert (refused.exit_code, told in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("execution.foo=1",), "execution.foo: Extra inputs are not permitted"),
        (("execution.sampling=3",), "execution.sampling: "),
        (("execution.threads.x=3",), "execution.threads: "),
        (("execution.threads=1", "execution.threads.x=3"), "execution.threads.x lies within threads"),
    ],
)
def test_changes_that_no_request_can_hold_are_refused_by_their_field(
    changes: tuple[str, ...], told: str, socket: Path, tiny: Path, workload: Path
) -> None:
    given = [word for change in changes for word in ("--change", change)]
    refused = weos_agents("experiment", str(tiny), "--workload", str(workload), *given, "--socket", str(socket))
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"error[invalid_request]: {told}")


def test_places_that_cannot_be_written_are_refused_before_any_work(
    socket: Path, tiny: Path, workload: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    nowhere = str(tmp_path / "nowhere" / "file")
    search = ("optimize", str(tiny), "--workload", str(workload))
    for arguments in (
        ("workload", "tiny", "--consent", "-o", nowhere),
        ("observe", "--seconds", "0.01", "--html", nowhere),
        (*search, "--report", "/proc/nope"),
    ):
        refused = weos_agents(*arguments, "--socket", str(socket))
        assert (refused.exit_code, "cannot be written" in refused.stderr) == (1, True)
    named = weos_agents(*search, "--report", str(tmp_path / "report"), "--apply", "Bad Name", "--socket", str(socket))
    assert (named.exit_code, "'Bad Name' is no plan's name" in named.stderr) == (2, True)
    with BlockingClient.connect(socket, timeout=60) as client:
        assert client.ask(Experiments()).experiments == ()


@pytest.mark.parametrize("command", ["experiment", "optimize"])
@pytest.mark.parametrize(
    ("margins", "told"),
    [
        (("tokens_per_sec=0.1",), "there is no limit of 'tokens_per_sec'; there is ttft_ms, latency_p95_ms, memory"),
        (("=0.1",), "there is no limit of ''"),
        (("latency_p95_ms",), "'latency_p95_ms' is not of the form METRIC=FRACTION"),
        (("latency_p95_ms=10%",), "'latency_p95_ms=10%' is not of the form METRIC=FRACTION"),
        (("latency_p95_ms=-0.1",), "the fraction is from 0 to 10; 0.1 is 10%"),
        (("latency_p95_ms=50",), "the fraction is from 0 to 10"),
        (("latency_p95_ms=inf",), "the fraction is from 0 to 10"),
        (("latency_p95_ms=nan",), "the fraction is from 0 to 10"),
        (("ttft_ms=0.2", "memory_peak_mb=0.2", "ttft_ms=0.2"), "ttft_ms is given more than once"),
    ],
)
def test_margins_that_hold_nothing_are_wrong_usage_before_an_engine_is_asked(
    command: str, margins: tuple[str, ...], told: str, workload: Path, tmp_path: Path
) -> None:
    given = [word for margin in margins for word in ("--margin", margin)]
    place = ("--report", str(tmp_path / "report")) if command == "optimize" else ()
    nowhere = ("--socket", str(tmp_path / "engine.sock"))
    refused = weos_agents(command, "nope", "--workload", str(workload), *place, *given, *nowhere)
    assert refused.exit_code == 2
    assert "Invalid value for '--margin'" in refused.stderr
    assert told in " ".join(refused.stderr.split())
    assert not (tmp_path / "report").exists()


def test_a_place_that_was_tried_is_left_as_it_was(tmp_path: Path) -> None:
    require_folder(tmp_path / "a" / "b", "--report")
    require_file(tmp_path / "page.html", "--html")
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_is_missing_is_named_with_its_extra(
    tiny: Path, workload: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [one for one in sys.modules if one.startswith("weos_agents.") and one != "weos_agents.main"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    refused = weos_agents("optimize", str(tiny), "--workload", str(workload), "--report", str(tmp_path / "report"))
    assert (refused.exit_code, refused.stderr) == (1, "error: this needs optuna: pip install 'weos-engine[agents]'\n")


def test_a_model_that_was_never_asked_has_no_workload(socket: Path) -> None:
    refused = weos_agents("workload", "nope", "--consent", "--socket", str(socket))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "no execution of the model 'nope' is recorded" in refused.stderr


def test_fields_may_have_spaces_between_and_energy_its_limit(
    socket: Path, tiny: Path, workload: Path, tmp_path: Path
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    given = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--unknown-load-counts")
    limits = ("--minutes", "0.01", "--report", str(tmp_path), "--fields", "threads, spin_us", "--socket", str(socket))
    assert weos_agents("optimize", *given, *limits).exit_code == 0
    fields = json.loads((tmp_path / "report.json").read_text())["optimization"]["fields"]
    assert {field["name"] for field in fields} == {"threads", "spin_us"}
    bounded = weos_agents("experiment", *given, "--pairs", "1", "--joules", "5", "--socket", str(socket))
    assert bounded.exit_code == 0


def test_a_text_for_quality_is_read_as_far_as_it_is_said(
    socket: Path, tiny: Path, workload: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text("The quick brown fox jumps over the lazy dog. " * 200)
    given = (str(tiny), "--workload", str(workload), "--max-tokens", "4", "--pairs", "1", "--unknown-load-counts")
    change = ("--change", "execution.quantization=q8_0", "--quality-text", str(text), "--quality-windows", "2")
    assert weos_agents("experiment", *given, *change, "--socket", str(socket)).exit_code == 0
    with BlockingClient.connect(socket, timeout=60) as client:
        (summary,) = client.ask(Experiments()).experiments
        shown = client.ask(GetExperiment(experiment_id=summary.experiment_id)).experiment
    assert shown is not None
    assert {one.windows for one in shown.evaluations} == {2}
