"""An engine in a control group whose memory is nearly used up: what does not fit is refused, and nothing is killed.

    sudo .venv/bin/python -m benchmarks.memory_limit [--model NAME] [--minutes 5] [--limit-mb 512] [--group FOLDER]

Beside clients that ask for little, one asks for contexts that grow until they are refused, over and over. The group is
made in ``FOLDER``, by default the root of the control groups that bound memory, for which it must be root.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from benchmarks.killed_engine import faults
from benchmarks.support.served import ServedEngine, served_from
from benchmarks.support.steady_clients import SteadyClients
from protocol.client import Client, connect
from protocol.errors import EngineError
from protocol.plan import ExecutionRequest, Limits, RunRequest, Stop

_OLDER = Path("/sys/fs/cgroup/memory")
_LIMITS = ("memory.max", "memory.limit_in_bytes")
_FIRST_CONTEXT = 256
_TOGETHER = 16


@contextmanager
def _group(root: Path, limit_bytes: int) -> Iterator[Path]:
    group = root / f"engine-memory-{os.getpid()}"
    group.mkdir()
    try:
        (next(path for name in _LIMITS if (path := group / name).exists())).write_text(str(limit_bytes))
        yield group
    finally:
        group.rmdir()


@contextmanager
def _inside(group: Path) -> Iterator[None]:
    """What this process starts in the block is in the group; it is not for long."""
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (group.parent / "cgroup.procs").write_text(str(os.getpid()))


async def _ask_for_much(engine: ServedEngine, model: str, outcomes: Counter[str]) -> None:
    length = _FIRST_CONTEXT
    while True:
        limits = Limits(max_tokens=length // 2)
        execution = ExecutionRequest(context_length=length, max_sequences=64, limits=limits, stop=Stop(eos=False))
        request = RunRequest(model=model, prompt_token_ids=(1,) * (length // 2), execution=execution)
        try:
            async with connect(engine.socket) as client, trio.open_nursery() as nursery:
                for _ in range(_TOGETHER):
                    nursery.start_soon(_run, client, request, outcomes)
        except EngineError as error:
            outcomes[error.code] += 1
            await trio.sleep(0.1)
        length = length * 2 if length < 8192 else _FIRST_CONTEXT


async def _run(client: Client, request: RunRequest, outcomes: Counter[str]) -> None:
    try:
        async for _ in client.run(request):
            pass
        outcomes["finished"] += 1
    except EngineError as error:
        outcomes[error.code] += 1


async def _live(engine: ServedEngine, clients: SteadyClients, seconds: float, outcomes: Counter[str]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask_for_much, engine, clients.model, outcomes)
        await clients.ask(engine.socket, seconds)
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--limit-mb", type=int, default=512)
    parser.add_argument("--group", type=Path, default=_OLDER if _OLDER.exists() else _OLDER.parent)
    given = parser.parse_args()
    clients, outcomes, counts = SteadyClients(given.model), Counter[str](), Counter[str]()
    with TemporaryDirectory(prefix="engine-") as name, _group(given.group, given.limit_mb * 10**6) as group:
        with ExitStack() as held:
            with _inside(group):
                engine = held.enter_context(served_from(Path(name)))
            trio.run(_live, engine, clients, given.minutes * 60, outcomes)
            ended = engine.process.poll()
        problems = faults(engine.data_dir, clients.recorded, counts)
    problems += [] if ended is None else [f"the engine ended with {ended}"]
    print(f"small: {clients}\nlarge: {dict(outcomes)}; {len(problems)} faults", *problems[:20], sep="\n  ")
    raise SystemExit(bool(problems or clients.wrong))


if __name__ == "__main__":
    main()
