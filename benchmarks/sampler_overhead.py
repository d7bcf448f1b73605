"""Cost of watching the energy counters: CPU time of the sampler while limits are watched, and wake-ups when idle.

The counters are a powercap tree on disk of two packages with memory, moved by a process of its own. The sampler runs in
an event loop where nothing else does, so that the loop's thread time is all its own: timers, readings and judgements.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from actors.base import Inbox
from actors.energy_sampler import EnergySampler
from actors.messages import ControlEvent, EnergyRequest, ExecutorRequest, Moment, ReadEnergy
from benchmarks.support.power_plant import PowerPlant
from benchmarks.support.report import Figure
from benchmarks.support.setting import Setting
from engine.backend import ComputeTimes
from engine.energy.ladder import EnergyLadder
from engine.energy.sources.rapl import RaplSource
from protocol.plan import Limits

ROUNDS = 5
READINGS = 2000
WATCHED_S = 5.0
IDLE_S = 5.0
MOST_OF_A_CORE = 0.001
PERIOD_MS = Limits().energy_sample_ms
PATIENCE_S = 60.0
LIMITS = {
    "no limit": Limits(),
    "max_joules": Limits(max_joules=1e9),
    "max_watts, stop": Limits(max_watts=1e6),
    "max_watts, throttle": Limits(max_watts=1e6, on_max_watts="throttle"),
    "max_watts, throttle, rarely": Limits(max_watts=1e6, on_max_watts="throttle", energy_sample_ms=200),
}
"""None of them is ever reached; all but the last leave ``energy_sample_ms`` as it is."""


def measure(_: Setting) -> list[Figure]:
    with _moving_tree() as root:
        ladder = EnergyLadder([RaplSource(root)], {})
        return [
            Figure("the counters alone, one reading", "us", _reading_us(partial(ladder.read_counters, "rapl"))),
            Figure("the counters and the CPUs' times, one reading", "us", _reading_us(partial(ladder.read, "rapl"))),
            *(
                Figure(
                    f"sampler, {name}, every {limits.energy_sample_ms if limits.of_energy else 60_000} ms",
                    "of a core",
                    [trio.run(_watching, ladder, limits) for _ in range(ROUNDS)],
                    at_most=MOST_OF_A_CORE,
                )
                for name, limits in LIMITS.items()
            ),
            Figure(
                f"an event loop's timer alone, every {PERIOD_MS} ms",
                "of a core",
                [trio.run(_ticking) for _ in range(ROUNDS)],
            ),
            Figure(f"wake-ups in {IDLE_S:g} s while nothing runs", "wake-ups", [_idle_wake_ups(ladder)], at_most=0),
        ]


def _reading_us(read: Callable[[], object]) -> list[float]:
    """CPU time."""
    samples = []
    for _ in range(ROUNDS):
        began_ns = time.thread_time_ns()
        for _ in range(READINGS):
            read()
        samples.append((time.thread_time_ns() - began_ns) / READINGS / 1e3)
    return samples


async def _watching(ladder: EnergyLadder, limits: Limits) -> float:
    """The part of a core that the sampler takes while an execution with such limits runs."""
    async with trio.open_nursery() as nursery:
        requests = await _begin(nursery, ladder)
        await _ask(requests, "start", limits)
        await trio.sleep(1.2)  # until the averages have their window
        began_s, began_ns = time.monotonic(), time.thread_time_ns()
        await trio.sleep(WATCHED_S)
        share = (time.thread_time_ns() - began_ns) / 1e9 / (time.monotonic() - began_s)
        nursery.cancel_scope.cancel()
    return share


async def _ticking() -> float:
    """The part of a core that an event loop takes which wakes so often and does nothing."""
    began_s, began_ns = time.monotonic(), time.thread_time_ns()
    for _ in range(round(WATCHED_S * 1e3 / PERIOD_MS)):
        await trio.sleep(PERIOD_MS / 1e3)
    return (time.thread_time_ns() - began_ns) / 1e9 / (time.monotonic() - began_s)


async def _begin(nursery: trio.Nursery, ladder: EnergyLadder) -> Inbox[EnergyRequest]:
    requests = Inbox[EnergyRequest]("requests", 2, "a start and an end")
    told = Inbox[ControlEvent]("told", 8, "both are answered, and no limit is reached")
    paces = Inbox[ExecutorRequest]("paces", 8, "no limit is reached")
    await nursery.start(EnergySampler(requests, told, paces, ladder, lambda: ComputeTimes(0, {})).run)
    return requests


async def _ask(requests: Inbox[EnergyRequest], moment: Moment, limits: Limits) -> None:
    await requests.put(ReadEnergy(execution_id="exec-1", moment=moment, source="rapl", limits=limits))


def _idle_wake_ups(ladder: EnergyLadder) -> float:
    """Context switches of the loop's thread, wanted or not, after an execution that had a limit."""
    idle = threading.Event()
    loop: list[tuple[int, trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            requests = await _begin(nursery, ladder)
            await _ask(requests, "start", LIMITS["max_watts, throttle"])
            await trio.sleep(0.5)
            await _ask(requests, "end", LIMITS["max_watts, throttle"])
            loop.append((threading.get_native_id(), trio.lowlevel.current_trio_token(), nursery.cancel_scope))
            idle.set()
            await trio.sleep_forever()

    thread = threading.Thread(target=trio.run, args=(run,))
    thread.start()
    idle.wait()
    ((thread_id, token, scope),) = loop
    time.sleep(0.5)
    before = _switches(thread_id)
    time.sleep(IDLE_S)
    counted = _switches(thread_id) - before
    token.run_sync_soon(scope.cancel)
    thread.join()
    return counted


def _switches(thread_id: int) -> int:
    lines = Path(f"/proc/{os.getpid()}/task/{thread_id}/status").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches:" in line)


@contextmanager
def _moving_tree() -> Iterator[Path]:
    with TemporaryDirectory(prefix="engine-") as folder:
        root = Path(folder) / "powercap"
        mover = multiprocessing.get_context("spawn").Process(target=_move, args=(root,))
        mover.start()
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not (root / "moving").exists():
                if not mover.is_alive() or time.monotonic() > deadline:
                    raise RuntimeError("the counters do not begin to move")
                time.sleep(0.01)
            yield root
        finally:
            mover.terminate()
            mover.join()


def _move(root: Path) -> None:
    with PowerPlant(root, idle_watts=10.0, core_watts=20.0):
        (root / "moving").touch()
        threading.Event().wait()
