"""What following a grammar gives and costs: answers to random JSON Schemas, held to them by another library, and the
time that each of their tokens takes beside that of an answer without a grammar.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import trio

from benchmarks.support.random_schemas import random_schema
from benchmarks.support.report import Figure
from benchmarks.support.served import served_engine
from benchmarks.support.setting import Setting
from engine.config import default_config
from engine.grammar.grammar_sandbox import GrammarSandbox
from engine.grammar.grammars import COMPILE_MS, Grammars, library_path
from engine.grammar.trial_process import TrialSettings
from engine.models.registry import ModelRegistry
from engine.planning.grammar_rules import plan_grammar
from protocol.answers import Finished
from protocol.chat import ChatMessage
from protocol.client import Client, connect
from protocol.grammar import Grammar
from protocol.metrics import OperationTimes
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord
from protocol.sampling import Sampling

SCHEMAS = 200
MAX_TOKENS = 400
AT_A_TIME = 16
ALONE = 20
"""Answers whose cost is measured, with a grammar and without."""
FREE_TOKENS = 64


@dataclass(frozen=True, slots=True)
class _Answer:
    seed: int
    record: ExecutionRecord

    @property
    def finished(self) -> bool:
        return self.record.stop_reason == "eos"

    def valid(self) -> bool:
        schema = random_schema(self.seed)
        checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        return bool(checker.is_valid(json.loads(self.record.result)))

    def ms_a_token(self, operation: str) -> float:
        return float(getattr(_times(self.record), operation)) / len(self.record.token_ids)


def measure(setting: Setting) -> list[Figure]:
    """Raises RuntimeError where the engine ends an answer with an error, or measures no operations."""
    trial_ms, compile_ms = _compile(setting)
    with served_engine() as socket:
        answers, bound, free = trio.run(_ask_all, socket, setting.model)
    finished = [answer for answer in answers if answer.finished]
    return [
        Figure(f"answers of {SCHEMAS} complete within {MAX_TOKENS} tokens", "", [len(finished)]),
        Figure("of those, valid", "", [sum(map(_Answer.valid, finished)) / len(finished)], at_least=1.0),
        Figure("tokens of a complete answer", "", [len(answer.record.token_ids) for answer in finished]),
        Figure("trying the schema in a process of its own", "ms", trial_ms, at_most=5.0),
        Figure("trying and compiling the schema, and its first tokens", "ms", compile_ms),
        *_costs(bound, free),
    ]


async def _ask_all(socket: Path, model: str) -> tuple[list[_Answer], list[_Answer], list[_Answer]]:
    """Those to all schemas, many at a time; those to the first ones one by one; and as many without a grammar."""
    answers: list[_Answer] = []
    places = trio.CapacityLimiter(AT_A_TIME)

    async def ask(client: Client, seed: int) -> None:
        async with places:
            answers.append(await _ask(client, model, seed, constrained=True))

    async with connect(socket) as client:
        await _ask(client, model, 0, constrained=False)  # the engine has the weights from here on
        bound, free = [], []
        for seed in range(ALONE):
            bound.append(await _ask(client, model, seed, constrained=True))
            free.append(await _ask(client, model, seed, constrained=False))
        async with trio.open_nursery() as nursery:
            for seed in range(SCHEMAS):
                nursery.start_soon(ask, client, seed)
    return answers, bound, free


def _costs(bound: Sequence[_Answer], free: Sequence[_Answer]) -> list[Figure]:
    shares = []
    for answer in bound:
        times = _times(answer.record)
        shares.append(times.grammar / sum(times.model_dump().values()))
    return [
        Figure("finding and following, a token", "ms", [answer.ms_a_token("grammar") for answer in bound]),
        Figure("drawing with a grammar, a token", "ms", [answer.ms_a_token("sampling") for answer in bound]),
        Figure("drawing without, a token", "ms", [answer.ms_a_token("sampling") for answer in free]),
        Figure("finding and following, of all computing", "", shares),
    ]


def _compile(setting: Setting) -> tuple[list[float], list[float]]:
    """Milliseconds of each schema, once the vocabulary has been read: in the sandbox alone, and there and here."""
    tokenizer = ModelRegistry(default_config()).resolve(setting.model).tokenizer
    grammars = Grammars(tokenizer.vocabulary, tokenizer.eos_token_ids)
    library = str(library_path())
    sandbox = GrammarSandbox(TrialSettings(library, tokenizer.vocabulary, tokenizer.eos_token_ids, COMPILE_MS))
    trial_ms, compile_ms = [], []
    for seed in range(-1, SCHEMAS):
        grammar = plan_grammar(_grammar(seed))
        if grammar is None:
            raise RuntimeError("a plan lost its grammar")
        began = time.perf_counter_ns()
        sandbox.try_out(grammar.language, grammar.text)
        tried = time.perf_counter_ns()
        grammars.compile(grammar)
        trial_ms.append((tried - began) / 1e6)
        compile_ms.append((time.perf_counter_ns() - tried) / 1e6)
    return trial_ms[1:], compile_ms[1:]


def _grammar(seed: int) -> Grammar:
    return Grammar(kind="json_schema", source=json.dumps(random_schema(seed)))


async def _ask(client: Client, model: str, seed: int, *, constrained: bool) -> _Answer:
    question = f"Write one example of JSON for this schema: {json.dumps(random_schema(seed))}"
    execution = ExecutionRequest(
        sampling=Sampling(temperature=0.8, seed=seed),
        grammar=_grammar(seed) if constrained else None,
        limits=Limits(max_tokens=MAX_TOKENS if constrained else FREE_TOKENS),
        op_times=True,
    )
    messages = (ChatMessage(role="user", content=question),)
    async for message in client.run(RunRequest(model=model, messages=messages, execution=execution)):
        if isinstance(message, Finished):
            if message.record.stop_reason == "error":
                raise RuntimeError(f"schema {seed}: {message.record.error}")
            return _Answer(seed, message.record)
    raise RuntimeError("the run did not finish")


def _times(record: ExecutionRecord) -> OperationTimes:
    if record.metrics.op_time_ms is None:
        raise RuntimeError("the times of operations were not measured")
    return record.metrics.op_time_ms
