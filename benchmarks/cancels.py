"""Executions cancelled at random moments, among others that go on: how soon each ends, and whether anything is left.

    .venv/bin/python -m benchmarks.cancels [--model NAME] [--cancels 1000] [--seed 0]

Time is from the cancel's sending to the record's arrival, by the phase that the execution was in, with four survivors
that generate all the while and must answer as they do alone. At the end no sequence and no KV cache may be left.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections import defaultdict
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.support.served import served_from
from engine.metrics.metrics import nearest_rank
from protocol.answers import Accepted, Finished, Tokens
from protocol.client import Client, connect
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from protocol.requests import Cancel, Status

_SURVIVORS = 4
_AT_ONCE = 8
_LONG_PROMPT = "Once upon a time there was a small house near a wide river. " * 60


def request_of(model: str, prompt: str, max_tokens: int, max_sequences: int = 8) -> RunRequest:
    execution = ExecutionRequest(
        max_sequences=max_sequences, limits=Limits(max_tokens=max_tokens), stop=Stop(eos=False)
    )
    return RunRequest(model=model, prompt=prompt, execution=execution)


class Cancels:
    def __init__(self, model: str, seed: int) -> None:
        self._model = model
        self._chance = random.Random(seed)  # noqa: S311  moments, not secrets
        self.latencies_ms: dict[str, list[float]] = defaultdict(list)
        self.too_late = 0
        self.problems: list[str] = []

    async def survive(self, client: Client, expected: tuple[int, ...]) -> None:
        while True:
            async with aclosing(client.run(request_of(self._model, "A river is", 400))) as messages:
                async for message in messages:
                    if isinstance(message, Finished) and message.record.token_ids != expected:
                        self.problems.append("a survivor answered other than alone")

    async def cancel_one(self, client: Client) -> None:
        """Let it come to a random point of its life, then cancel it and await its record."""
        long_prompt = self._chance.random() < 0.5
        request = request_of(self._model, _LONG_PROMPT if long_prompt else "Hello", 600)
        phase, asked = "queue or load", 0.0
        stop_at = self._chance.choice(("at once", "soon", "tokens"))
        wanted_tokens = self._chance.randint(1, 40)
        with trio.CancelScope() as patience:
            async with aclosing(client.run(request)) as messages:
                seen = 0
                async for message in messages:
                    if isinstance(message, Accepted):
                        if stop_at == "at once":
                            asked = await self._cancel(client, message.execution_id)
                        elif stop_at == "soon":
                            await trio.sleep(self._chance.uniform(0, 0.3))
                            phase = "prefill or before"
                            asked = await self._cancel(client, message.execution_id)
                        execution_id = message.execution_id
                    elif isinstance(message, Tokens) and not asked:
                        seen += len(message.token_ids)
                        if seen >= wanted_tokens:
                            phase = "decode"
                            asked = await self._cancel(client, execution_id)
                    elif isinstance(message, Finished):
                        self._note(message, phase, asked)
        if patience.cancelled_caught:
            self.problems.append("an execution never ended")

    async def _cancel(self, client: Client, execution_id: str) -> float:
        asked = trio.current_time()
        await client.post(Cancel(execution_id=execution_id))
        return asked

    def _note(self, finished: Finished, phase: str, asked: float) -> None:
        record = finished.record
        if record.stop_reason != "cancelled":
            self.too_late += 1
            return
        if phase != "decode":
            if record.token_ids:
                phase = "decode"
            elif record.metrics.start_ms is None:
                phase = "queue or load"
            else:
                phase = "prefill"
        self.latencies_ms[phase].append((trio.current_time() - asked) * 1e3)


async def run(socket: Path, cancels: Cancels, model: str, count: int) -> None:
    async with connect(socket) as client:
        async with aclosing(client.run(request_of(model, "A river is", 400))) as messages:
            alone = [message.record.token_ids async for message in messages if isinstance(message, Finished)].pop()
        async with trio.open_nursery() as surviving:
            for _ in range(_SURVIVORS):
                surviving.start_soon(cancels.survive, client, alone)
            slots = trio.CapacityLimiter(_AT_ONCE)

            async def one() -> None:
                async with slots:
                    await cancels.cancel_one(client)

            async with trio.open_nursery() as cancelling:
                for _ in range(count):
                    cancelling.start_soon(one)
            surviving.cancel_scope.cancel()
        await trio.sleep(0.5)
        status = await client.ask(Status())
        if status.executions or status.memory_bytes["kv_cache"]:
            cancels.problems.append(f"left: {len(status.executions)} executions, {status.memory_bytes}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--cancels", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    cancels = Cancels(arguments.model, arguments.seed)
    with TemporaryDirectory(prefix="engine-") as folder, served_from(Path(folder)) as engine:
        trio.run(run, engine.socket, cancels, arguments.model, arguments.cancels)
    for phase, latencies in sorted(cancels.latencies_ms.items()):
        p50, p99 = statistics.median(latencies), nearest_rank(latencies, 99)
        sys.stdout.write(f"{phase:18} {len(latencies):5} cancelled, p50 {p50:8.2f} ms, p99 {p99:8.2f} ms\n")
    sys.stdout.write(f"{cancels.too_late} had ended before; {len(cancels.problems)} problems\n")
    sys.stdout.writelines(problem + "\n" for problem in cancels.problems[:20])
    raise SystemExit(bool(cancels.problems))


if __name__ == "__main__":
    main()
