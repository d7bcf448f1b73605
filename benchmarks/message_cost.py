"""What one message of tokens costs on its way from the run loop to its client: CPU time, beside the computing.

Between the first ``Tokens`` of a run and its last: the engine's threads that do not compute, and the client's own
thread, each divided by the messages. CPU time does not grow with what others do on the machine, or hardly.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.support.report import Figure
from benchmarks.support.served import ServedEngine, served_from
from benchmarks.support.setting import Setting
from protocol.answer_checks import RunMessage
from protocol.answers import Tokens
from protocol.blocking import BlockingClient
from protocol.client import connect
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop, Stream

PROMPT = "The history of computing began long before the modern computer, with people who"
TOKENS = 256
ROUNDS = 5
SIDE_BY_SIDE = 16


def measure(setting: Setting) -> list[Figure]:
    """Figures of one sequence without a flush interval, which have a bound, and of sixteen at the default one."""
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        costs = [_blocking(engine, _request(setting.model, 0))]
        costs += trio.run(_asynchronous, engine, setting.model)
    return [figure for cost in costs for figure in cost.figures()]


@dataclass
class _Cost:
    name: str
    engine: ServedEngine
    at_most: float | None = None
    engine_us: list[float] = field(default_factory=list)
    client_us: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        both = [a + b for a, b in zip(self.engine_us, self.client_us, strict=True)]
        return [
            Figure(f"engine, {self.name}", "us/msg", self.engine_us),
            Figure(f"client, {self.name}", "us/msg", self.client_us),
            Figure(f"both, {self.name}", "us/msg", both, at_most=self.at_most),
        ]

    def begin(self) -> _Span:
        return _Span(self.engine, _engine_ns(self.engine), time.thread_time_ns())

    def add(self, span: _Span) -> None:
        client_ns = time.thread_time_ns() - span.client_ns
        engine_ns = _engine_ns(self.engine) - span.engine_ns
        self.engine_us.append(engine_ns / span.messages / 1e3)
        self.client_us.append(client_ns / span.messages / 1e3)


@dataclass
class _Span:
    """A run between its first message and its last."""

    engine: ServedEngine
    engine_ns: int
    client_ns: int
    messages: int = 0
    tokens: int = 0

    def ends_with(self, message: Tokens, tokens: int) -> bool:
        self.messages += 1
        self.tokens += len(message.token_ids)
        return self.tokens >= tokens


def _blocking(engine: ServedEngine, request: RunRequest) -> _Cost:
    cost = _Cost("1 sequence, flush_ms 0, blocking client", engine, at_most=250)
    with BlockingClient.connect(engine.socket) as client:
        for _ in range(ROUNDS + 1):
            _add_run(cost, client.run(request))
    return _without_first(cost)


def _add_run(cost: _Cost, messages: Iterator[RunMessage]) -> None:
    span: _Span | None = None
    for message in messages:
        if not isinstance(message, Tokens):
            continue
        if span is None:
            span = cost.begin()
        elif span.ends_with(message, TOKENS - 8):
            cost.add(span)
            span.tokens = -TOKENS


async def _asynchronous(engine: ServedEngine, model: str) -> list[_Cost]:
    alone = _Cost("1 sequence, flush_ms 0, asynchronous client", engine)
    beside = _Cost(f"{SIDE_BY_SIDE} sequences, flush_ms {Stream().flush_ms}, asynchronous client", engine)
    async with connect(engine.socket) as client:
        for _ in range(ROUNDS + 1):
            await _side_by_side(alone, [client.run(_request(model, 0))])
        for _ in range(ROUNDS + 1):
            runs = [client.run(_request(model, Stream().flush_ms)) for _ in range(SIDE_BY_SIDE)]
            await _side_by_side(beside, runs)
    return [_without_first(alone), _without_first(beside)]


async def _side_by_side(cost: _Cost, runs: list[AsyncGenerator[RunMessage, None]]) -> None:
    """Counted from the moment when all have begun to that when most of their tokens are there."""
    spans: list[_Span] = []
    begun = 0

    async def follow(messages: AsyncGenerator[RunMessage, None]) -> None:
        nonlocal begun
        first = True
        async with aclosing(messages):
            async for message in messages:
                if not isinstance(message, Tokens):
                    continue
                begun += first
                first = False
                if not spans and begun == len(runs):
                    spans.append(cost.begin())
                elif spans and spans[0].ends_with(message, (TOKENS - 64) * len(runs)):
                    cost.add(spans[0])
                    spans[0].tokens = -TOKENS * len(runs)

    async with trio.open_nursery() as nursery:
        for messages in runs:
            nursery.start_soon(follow, messages)


def _without_first(cost: _Cost) -> _Cost:
    """The first run loads the model."""
    del cost.engine_us[0], cost.client_us[0]
    return cost


def _request(model: str, flush_ms: int) -> RunRequest:
    execution = ExecutionRequest(
        max_sequences=SIDE_BY_SIDE,
        limits=Limits(max_tokens=TOKENS),
        stop=Stop(eos=False),
        stream=Stream(flush_ms=flush_ms),
    )
    return RunRequest(model=model, prompt=PROMPT, execution=execution)


def _engine_ns(engine: ServedEngine) -> int:
    """CPU time of the threads that messages pass through: the actors', and the one that writes tokens to clients."""
    tasks = Path(f"/proc/{engine.process.pid}/task")
    names = {task: (task / "comm").read_text(encoding="utf-8").strip() for task in tasks.iterdir()}
    passed = [task for task, name in names.items() if name == "courier" or task.name == str(engine.process.pid)]
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in passed)
