"""`models ls` and `models rm`, answered by a hand-written engine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from protocol.answers import EngineMessage, ModelList, ModelRemoved
from protocol.requests import ClientMessage, ListModels, RemoveModel
from protocol.summaries import CachedWeightsEntry, ModelSummary
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine

MODELS = (
    ModelSummary(
        name="small",
        path="/models/small.gguf",
        size_bytes=98_400_000,
        installed=True,
        source="catalogue",
        architecture="llama",
        parameters=134_515_008,
        tensor_types={"F32": 61, "Q4_1": 180, "Q8_0": 31},
        licence="apache-2.0",
        cached=("q6_k", "q8_0"),
        context_length=2048,
        weights_bytes=100_000_000,
        memory_bytes=197_000_000,
    ),
    ModelSummary(
        name="hf:o/r/big-00001-of-00003.gguf",
        path="/models/hf/o/r/big-00001-of-00003.gguf",
        size_bytes=70_000_000_000,
        installed=True,
        source="hub",
        files=3,
        architecture="bert",
        parameters=70_000_000_000,
        tensor_types={"F32": 7},
        reason="this engine runs llama",
    ),
    ModelSummary(
        name="torn", path="/models/torn.gguf", size_bytes=10, installed=True, reason="broken: the file ends too soon"
    ),
    ModelSummary(
        name="hf:o/r/half.gguf", path="", size_bytes=98_000_000, installed=False, source="hub", arrived_bytes=40_000_000
    ),
    ModelSummary(
        name="large", path="", size_bytes=7_000_000_000, installed=False, source="catalogue", reason="not pulled"
    ),
)
DERIVED = CachedWeightsEntry(
    name="abc",
    path="/cache/abc.gguf",
    model="small",
    content_hash="sha256:1",
    recipe="q8_0",
    importance=None,
    quantizer=1,
    size_bytes=144_000_000,
    digest="d",
    used_at=0.0,
    in_use=False,
)


def answers(message: ClientMessage) -> Sequence[EngineMessage]:
    match message:
        case ListModels(request_id=request_id):
            return [ModelList(request_id=request_id, models=MODELS)]
        case RemoveModel(request_id=request_id, model=model, dry_run=dry_run):
            return [
                ModelRemoved(
                    request_id=request_id,
                    name=model,
                    paths=(f"/models/{model}.gguf",),
                    freed_bytes=98_400_000,
                    derived=(DERIVED,),
                    dry_run=dry_run,
                )
            ]
        case _:
            raise AssertionError(message)


def test_models_are_a_table_with_a_line_for_each(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    headings, *lines = engine_ctl("models", "ls", "--all", "--socket", str(socket_path)).stdout.splitlines()
    assert headings.split() == [
        "name",
        "architecture",
        "parameters",
        "types",
        "cached",
        "size",
        "memory",
        "licence",
        "file",
    ]
    assert [" ".join(line.split()) for line in lines] == [
        "small llama 134.5 M Q4_1 Q8_0 q6_k q8_0 98.4 MB 197.0 MB apache-2.0 /models/small.gguf",
        "hf:o/r/big-00001-of-00003.gguf bert 70.0 G F32 - 70,000.0 MB - - "
        "/models/hf/o/r/big-00001-of-00003.gguf (3 files; this engine runs llama)",
        "torn - - - - 0.0 MB - - /models/torn.gguf (broken: the file ends too soon)",
        "hf:o/r/half.gguf - - - - 98.0 MB - - 40.0 MB have arrived; pull it to go on",
        "large - - - - 7,000.0 MB - - not pulled",
    ]
    # Columns stand one below the other.
    where = headings.index("file")
    assert all(line[where - 1] == " " and line[where] != " " for line in lines)


def test_what_only_the_catalogue_has_is_counted(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    listed = engine_ctl("models", "ls", "--socket", str(socket_path))
    assert [line.split()[0] for line in listed.stdout.splitlines()[1:]] == [model.name for model in MODELS[:-1]]
    assert listed.stderr == "1 more can be pulled: engine-ctl models ls --all\n"


def test_as_json_nothing_is_left_out(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    shown = json.loads(engine_ctl("models", "ls", "--socket", str(socket_path), "--json").stdout)
    assert shown == {"models": [model.model_dump(mode="json") for model in MODELS]}


def test_a_person_is_asked_before_a_model_goes(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers)
    result = engine_ctl("models", "rm", "small", "--socket", str(socket_path), stdin="y\n")
    assert result.exit_code == 0
    assert "Remove small, 98.4 MB? [y/N]" in result.stderr
    assert result.stdout == "removed small: 1 files, 98.4 MB\n"
    assert "144.0 MB: engine-ctl cache rm abc" in result.stderr
    asked = [request.dry_run for request in engine.requests(RemoveModel) if isinstance(request, RemoveModel)]
    assert asked == [True, False]


@pytest.mark.parametrize("stdin", ["n\n", "\n", ""])
def test_without_a_yes_nothing_goes(start_engine: StartEngine, socket_path: Path, stdin: str) -> None:
    engine = start_engine(answers)
    result = engine_ctl("models", "rm", "small", "--socket", str(socket_path), stdin=stdin)
    assert (result.exit_code, result.stdout) == (130, "")
    assert "nothing was removed" in result.stderr
    assert len(engine.requests(RemoveModel)) == 1


def test_a_program_says_yes_or_only_looks(start_engine: StartEngine, socket_path: Path) -> None:
    start_engine(answers)
    arguments = ("models", "rm", "small", "--socket", str(socket_path))
    assert engine_ctl(*arguments, "--json").exit_code == 2
    looked = json.loads(engine_ctl(*arguments, "--json", "--dry-run").stdout)
    assert (looked["dry_run"], looked["freed_bytes"], looked["derived"][0]["name"]) == (True, 98_400_000, "abc")
    removed = json.loads(engine_ctl(*arguments, "--json", "--yes").stdout)
    assert (removed["dry_run"], removed["paths"]) == (False, ["/models/small.gguf"])
    assert engine_ctl(*arguments, "--dry-run").stdout == "would remove small: 1 files, 98.4 MB\n"
