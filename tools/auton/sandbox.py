"""Isolation: what agents wrote runs in bubblewrap alone, without network or the user's files, for a limited time."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from auton.errors import AutonError

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc/alternatives", "/etc/ld.so.cache")
_SHOWN_BYTES = 16_384
_SEARCHED_BYTES = 1 << 20
_LOOK_S = 0.05
_LARGEST_FILE = 512 * 2**20
_MEMORY = 4 * 2**30
_PROCESSES = 512
_TEMPORARY = {"/tmp": 512 * 2**20, "/dev/shm": 64 * 2**20}  # noqa: S108
"""Bytes of memory that files may take where programs keep them for a while."""


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    exit_code: int | None
    """``None``: it took too long."""
    output: str
    """The end of what it printed."""

    @property
    def succeeded(self) -> bool:
        """Whether it ended well, and in time."""
        return self.exit_code == 0


class Sandbox:
    """Bubblewrap: the system's programs to read, one folder to write, and nothing else."""

    def __init__(self) -> None:
        """Raises AutonError: it is not installed, or may not run here. Nothing runs without it."""
        found = shutil.which("bwrap")
        if found is None:
            raise AutonError(
                "builds need isolation, and bwrap is not installed (Debian's bubblewrap): nothing is built"
            )
        self._program = found
        with tempfile.TemporaryDirectory(prefix="auton-") as folder:
            tried = self.run(("true",), Path(folder), 10.0)
        if not tried.succeeded:
            raise AutonError(f"builds need isolation, and bwrap does not run here: {tried.output.strip()}")

    def run(self, command: Sequence[str], folder: Path, timeout_s: float, until: str = "") -> Ran:
        """Run a command in a folder, which is all that it can write. ``until``: it is ended, and has succeeded, as soon
        as it has printed this."""
        with tempfile.TemporaryFile() as told:
            process = subprocess.Popen(  # noqa: S603  bubblewrap, which holds the command
                [*self._walls(folder), *_limits(timeout_s), *command],
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=subprocess.STDOUT,
                env={},
                start_new_session=True,
            )
            try:
                exit_code = _wait(process, told.fileno(), timeout_s, until.encode())
            finally:
                # bwrap's child dies with it, and all of its processes with that child.
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            end = told.seek(0, os.SEEK_END)
            told.seek(max(0, end - _SHOWN_BYTES))
            return Ran(exit_code, told.read().decode(errors="replace"))

    def _walls(self, folder: Path) -> list[str]:
        walls = [
            self._program,
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--clearenv",
        ]
        for path in _SYSTEM:
            walls += ["--ro-bind-try", path, path]
        walls += ["--proc", "/proc", "--dev", "/dev", "--bind", str(folder.resolve()), "/work"]
        for path, size in _TEMPORARY.items():
            walls += ["--size", str(size), "--tmpfs", path]
        # Both are of memory, and without a limit.
        walls += ["--remount-ro", "/dev", "--remount-ro", "/"]
        for name, value in {"PATH": "/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8"}.items():  # noqa: S108
            walls += ["--setenv", name, value]
        return [*walls, "--chdir", "/work", "--"]


def _wait(process: subprocess.Popen[bytes], told: int, timeout_s: float, until: bytes) -> int | None:
    """The exit code: 0 where ``until`` was printed in time, and 1 where it was not; ``None``: it took too long."""
    ends = time.monotonic() + timeout_s
    while True:
        left = ends - time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            exit_code: int | None = process.wait(max(0.0, min(left, _LOOK_S) if until else left))
            return exit_code if not until else 0 if _printed(told, until) else exit_code or 1
        if until and _printed(told, until):
            return 0
        if left <= 0:
            return None


def _printed(told: int, text: bytes) -> bool:
    return text in os.pread(told, _SEARCHED_BYTES, 0)


def _limits(timeout_s: float) -> list[str]:
    """``prlimit`` in front of the command: CPU time, memory, size of files, processes."""
    limits = {"cpu": int(timeout_s * 4) + 1, "as": _MEMORY, "fsize": _LARGEST_FILE, "nproc": _PROCESSES, "core": 0}
    return ["prlimit", *(f"--{name}={value}" for name, value in limits.items()), "--"]
