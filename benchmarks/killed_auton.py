"""Runs of agents killed at random moments: each goes on to the same files, and asks for no answer twice.

    .venv/bin/python -m benchmarks.killed_auton [--kills 20] [--seed 0]

A script stands for the models. Each kill has a repository of its own: a run there is killed after a random part of the
time that an undisturbed one takes, and the same command is given again until it ends. Its branch must then have the
files and the history of the undisturbed run's, and its journal that run's answers, each once.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from auton.journal import Answered, Journal
from auton.orchestrator import Orchestrator
from auton.repository import Repository, git
from tests.auton.git_stage import TWO_TASKS, new_repository, write_script

AUTON = str(Path(sys.executable).with_name("auton"))
_GOAL = "Say hello"
_RUN = "one"


@dataclass(frozen=True)
class Result:
    """The files, the history and the answers of a run that ended."""

    tree: str
    history: str
    answers: tuple[str, ...]


def start(repository: Path, script: Path) -> subprocess.Popen[bytes]:
    """The run, or what is left of it."""
    places = ("--repository", str(repository), "--config", str(repository.parent / "auton.toml"))
    command = [AUTON, "run", _GOAL, "--run", _RUN, "--script", str(script), *places]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def complete(process: subprocess.Popen[bytes]) -> None:
    """Raises RuntimeError: it is not accepted."""
    if status := process.wait():
        raise RuntimeError(f"auton ended with {status}")


def result(folder: Path) -> Result:
    """Read from the repository, once the run has ended."""
    branch = f"auton/{_RUN}/joined"
    with Journal(Orchestrator.journal_path(Repository(folder), _RUN)) as journal:
        answers = tuple(sorted(one.key for one in journal.entries if isinstance(one, Answered)))
    history = git(folder, "log", "--format=%s", branch)
    return Result(git(folder, "rev-parse", f"{branch}^{{tree}}"), history, answers)


def whole_run(folder: Path, script: Path) -> tuple[Result, float]:
    """An undisturbed run's result, and the seconds that it took."""
    begun = time.monotonic()
    complete(start(new_repository(folder), script))
    return result(folder), time.monotonic() - begun


def killed_run(folder: Path, script: Path, after_s: float) -> tuple[Result, bool]:
    """The result of a run that was killed and given again, and whether the kill came before its end."""
    process = start(new_repository(folder), script)
    time.sleep(after_s)
    process.kill()
    killed = process.wait() != 0
    complete(start(folder, script))
    return result(folder), killed


def main() -> int:
    """Ends with 1 where a killed run came to anything else."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)  # noqa: S311  no secret
    with tempfile.TemporaryDirectory() as name:
        script = write_script(Path(name) / "script.jsonl", TWO_TASKS)
        expected, seconds = whole_run(Path(name) / "whole", script)
        runs = killed = other = 0
        while killed < arguments.kills:
            found, early = killed_run(Path(name) / str(runs), script, moments.uniform(0.1, 1.0) * seconds)
            runs += 1
            killed += early
            other += found != expected
    print(f"a whole run: {seconds:.1f} s, {len(expected.answers)} answers")
    print(f"{killed} runs killed before their end, {runs - killed} after it; {other} came to another result")
    return int(other > 0)


if __name__ == "__main__":
    raise SystemExit(main())
