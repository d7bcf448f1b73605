"""Prefill and decoding beside processes that keep the machine busy; beside another build, in turns.

.venv/bin/python -m benchmarks.busy_neighbours MODEL [--busy 0 1 2] [--rounds 3] [--other OTHER/.venv/bin/engine-ctl]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from benchmarks.support.served import CLI

_BUSY = "while True: pass"


@contextmanager
def neighbours(count: int, *, own_session: bool) -> Iterator[None]:
    """Processes that compute without end. In sessions of their own the system may share processors among sessions."""
    command = [sys.executable, "-c", _BUSY]
    busy = [subprocess.Popen(command, start_new_session=own_session) for _ in range(count)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def speeds(program: str, model: str) -> dict[str, float]:
    """Tokens per second of each test of ``engine-ctl bench``."""
    lengths = ["--prompt-tokens", "128", "--gen-tokens", "48", "--repetitions", "3"]
    ended = subprocess.run([program, "bench", model, *lengths, "--json"], capture_output=True, text=True, check=True)
    return {result["test"]: result["median"] for result in json.loads(ended.stdout)["results"]}


def measure(programs: list[str], model: str, rounds: int) -> dict[tuple[str, str], list[float]]:
    """The samples of each test and program. The programs take turns, in the other order every other round."""
    samples: dict[tuple[str, str], list[float]] = {}
    for number in range(rounds):
        for program in programs if number % 2 == 0 else reversed(programs):
            for test, speed in speeds(program, model).items():
                samples.setdefault((test, program), []).append(speed)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 1, 2], help="how many processes beside it")
    parser.add_argument("--own-session", action="store_true", help="each of them in a session of its own")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other", action="append", default=[], help="engine-ctl of another build")
    arguments = parser.parse_args()
    programs = [str(CLI), *arguments.other]
    for count in arguments.busy:
        with neighbours(count, own_session=arguments.own_session):
            samples = measure(programs, arguments.model, arguments.rounds)
        for (test, program), values in sorted(samples.items()):
            spread = f"{min(values):.0f} to {max(values):.0f}"
            print(
                f"{count} busy | {test} | {program} | {median(values):.0f} tokens/s ({spread}, n = {len(values)})",
                flush=True,
            )


if __name__ == "__main__":
    main()
