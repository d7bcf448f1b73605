"""Engines killed at random moments under load: every execution that a client saw finished is in the store.

    .venv/bin/python -m benchmarks.killed_engine [--model NAME] [--kills 50] [--seed 0]

Eight clients ask for short answers; the engine is killed with SIGKILL after a random time, and started again on the
same store. After each kill the chain must be whole, every record that a client received must be in it as it was
received, and nothing may be unfinished once the next engine has started.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.support.served import served_from
from engine.records.record_store import RecordStore
from protocol.answers import Finished
from protocol.client import connect
from protocol.errors import EngineError
from protocol.plan import ExecutionRequest, Limits, RunRequest
from protocol.record import ExecutionRecord
from protocol.record_entry import FinishedEntry

_CLIENTS = 8
_LONGEST_S = 3.0


async def ask(socket: Path, model: str, seen: list[ExecutionRecord]) -> None:
    request = RunRequest(model=model, prompt="Hello", execution=ExecutionRequest(limits=Limits(max_tokens=6)))
    try:
        async with connect(socket) as client:
            while True:
                async with aclosing(client.run(request)) as messages:
                    seen += [message.record async for message in messages if isinstance(message, Finished)]
    except EngineError:
        return  # it was killed


async def load_until_killed(folder: Path, model: str, seconds: float) -> list[ExecutionRecord]:
    seen: list[ExecutionRecord] = []
    with served_from(folder) as engine:
        async with trio.open_nursery() as nursery:
            for _ in range(_CLIENTS):
                nursery.start_soon(ask, engine.socket, model, seen)
            await trio.sleep(seconds)
            engine.process.kill()
    return seen


def faults(data_dir: Path, seen: list[ExecutionRecord], counts: Counter[str]) -> list[str]:
    """Damage of the kill. Looks at the store as the next engine will find and mend it."""
    with RecordStore(data_dir / "records.sqlite") as store:
        interrupted = store.recover()
        counts["interrupted"] += len(interrupted)
        found = [f"still unfinished: {each.execution.execution_id}" for each in store.unfinished()]
        report = store.verify_chain()
        if report.fault is not None:
            found.append(f"the chain is broken at {report.fault.sequence}: {report.fault.reason}")
        for record in seen:
            entry = store.get(record.execution_id).decode()
            if not isinstance(entry, FinishedEntry) or entry.record != record:
                found.append(f"{record.execution_id} is not in the store as its client saw it")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)  # noqa: S311  moments, not secrets
    counts: Counter[str] = Counter()
    found: list[str] = []
    with TemporaryDirectory(prefix="engine-") as name:
        folder = Path(name)
        for kill in range(arguments.kills):
            seen = trio.run(load_until_killed, folder, arguments.model, chance.uniform(0.05, _LONGEST_S))
            counts["seen finished"] += len(seen)
            found += [f"kill {kill}: {fault}" for fault in faults(folder / "data", seen, counts)]
    sys.stdout.write(
        f"{arguments.kills} kills: {counts['seen finished']} executions seen finished, {counts['interrupted']} "
        f"interrupted, {len(found)} faults\n" + "".join(fault + "\n" for fault in found)
    )
    raise SystemExit(bool(found))


if __name__ == "__main__":
    main()
