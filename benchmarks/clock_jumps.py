"""An engine whose time of day jumps under load, by seconds or by years, forwards or backwards.

    .venv/bin/python -m benchmarks.clock_jumps [--model NAME] [--minutes 10] [--seed 0]

A library that is loaded before the C library moves the clock (``benchmarks/support/moved_clock.c``; wants ``cc``).
Every answer must be what it was, the times that its record measures must be none of the jumps', and the chain must be
whole.
"""

from __future__ import annotations

import argparse
import mmap
import random
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.killed_engine import faults
from benchmarks.support.served import ServedEngine, served_from
from benchmarks.support.steady_clients import SteadyClients

_SOURCE = Path(__file__).with_name("support") / "moved_clock.c"
_LONGEST_S = 60.0
"""No answer of eight tokens takes so long; every jump that matters is longer."""


async def _live(engine: ServedEngine, clients: SteadyClients, seconds: float, clock: _Clock) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.jump_at_times)
        await clients.ask(engine.socket, seconds)
        nursery.cancel_scope.cancel()


class _Clock:
    def __init__(self, moved: Path, seed: int) -> None:
        moved.write_bytes(bytes(8))
        with moved.open("r+b") as file:
            self._moved = mmap.mmap(file.fileno(), 8)
        self._chance = random.Random(seed)  # noqa: S311  moments, not secrets
        self.jumps = 0

    async def jump_at_times(self) -> None:
        while True:
            await trio.sleep(self._chance.uniform(0.1, 2.0))
            years = self._chance.choice((0.0, 0.0, 1e-4, 1.0, 9.0))
            span = round(years * 365 * 86_400) + 3600
            self._moved[:] = self._chance.randint(-span, span).to_bytes(8, "little", signed=True)
            self.jumps += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    clients, counts = SteadyClients(given.model), Counter[str]()
    with TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        library = folder / "moved_clock.so"
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", str(_SOURCE), "-o", str(library), "-ldl"], check=True)
        clock = _Clock(folder / "moved", given.seed)
        variables = {"LD_PRELOAD": str(library), "MOVED_CLOCK_FILE": str(folder / "moved")}
        with served_from(folder, variables) as engine:
            trio.run(_live, engine, clients, given.minutes * 60, clock)
            ended = engine.process.poll()
        problems = faults(folder / "data", clients.recorded, counts)
    measured = [record.metrics.latency_total_ms for record in clients.recorded]
    problems += [f"a record says {ms} ms" for ms in measured if ms is None or not 0 <= ms <= 1e3 * _LONGEST_S]
    problems += [] if ended is None else [f"the engine ended with {ended}"]
    print(f"{clock.jumps} jumps: {clients}; {len(problems)} faults", *problems[:20], sep="\n  ")
    raise SystemExit(bool(problems or clients.wrong or clients.unrecorded))


if __name__ == "__main__":
    main()
