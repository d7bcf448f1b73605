"""Many clients at once, for long: every token arrives, every answer is what it is alone, and memory stays flat.

    .venv/bin/python -m benchmarks.soak [--model NAME] [--clients 64] [--minutes 10]

Each client asks one prompt after the other and checks its tokens against those of a run alone. Beside them one client
observes all executions and reads nothing for long (it alone gets ``slow_consumer``), and one connects, asks and hangs
up at once, over and over.
Memory is what only this process has (RssAnon and swap), sampled every five seconds from the end of the first minute.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.support.served import ServedEngine, served_from
from benchmarks.support.stalled_reader import StalledReader
from protocol.answers import Finished, Tokens
from protocol.client import Client, connect
from protocol.errors import EngineError
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop

_SUBJECTS = ("the sea", "a lighthouse", "bread", "the first frost", "a clock", "two rivers", "the moon", "a letter")
_LENGTHS = (8, 24, 40, 64)
_WARM_UP_S = 60.0
_SAMPLE_S = 5.0
_SLOPE_LIMIT = 0.02


@dataclass
class Tally:
    expected: dict[int, tuple[int, ...]] = field(default_factory=dict)
    """Tokens of each request when it runs alone."""
    finished: int = 0
    tokens: int = 0
    problems: list[str] = field(default_factory=list)
    hung_up: int = 0
    memory_kib: list[int] = field(default_factory=list)


def request_of(number: int, model: str) -> RunRequest:
    subject, length = _SUBJECTS[number % len(_SUBJECTS)], _LENGTHS[number // len(_SUBJECTS) % len(_LENGTHS)]
    execution = ExecutionRequest(max_sequences=64, limits=Limits(max_tokens=length), stop=Stop(eos=False))
    return RunRequest(model=model, prompt=f"Write a sentence about {subject}.", execution=execution)


VARIANTS = len(_SUBJECTS) * len(_LENGTHS)


async def tokens_of(client: Client, request: RunRequest) -> tuple[int, ...]:
    """Token ids as they were streamed. Raises ValueError if the record has others."""
    streamed: list[int] = []
    async with aclosing(client.run(request)) as messages:
        async for message in messages:
            if isinstance(message, Tokens):
                streamed += message.token_ids
            elif isinstance(message, Finished) and message.record.token_ids != tuple(streamed):
                raise ValueError(f"{len(message.record.token_ids)} tokens made, {len(streamed)} arrived")
    return tuple(streamed)


async def ask(socket: Path, model: str, first: int, tally: Tally) -> None:
    async with connect(socket) as client:
        for turn in itertools.count(first * 5):
            number = turn % VARIANTS
            try:
                tokens = await tokens_of(client, request_of(number, model))
            except (EngineError, ValueError) as error:
                tally.problems.append(f"client {first}: {error!r}")
                continue
            tally.finished += 1
            tally.tokens += len(tokens)
            if tokens != tally.expected[number]:
                tally.problems.append(f"client {first}: other tokens than alone")


async def flap(socket: Path, model: str, tally: Tally) -> None:
    while True:
        with suppress(EngineError, OSError):
            async with connect(socket) as client, aclosing(client.run(request_of(3, model))) as messages:
                await anext(messages)
            tally.hung_up += 1
        await trio.sleep(0.2)


async def sample(engine: ServedEngine, tally: Tally) -> None:
    await trio.sleep(_WARM_UP_S)
    while True:
        tally.memory_kib.append(memory_kib(engine.process.pid))
        await trio.sleep(_SAMPLE_S)


def memory_kib(process_id: int) -> int:
    lines = Path(f"/proc/{process_id}/status").read_text(encoding="utf-8").splitlines()
    sizes = dict(line.split(":", 1) for line in lines)
    return sum(int(sizes[name].split()[0]) for name in ("RssAnon", "VmSwap"))


async def soak(engine: ServedEngine, stalled: StalledReader, clients: int, seconds: float) -> Tally:
    tally, model = Tally(), stalled.model
    async with connect(engine.socket) as client:
        for number in range(VARIANTS):
            tally.expected[number] = await tokens_of(client, request_of(number, model))
    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for number in range(clients):
                nursery.start_soon(ask, engine.socket, model, number, tally)
            nursery.start_soon(stalled.stall)
            nursery.start_soon(flap, engine.socket, model, tally)
            nursery.start_soon(sample, engine, tally)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        stalled = StalledReader(engine.socket, arguments.model)
        tally = trio.run(soak, engine, stalled, arguments.clients, arguments.minutes * 60)
        alive = engine.process.poll() is None
    problems = tally.problems + stalled.problems
    third = max(1, len(tally.memory_kib) // 3)
    begin, end = (statistics.median(part) for part in (tally.memory_kib[:third], tally.memory_kib[-third:]))
    growth = end / begin - 1
    sys.stdout.write(
        f"{arguments.clients} clients, {arguments.minutes:g} minutes: {tally.finished} answers, {tally.tokens} tokens, "
        f"{len(problems)} problems\n"
        f"stalled reader: {dict(stalled.outcomes)}, at most {stalled.most_unread_bytes / 2**20:.1f} MiB unread; "
        f"hung up at once: {tally.hung_up}\n"
        f"memory: {begin / 1024:.1f} MiB in the first third, {end / 1024:.1f} in the last: {growth:+.2%}\n"
    )
    for problem in problems[:20]:
        sys.stdout.write(problem + "\n")
    raise SystemExit(bool(problems) or not alive or abs(growth) > _SLOPE_LIMIT)


if __name__ == "__main__":
    main()
