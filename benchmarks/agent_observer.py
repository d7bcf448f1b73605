"""An observer beside many short executions: its CPU time and memory, and what the executions lose by it.

    .venv/bin/python -m benchmarks.agent_observer [--turn-minutes 4] [--stay-minutes 30] [--rate 64]

A tiny model is run ``--rate`` times a second, whether or not the one before has ended. An observer comes and goes in
turns (none, one, one, none) of so many minutes each, and then stays, while its memory is sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import trio

from benchmarks.support.disturbance import Disturbance
from benchmarks.support.served import ServedEngine, served_from
from engine import _core
from protocol.answers import Finished
from protocol.client import Client, connect
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop
from tests.support.gguf_factory import write_tiny_model

AGENTS = str(Path(sys.executable).with_name("weos-agents"))
TOKENS = 4
TURNS = (False, True, True, False)
"""Whether the observer is there."""
_SETTLING_S = 60.0
"""After its start, at most, before its memory is sampled: its windows fill up."""
_LEAST_SAMPLES = 10
_MOST_IN_FLIGHT = 48
"""Executions of the one client: the engine refuses more than 64."""
MOST_CPU = 0.005
MOST_LOSS = 0.02
MOST_GROWTH_MB = 2.0
"""In half an hour."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Turn:
    """What the executions of one turn came to."""

    observed: bool
    seconds: float
    executions: int
    tokens_per_sec: float
    """The median of the executions' own; so the next."""
    latency_total_ms: float


@dataclass(frozen=True, slots=True)
class Observation:
    """What an observer that stays used."""

    seconds: float
    executions: int
    cpu: float
    """Share of one core."""
    engine_cpu: float
    memory_mb: tuple[float, ...]
    """Sampled once a second, after its start."""
    growth_mb: float
    """Slope of a straight line through the samples, times half an hour."""
    engine_growth_mb: float


async def run_one(
    client: Client, request: RunRequest, in_flight: trio.CapacityLimiter, ended: list[tuple[float, float]]
) -> None:
    async with in_flight:
        async for message in client.run(request):
            if isinstance(message, Finished):
                metrics = message.record.metrics
                ended.append((metrics.tokens_per_sec or 0.0, metrics.latency_total_ms or 0.0))


async def load(socket: Path, request: RunRequest, rate: float, seconds: float) -> list[tuple[float, float]]:
    """Start executions at the rate, for so long."""
    ended: list[tuple[float, float]] = []
    in_flight = trio.CapacityLimiter(_MOST_IN_FLIGHT)
    async with connect(socket) as client, trio.open_nursery() as nursery:
        begin = trio.current_time()
        for number in range(int(rate * seconds)):
            await trio.sleep_until(begin + number / rate)
            nursery.start_soon(run_one, client, request, in_flight, ended)
    return ended


@contextmanager
def observer(socket: Path) -> Iterator[int]:
    """Its process, from when it observes."""
    command = [AGENTS, "observe", "--json", "--socket", str(socket)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        process.stderr.readline()  # type: ignore[union-attr]  # it is a pipe
        try:
            yield process.pid
        finally:
            process.terminate()


def turn(engine: ServedEngine, request: RunRequest, rate: float, seconds: float, *, observed: bool) -> Turn:
    if observed:
        with observer(engine.socket):
            return turn_of(trio.run(load, engine.socket, request, rate, seconds), seconds, observed=True)
    return turn_of(trio.run(load, engine.socket, request, rate, seconds), seconds, observed=False)


def turn_of(ended: list[tuple[float, float]], seconds: float, *, observed: bool) -> Turn:
    speeds, latencies = zip(*ended, strict=True)
    return Turn(observed, seconds, len(ended), median(speeds), median(latencies))


def cpu_s(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def memory_mb(process_id: int) -> float:
    return int(Path(f"/proc/{process_id}/statm").read_text().split()[1]) * _PAGE / 1e6


def stay(engine: ServedEngine, request: RunRequest, rate: float, seconds: float) -> Observation:
    """One observer for the whole time; its samples are taken between the executions' starts."""
    samples: list[tuple[float, float, float]] = []

    async def sample(observer_id: int) -> None:
        await trio.sleep(min(_SETTLING_S, seconds / 4))
        while True:
            samples.append((time.monotonic(), memory_mb(observer_id), memory_mb(engine.process.pid)))
            await trio.sleep(1)

    async def both(observer_id: int) -> tuple[list[tuple[float, float]], float, float]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sample, observer_id)
            before = cpu_s(observer_id), cpu_s(engine.process.pid)
            ended = await load(engine.socket, request, rate, seconds)
            used = [cpu_s(one) - was for one, was in zip((observer_id, engine.process.pid), before, strict=True)]
            nursery.cancel_scope.cancel()
        return ended, used[0], used[1]

    with observer(engine.socket) as observer_id:
        began = time.monotonic()
        ended, used_s, engine_s = trio.run(both, observer_id)
        elapsed = time.monotonic() - began
    times, memory, engine_memory = (np.asarray(column) for column in zip(*samples, strict=True))
    return Observation(
        seconds=elapsed,
        executions=len(ended),
        cpu=used_s / elapsed,
        engine_cpu=engine_s / elapsed,
        memory_mb=tuple(float(value) for value in memory),
        growth_mb=growth(times, memory),
        engine_growth_mb=growth(times, engine_memory),
    )


def growth(times: np.ndarray, memory: np.ndarray) -> float:
    """Megabytes in half an hour, by the line through the samples; 0 where they are too few for one."""
    if len(times) < _LEAST_SAMPLES:
        return 0.0
    return float(np.polyfit(times - times[0], memory, 1)[0]) * 1800


def problems(turns: list[Turn], stayed: Observation) -> list[str]:
    found = []
    alone, observed = (median(one.tokens_per_sec for one in turns if one.observed is there) for there in (False, True))
    if observed < (1 - MOST_LOSS) * alone:
        found.append(f"executions made {observed:.1f} tokens a second beside the observer, and {alone:.1f} without")
    if stayed.cpu > MOST_CPU:
        found.append(f"the observer used {stayed.cpu:.2%} of a core, and {MOST_CPU:.1%} is allowed")
    if stayed.growth_mb > MOST_GROWTH_MB:
        found.append(f"the observer's memory grows by {stayed.growth_mb:.1f} MB in half an hour")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turn-minutes", type=float, default=4.0)
    parser.add_argument("--stay-minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=64.0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    disturbance = Disturbance()
    with tempfile.TemporaryDirectory(prefix="engine-") as name, served_from(Path(name)) as engine:
        path = write_tiny_model(Path(name) / "tiny.gguf")
        execution = ExecutionRequest(limits=Limits(max_tokens=TOKENS), stop=Stop(eos=False))
        request = RunRequest(model=str(path), prompt="Once upon a time", execution=execution)
        trio.run(load, engine.socket, request, arguments.rate, 2.0)  # warm
        turns = [turn(engine, request, arguments.rate, arguments.turn_minutes * 60, observed=there) for there in TURNS]
        stayed = stay(engine, request, arguments.rate, arguments.stay_minutes * 60)
    found = problems(turns, stayed)
    result = {
        "cpu": _core.cpu_model(),
        "rate": arguments.rate,
        "others_cpu_share": disturbance.share(),
        "turns": [asdict(one) for one in turns],
        "observer": asdict(stayed),
        "problems": found,
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for one in turns:
        told = "observed" if one.observed else "alone   "
        print(f"{told} {one.executions} executions, {one.tokens_per_sec:.1f} tokens/s, {one.latency_total_ms:.2f} ms")
    print(
        f"observer: {stayed.cpu:.3%} of a core at {stayed.executions / stayed.seconds:.1f} executions a second, "
        f"{stayed.memory_mb[-1] if stayed.memory_mb else 0:.1f} MB, {stayed.growth_mb:+.2f} MB in half an hour; "
        f"engine {stayed.engine_cpu:.1%}, {stayed.engine_growth_mb:+.1f} MB"
    )
    if found:
        sys.exit("\n".join(found))


if __name__ == "__main__":
    main()
