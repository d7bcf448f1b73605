"""Answers held to a grammar by the real engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from protocol.answers import Finished
from protocol.client import Client
from protocol.errors import (
    GrammarTooDeep,
    InvalidGrammar,
)
from protocol.grammar import Grammar, GrammarKind
from protocol.plan import RunRequest
from protocol.record import ExecutionRecord
from protocol.requests import (
    Plan,
    Replay,
    Status,
)
from protocol.sampling import Sampling
from tests.actors.engine_factory import Stream, record_of
from tests.actors.real_engine import real_client, request
from tests.support.gguf_factory import write_tiny_model


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_tiny_model(tmp_path / "tiny.gguf")


def constrained(model: Path, kind: GrammarKind, source: str, seed: int = 0) -> RunRequest:
    asked = request(model, max_tokens=60)
    changes = {"grammar": Grammar(kind=kind, source=source), "sampling": Sampling(temperature=1.0, seed=seed)}
    return asked.model_copy(update={"execution": asked.execution.model_copy(update=changes)})


PROPERTIES = '"properties": {"a": {"enum": ["x", "y"]}, "b": {"type": "boolean"}}, "required": ["a", "b"]'
SCHEMA = f'{{"type": "object", {PROPERTIES}, "additionalProperties": false}}'
GRAMMARS: list[tuple[GrammarKind, str, str]] = [
    ("json_schema", SCHEMA, r'\{"a": "[xy]", "b": (true|false)\}'),
    ("regex", "[a-c]{3}( d)?", "[a-c]{3}( d)?"),
    ("lark", 'start: "x" y+\ny: "y" | "z"{2}', "x(y|zz)+"),
    ("gbnf", 'root ::= ("ab" | [0-9])+ end\nend ::= "."', r"(ab|[0-9])+\."),
]


@pytest.mark.parametrize(("kind", "source", "matches"), GRAMMARS)
async def test_an_answer_follows_its_grammar_and_is_the_same_when_replayed(
    kind: GrammarKind, source: str, matches: str, model: Path, tmp_path: Path
) -> None:
    async with real_client(tmp_path) as client:
        answers = [await record_of(client, constrained(model, kind, source, seed)) for seed in range(4)]
    for record in answers:
        assert record.plan.grammar is not None
        assert record.plan.grammar.kind == kind
        assert record.stop_reason in {"eos", "max_tokens"}
        assert record.stop_reason == "max_tokens" or re.fullmatch(matches, record.result)
    assert any(record.stop_reason == "eos" for record in answers)
    async with real_client(tmp_path) as client:  # another engine, that has compiled nothing yet
        messages = [message async for message in client.follow(Replay(execution_id=answers[0].execution_id))]
    assert isinstance(messages[-1], Finished)
    again = messages[-1].record
    assert (again.token_ids, again.logits_digest) == (answers[0].token_ids, answers[0].logits_digest)


async def test_who_waits_for_the_same_weights_keeps_to_a_grammar_of_its_own(model: Path, tmp_path: Path) -> None:
    records: dict[str, ExecutionRecord] = {}

    async def ask(client: Client, word: str) -> None:
        records[word] = await record_of(client, constrained(model, "regex", word))

    words = [f"{letter}{number}" for letter in "abcd" for number in range(6)]
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        for word in words:
            nursery.start_soon(ask, client, word)
    assert {word: record.result for word, record in records.items()} == {word: word for word in words}


async def test_a_grammar_is_refused_before_anything_runs(model: Path, tmp_path: Path) -> None:
    async with real_client(tmp_path) as client:
        with pytest.raises(InvalidGrammar):
            await client.ask(Plan(request=constrained(model, "regex", "(")))
        with pytest.raises(GrammarTooDeep):
            await record_of(client, constrained(model, "regex", "(" * 100))
        assert (await client.ask(Status())).models_loaded == ()


CRASHING = 'start: %json {"type": "integer", "minimum": -1e19, "maximum": -1e19}'


async def test_a_grammar_that_crashes_its_library_ends_its_own_execution_and_no_other(
    model: Path, tmp_path: Path
) -> None:
    async with real_client(tmp_path) as client, trio.open_nursery() as nursery:
        expected = await record_of(client, request(model, max_tokens=400))
        stream = Stream()
        nursery.start_soon(stream.follow, client, request(model, max_tokens=400))
        for _ in range(2):
            with pytest.raises(InvalidGrammar, match="crashes the grammar library"):
                await record_of(client, constrained(model, "lark", CRASHING))
        await stream.ended.wait()
        assert (stream.record.result, stream.record.logits_digest) == (expected.result, expected.logits_digest)
        assert (await record_of(client, constrained(model, "regex", "abc"))).result == "abc"
