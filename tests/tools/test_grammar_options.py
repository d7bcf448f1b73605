"""The flags of `engine-ctl run` that hold an answer to a grammar."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.grammar import Grammar, GrammarKind
from protocol.requests import Run
from tests.tools.command_line import engine_ctl
from tests.tools.conftest import StartEngine
from tests.tools.executions import answers_in_full
from tests.tools.test_engine_ctl_run import run_request

SCHEMA = '{"type": "object"}'
GBNF = 'root ::= "yes" | "no"\n'


def test_a_schema_is_given_as_a_text_or_a_file(start_engine: StartEngine, socket_path: Path, tmp_path: Path) -> None:
    engine = start_engine(answers_in_full)
    file = tmp_path / "schema"
    file.write_text(SCHEMA)
    for given in (f" {SCHEMA}", str(file)):
        engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", "--json-schema", given)
    asked = [message.request.execution.grammar for message in engine.requests(Run) if isinstance(message, Run)]
    assert asked == [Grammar(kind="json_schema", source=f" {SCHEMA}"), Grammar(kind="json_schema", source=SCHEMA)]


@pytest.mark.parametrize("kind", ["lark", "gbnf"])
def test_a_grammar_is_a_file_whose_name_says_what_it_holds(
    kind: GrammarKind, start_engine: StartEngine, socket_path: Path, tmp_path: Path
) -> None:
    engine = start_engine(answers_in_full)
    file = tmp_path / f"answer.{kind}"
    file.write_text(GBNF)
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", "--grammar", str(file))
    assert run_request(engine).execution.grammar == Grammar(kind=kind, source=GBNF)


def test_a_regex_is_taken_as_it_is(start_engine: StartEngine, socket_path: Path) -> None:
    engine = start_engine(answers_in_full)
    engine_ctl("run", "--socket", str(socket_path), "--model", "tiny", "--prompt", "a", "--regex", "a|b")
    assert run_request(engine).execution.grammar == Grammar(kind="regex", source="a|b")


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--regex", "a", "--json-schema", "{}"), "at most one of"),
        (("--grammar", "answer.txt"), ".lark or .gbnf"),
        (("--grammar", "absent.lark"), "cannot read absent.lark"),
        (("--json-schema", "absent.json"), "cannot read absent.json"),
    ],
)
def test_what_names_no_grammar_is_wrong_usage(flags: tuple[str, ...], told: str) -> None:
    result = engine_ctl("run", "--model", "tiny", "--prompt", "a", *flags)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())
