"""Cost of HTTP: the same requests over HTTP and over the engine's own socket, in turn.

The time to the first token is less what the engine's record says that computing took, so that only the ways differ. The
rate is what all clients together receive, from the first request sent to the last answer whole. Over HTTP it is
``/v1/completions`` that is asked, streaming; both sockets are Unix sockets, and both clients keep their connections.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from benchmarks.support.http_client import HttpClient, http_client
from benchmarks.support.report import Figure
from benchmarks.support.served import ServedEngine, served_from
from benchmarks.support.setting import Setting
from protocol.answers import Finished, Tokens
from protocol.client import Client, connect
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop

PROMPT = "The history of computing began long before the modern computer, with people who"
FIRST_TOKENS = 8
RATE_TOKENS = 128
STREAMS = 16
ROUNDS = 9
REQUESTS_A_ROUND = 5
_PATH = "/v1/completions"

Measurement = Callable[[], Awaitable[float]]


def measure(setting: Setting) -> list[Figure]:
    """Figures of one stream's way to its first token, and of sixteen streams' rate."""
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        return trio.run(_measure, engine, setting)


async def _measure(engine: ServedEngine, setting: Setting) -> list[Figure]:
    return [*await _first_tokens(engine, setting), *await _rates(engine, setting)]


async def _first_tokens(engine: ServedEngine, setting: Setting) -> list[Figure]:
    async with connect(engine.socket) as own, http_client(engine.http_socket) as http:

        async def over_socket() -> float:
            return await _first_ms(own, setting.model)

        async def over_http() -> float:
            return await _first_http_ms(http, setting.model)

        socket_ms, http_ms = await _in_turn(over_socket, over_http, REQUESTS_A_ROUND)
    added = [theirs - ours for ours, theirs in zip(socket_ms, http_ms, strict=True)]
    return [
        Figure("request sent to first token received, less compute, socket", "ms", socket_ms),
        Figure("request sent to first token received, less compute, HTTP", "ms", http_ms),
        Figure("first token, HTTP - socket", "ms", added, at_most=1.5),
    ]


async def _rates(engine: ServedEngine, setting: Setting) -> list[Figure]:
    request, body = _request(setting.model, RATE_TOKENS), _body(setting.model, RATE_TOKENS)
    async with AsyncExitStack() as open_clients:
        own = [await open_clients.enter_async_context(connect(engine.socket)) for _ in range(STREAMS)]
        http = [await open_clients.enter_async_context(http_client(engine.http_socket)) for _ in range(STREAMS)]

        async def over_socket() -> float:
            return await _rate([partial(_drain, one, request) for one in own])

        async def over_http() -> float:
            return await _rate([partial(_drain_http, one, body) for one in http])

        socket_rate, http_rate = await _in_turn(over_socket, over_http, 1)
    ratios = [theirs / ours for ours, theirs in zip(socket_rate, http_rate, strict=True)]
    label = f"{STREAMS} streams, {setting.threads} threads"
    return [
        Figure(f"over the socket, {label}", "tokens/s", socket_rate),
        Figure(f"over HTTP, {label}", "tokens/s", http_rate),
        Figure(f"over HTTP / over the socket, {label}", "ratio", ratios, at_least=0.97),
    ]


async def _in_turn(first: Measurement, second: Measurement, count: int) -> tuple[list[float], list[float]]:
    """The medians of each round, in which the two alternate. One of each goes before, to warm up."""
    await first()
    await second()
    medians: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        samples = [(await first(), await second()) for _ in range(count)]
        for median, column in zip(medians, zip(*samples, strict=True), strict=True):
            median.append(statistics.median(column))
    return medians


def _request(model: str, tokens: int) -> RunRequest:
    execution = ExecutionRequest(max_sequences=STREAMS, limits=Limits(max_tokens=tokens), stop=Stop(eos=False))
    return RunRequest(model=model, prompt=PROMPT, execution=execution)


def _body(model: str, tokens: int, *, with_account: bool = False) -> dict[str, Any]:
    """The same as a body; the engine's own fields give the same plan."""
    execution = {"max_sequences": STREAMS, "stop": {"eos": False}}
    asked = {"model": model, "prompt": PROMPT, "max_tokens": tokens, "temperature": 0, "execution": execution}
    last = {"include_execution": True} if with_account else {"stream_options": {"include_usage": True}}
    return {**asked, "stream": True, **last}


async def _first_ms(client: Client, model: str) -> float:
    began, first = time.monotonic_ns(), None
    async with aclosing(client.run(_request(model, FIRST_TOKENS))) as messages:
        async for message in messages:
            if isinstance(message, Tokens) and first is None:
                first = time.monotonic_ns()
            if isinstance(message, Finished):
                return _less_compute(began, first, message.record.metrics.prefill_ms)
    raise RuntimeError("the run did not finish")


async def _first_http_ms(client: HttpClient, model: str) -> float:
    began, first, compute_ms = time.monotonic_ns(), None, None
    async for event in client.events(_PATH, _body(model, FIRST_TOKENS, with_account=True)):
        if first is None and event["choices"] and event["choices"][0]["text"]:
            first = time.monotonic_ns()
        for account in event.get("weos", ()):
            compute_ms = account["metrics"]["prefill_ms"]
    return _less_compute(began, first, compute_ms)


def _less_compute(began: int, first: int | None, compute_ms: float | None) -> float:
    if first is None or compute_ms is None:
        raise RuntimeError("the run gave no token")
    return (first - began) / 1e6 - compute_ms


async def _rate(runs: list[Callable[[], Awaitable[int]]]) -> float:
    tokens = 0

    async def run_one(run: Callable[[], Awaitable[int]]) -> None:
        nonlocal tokens
        made = await run()
        tokens += made  # not in one line, which would read the sum before it waits

    began = time.monotonic_ns()
    async with trio.open_nursery() as nursery:
        for run in runs:
            nursery.start_soon(run_one, run)
    return tokens / ((time.monotonic_ns() - began) / 1e9)


async def _drain(client: Client, request: RunRequest) -> int:
    async with aclosing(client.run(request)) as messages:
        async for message in messages:
            if isinstance(message, Finished):
                return message.record.metrics.tokens_total
    raise RuntimeError("the run did not finish")


async def _drain_http(client: HttpClient, body: dict[str, Any]) -> int:
    tokens = 0
    async for event in client.events(_PATH, body):
        if usage := event.get("usage"):
            tokens = int(usage["completion_tokens"])
    return tokens
