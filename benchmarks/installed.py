"""What an installed wheel takes: CPU time until the first answer, and room on the disk.

    .venv/bin/python -m benchmarks.installed dist/weos_engine-…-cp311-….whl MODEL.gguf [--python PROGRAM]

The environment is empty and of the wheel's Python, and modules are compiled where they are kept, as they are unless a
variable forbids it. What pip has downloaded before comes from its cache.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

COMPILED = ("--no-compile", "--compile")


def main() -> None:
    """Print a table row for each way to install."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--python", default=sys.executable)
    arguments = parser.parse_args()
    print(f"wheel: {arguments.wheel.stat().st_size / 1e6:.1f} MB")
    for option in COMPILED:
        with tempfile.TemporaryDirectory(prefix="engine-") as made:
            for line in installed(arguments.python, arguments.wheel, arguments.model.resolve(), option, Path(made)):
                print(f"pip install {option}: {line}", flush=True)


def installed(python: str, wheel: Path, model: Path, option: str, folder: Path) -> Iterator[str]:
    """What it took, a line for each figure."""
    environment = folder / "venv"
    cpu_s(python, "-m", "venv", str(environment))
    program = environment / "bin"
    pip = (str(program / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet")
    yield f"installing {cpu_s(*pip, 'install', '--only-binary=:all:', option, str(wheel))}"
    yield f"room {room(environment)}"
    answer = (str(program / "engine-ctl"), "run", str(model), "Once upon a time", "--max-tokens", "32", "-q")
    yield f"first answer {cpu_s(*answer)}"
    yield f"second answer {cpu_s(*answer)}"
    yield f"room afterwards {room(environment)}"


def room(environment: Path) -> str:
    """Room of its files, with pip, which made it, and without, as pipx and uv make it."""
    packages = next(environment.glob("lib/python3.*/site-packages"))
    of_pip = sum(megabytes(packages / name) for name in ("pip", "setuptools", "pkg_resources", "_distutils_hack"))
    whole = megabytes(environment)
    return f"{whole:.0f} MB with pip, {whole - of_pip:.0f} MB without"


def cpu_s(*command: str) -> str:
    """CPU seconds of a command and all its processes, and those of the clock."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=variables)
    after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{used:.1f} s of CPU time, {ended - begun:.1f} s"


def megabytes(folder: Path) -> float:
    """Sizes of all files in a folder, in 10⁶ bytes."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir()) / 1e6


if __name__ == "__main__":
    main()
