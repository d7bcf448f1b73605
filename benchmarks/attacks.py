"""The longest pause of the event loop under attacks by clients, and whether another client is served meanwhile.

    .venv/bin/python -m benchmarks.attacks [NAME...]

An engine without a model in this process, and each attack from a process of its own. Beside it a decent client asks for
the status every 10 ms; the longest that it waited is told too. On a busy machine the clock tells of other programs: the
CPU time of the same pause does not.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgpack
import trio

from actors.system import running
from benchmarks.support.loop_pauses import LoopPauses
from engine.host.interpreter import keep_pauses_short
from protocol.client import connect
from protocol.framing import MAX_REQUEST_BYTES
from protocol.requests import PROTOCOL_VERSION, Status
from tests.actors.engine_factory import make_system
from tests.actors.fake_backend import FakeBackend

_FULL = MAX_REQUEST_BYTES
_LASTS_S = 3.0


def _frame(content: object) -> bytes:
    payload: bytes = content if isinstance(content, bytes) else msgpack.packb(content)
    return len(payload).to_bytes(4, "big") + payload


def _run(**request: object) -> dict[str, object]:
    return {"type": "Run", "request_id": 1, "request": {"model": "tiny"} | request}


def _detokenize(element: object, count: int) -> dict[str, object]:
    return {"type": "Detokenize", "request_id": 1, "model": "tiny", "token_ids": [element] * count}


ATTACKS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "nested arrays": lambda: _frame(b"\x91" * (_FULL - 1) + b"\x00"),
    "nested maps": lambda: _frame(b"\x81\xa1a" * (_FULL // 3 - 1) + b"\x00"),
    "empty strings": lambda: _frame(b"\x81\xa1a\xdd" + (65_000).to_bytes(4, "big") + b"\xa0" * 65_000),
    "numbers": lambda: _frame(_detokenize(1, 2**18)),
    "wrong numbers": lambda: _frame(_detokenize(None, 2**18)),
    "wrong strings": lambda: _frame(_detokenize("a", 65_000)),
    "unknown fields": lambda: _frame({"type": "Status", "request_id": 1} | {str(n): 1 for n in range(1000)}),
    "messages without fields": lambda: _frame(_run(messages=[{}] * 20_000)),
    "a text": lambda: _frame(_run(model="none", prompt="a" * (_FULL - 200))),
    "a text of symbols": lambda: _frame(_run(model="none", prompt="\N{GRINNING FACE}" * (_FULL // 4 - 100))),
    "a text that is none": lambda: _frame(
        b"\x81\xa4type\xdb" + (_FULL - 100).to_bytes(4, "big") + b"\xff" * (_FULL - 100)
    ),
    "small frames": lambda: _frame({"type": "Status", "request_id": 1, "x": 1}) * 20_000,
    "empty frames": lambda: b"\x00\x00\x00\x01\x80" * 100_000,
}
_SILENT = "silent connections"


def _attack(name: str, path: str) -> None:
    """Until the time is over: connect, greet, send, read what comes, hang up. Runs in a process of its own."""
    data = b"" if name == _SILENT else ATTACKS[name]()
    hello = _frame({"type": "Hello", "protocol_version": PROTOCOL_VERSION})
    end = time.monotonic() + _LASTS_S
    held: list[socket.socket] = []
    while time.monotonic() < end:
        try:
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(0.5)
            client.connect(path)
            if name == _SILENT:
                held.append(client)
                continue
            client.sendall(hello + data)
            client.recv(65_536)
            client.recv(65_536)
            client.close()
        except OSError:
            continue


async def _measure(name: str, path: Path) -> tuple[LoopPauses, float]:
    pauses, longest_ms = LoopPauses(), 0.0
    async with running(make_system(FakeBackend(answer=("ok",)), socket_path=path)), connect(path) as client:
        await client.ask(Status())
        keep_pauses_short()
        trio.lowlevel.add_instrument(pauses)
        command = (sys.executable, "-m", "benchmarks.attacks", "--attack", name, "--socket", str(path))
        process = subprocess.Popen(command)  # noqa: ASYNC220  this program
        while process.poll() is None:
            began = trio.current_time()
            await client.ask(Status())
            longest_ms = max(longest_ms, 1e3 * (trio.current_time() - began))
            await trio.sleep(0.01)
        trio.lowlevel.remove_instrument(pauses)
    return pauses, longest_ms


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--attack", help=argparse.SUPPRESS)
    parser.add_argument("--socket", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.attack:
        _attack(given.attack, given.socket)
        return
    keep_pauses_short()
    print(f"{'attack':28} {'pause ms':>9} {'of CPU':>8} {'status ms':>10}")
    for name in given.names or [*ATTACKS, _SILENT]:
        with TemporaryDirectory() as folder:
            pauses, longest_ms = trio.run(_measure, name, Path(folder) / "private" / "engine.sock")
        print(f"{name:28} {pauses.longest_ms:9.1f} {pauses.longest_cpu_ms:8.1f} {longest_ms:10.1f}", flush=True)


if __name__ == "__main__":
    main()
