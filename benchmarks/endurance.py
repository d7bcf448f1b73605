"""Clients that behave beside clients that do not: no error, little delay, flat memory, every answer what it is alone.

    .venv/bin/python -m benchmarks.endurance [--model NAME] [--clients 64] [--minutes 60] [--attackers 3]

First the clients alone, for a tenth of the time; then for the rest of it beside attackers, processes of their own which
go through all of ``benchmarks/support/attacks.py`` in random order, three seconds each. What counts is the time between
two tokens of an answer, over all answers. The attackers are at the lowest priority: they stand for clients of other
machines, whose CPUs are not the engine's. Ends with 1 where a client saw an error or other tokens than alone, where the
99th percentile of those times is more than twice that of the quiet time, or where memory grew by more than 2 %.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.soak import VARIANTS, memory_kib, request_of, tokens_of
from benchmarks.support.attacks import ATTACKS, attack, write_files
from benchmarks.support.served import ServedEngine, served_from
from engine.metrics.metrics import nearest_rank
from protocol.answers import Tokens
from protocol.client import Client, connect
from protocol.errors import EngineError
from protocol.plan import RunRequest

_QUIET_SHARE = 0.1
_ATTACK_S = 3.0
_SAMPLE_S = 5.0
_PAUSE_S = 1.0
"""Before a client whose connection ended has another."""
_MOST_GROWTH = 0.02
_MOST_DELAY = 2.0


@dataclass
class Phase:
    """What the clients saw of one of the two times."""

    answers: int = 0
    gaps_ms: list[float] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    memory_kib: list[int] = field(default_factory=list)

    def note(self, problem: str) -> None:
        """Count a problem, and tell of its first time at once."""
        if not self.problems[problem]:
            print(f"after {len(self.memory_kib) * _SAMPLE_S:.0f} s: {problem}", flush=True)
        self.problems[problem] += 1

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note an error of the engine in place of raising it."""
        try:
            yield
        except EngineError as error:
            self.note(f"{error.code}: {error.message:.80}")

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


async def _timed(client: Client, request: RunRequest, phase: Phase) -> tuple[int, ...]:
    token_ids: list[int] = []
    times: list[float] = []
    async with aclosing(client.run(request)) as messages:
        async for message in messages:
            if isinstance(message, Tokens):
                token_ids += message.token_ids
                times.append(trio.current_time())
    phase.gaps_ms += [1e3 * (after - before) for before, after in pairwise(times)]
    return tuple(token_ids)


async def _ask(
    engine: ServedEngine, model: str, first: int, expected: dict[int, tuple[int, ...]], phase: Phase
) -> None:
    number = first * 5
    while True:
        with phase.noting():
            async with connect(engine.socket) as client:
                while True:
                    number = (number + 1) % VARIANTS
                    token_ids = await _timed(client, request_of(number, model), phase)
                    phase.answers += 1
                    if token_ids != expected[number]:
                        phase.note("other tokens than alone")
        await trio.sleep(_PAUSE_S)


async def _sample(engine: ServedEngine, phase: Phase) -> None:
    while True:
        await trio.sleep(_SAMPLE_S)
        phase.memory_kib.append(memory_kib(engine.process.pid))


async def _attack_in_turn(engine: ServedEngine, folder: Path, chance: random.Random, times: Counter[str]) -> None:
    while True:
        name = chance.choice(tuple(ATTACKS))
        command = ["nice", "-n", "19", sys.executable, "-m", "benchmarks.endurance", "--attack", name]
        place = ["--folder", str(folder), "--socket", str(engine.socket), "--http-socket", str(engine.http_socket)]
        await trio.run_process([*command, *place], check=False, stderr=subprocess.DEVNULL)
        times[name] += 1


async def _live(engine: ServedEngine, given: argparse.Namespace, folder: Path) -> tuple[Phase, Phase, Counter[str]]:
    expected = {}
    async with connect(engine.socket) as client:
        for number in range(VARIANTS):
            expected[number] = await tokens_of(client, request_of(number, given.model))
    quiet, attacked, times = Phase(), Phase(), Counter[str]()
    seconds = given.minutes * 60
    for phase, attackers, share in ((quiet, 0, _QUIET_SHARE), (attacked, given.attackers, 1 - _QUIET_SHARE)):
        with trio.move_on_after(seconds * share):
            async with trio.open_nursery() as nursery:
                for number in range(given.clients):
                    nursery.start_soon(_ask, engine, given.model, number, expected, phase)
                nursery.start_soon(_sample, engine, phase)
                for seed in range(attackers):
                    nursery.start_soon(_attack_in_turn, engine, folder, random.Random(seed), times)  # noqa: S311
    return quiet, attacked, times


def _growth(samples: list[int]) -> float:
    """How much more the last third is than the one before it, as a share: caches fill in the first."""
    third = max(1, len(samples) // 3)
    begin, end = statistics.median(samples[-2 * third : -third] or samples), statistics.median(samples[-third:])
    return end / begin - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--attackers", type=int, default=3)
    for hidden in ("--attack", "--folder", "--socket", "--http-socket"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        attack(given.attack, Path(given.socket), Path(given.http_socket), Path(given.folder), _ATTACK_S)
        return
    with TemporaryDirectory(prefix="engine-") as name, served_from(Path(name)) as engine:
        folder = Path(name) / "attacks"
        folder.mkdir()
        write_files(folder)
        quiet, attacked, times = trio.run(_live, engine, given, folder)
        alive = engine.process.poll() is None
    growth, delay = _growth(attacked.memory_kib), attacked.p99_ms / quiet.p99_ms
    print(f"quiet: {quiet}\nattacked: {attacked}")
    print(f"{sum(times.values())} attacks of {_ATTACK_S:g} s, of {len(times)} kinds; alive at the end: {alive}")
    print(f"p99 attacked / quiet: {delay:.2f}; memory {attacked.memory_kib[-1] / 1024:.1f} MiB, {growth:+.2%}")
    failed = quiet.problems or attacked.problems or not alive or delay > _MOST_DELAY or growth > _MOST_GROWTH
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
