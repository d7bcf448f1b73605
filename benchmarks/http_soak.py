"""Many streaming clients over HTTP for long, some of whom leave in mid-stream and come back: nobody meets an error.

    .venv/bin/python -m benchmarks.http_soak [--model NAME] [--clients 64] [--flapping 16] [--minutes 10]

Each steady client asks one prompt after the other over one connection and checks text and tokens against those of a run
alone. Each flapping one connects, asks, reads a little, hangs up and connects again. At the end nothing may run any
more, no part of the engine may have told a fault, and the engine's own memory may not have grown (as in ``soak``).
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import sys
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from benchmarks.soak import VARIANTS, memory_kib, request_of
from benchmarks.support.http_client import HttpClient, http_client
from benchmarks.support.served import ServedEngine, served_from
from protocol.client import connect
from protocol.requests import Status

_PATH = "/v1/completions"
_WARM_UP_S = 60.0
_SAMPLE_S = 5.0
_SLOPE_LIMIT = 0.02
_END_S = 30.0

Answer = tuple[str, int]
"""The text, and how many tokens it has."""


@dataclass
class Tally:
    expected: dict[int, Answer] = field(default_factory=dict)
    """The answer to each request when it runs alone."""
    finished: int = 0
    tokens: int = 0
    left: int = 0
    """Streams that a client left in the middle."""
    problems: list[str] = field(default_factory=list)
    memory_kib: list[int] = field(default_factory=list)


def body_of(number: int, model: str) -> dict[str, Any]:
    request = request_of(number, model)
    execution = {"max_sequences": request.execution.max_sequences, "stop": {"eos": False}}
    asked = {"model": model, "prompt": request.prompt, "max_tokens": request.execution.limits.max_tokens}
    return {
        **asked,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "execution": execution,
    }


async def answer_of(client: HttpClient, body: dict[str, Any]) -> Answer:
    """Raises RuntimeError where the stream says or does anything but what it should."""
    text, tokens = "", None
    async with aclosing(client.events(_PATH, body)) as events:
        async for event in events:
            if "error" in event:
                raise RuntimeError(str(event["error"]))
            text += "".join(choice["text"] for choice in event["choices"])
            if usage := event.get("usage"):
                tokens = usage["completion_tokens"]
    if tokens is None:
        raise RuntimeError("the stream ended without its usage")
    return text, tokens


async def ask(socket: Path, model: str, first: int, tally: Tally) -> None:
    """One prompt after the other; a connection that breaks is a problem, and the next one is opened."""
    turns = itertools.count(first * 5)
    while True:
        try:
            async with http_client(socket) as client:
                for turn in turns:
                    number = turn % VARIANTS
                    answer = await answer_of(client, body_of(number, model))
                    tally.finished += 1
                    tally.tokens += answer[1]
                    if answer != tally.expected[number]:
                        tally.problems.append(f"client {first}: another answer than alone")
        except (OSError, RuntimeError, ValueError, trio.BrokenResourceError) as error:
            tally.problems.append(f"client {first}: {error!r}")


async def flap(socket: Path, model: str, seed: int, tally: Tally) -> None:
    choose = random.Random(seed)  # noqa: S311  when to leave
    for number in itertools.count(seed):
        patience = choose.randrange(8)
        try:
            async with (
                http_client(socket) as client,
                aclosing(client.events(_PATH, body_of(number % VARIANTS, model))) as events,
            ):
                async for _ in events:
                    patience -= 1
                    if patience < 0:
                        break
        except (OSError, RuntimeError, ValueError, trio.BrokenResourceError) as error:
            tally.problems.append(f"flapping client {seed}: {error!r}")
        tally.left += 1
        await trio.sleep(choose.random() / 5)


async def sample(engine: ServedEngine, tally: Tally) -> None:
    await trio.sleep(_WARM_UP_S)
    while True:
        tally.memory_kib.append(memory_kib(engine.process.pid))
        await trio.sleep(_SAMPLE_S)


async def soak(engine: ServedEngine, model: str, clients: int, flapping: int, seconds: float) -> Tally:
    tally, socket = Tally(), engine.http_socket
    async with http_client(socket) as client:
        for number in range(VARIANTS):
            tally.expected[number] = await answer_of(client, body_of(number, model))
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for number in range(clients - flapping):
                nursery.start_soon(ask, socket, model, number, tally)
            for number in range(flapping):
                nursery.start_soon(flap, socket, model, number, tally)
            nursery.start_soon(sample, engine, tally)
    tally.problems += await what_is_left(engine)
    return tally


async def what_is_left(engine: ServedEngine) -> list[str]:
    """What the engine still does, or complains of, once all clients have gone."""
    async with connect(engine.socket) as client:
        status = await client.ask(Status())
        with trio.move_on_after(_END_S):
            while status.executions:
                await trio.sleep(0.1)
                status = await client.ask(Status())
    running = [f"{one.execution_id} still runs" for one in status.executions]
    return running + [f"{one.where}: {one.error}" for one in status.faults]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--flapping", type=int, default=16, help="of the clients")
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        seconds = arguments.minutes * 60
        tally = trio.run(soak, engine, arguments.model, arguments.clients, arguments.flapping, seconds)
        alive = engine.process.poll() is None
    growth = tell(tally, arguments)
    raise SystemExit(bool(tally.problems) or not alive or growth > _SLOPE_LIMIT)


def tell(tally: Tally, arguments: argparse.Namespace) -> float:
    """Print what came of it; how much memory grew, as a part of what it was."""
    third = max(1, len(tally.memory_kib) // 3)
    begin, end = (statistics.median(part or [1]) for part in (tally.memory_kib[:third], tally.memory_kib[-third:]))
    growth = end / begin - 1
    sys.stdout.write(
        f"{arguments.clients} clients, {arguments.flapping} of them flapping, {arguments.minutes:g} minutes: "
        f"{tally.finished} answers, {tally.tokens} tokens, {tally.left} streams left in the middle, "
        f"{len(tally.problems)} problems\n"
        f"memory: {begin / 1024:.1f} MiB in the first third, {end / 1024:.1f} in the last: {growth:+.2%}\n"
    )
    for problem in tally.problems[:20]:
        sys.stdout.write(problem + "\n")
    return growth


if __name__ == "__main__":
    main()
