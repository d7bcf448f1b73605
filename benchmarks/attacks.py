"""The longest pause of the event loop under attacks by clients, and whether another client is served meanwhile.

    .venv/bin/python -m benchmarks.attacks [NAME...] [--seconds 3]

An engine with tiny models in this process, and each attack from a process of its own, as fast as it can connect. Beside
it a decent client asks for the status every 10 ms, and another for the tokens of a word, which needs a worker; the
longest that each waited is told. On a busy machine the clock tells of other programs: CPU time does not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trio

from actors.http.options import HttpOptions, HttpRules
from actors.system import open_system, running
from benchmarks.support.attacks import ATTACKS, attack, write_files
from benchmarks.support.loop_pauses import LoopPauses
from engine.config import EngineConfig
from engine.host.interpreter import keep_pauses_short
from protocol.client import connect
from protocol.errors import EngineError
from protocol.message import Request
from protocol.requests import Status, Tokenize
from protocol.value import Value, build_schemas

_NOTHING = "nothing"
_PAUSE_S = 0.01


class Waiting:
    """A client that asks one thing after the other."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self.errors = 0

    async def ask(self, path: Path, request: Request[Any]) -> None:
        """Until it is cancelled."""
        async with connect(path) as client:
            while True:
                began = trio.current_time()
                try:
                    await client.ask(request)
                except EngineError:
                    self.errors += 1
                self.longest_ms = max(self.longest_ms, 1e3 * (trio.current_time() - began))
                await trio.sleep(_PAUSE_S)


async def _measure(name: str, folder: Path, seconds: float) -> tuple[LoopPauses, Waiting, Waiting]:
    engine, http = folder / "private" / "engine.sock", folder / "private" / "http.sock"
    config = EngineConfig(models_dir=folder, cache_dir=folder / "cache", data_dir=folder / "data")
    system = open_system(config, socket_path=engine, http=HttpOptions(http, (), HttpRules()))
    status, tokens, pauses = Waiting(), Waiting(), LoopPauses()
    async with running(system), trio.open_nursery() as nursery:
        async with connect(engine) as client:
            await client.ask(Tokenize(model="tiny", text="the"))
            await trio.sleep(1)  # the gateway has loaded its modules
        await trio.to_thread.run_sync(build_schemas, Value)
        nursery.start_soon(status.ask, engine, Status())
        nursery.start_soon(tokens.ask, engine, Tokenize(model="tiny", text="the"))
        keep_pauses_short()
        await trio.sleep(0.1)
        trio.lowlevel.add_instrument(pauses)
        if name == _NOTHING:
            await trio.sleep(seconds)
        else:
            command = (sys.executable, "-m", "benchmarks.attacks", "--attack", name, "--folder", str(folder))
            await trio.run_process([*command, "--seconds", str(seconds)])
        trio.lowlevel.remove_instrument(pauses)
        pauses.close()
        nursery.cancel_scope.cancel()
    return pauses, status, tokens


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        private = given.folder / "private"
        attack(given.attack, private / "engine.sock", private / "http.sock", given.folder, given.seconds)
        return
    keep_pauses_short()
    print(f"{'attack':30} {'pause ms':>9} {'of CPU':>8} {'status ms':>10} {'tokens ms':>10} {'errors':>7}  most of it")
    for name in given.names or [_NOTHING, *ATTACKS]:
        with TemporaryDirectory() as made:
            write_files(Path(made))
            pauses, status, tokens = trio.run(_measure, name, Path(made), given.seconds)
        waited = f"{status.longest_ms:10.1f} {tokens.longest_ms:10.1f} {status.errors + tokens.errors:7}"
        turn = pauses.longest_turn
        print(f"{name:30} {pauses.longest_ms:9.1f} {turn.cpu_ms:8.1f} {waited}  {turn.cause}", flush=True)


if __name__ == "__main__":
    main()
