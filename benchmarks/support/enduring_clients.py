"""Clients of one process that ask without a pause, time every token and hold every answer against what it is alone.

Run as a module: an engine counts the connections of a process as one client's.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path

import trio

from benchmarks.soak import VARIANTS, request_of
from engine.metrics.metrics import nearest_rank
from protocol.answers import Tokens
from protocol.client import Client, connect
from protocol.errors import EngineError
from protocol.plan import RunRequest

_PAUSE_S = 1.0
"""The pause before a client whose connection ended has another."""


@dataclass
class Seen:
    """Answers, times and problems that clients saw."""

    answers: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    """Times between two tokens of an answer."""
    problems: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note an error of the engine in place of raising it."""
        try:
            yield
        except EngineError as error:
            self.problems[f"{error.code}: {error.message:.80}"] += 1

    def add(self, text: str) -> None:
        """Add what another process printed of its clients."""
        other = json.loads(text)
        self.answers += other["answers"]
        self.gaps_ms += other["gaps_ms"]
        self.problems.update(other["problems"])

    @property
    def p99_ms(self) -> float:
        return nearest_rank(self.gaps_ms, 99) or 0.0

    def __str__(self) -> str:
        p50 = nearest_rank(self.gaps_ms, 50) or 0.0
        longest = max(self.gaps_ms, default=0.0)
        return (
            f"{self.answers} answers, {len(self.gaps_ms)} times between tokens: p50 {p50:.1f} ms, p99 "
            f"{self.p99_ms:.1f} ms, longest {longest:.0f} ms; problems: {dict(self.problems) or 'none'}"
        )


async def _timed(client: Client, request: RunRequest, seen: Seen) -> list[int]:
    token_ids: list[int] = []
    times: list[float] = []
    async with aclosing(client.run(request)) as messages:
        async for message in messages:
            if isinstance(message, Tokens):
                token_ids += message.token_ids
                times.append(trio.current_time())
    seen.gaps_ms += [1e3 * (after - before) for before, after in pairwise(times)]
    return token_ids


async def _ask(socket: Path, model: str, first: int, expected: Mapping[str, list[int]], seen: Seen) -> None:
    number = first * 5
    while True:
        with seen.noting():
            async with connect(socket) as client:
                while True:
                    number = (number + 1) % VARIANTS
                    token_ids = await _timed(client, request_of(number, model), seen)
                    seen.answers += 1
                    seen.problems["other tokens than alone"] += token_ids != expected[str(number)]
        await trio.sleep(_PAUSE_S)


async def _ask_side_by_side(given: argparse.Namespace, expected: Mapping[str, list[int]], seen: Seen) -> None:
    with trio.move_on_after(given.seconds):
        async with trio.open_nursery() as nursery:
            for number in range(given.first, given.first + given.clients):
                nursery.start_soon(_ask, Path(given.socket), given.model, number, expected, seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--model", "--socket", "--expected"):
        parser.add_argument(name, required=True)
    for name in ("--first", "--clients"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given, seen = parser.parse_args(), Seen()
    trio.run(_ask_side_by_side, given, json.loads(Path(given.expected).read_text(encoding="utf-8")), seen)
    seen.problems = +seen.problems
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
