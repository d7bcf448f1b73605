"""Engines whose state lies on a disk that is full or read-only at random moments: they answer, and keep what they can.

    sudo .venv/bin/python -m benchmarks.full_disk [--model NAME] [--minutes 10] [--seed 0]

The records and caches lie on a small file system of their own, in a name space of its own, for which it must be root.
While clients ask, it is filled to the last byte at random moments and freed again; every other engine is started while
it is read-only. At the end of each engine the chain must be whole, and every answer that was told to be recorded must
be in it.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.killed_engine import faults
from benchmarks.support.served import served_from
from benchmarks.support.steady_clients import SteadyClients

_DISK_MIB = 16
_ENGINE_S = 20.0
_INSIDE = "--inside"


async def _live(socket: Path, disk: Path, clients: SteadyClients, chance: random.Random, counts: Counter[str]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_fill_at_times, disk / "filler", chance, counts)
        await clients.ask(socket, _ENGINE_S)
        nursery.cancel_scope.cancel()


async def _fill_at_times(filler: Path, chance: random.Random, counts: Counter[str]) -> None:
    try:
        while True:
            await trio.sleep(chance.uniform(0.2, 3.0))
            counts["filled"] += _fill(filler)
            await trio.sleep(chance.uniform(0.2, 3.0))
            _free(filler)
    finally:
        _free(filler)


def _free(filler: Path) -> None:
    with suppress(OSError):  # there is none on a read-only disk
        filler.unlink()


def _fill(filler: Path) -> bool:
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        return filler.exists()


def _mount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "state", str(disk)], check=True)


def _engines(given: argparse.Namespace, folder: Path) -> int:
    """How many faults there were."""
    disk = folder / "disk"
    disk.mkdir()
    _mount(disk, f"size={_DISK_MIB}m")
    chance, counts, found = random.Random(given.seed), Counter[str](), 0  # noqa: S311  moments, not secrets
    clients = SteadyClients(given.model)
    variables = {"ENGINE_DATA_DIR": str(disk / "data"), "ENGINE_CACHE_DIR": str(disk / "cache")}
    for number in range(max(2, round(given.minutes * 60 / _ENGINE_S))):
        read_only = number % 2 == 1
        if read_only:
            _mount(disk, "remount,ro")
        told = len(clients.recorded)
        with served_from(folder, variables) as engine:
            trio.run(_live, engine.socket, disk, clients, chance, counts)
            ended = engine.process.poll()
        _mount(disk, "remount,rw")
        problems = faults(disk / "data", clients.recorded[told:], counts)
        problems += [] if ended is None else [f"the engine ended with {ended}"]
        found += len(problems)
        print(f"engine {number}{' on a read-only disk' if read_only else ''}: {clients}", *problems, sep="\n  ")
        subprocess.run(["find", str(disk / "data"), "-delete"], check=True)
    print(f"filled {counts['filled']} times, {counts['interrupted']} interrupted, {found} faults")
    return found + clients.wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(_INSIDE, action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        program = (sys.executable, "-m", "benchmarks.full_disk", *sys.argv[1:], _INSIDE)
        os.execvp("unshare", ("unshare", "--mount", "--propagation", "private", *program))  # noqa: S606  this program
    with TemporaryDirectory(prefix="engine-", ignore_cleanup_errors=True) as name:
        try:
            found = _engines(given, Path(name))
        finally:
            subprocess.run(["umount", str(Path(name) / "disk")], check=False)
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
