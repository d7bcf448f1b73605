"""Text on its way from the run loop to a terminal, on CPUs that others take: none of it may be lost.

    .venv/bin/python -m benchmarks.lost_text [--served 10000] [--embedded 1000] [--workers 4] [--busy 4]

Each run is an `engine-ctl run` of a tiny model that ends as a process does. Its stdout, in turn a pipe, a terminal, and
a terminal that stderr shares, must hold the text of its record, and all runs of one request must have the same text and
digest. Busy loops (`--busy`) compete for the CPUs; started with `nice`, so does all other work.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import pty
import re
import subprocess
import sys
import termios
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

from benchmarks.support.disturbance import Disturbance
from benchmarks.support.served import served_from
from engine.records.record_store import RecordStore
from engine_ctl.main import main as engine_ctl
from protocol.record import ExecutionRecord
from protocol.record_entry import FinishedEntry
from tests.support.gguf_factory import write_tiny_model

_REQUESTS = (
    ("--prompt", "Hello", "--max-tokens", "4"),
    ("--prompt", "Hello", "--max-tokens", "4", "--temperature", "1.5", "--seed", "7"),
    ("--prompt", "Once", "--max-tokens", "24", "--temperature", "1.5", "--seed", "3", "--stop", "e"),
    ("--prompt", "Once", "--max-tokens", "1", "--temperature", "1.5", "--seed", "11"),
)
_WAYS = ("pipe", "terminal", "one terminal")
_IMPORTED = (
    *(f"engine_ctl.{name}" for name in ("embedded", "commands.run", "execution", "connection", "metrics_table")),
    *("rich.console", "rich.table", "rich.progress"),
)
"""Import what the runs need, once, before they are forked."""
_EXECUTION_ID = re.compile(r"exec-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Run:
    request: int
    way: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def execution_id(self) -> str | None:
        found = _EXECUTION_ID.search(self.stderr or self.stdout)
        return found and found[0]


# --- a worker: forks, so that a run costs no imports, and lets the child end as an interpreter does -------------------


def work(model: str, socket: str, count: int) -> None:
    """Run one after the other, and write each run as a line of JSON. Holds nothing that a child would end."""
    for module in _IMPORTED:
        import_module(module)
    gc.freeze()  # a child that collected garbage would copy every page
    for number in range(count):
        request, way = number % len(_REQUESTS), _WAYS[number // len(_REQUESTS) % len(_WAYS)]
        stdout, out = pty.openpty() if way != "pipe" else os.pipe()
        stderr, err = os.pipe()
        child = os.fork()
        if child == 0:
            _become(out, out if way == "one terminal" else err)
            engine_ctl(["run", "--socket", socket, "--model", model, *_REQUESTS[request]], prog_name="engine-ctl")
        for ours in (out, err):
            os.close(ours)
        texts = [_read_all(stdout), _read_all(stderr)]
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps([request, way, os.waitstatus_to_exitcode(status), *texts]) + "\n")
        sys.stdout.flush()


def _become(stdout: int, stderr: int) -> None:
    if os.isatty(stdout):
        attributes = termios.tcgetattr(stdout)
        attributes[1] &= ~termios.OPOST  # a line end stays one byte
        termios.tcsetattr(stdout, termios.TCSANOW, attributes)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, 64)


def _read_all(descriptor: int) -> str:
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, 65_536):
            parts.append(part)
    except OSError:
        pass  # a terminal whose other end is closed
    os.close(descriptor)
    return b"".join(parts).decode()


# --- the judge --------------------------------------------------------------------------------------------------------


@contextmanager
def busy(count: int) -> Iterator[None]:
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def runs_of(workers: int, count: int, model: Path, socket: Path, data_dir: Path) -> Iterator[Run]:
    """Run that many workers at once; without an engine on the socket each run has its own."""
    environment = {**os.environ, "ENGINE_DATA_DIR": str(data_dir), "TERM": "xterm"}
    shares = [count // workers + (worker < count % workers) for worker in range(workers)]
    commands = [
        [sys.executable, "-m", __spec__.name, "--work", str(model), str(socket), str(share)] for share in shares
    ]
    with ExitStack() as stack:
        # Files, since a full pipe would hold up every worker but the one that is read.
        shown = [stack.enter_context(TemporaryFile("w+", encoding="utf-8")) for _ in commands]
        started = [
            stack.enter_context(subprocess.Popen(command, env=environment, stdout=file))
            for command, file in zip(commands, shown, strict=True)
        ]
        for worker, file in zip(started, shown, strict=True):
            worker.wait()
            file.seek(0)
            for line in file:
                yield Run(*json.loads(line))


def faults(runs: Sequence[Run], records: Path) -> list[str]:
    """Differences between what a run showed and its record, and between runs of one request."""
    found: list[str] = []
    answers: dict[int, set[tuple[str, str]]] = defaultdict(set)
    with RecordStore(records) as store:
        for run in runs:
            execution_id = run.execution_id
            if run.exit_code or execution_id is None:
                found.append(f"exit {run.exit_code}: {run.stdout!r} {run.stderr[-300:]!r}")
                continue
            entry = store.get(execution_id).decode()
            if not isinstance(entry, FinishedEntry):
                found.append(f"{execution_id} has no record")
                continue
            answers[run.request].add((entry.record.result, entry.record.logits_digest))
            if not _shows(run, entry.record):
                found.append(f"{run.way}: {run.stdout!r} for {entry.record.result!r} of {execution_id}")
    found += [f"{len(each)} answers to request {request}" for request, each in answers.items() if len(each) > 1]
    return found


def _shows(run: Run, record: ExecutionRecord) -> bool:
    if run.way == "pipe":
        return run.stdout == record.result
    line = record.result + ("" if record.result.endswith("\n") else "\n")
    return run.stdout == line if run.way == "terminal" else line in run.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--served", type=int, default=10_000)
    parser.add_argument("--embedded", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=4, help="runs at a time")
    parser.add_argument("--busy", type=int, default=2 * (os.cpu_count() or 1), help="busy loops beside them")
    arguments = parser.parse_args()
    found: list[str] = []
    with TemporaryDirectory(prefix="engine-") as name, busy(arguments.busy):
        folder, disturbance = Path(name), Disturbance()
        model = write_tiny_model(folder / "tiny.gguf")
        for kind, count in (("served", arguments.served), ("embedded", arguments.embedded)):
            with ExitStack() as stack:
                socket, data_dir = folder / "none.sock", folder / "embedded"
                if kind == "served":
                    engine = stack.enter_context(served_from(folder))
                    socket, data_dir = engine.socket, engine.data_dir
                runs = list(runs_of(arguments.workers, count, model, socket, data_dir)) if count else []
            faulty = faults(runs, data_dir / "records.sqlite") if runs else []
            ways = ", ".join(f"{number} to a {way}" for way, number in Counter(run.way for run in runs).items())
            sys.stdout.write(f"{len(runs)} {kind} runs ({ways}): {len(faulty)} faults\n")
            sys.stdout.flush()
            found += faulty
        sys.stdout.write(f"others used {disturbance.share():.0%} of the machine, load {os.getloadavg()[0]:.0f}\n")
    sys.stdout.writelines(fault + "\n" for fault in found[:20])
    raise SystemExit(bool(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
