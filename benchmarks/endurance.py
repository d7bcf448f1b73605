"""Clients that behave beside clients that do not: no error, little delay, flat memory, every answer what it is alone.

    .venv/bin/python -m benchmarks.endurance [--model NAME] [--clients 64] [--minutes 60] [--attackers 3]
        [--engine-cpu N]

First the clients alone, for a tenth of the time; then for the rest of it beside attackers, processes of their own which
go through all of ``benchmarks/support/attacks.py`` in random order, three seconds each. What counts is the time between
two tokens of an answer, over all answers. The attackers are at the lowest priority: they stand for clients of other
machines, whose CPUs are not the engine's. ``--engine-cpu`` gives the engine one CPU for itself and everybody else the
others, where the attackers then get further. Ends with 1 where a client saw an error or other tokens than alone, where
the 99th percentile of those times is more than twice that of the quiet time, or where memory grew by more than 2 %.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.soak import VARIANTS, memory_kib, request_of, tokens_of
from benchmarks.support.attacks import ATTACKS, attack, write_files
from benchmarks.support.enduring_clients import Seen
from benchmarks.support.served import ServedEngine, served_from
from protocol.client import connect

_QUIET_SHARE = 0.1
_ATTACK_S = 3.0
_SAMPLE_S = 5.0
_PROCESSES = 8
"""The clients' processes, by which the engine tells them."""
_MOST_GROWTH = 0.02
_MOST_DELAY = 2.0


@dataclass
class Phase:
    """One of the two times: what the clients saw, and the engine's memory."""

    seen: Seen = field(default_factory=Seen)
    memory_kib: list[int] = field(default_factory=list)


async def _ask(engine: ServedEngine, given: argparse.Namespace, folder: Path, seconds: float, phase: Phase) -> None:
    """All clients side by side, for so long."""
    share = -(-given.clients // _PROCESSES)

    async def ask(first: int) -> None:
        counts = ["--first", str(first), "--clients", str(min(share, given.clients - first))]
        places = ["--socket", str(engine.socket), "--expected", str(folder / "expected.json")]
        command = [sys.executable, "-m", "benchmarks.support.enduring_clients", "--model", given.model]
        ran = await trio.run_process([*command, *counts, *places, "--seconds", str(seconds)], capture_stdout=True)
        phase.seen.add(ran.stdout.decode())

    async with trio.open_nursery() as nursery:
        for first in range(0, given.clients, share):
            nursery.start_soon(ask, first)


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
    async with connect(engine.socket) as client:
        expected = [await tokens_of(client, request_of(number, given.model)) for number in range(VARIANTS)]
    (folder / "expected.json").write_text(json.dumps(dict(enumerate(expected))))
    quiet, attacked, times = Phase(), Phase(), Counter[str]()
    seconds = given.minutes * 60
    for phase, attackers, share in ((quiet, 0, _QUIET_SHARE), (attacked, given.attackers, 1 - _QUIET_SHARE)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_sample, engine, phase)
            for seed in range(attackers):
                nursery.start_soon(_attack_in_turn, engine, folder, random.Random(seed), times)  # noqa: S311
            await _ask(engine, given, folder, seconds * share, phase)
            nursery.cancel_scope.cancel()
    return quiet, attacked, times


@contextmanager
def _started(folder: Path, cpu: int | None) -> Iterator[ServedEngine]:
    """The engine, on a CPU of its own if one is named: this process and what it starts afterwards use the others."""
    all_cpus = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    with served_from(folder) as engine:
        os.sched_setaffinity(0, all_cpus - {cpu} or all_cpus)
        yield engine


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
    parser.add_argument("--engine-cpu", type=int)
    for hidden in ("--attack", "--folder", "--socket", "--http-socket"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        attack(given.attack, Path(given.socket), Path(given.http_socket), Path(given.folder), _ATTACK_S)
        return
    with TemporaryDirectory(prefix="engine-") as name, _started(Path(name), given.engine_cpu) as engine:
        folder = Path(name) / "attacks"
        folder.mkdir()
        write_files(folder)
        quiet, attacked, times = trio.run(_live, engine, given, folder)
        alive = engine.process.poll() is None
    growth, delay = _growth(attacked.memory_kib), attacked.seen.p99_ms / quiet.seen.p99_ms
    print(f"quiet: {quiet.seen}\nattacked: {attacked.seen}")
    print(f"{sum(times.values())} attacks of {_ATTACK_S:g} s, of {len(times)} kinds; alive at the end: {alive}")
    print(f"p99 attacked / quiet: {delay:.2f}; memory {attacked.memory_kib[-1] / 1024:.1f} MiB, {growth:+.2%}")
    failed = quiet.seen.problems or attacked.seen.problems or not alive or delay > _MOST_DELAY or growth > _MOST_GROWTH
    raise SystemExit(bool(failed))


if __name__ == "__main__":
    main()
