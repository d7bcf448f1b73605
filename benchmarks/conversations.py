"""Record an arrival trace: users talk with the real engine, and what they ask for is noted as it is sent.

python -m benchmarks.conversations FILE [--model MODEL] [--users N] [--requests N]

Each user reads an answer, thinks, and asks again with the whole conversation as the prompt, or begins another one. So
when requests come depends on how soon the ones before were answered, which no synthetic trace has.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import trio

from actors.system import open_system, running
from benchmarks.support.arrivals import Arrival, write_trace
from engine.config import default_config
from protocol.answers import Finished
from protocol.client import Client
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop

_THINKING_MS = 2000
_TURNS = 8
"""Largest number of turns in a conversation."""


class Conversations:
    def __init__(self, model: str, users: int, requests: int, seed: int = 4) -> None:
        self._model = model
        self._randoms = np.random.default_rng(seed).spawn(users)
        self._left = requests
        self._arrivals: list[Arrival] = []

    def record(self) -> list[Arrival]:
        """The trace, in order of arrival. Raises what the client raises."""
        trio.run(self._talk)
        begin_ms = self._arrivals[0].at_ms
        return [replace(arrival, at_ms=round(arrival.at_ms - begin_ms, 3)) for arrival in self._arrivals]

    async def _talk(self) -> None:
        system = open_system(default_config())
        async with running(system), system.client() as client, trio.open_nursery() as nursery:
            await self._ask(client, 1, 1)  # loads the weights; of no user
            for random in self._randoms:
                nursery.start_soon(self._use, client, random)

    async def _use(self, client: Client, random: np.random.Generator) -> None:
        conversation, turns = 0, 0
        while self._left:
            await trio.sleep(float(random.exponential(_THINKING_MS)) / 1e3)
            if not self._left:
                break
            self._left -= 1
            turns = turns + 1 if turns < int(random.integers(1, _TURNS + 1)) else 1
            asked, wanted = int(random.integers(10, 80)), int(random.integers(16, 96))
            conversation = asked if turns == 1 else conversation + asked
            self._arrivals.append(Arrival(trio.current_time() * 1e3, conversation, wanted))
            conversation += await self._ask(client, conversation, wanted)

    async def _ask(self, client: Client, prompt_tokens: int, max_tokens: int) -> int:
        """Number of generated tokens."""
        execution = ExecutionRequest(limits=Limits(max_tokens=max_tokens), stop=Stop(eos=False))
        request = RunRequest(model=self._model, prompt=" the" * prompt_tokens, execution=execution)
        generated = 0
        async for message in client.run(request):
            if isinstance(message, Finished):
                generated = message.record.metrics.tokens_total
        return generated


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.conversations", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="smollm2-135m-instruct", help="registry name or path of a GGUF")
    parser.add_argument("--users", type=int, default=24)
    parser.add_argument("--requests", type=int, default=520)
    arguments = parser.parse_args()
    trace = Conversations(arguments.model, arguments.users, arguments.requests).record()
    write_trace(arguments.file, trace)


if __name__ == "__main__":
    main()
